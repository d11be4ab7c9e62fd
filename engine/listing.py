"""The files of a glob as items, packed: a million of them take some 60 bytes each and their names.

And what is known of the contents of any source's items: a digest each, or why it cannot be read.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar, overload

from engine.dag import Json, SourceItem
from engine.natural import natural

T = TypeVar("T")
Stat: TypeAlias = tuple[int, int, int]  # size, mtime in ns, inode

_DIGEST = 32  # bytes of a sha256
_UNREAD = bytes(_DIGEST)


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `name` is its path below the glob's fixed part; a broken link has no `stat`."""

    name: str
    path: str
    stat: Stat | None


class Listing(Sequence[SourceItem]):
    """Files below one folder, in natural order of their names; items are made when asked for."""

    def __init__(self, base: str, found: Iterable[Found]) -> None:
        names: list[str] = []
        stats = tuple(array(kind) for kind in "qqQ")
        for file in found:
            names.append(file.name)
            for column, value in zip(stats, file.stat or (-1, 0, 0), strict=True):
                column.append(value)
        ranks = [natural(name) for name in names]
        order = sorted(range(len(names)), key=names.__getitem__)
        order.sort(key=ranks.__getitem__)
        self.base = base
        self._size, self._mtime, self._inode = (
            array(column.typecode, map(column.__getitem__, order)) for column in stats
        )
        self._ends = array("Q", [0])
        raw = [os.fsencode(names[i]) for i in order]
        for name in raw:
            self._ends.append(self._ends[-1] + len(name))
        self._names = b"".join(raw)
        self._digests = bytearray(_DIGEST * len(order))

    def __len__(self) -> int:
        return len(self._size)

    @overload
    def __getitem__(self, index: int) -> SourceItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SourceItem, ...]: ...
    def __getitem__(self, index: int | slice) -> SourceItem | tuple[SourceItem, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        fields, path = self.fields(index), self.path(index)
        return SourceItem(index, fields, self.digest(index) or "", path, *self.stat(index))

    def name(self, index: int) -> str:
        """A file's path below the base."""
        return os.fsdecode(self._names[self._ends[index] : self._ends[index + 1]])

    def path(self, index: int) -> str:
        """A file's path."""
        return os.path.join(self.base, self.name(index))  # noqa: PTH118  (a Path costs far more)

    def stat(self, index: int) -> Stat:
        """What a file was listed with; zeros for a broken link."""
        if self._size[index] < 0:
            return 0, 0, 0
        return self._size[index], self._mtime[index], self._inode[index]

    def fields(self, index: int) -> dict[str, Json]:
        """The fields of a file."""
        return file_fields(index, self.name(index))

    def find(self, path: str) -> SourceItem | None:
        """The item of a file, if it is listed."""
        name = os.path.relpath(path, self.base)
        places = range(len(self))
        at = bisect_left(places, _rank(name), key=lambda i: _rank(self.name(i)))
        return self[at] if at < len(self) and self.name(at) == name else None

    def digest(self, index: int) -> str | None:
        """The digest of a file's content (sha256 in hex); None when it is not known."""
        found = self._digests[_DIGEST * index : _DIGEST * (index + 1)]
        return None if found == _UNREAD else found.hex()

    def learn(self, index: int, digest: str) -> None:
        """Note the digest of a file's content."""
        self._digests[_DIGEST * index : _DIGEST * (index + 1)] = bytes.fromhex(digest)


class Contents(Generic[T]):
    """What is known of the contents of a source's items: a digest, a refusal (T), or nothing."""

    def __init__(self, listing: Sequence[SourceItem]) -> None:
        self._listing = listing
        self._packed = listing if isinstance(listing, Listing) else None
        self._learned: dict[int, str] = {}
        self._refused: dict[int, T] = {}

    def __getitem__(self, index: int) -> str | T | None:
        if index in self._refused:
            return self._refused[index]
        if self._packed is not None:
            return self._packed.digest(index)
        return self._learned.get(index) or self._listing[index].identity or None

    def unread(self) -> Iterator[int]:
        """The items that nothing is known of."""
        return (i for i in range(len(self._listing)) if self[i] is None)

    def learn(self, index: int, found: str | T) -> bool:
        """Note a digest or a refusal; tell whether it is the first word on this item."""
        new = self[index] is None
        if not isinstance(found, str):
            self._refused[index] = found
        elif self._packed is not None:
            self._packed.learn(index, found)
        else:
            self._learned[index] = found
        return new


def _rank(name: str) -> tuple[str, str]:
    return natural(name), name


def file_fields(
    index: int, name: str, columns: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """The fields of a file by its path below the base; a table's columns hide those they name."""
    folder, _, last = name.rpartition("/")
    stem, extension = os.path.splitext(last)  # noqa: PTH122  (100,000 Paths take seconds)
    return {
        "stem": stem,
        "name": last,
        "rel": f"{folder}/{stem}" if folder else stem,
        "dir": folder or ".",
        "ext": extension,
        "index": index,
        **(columns or {}),
    }
