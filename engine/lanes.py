"""The segments of a run on their way, and who asks for work on them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from engine.segments import Pool, Segment
from engine.sizing import Size
from engine.survey import Home

#: Chunks of a segment that are left to workers who have its models loaded.
LITTLE = 2


class Waiting:
    """The homes of a segment that are not surveyed yet: those put back first, then the rest."""

    def __init__(self, count: int) -> None:
        self._rest, self._count = 0, count
        self._passed: dict[int, None] = {}  # later ones were taken before them
        self._back: dict[int, None] = {}  # the last one in is the first one out

    def __len__(self) -> int:
        return self._count - self._rest + len(self._passed) + len(self._back)

    @property
    def returned(self) -> int:
        """How many were put back."""
        return len(self._back)

    def first(self, most: int) -> Iterator[int]:
        """Yield the homes that are next."""
        rest = range(self._rest, self._count)
        return islice(chain(reversed(self._back), self._passed, rest), most)

    def take(self, homes: Iterable[int]) -> None:
        """Take some of those homes."""
        for home in homes:
            while self._rest <= home:
                self._passed[self._rest] = None
                self._rest += 1
            self._passed.pop(home, None)
            self._back.pop(home, None)

    def put_back(self, home: int) -> None:
        """Put a home in front, unless it waits already."""
        if home < self._rest and home not in self._passed:
            self._back.setdefault(home)


@dataclass(slots=True)
class Lane:
    """One segment on its way: homes not surveyed yet, homes prepared, and its chunks' size."""

    segment: Segment
    waiting: Waiting
    size: Size
    ready: deque[Home] = field(default_factory=deque)

    @property
    def left(self) -> int:
        """Homes that are in no chunk yet."""
        return len(self.ready) + len(self.waiting)


@dataclass(frozen=True, slots=True)
class Asks:
    """Who asks for work: the kind of worker, the models it has loaded, and those others have."""

    pool: Pool = ""
    warm: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()

    def may_do(self, lane: Lane) -> bool:
        """Whether the work of a lane is for this kind of worker; that of no kind is for all."""
        return not self.pool or lane.segment.pool in ("", self.pool)

    def leaves(self, lane: Lane) -> bool:
        """Whether the work of a lane had better be left to others, as long as it is little."""
        missing = lane.segment.models - self.warm
        little = len(lane.ready) <= LITTLE * lane.size.homes
        return bool(self.warm and missing) and missing <= self.elsewhere and little


ANYBODY = Asks()
