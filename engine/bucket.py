"""A cache in an object store: its packs copied there and back, by any protocol that fsspec knows.

The copy is laid out as a store is. A pack never changes, so one that is there in full length is not
copied again, any number of runs and copies may go on at once, and a copy that was cut short is
taken up by the next.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import PackError, StoreError, UsageError, WorkflowError, suggestion
from engine.index import Index
from engine.op import SILENT, Progress
from engine.records import Fate, Record
from engine.store import (
    FORMAT,
    PACK,
    Reader,
    check_format,
    list_packs,
    open_store,
    opened,
    sweep,
    table_elsewhere,
    take_in,
    verify_pack,
)

#: Packs that are copied at the same time.
LANES = 8
#: The end of a pack, fetched at once; most tables, and many whole packs, are smaller.
TAIL = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did: packs and bytes that went, packs not needed, and those that are unsound."""

    packs: int
    size: int
    before: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that fsspec can reach: its file system, the path in it, and what to call it."""

    files: Any
    path: str
    url: str

    @contextmanager
    def reached(self, verb: str) -> Iterator[None]:
        """Tell whatever a protocol's package raises as what could not be done here."""
        try:
            yield
        except WorkflowError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            raise StoreError(
                f"{self.url} cannot be {verb}: {why}; look at the address, the network, and what "
                "this machine is allowed there"
            ) from error


def is_url(text: object) -> bool:
    """Whether this names a place for fsspec rather than a file."""
    return isinstance(text, str) and "://" in text


def find_place(url: str) -> Place:
    """Open the file system of a URL.

    Raises: UsageError for a protocol that is unknown or whose package is missing; StoreError when
    it cannot be reached.
    """
    from fsspec import available_protocols
    from fsspec.core import url_to_fs

    known = available_protocols()
    protocols = url.partition("://")[0].split("::")
    for protocol in protocols:
        if protocol not in known:
            raise UsageError(
                f"{protocol}:// is no protocol that fsspec knows{suggestion(protocol, known)}"
            )
    place = Place(None, "", re.sub(r"//[^/@]*@", "//", url))  # no password on a screen
    with place.reached("reached"):
        try:
            files, path = url_to_fs(url)
        except ImportError as error:
            raise UsageError(
                f"{place.url}: needs a package that is not installed here: {error}"
                f"{_remedy(protocols[-1])}"
            ) from error
    return Place(files, path.rstrip("/"), place.url)


def _remedy(protocol: str) -> str:
    """How to get the package of a protocol, as far as fsspec says which it is."""
    from fsspec.registry import known_implementations

    package = known_implementations.get(protocol, {}).get("class", "").partition(".")[0]
    return f" (pip install {package})" if package not in ("", "fsspec") else ""


# -- there ---------------------------------------------------------------------------------------


def export_packs(root: Path, url: str, progress: Progress = SILENT) -> Copied:
    """Copy the packs of a store that are not at a URL yet; damaged ones stay where they are.

    Raises: UsageError as `find_place` does; StoreError when it cannot be reached or written.
    """
    place = find_place(url)
    put = _put_in_store(root, place) if _is_local(place) else _put_away(root, place)
    there = _packs_at(place)
    packs = {name: size for name, size, _ in list_packs(root)}
    missing = sorted(name for name, size in packs.items() if there.get(name) != size)

    def send(name: str) -> str:
        try:
            put(name)
        except PackError:
            return "damaged"
        except StoreError:
            if (root / name).exists():
                raise
            return "gone"  # another run evicted it just now
        return "sent"

    ends: dict[str, str] = {}
    with ThreadPoolExecutor(LANES) as pool:
        for name, end in zip(missing, pool.map(send, missing), strict=True):
            ends[name] = end
            progress(len(ends), len(missing))
    sent = [packs[name] for name, end in ends.items() if end == "sent"]
    damaged = tuple(name for name, end in ends.items() if end == "damaged")
    return Copied(len(sent), sum(sent), len(packs) - len(missing), damaged)


def _is_local(place: Place) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(place.files, LocalFileSystem)


def _put_in_store(root: Path, place: Place) -> Callable[[str], None]:
    """Copy into a folder of this machine: it becomes a store like any other."""
    store = open_store(Path(place.path))
    sweep(store)

    def put(name: str) -> None:
        with place.reached("written"), opened(root, name) as (read, length):
            take_in(store, name, length, read)

    return put


def _put_away(root: Path, place: Place) -> Callable[[str], None]:
    """Copy to a place where a file may appear before it is whole: its length tells."""
    with place.reached("written"):
        if not _is_marked(place):
            _make_folder(place, place.path)
            place.files.pipe_file(f"{place.path}/format", f"{FORMAT}\n".encode())

    def put(name: str) -> None:
        verify_pack(root, name)
        with place.reached("written"):
            there = f"{place.path}/{name}"
            _make_folder(place, there.rpartition("/")[0])
            place.files.put_file(str(root / name), there)

    return put


