"""Many small packs become few large ones, like with like so that eviction can still choose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from engine.index import Index, Pack
from engine.records import Record
from engine.store import Buffer, read_port, write_pack

Entry: TypeAlias = tuple[Record, Mapping[str, Buffer]]

#: Packs below this size are merged, into packs of about that size or that many records.
SMALL = 8 << 20
TARGET = 64 << 20
MOST_RECORDS = 4096
#: In a cache with a limit no merged pack takes more than such a part of it.
MOST_OF_LIMIT = 1 / 16
#: Packs are alike if none is worth so many times what another is, in seconds per byte; and all that
#: are made again as fast as they could be read (100 MB/s).
ALIKE = 8.0
WORTHLESS = 1e-8


def compact(
    root: Path,
    index: Index,
    small: int = SMALL,
    target: int = TARGET,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Merge small packs; tell how many files fewer there are. `limit`: most bytes of the cache.

    What is left when `stop` says so waits for the next time. A merged pack is in place and indexed
    before the small ones go, so a kill loses nothing; a pack that cannot be read whole is left
    alone. Raises: StoreError when nothing can be written.
    """
    if limit is not None:
        target = min(target, int(limit * MOST_OF_LIMIT))
        small = min(small, target)
    fewer = 0
    little = [p for p in index.packs() if p.size < small and p.records < MOST_RECORDS]
    for group in _groups(little, target):
        if stop():
            break
        content = {pack.name: _content(root, index, pack) for pack in group}
        old = {name for name, entries in content.items() if entries is not None}
        if len(old) < 2:
            continue
        merged = write_pack(root, [entry for name in old for entry in content[name] or ()])
        index.add(merged)
        old -= {record.pack for record in merged}
        index.remove(old)
        fewer += len(old) - 1
    return fewer


def _groups(packs: Sequence[Pack], target: int) -> Iterator[list[Pack]]:
    """Cut packs, sorted by worth, into runs of two or more alike that fill one file each."""
    group: list[Pack] = []
    for pack in packs:
        if group and _worth(pack) > ALIKE * _worth(group[0]):
            if len(group) > 1:
                yield group
            group = []
        group.append(pack)
        full = sum(p.records for p in group) >= MOST_RECORDS
        if full or sum(p.size for p in group) >= target:
            yield group
            group = []
    if len(group) > 1:
        yield group


def _worth(pack: Pack) -> float:
    """Seconds of computing per byte."""
    return max(WORTHLESS, pack.seconds / pack.size)


def _content(root: Path, index: Index, pack: Pack) -> list[Entry] | None:
    """The live records of a pack with the bytes of their ports; None when some cannot be read."""
    entries: list[Entry] = []
    for record in index.records_in(pack.name):
        parts: dict[str, Buffer] = {}
        for port in record.ports:
            data = read_port(root, record, port)
            if data is None:
                return None
            parts[port] = data
        entries.append((replace(record, pack=""), parts))
    return entries
