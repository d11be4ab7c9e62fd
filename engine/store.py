"""The disk store: content address -> value; atomic, checksummed, shared by any number of runs.

What one key produced is a record. Many records travel in one immutable pack file::

    magic | payload | payload | ... | table (JSON) | length of the table | magic

named by the digest of its table, so that an index can be rebuilt from the files alone::

    ROOT/format   ROOT/packs/ab/<digest>.pack   ROOT/staging/<unfinished>.tmp
"""

import contextlib
import hashlib
import itertools
import json
import logging
import mmap
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from engine import staging
from engine.errors import PackError, StoreError
from engine.records import Blob, Record

FORMAT = 1
#: Values of at least so many bytes are memory-mapped.
MAPPED = 256 << 10
#: The path of a pack below the root.
PACK = re.compile(r"packs/([0-9a-f]{2})/\1[0-9a-f]{38}\.pack")
#: A pack from elsewhere is verified and written in pieces of about so many bytes.
PIECE = 8 << 20
Buffer: TypeAlias = bytes | bytearray | memoryview
#: Reads the bytes of a file from a place up to another, wherever the file is.
Reader: TypeAlias = Callable[[int, int], bytes]

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
        text = mark.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _failure(root, "opened", error) from error
    check_format(text, str(root))
    return root


def check_format(mark: str, where: str) -> None:
    """Check what the file `format` of a store says.

    Raises: StoreError when the store belongs to a newer version.
    """
    text = mark.strip()
    if not text.isdigit() or int(text) > FORMAT:
        raise StoreError(
            f"the store in {where} has format '{text[:20]}', this version knows {FORMAT}: "
            "update the program, or name another one (--cache)"
        )


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

    Raises: PackError when it is cut short, altered, or of a newer version; StoreError when it
    cannot be read.
    """
    try:
        with opened(root, pack) as (read, length):
            table = _table(read, length)
    except OSError as error:
        raise _failure(root, "read", error) from error
    return _records(table, pack, root / pack)


@contextlib.contextmanager
def opened(root: Path, pack: str) -> Iterator[tuple[Reader, int]]:
    """Give a reader of a pack in the store, and its length. Raises: OSError."""
    with (root / pack).open("rb") as file:
        number = file.fileno()
        length = os.fstat(number).st_size
        yield lambda start, end: os.pread(number, end - start, start), length


def table_elsewhere(read: Reader, length: int, pack: str) -> list[Record]:
    """The records of a pack that is not in a store yet.

    Raises: PackError as `read_table` does, and whatever reading raises.
    """
    return _records(_table(read, length), pack, Path(pack))


def take_in(root: Path, pack: str, length: int, read: Reader) -> list[Record]:
    """Bring a pack from elsewhere into the store; give its records. Every byte is verified.

    Raises: PackError when it is not sound; StoreError when the store cannot be written; whatever
    reading raises, unless it is an OSError. Nothing is left behind.
    """
    table = _table(read, length)
    records = _records(table, pack, Path(pack))
    blobs = _blobs(records, length - len(table) - _FOOT, pack)
    end = [table, len(table).to_bytes(8, "little") + _TAIL]

    def parts() -> Iterator[Buffer]:
        return itertools.chain([_HEAD], _verified(blobs, read, pack), end)

    try:
        staging.write_whole(root / pack, parts, root / "staging")
    except OSError as error:
        raise _failure(root, "written", error) from error
    return records


def verify_pack(root: Path, pack: str) -> None:
    """Compare every byte of a pack with its digests.

    Raises: PackError when it is not sound; StoreError when it cannot be read.
    """
    try:
        with opened(root, pack) as (read, length):
            table = _table(read, length)
            blobs = _blobs(_records(table, pack, root / pack), length - len(table) - _FOOT, pack)
            for _ in _verified(blobs, read, pack):
                pass
    except OSError as error:
        raise _failure(root, "read", error) from error


def _table(read: Reader, length: int) -> bytes:
    """The bytes of a pack's table; empty when there is none at its end."""
    start = max(0, length - _FOOT)
    foot = read(start, length)
    size = int.from_bytes(foot[:8], "little")
    if foot[8:] != _TAIL or size > start - len(_HEAD):
        return b""
    return read(start - size, start)


def _records(table: bytes, pack: str, where: Path) -> list[Record]:
    if not table:
        raise PackError(f"{where} is cut short or is no pack")
    if pack_name(table) != pack:
        raise PackError(f"{where} is damaged")
    try:
        content = json.loads(table)
        version = content["format"]
        if version == FORMAT:
            return [from_row(row, pack) for row in content["records"]]
    except (ValueError, TypeError, KeyError) as error:
        raise PackError(f"{where} is no pack") from error
    raise PackError(f"{where} has format {version}, this version reads {FORMAT}")


def _blobs(records: Sequence[Record], end: int, pack: str) -> list[Blob]:
    """The payloads of a pack in the order in which they lie there, one right after the other.

    Raises: PackError when they do not fill it up to its table.
    """
    place = len(_HEAD)
    try:
        blobs = sorted(
            (blob for record in records for blob in record.ports.values()),
            key=lambda blob: (blob.offset, blob.length),
        )
        for blob in blobs:
            place = place + blob.length if blob.offset == place and blob.length >= 0 else -1
    except TypeError as error:
        raise PackError(f"{pack} is no pack") from error
    if place != end:
        raise PackError(f"{pack} is damaged")
    return blobs


def _verified(blobs: Sequence[Blob], read: Reader, pack: str) -> Iterator[bytes]:
    """Yield the payloads of a pack in pieces of many, each compared with its digest.

    Raises: PackError when one differs.
    """
    piece: list[Blob] = []
    for i, blob in enumerate(blobs):
        piece.append(blob)
        start, end = piece[0].offset, blob.offset + blob.length
        if end - start < PIECE and i + 1 < len(blobs):
            continue
        data = read(start, end)
        for part in piece:
            place = part.offset - start
            found = hashlib.sha256(memoryview(data)[place : place + part.length])
            if found.hexdigest() != part.digest:
                raise PackError(f"{pack} is damaged")
        yield data
        piece = []


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
