"""The disk store: content address -> value; atomic, checksummed, shared by any number of runs.

What one key produced is a record. Many records travel in one immutable pack file::

    magic | payload | payload | ... | table (JSON) | length of the table | magic

named by the digest of its table, so that an index can be rebuilt from the files alone::

    ROOT/format   ROOT/packs/ab/<digest>.pack   ROOT/staging/<unfinished>.tmp
"""

import contextlib
import hashlib
import io
import json
import logging
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from engine import staging
from engine.errors import StoreError
from engine.records import Blob, Record

FORMAT = 1
#: Values of at least so many bytes are memory-mapped.
MAPPED = 256 << 10
Buffer: TypeAlias = bytes | bytearray | memoryview

_HEAD = b"LOOMPCK1"
_TAIL = b"1KCPMOOL"
_FOOT = 8 + len(_TAIL)

log = logging.getLogger(__name__)


def default_root() -> Path:
    """Where the store is when nobody says: LATENTLOOM_CACHE, else the user's cache folder."""
    given = os.environ.get("LATENTLOOM_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "latentloom"


def open_store(root: Path) -> Path:
    """Make the store's folder if need be, and check that this version may use it.

    Raises: StoreError when it cannot be made or belongs to a newer version.
    """
    mark = root / "format"
    try:
        if not mark.exists():
            tag = (
                b"Signature: 8a477f597d28d172789f06886806bc55\n# Results that can be made again.\n"
            )
            staging.write_whole(root / "CACHEDIR.TAG", [tag], root / "staging")
            staging.write_whole(mark, [f"{FORMAT}\n".encode()], root / "staging")
        text = mark.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise _failure(root, "opened", error) from error
    if not text.isdigit() or int(text) > FORMAT:
        raise StoreError(
            f"the store in {root} has format '{text[:20]}', this version knows {FORMAT}: "
            "update the program, or name another folder with --cache"
        )
    return root


def write_pack(root: Path, entries: Sequence[tuple[Record, Mapping[str, Buffer]]]) -> list[Record]:
    """Store records with the bytes of their ports in one file; give them back with their places.

    Raises: StoreError when the disk is full or the folder cannot be written; nothing is left.
    """
    offset = len(_HEAD)
    payloads: list[Buffer] = []
    placed: list[Record] = []
    for record, parts in entries:
        ports: dict[str, Blob] = {}
        for port, data in parts.items():
            ports[port] = Blob(offset, len(data), hashlib.sha256(data).hexdigest())
            payloads.append(data)
            offset += len(data)
        placed.append(replace(record, ports=ports))
    rows = [to_row(record) for record in placed]
    table = json.dumps({"format": FORMAT, "records": rows}, separators=(",", ":")).encode()
    name = pack_name(table)
    foot = len(table).to_bytes(8, "little") + _TAIL
    try:
        staging.write_whole(root / name, [_HEAD, *payloads, table, foot], root / "staging")
    except OSError as error:
        raise _failure(root, "written", error) from error
    return [replace(record, pack=name) for record in placed]


def pack_name(table: bytes) -> str:
    """The path of a pack below the root, from its table."""
    digest = hashlib.sha256(table).hexdigest()[:40]
    return f"packs/{digest[:2]}/{digest}.pack"


def read_port(root: Path, record: Record, port: str) -> memoryview | None:
    """The stored bytes of one port, verified; None when they are gone.

    Missing, cut short or altered bytes are a miss with a warning in the log, never an answer.
    """
    blob = record.ports.get(port)
    if blob is None or not record.pack:
        return None
    try:
        with (root / record.pack).open("rb") as file:
            data = _bytes_at(file, blob)
    except FileNotFoundError:
        return _miss(root, record, port, "is gone")
    except (OSError, ValueError) as error:
        return _miss(root, record, port, f"cannot be read ({error})")
    if len(data) < blob.length:
        return _miss(root, record, port, "is cut short")
    if hashlib.sha256(data).hexdigest() != blob.digest:
        return _miss(root, record, port, "is damaged")
    return data


def _bytes_at(file: BinaryIO, blob: Blob) -> memoryview:
    """Bytes of a pack: small ones read (each mapping holds a file open), large ones mapped."""
    if blob.length < MAPPED:
        return memoryview(os.pread(file.fileno(), blob.length, blob.offset))
    mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return mapped[blob.offset : blob.offset + blob.length]


def read_table(root: Path, pack: str) -> list[Record]:
    """The records of one pack, read from its end.

    Raises: StoreError when the pack is missing, cut short, altered, or of a newer version.
    """
    path = root / pack
    try:
        with path.open("rb") as file:
            return _table_of(file, os.fstat(file.fileno()).st_size, path, pack)
    except OSError as error:
        raise _failure(root, "read", error) from error


def read_table_bytes(content: bytes, pack: str) -> list[Record]:
    """The records of a pack that is not in a store yet.

    Raises: StoreError as `read_table` does.
    """
    return _table_of(io.BytesIO(content), len(content), Path(pack), pack)


def _table_of(file: BinaryIO, length: int, path: Path, pack: str) -> list[Record]:
    file.seek(max(0, length - _FOOT))
    foot = file.read(_FOOT)
    size = int.from_bytes(foot[:8], "little")
    if foot[8:] != _TAIL or size > length - _FOOT - len(_HEAD):
        raise StoreError(f"{path} is cut short or is no pack")
    file.seek(length - _FOOT - size)
    table = file.read(size)
    if pack_name(table) != pack:
        raise StoreError(f"{path} is damaged")
    content = json.loads(table)
    if content["format"] != FORMAT:
        raise StoreError(f"{path} has format {content['format']}, this version reads {FORMAT}")
    return [from_row(row, pack) for row in content["records"]]


def list_packs(root: Path) -> Iterator[tuple[str, int, float]]:
    """Yield path below the root, size in bytes and time of writing of every pack."""
    try:
        shards = [entry.name for entry in os.scandir(root / "packs") if entry.is_dir()]
        for shard in shards:
            for entry in os.scandir(root / "packs" / shard):
                with contextlib.suppress(FileNotFoundError):  # another run evicted it just now
                    stat = entry.stat()
                    if entry.name.endswith(".pack"):
                        yield f"packs/{shard}/{entry.name}", stat.st_size, stat.st_mtime
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(root, "read", error) from error


def remove_pack(root: Path, pack: str) -> None:
    """Delete a pack; one that is gone already, or may not be deleted, is left alone.

    Raises: StoreError when the folder cannot be written.
    """
    try:
        (root / pack).unlink(missing_ok=True)
    except OSError as error:
        raise _failure(root, "written", error) from error


def sweep(root: Path) -> int:
    """Remove the unfinished files that dead writers left; tell how many there were."""
    return staging.sweep(root / "staging")


def to_row(record: Record) -> list[Any]:
    """Write a record as plain JSON, without its pack."""
    ports = {port: [b.offset, b.length, b.digest] for port, b in record.ports.items()}
    return [
        record.key,
        record.status,
        record.reason,
        record.message,
        record.seconds,
        ports,
        dict(record.scalars),
    ]


def from_row(row: Sequence[Any], pack: str) -> Record:
    """Make the record that `to_row` wrote."""
    key, status, reason, message, seconds, ports, scalars = row
    blobs = {port: Blob(*place) for port, place in ports.items()}
    return Record(key, status, reason, message, seconds, blobs, scalars, pack)


def _miss(root: Path, record: Record, port: str, what: str) -> memoryview | None:
    """Say in the log why stored bytes cannot be used."""
    log.warning(
        "%s of %s in %s %s; it will be computed again", port, record.key, root / record.pack, what
    )
    return None


def _failure(root: Path, verb: str, error: OSError) -> StoreError:
    why = error.strerror or str(error)
    hint = "free some space, or name another folder with --cache"
    return StoreError(f"the store in {root} cannot be {verb}: {why} ({error.filename}); {hint}")
