"""Which worker gets the next chunk: one with room, and work whose models it has loaded already."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from engine.jobs import Chunk

#: Chunks in flight per worker: one that runs and one that waits for it.
PER_SLOT = 2


class Places:
    """Where the chunks under way are, and which models each worker has worked with.

    The worker "" is whoever comes first, where nobody is there yet.
    """

    def __init__(self) -> None:
        self._at: dict[str, str] = {}  # chunk -> worker
        self._load: Counter[str] = Counter()
        self._warm: dict[str, frozenset[str]] = {}
        self._bound: set[str] = set()  # chunks that nobody else may do

    def free(self, roster: Mapping[str, str]) -> Iterator[str]:
        """Yield the workers that have room for a chunk, those with the least to do first."""
        for worker in sorted(roster, key=lambda name: self._load[name]):
            if self._load[worker] < PER_SLOT:
                yield worker

    def warm(self, worker: str) -> frozenset[str]:
        """The models that a worker has worked with."""
        return self._warm.get(worker, frozenset())

    def elsewhere(self, worker: str) -> frozenset[str]:
        """The models that other workers have worked with."""
        others = (warm for name, warm in self._warm.items() if name != worker)
        return frozenset().union(*others)

    def sent(self, chunk: Chunk, worker: str, *, bound: bool) -> None:
        """Note that a worker was given a chunk; with `bound`, nobody else may do it."""
        self._at[chunk.id] = worker
        self._load[worker] += 1
        self._warm[worker] = self.warm(worker) | chunk.models
        if bound and worker:
            self._bound.add(chunk.id)

    def back(self, chunk: str) -> str:
        """Note that a chunk came back, or will not; tell who had it, if it was bound to them."""
        worker = self._at.pop(chunk)
        self._load[worker] -= 1
        bound = chunk in self._bound
        self._bound.discard(chunk)
        return worker if bound else ""

    def stranded(self, roster: Mapping[str, str]) -> list[str]:
        """The chunks that are bound to workers who are gone."""
        for worker in [name for name in self._warm if name not in roster]:
            del self._warm[worker]  # who comes back has loaded nothing
        return [chunk for chunk in self._bound if self._at[chunk] not in roster]

    def behind(self, roster: Mapping[str, str], has_begun: Callable[[str], bool]) -> list[str]:
        """A chunk for each worker who has none: of those that wait with others of that kind.

        Nobody is left without the one that it has: the last ones sent that nobody has begun.
        """
        idle = Counter(kind for worker, kind in roster.items() if not self._load[worker])
        more = {worker: load - 1 for worker, load in self._load.items()}
        found = []
        for chunk, worker in reversed(self._at.items()):
            kind = roster.get(worker, "")
            if chunk in self._bound and idle[kind] and more[worker] > 0 and not has_begun(chunk):
                found.append(chunk)
                idle[kind] -= 1
                more[worker] -= 1
        return found
