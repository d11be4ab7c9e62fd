"""Files of GPU steps, which CPU workers write: each waits until its value is in the store."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine.jobs import Export, FromItem, ItemId
from engine.records import Record
from engine.sizing import Size

#: Asks for the records of items that are settled.
Records = Callable[[Collection[ItemId]], Mapping[ItemId, Record]]


@dataclass(slots=True)
class Writes:
    """The files whose values are stored, and those that wait for a chunk to be done."""

    size: Size = field(default_factory=lambda: Size(8))
    _ready: deque[Export] = field(default_factory=deque)
    _waiting: dict[str, tuple[Export, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._ready)

    def __iter__(self) -> Iterator[Export]:
        return iter(self._ready)

    def withhold(self, chunk: str, exports: Collection[Export]) -> None:
        """Keep the files of a chunk here; those of stored values can be written at once."""
        self._ready.extend(export for export in exports if not _made_by_chunk(export))
        self._waiting[chunk] = tuple(export for export in exports if _made_by_chunk(export))

    def release(self, chunk: str, records: Records, *, over: bool = True) -> None:
        """Let those files of a chunk be written whose values are stored now.

        When it is over, the items of the others failed, or are planned again, and their files too.
        """
        waiting = self._waiting.pop(chunk, ())
        known = records([e.source.item for e in waiting if isinstance(e.source, FromItem)])
        later = []
        for export in waiting:
            source = export.source
            record = known.get(source.item) if isinstance(source, FromItem) else None
            if isinstance(source, FromItem) and record is not None:
                self._ready.append(replace(export, source=replace(source, record=record)))
            else:
                later.append(export)
        if not over:
            self._waiting[chunk] = tuple(later)

    def forget(self, chunk: str) -> None:
        """A chunk is planned again, and its files with it."""
        self._waiting.pop(chunk, None)

    def take(self) -> tuple[Export, ...]:
        """As many files as make one chunk."""
        return tuple(self._ready.popleft() for _ in range(min(len(self._ready), self.size.homes)))


def _made_by_chunk(export: Export) -> bool:
    return isinstance(export.source, FromItem) and export.source.record is None
