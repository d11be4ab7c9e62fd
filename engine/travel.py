"""A cache on its way to another machine: its packs in one tar file, and back."""

import os
import tarfile
from functools import partial
from pathlib import Path

from engine.errors import PackError, StoreError, UsageError
from engine.index import Index
from engine.store import PACK, list_packs, take_in


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

    Nothing of it is believed: names must be those of packs, and match their content to the byte.
    Raises: UsageError when it is no tar file; StoreError when the store cannot be written.
    """
    new = refused = 0
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isfile() else None
                if source is None or not PACK.fullmatch(member.name):
                    refused += 1
                    continue
                if (root / member.name).exists():
                    continue
                content = source.read()
                try:
                    take_in(root, member.name, len(content), partial(_cut, content))
                except PackError:
                    refused += 1
                    continue
                new += 1
    except tarfile.TarError as error:
        raise UsageError(f"{file} is no exported cache: {error}") from error
    except OSError as error:
        told = os.fsdecode(error.filename or file)
        raise StoreError(f"{told}: {error.strerror or error}") from error
    index.absorb()
    return new, refused


def _cut(content: bytes, start: int, end: int) -> bytes:
    return content[start:end]