def _make_folder(place: Place, path: str) -> None:
    """Make a folder where there are folders; object stores would make a bucket of a wrong name."""
    if path and not place.files.async_impl:
        place.files.makedirs(path, exist_ok=True)


# -- and back ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A pack at a place, whose table has been read."""

    name: str
    size: int
    read: Reader = field(repr=False)
    records: Sequence[Record] = ()


def import_packs(root: Path, index: Index, url: str, progress: Progress = SILENT) -> Copied:
    """Take in the packs at a URL that hold anything this store lacks, every byte verified.

    Raises: UsageError as `find_place` does, or when no cache is there; StoreError when it cannot be
    reached, is of a newer version, or the store cannot be written.
    """
    place = find_place(url)
    with place.reached("read"):
        if not _is_marked(place):
            raise UsageError(f"there is no exported cache at {place.url}")
    index.absorb()
    there = _packs_at(place)
    here = {name: size for name, size, _ in list_packs(root)}
    # Large ones first: what was merged from small ones makes these needless.
    names = sorted(there.keys(), key=lambda name: (-there[name], name))
    missing = [name for name in names if here.get(name) != there[name]]
    taken: list[int] = []
    refused: list[str] = []
    with ThreadPoolExecutor(LANES) as pool:
        for i in range(0, len(missing), 4 * LANES):
            some = missing[i : i + 4 * LANES]
            looked = list(pool.map(lambda name: _look(place, name, there[name]), some))
            refused += [name for name, arrival in zip(some, looked, strict=True) if arrival is None]
            known = index.fates([r.key for arrival in looked if arrival for r in arrival.records])
            wanted = [arrival for arrival in looked if arrival and _news(arrival, known)]
            ends = list(pool.map(lambda arrival: _take(root, arrival), wanted))
            for arrival, sound in zip(wanted, ends, strict=True):
                if sound:
                    index.add(_news(arrival, known))
                    taken.append(arrival.size)
                else:
                    refused.append(arrival.name)
            progress(i + len(some), len(missing))
    before = len(there) - len(taken) - len(refused)
    return Copied(len(taken), sum(taken), before, tuple(refused))


def _look(place: Place, name: str, size: int) -> _Arrival | None:
    """Read the table of a pack; None when there is none that is sound."""
    read = _reader(place, f"{place.path}/{name}", size)
    try:
        return _Arrival(name, size, read, table_elsewhere(read, size, name))
    except PackError:
        return None


def _take(root: Path, arrival: _Arrival) -> bool:
    """Bring a pack into the store; False when it is not sound."""
    try:
        take_in(root, arrival.name, arrival.size, arrival.read)
    except PackError:
        return False
    return True


def _news(arrival: _Arrival, known: Mapping[str, Fate]) -> list[Record]:
    """The records of a pack that the store does not have, or has lost the payload of."""
    news: list[Record] = []
    for record in arrival.records:
        fate = known.get(record.key)
        succeeded = record.status == "ok" and not (fate and fate.ok)
        lost = fate is not None and fate.ok and bool(record.ports) and not fate.pack
        if fate is None or succeeded or lost:
            news.append(record)
    return news


def _reader(place: Place, path: str, size: int) -> Reader:
    """Make a reader of a file there. Its end is fetched once and kept."""
    start = max(0, size - TAIL)
    kept: list[bytes] = []

    def fetch(first: int, last: int) -> bytes:
        if first >= last:
            return b""
        with place.reached("read"):
            try:
                return bytes(place.files.cat_file(path, start=first, end=last))
            except FileNotFoundError as error:
                raise PackError(f"{path} is gone") from error

    def read(first: int, last: int) -> bytes:
        if first < start:
            return fetch(first, last)
        if not kept:
            kept.append(fetch(start, size))
        return kept[0][first - start : last - start]

    return read


# -- what is there -------------------------------------------------------------------------------


def _is_marked(place: Place) -> bool:
    """Whether a place holds a cache at all. Raises: StoreError when it is of a newer version."""
    try:
        text = place.files.cat_file(f"{place.path}/format")
    except FileNotFoundError:
        return False
    check_format(text.decode(errors="replace"), place.url)
    return True


def _packs_at(place: Place) -> dict[str, int]:
    """Name and bytes of every pack at a place."""
    with place.reached("read"):
        place.files.invalidate_cache()
        found = place.files.find(f"{place.path}/packs", detail=True)
    sizes = {path[path.rfind("packs/") :]: info["size"] for path, info in found.items()}
    return {name: int(size or 0) for name, size in sizes.items() if PACK.fullmatch(name)}
