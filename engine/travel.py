"""A cache on its way to another machine: its packs in one tar file, and back."""

import os
import re
import tarfile
from pathlib import Path

from engine.errors import StoreError, UsageError
from engine.index import Index
from engine.staging import write_whole
from engine.store import list_packs, read_table_bytes

_NAME = re.compile(r"packs/([0-9a-f]{2})/\1[0-9a-f]{38}\.pack")


def export_store(root: Path, file: Path) -> int:
    """Write all packs to a tar file; tell how many.

    Raises: UsageError when the file is there already; StoreError when it cannot be written.
    """
    if file.exists():
        raise UsageError(f"{file} is there already")
    count = 0
    part = file.with_name(f"{file.name}.tmp")
    try:
        with tarfile.open(part, "w") as tar:
            for name, _, _ in sorted(list_packs(root)):
                try:
                    tar.add(root / name, name, recursive=False)
                except FileNotFoundError:
                    continue  # another run evicted it just now
                count += 1
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StoreError(f"{file} cannot be written: {error.strerror}") from error
    return count


def import_store(root: Path, index: Index, file: Path) -> tuple[int, int]:
    """Take in the packs of a tar file; tell how many were new and how many were no packs.

    Nothing of it is believed: names must be those of packs, and tables must match their names.
    Raises: UsageError when it is no tar file; StoreError when the store cannot be written.
    """
    new = refused = 0
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is None or not _NAME.fullmatch(member.name):
                    refused += 1
                    continue
                if (root / member.name).exists():
                    continue
                content = source.read()
                try:
                    read_table_bytes(content, member.name)
                except StoreError:
                    refused += 1
                    continue
                write_whole(root / member.name, [content], root / "staging")
                new += 1
    except tarfile.TarError as error:
        raise UsageError(f"{file} is no exported cache: {error}") from error
    except OSError as error:
        told = os.fsdecode(error.filename or file)
        raise StoreError(f"{told}: {error.strerror or error}") from error
    index.absorb()
    return new, refused
