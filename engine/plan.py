"""The board of a run: graph x items x "which keys exist" -> the chunks left to run, depth first.

The board hands out chunks (`next_chunk`) and takes results back (`settle`). It surveys a slice of a
segment only when everything that slice reads is settled, deepest segment first, so finished
pictures come early and memory does not grow with the folder. It touches no disk; it asks.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from engine.dag import Graph, Ref, SourceItem, Step
from engine.errors import Reason
from engine.examine import Blocked
from engine.glance import Questions, Terms
from engine.items import Items, Place
from engine.jobs import Chunk, ChunkResult, FromItem, ItemId, Job, Lost, Outcome
from engine.listing import Contents
from engine.segments import Read, Segment, reads, segment
from engine.sizing import Size, first_size
from engine.states import RUNNING, STATUS, WANTED, States
from engine.survey import Home, Surveyor

#: The most home items in one survey.
SURVEY_HOMES = 256

DEFAULTS = Terms()


class _Waiting:
    """The homes of a segment that are not surveyed yet: those put back first, then the rest."""

    def __init__(self, count: int) -> None:
        self._rest, self._count = 0, count
        self._back: dict[int, None] = {}  # the last one in is the first one out

    def __len__(self) -> int:
        return self._count - self._rest + len(self._back)

    def first(self) -> int:
        """The home that is next."""
        return next(reversed(self._back), self._rest)

    def pop(self) -> int:
        """Take the home that is next."""
        if self._back:
            return self._back.popitem()[0]
        self._rest += 1
        return self._rest - 1

    def put_back(self, home: int) -> None:
        """Put a home in front, unless it waits already."""
        if home < self._rest:
            self._back.setdefault(home)


@dataclass(slots=True)
class _Lane:
    """One segment on its way: homes not surveyed yet, homes prepared, and its chunks' size."""

    segment: Segment
    waiting: _Waiting
    size: Size
    ready: deque[Home] = field(default_factory=deque)


class Board:
    """Everything a run still has to do. See Terms for the ways to plan."""

    def __init__(
        self,
        items: Items,
        ask: Questions,
        terms: Terms = DEFAULTS,
    ) -> None:
        self.items = items
        self.graph: Graph = items.graph
        self.states = States(items, telling=not terms.forecast)
        self._plan = segment(self.graph)
        self._ask = ask
        self._terms = terms
        self._flying: dict[str, Chunk] = {}
        self._serial = 0
        self._watched = {name: self._watch(step) for name, step in self.graph.steps.items()}
        small_first = sorted(items.listings.items(), key=lambda pair: len(pair[1]))
        self._digests: dict[str, Contents[Blocked]] = {n: Contents(of) for n, of in small_first}
        self._undigested = sum(1 for known in self._digests.values() for _ in known.unread())
        self._unread = ((name, i) for name, of in self._digests.items() for i in of.unread())
        self.surveyor = Surveyor(items, self._plan, self.states, self._digests, ask, terms)
        gpu = terms.numerics.startswith("cuda")
        self._lanes = [
            _Lane(
                part,
                _Waiting(items.sizes[part.home] if part.home else 1),
                first_size(part, items, ask.seconds, gpu=gpu),
            )
            for part in self._plan.segments
        ]
        # Deepest first, so that finished things come early; a forecast never waits for inputs, so
        # it has to know what becomes of them before it looks at what reads them.
        self._order = self._lanes if terms.forecast else self._lanes[::-1]

    # -- sources ---------------------------------------------------------------------------------

    def next_unread(self, most: int) -> list[tuple[str, int, SourceItem]]:
        """Hand out up to `most` photos whose content digest is not known; small sources first."""
        return [
            (source, index, self.items.listings[source][index])
            for source, index in islice(self._unread, most)
        ]

    def digests(self, read: Iterable[tuple[str, int, str | Blocked]]) -> None:
        """Take in content digests, or why a photo cannot be read."""
        for source, index, digest in read:
            self._undigested -= self._digests[source].learn(index, digest)

    # -- handing out -----------------------------------------------------------------------------

    def next_chunk(self, tell: Callable[[], object] = lambda: None) -> Chunk | None:
        """The next chunk that can run now; None while everything must wait.

        Before it comes to one, any number of slices may turn out to need no work; `tell` is called
        after each of them, so that their news need not pile up.
        """
        while True:
            for lane in self._order:
                if lane.ready:
                    return self._chunk(lane)
                if self._survey_some(lane):
                    tell()
                    break  # what it settled may let a deeper segment go on
            else:
                return None

    @property
    def unread(self) -> int:
        """How many photos have a content that is not known."""
        return self._undigested

    @property
    def finished(self) -> bool:
        """Whether everything is settled and nothing is in flight or waiting to be written."""
        return not self._flying and not any(lane.ready or lane.waiting for lane in self._lanes)

    def _survey_some(self, lane: _Lane) -> bool:
        """Survey the next ready homes of a lane; False when none is ready."""
        ready: list[int] = []
        while lane.waiting and len(ready) < SURVEY_HOMES:
            if not self._ready(lane.segment, lane.waiting.first()):
                break
            ready.append(lane.waiting.pop())
        if not ready:
            return False
        lane.ready.extend(self.surveyor.survey(lane.segment, ready))
        lost, self.surveyor.lost = self.surveyor.lost, []
        for item in lost:
            self.surveyor.gone.add(self.states.key(item))
            self._reopen(item)
        if lost:  # their consumers were prepared too early: look at these homes again
            self._unprepare(lane, set(ready))
            if self._terms.forecast:
                self._look_again(lane, ready)
        return True

    def _look_again(self, lane: _Lane, homes: Sequence[int]) -> None:
        """Survey homes of a forecast again: what is to run there needs more than was thought."""
        for home in homes:
            for name in lane.segment.steps:
                for number in self.items.spaces[name].numbers(lane.segment.home, home):
                    if self.states[name, number] == WANTED:
                        self.states.reopen((name, number))
            lane.waiting.put_back(home)

    def _unprepare(self, lane: _Lane, homes: set[int]) -> None:
        """Take prepared homes back to be surveyed again."""
        for home in [h for h in lane.ready if h.index in homes]:
            lane.ready.remove(home)
            for job in home.jobs:
                self.states.reopen(job.id)
            lane.waiting.put_back(home.index)

    def _ready(self, part: Segment, home: int) -> bool:
        """Whether all digests and settled items that a home's work needs are there."""
        return self._terms.forecast or all(
            self._inputs_ready(self.graph.steps[name], number)
            for name in part.steps
            for number in self.items.spaces[name].numbers(part.home, home)
        )

    def _inputs_ready(self, step: Step, number: int) -> bool:
        if not self._undigested and not self._watched[step.name]:
            return True
        place = self.items.spaces[step.name].place(number)
        if any(a in self._digests and self._digests[a][i] is None for a, i in place.items()):
            return False
        return all(self._read_ready(step, read, place) for read in self._watched[step.name])

    def _watch(self, step: Step) -> tuple[Read, ...]:
        """The reads of a step that may have to wait: of other segments, and of other sources."""
        mine = self._plan.segment_of[step.name]
        return tuple(
            read
            for read in reads(step)
            if self._plan.segment_of.get(read.ref.node, "") != mine
            and read.ref.node not in step.axes
        )

    def _read_ready(self, step: Step, read: Read, place: Place) -> bool:
        """Whether everything one read means at a place is settled."""
        node = read.ref.node
        if node in self.graph.steps:
            if not self.states.left[node]:
                return True
            if read.gathered and step.gather is not None and step.gather.by is None:
                return False  # it wants all of them, and some are left
        if not read.gathered:
            return self._there(read.ref, place, step)
        wire = next(w for w in step.wires if w.many and read.ref in w.refs)
        _, cells = self.items.cells(step, wire, place)
        return all(self._there(c.ref, c.place, step) for c in cells if c.ref == read.ref)

    def _there(self, ref: Ref, place: Place, step: Step) -> bool:
        number = self.items.read(ref, place, step.links)
        if ref.node in self.graph.steps:
            return self.states.settled((ref.node, number))
        return self._digests[ref.node][number] is not None

    def _chunk(self, lane: _Lane) -> Chunk:
        """Take as many prepared homes as make one chunk."""
        left = len(lane.ready) + len(lane.waiting)
        share = max(lane.size.least, -(-left // self._terms.slots))
        most = max(1, min(lane.size.homes, share))
        homes = [lane.ready.popleft()]
        while lane.ready and len(homes) < most and not (homes[0].alone or lane.ready[0].alone):
            homes.append(lane.ready.popleft())
        order = {name: i for i, name in enumerate(lane.segment.steps)}
        starts = range(0, len(homes), lane.size.wave)
        waves = ([j for h in homes[i : i + lane.size.wave] for j in h.jobs] for i in starts)
        self._serial += 1
        chunk = Chunk(
            id=f"{self._serial:06d}",
            segment=lane.segment.name,
            jobs=tuple(job for wave in waves for job in sorted(wave, key=lambda j: order[j.step])),
            exports=tuple(export for home in homes for export in home.exports),
            home=tuple(home.index for home in homes),
            stored=frozenset(name for name in lane.segment.steps if self._stored(name)),
        )
        self._flying[chunk.id] = chunk
        return chunk

    def _stored(self, step: str) -> bool:
        """Whether results go to disk: as declared, and always when read across segments."""
        return self.graph.steps[step].cache or step in self._plan.crossing

    # -- taking back -----------------------------------------------------------------------------

    def settle(self, result: ChunkResult) -> None:
        """Take in a chunk's outcomes; what it did not report is planned again."""
        chunk = self._flying.pop(result.chunk)
        if chunk.jobs and result.seconds and not chunk.split:
            self._lane(chunk.segment).size.measure(result.seconds, len(chunk.home))
        self._settle(result.outcomes)
        for lost in result.lost:
            self.lose(lost)
        self._reopen_rest(chunk.jobs)

    def _settle(self, outcomes: Iterable[Outcome]) -> None:
        """Settle items that a worker tells of."""
        for outcome in outcomes:
            self.surveyor.alone.discard(outcome.item)
            if outcome.status == "done":
                self.surveyor.gone.discard(outcome.key)
            elif self.graph.steps[outcome.item[0]].coalesce:  # it stood for a photo that is none
                self.states.reopen(outcome.item)
            self.states.settle(outcome)

    def split(self, chunk: Chunk, held: Collection[ItemId], known: ChunkResult) -> Chunk | None:
        """Leave a chunk under way the homes of some items only, and plan its others again.

        `known` is what it has done so far. None when it has nothing else left to do.
        """
        lane = self._lane(chunk.segment)
        kept = {self._home(lane, item) for item in held}
        done = {outcome.item for outcome in known.outcomes}
        others = [job for job in chunk.jobs if self._home(lane, job.id) not in kept]
        if all(job.id in done for job in others):
            return None
        self._settle(known.outcomes)
        left = replace(
            chunk,
            jobs=tuple(job for job in chunk.jobs if self._home(lane, job.id) in kept),
            exports=tuple(e for e in chunk.exports if self._home(lane, e.item) in kept),
            home=tuple(home for home in chunk.home if home in kept),
            split=True,
        )
        self._flying[chunk.id] = left
        lane.size.halve()
        self._reopen_rest(others)
        for export in chunk.exports:
            if self._home(lane, export.item) not in kept:
                self._wait(export.item)
        return left

    def lose(self, lost: Lost) -> None:
        """Plan an item again whose payload turned out to be gone."""
        self.surveyor.gone.add(lost.key)
        self._reopen(lost.item)

    def requeue(self, chunk: Chunk, alone: Collection[ItemId] = ()) -> None:
        """Plan an unfinished chunk again, items under suspicion each in a batch of its own."""
        self._flying.pop(chunk.id, None)
        self.surveyor.alone.update(alone)
        self._reopen_rest(chunk.jobs)
        for export in chunk.exports:
            self._wait(export.item)

    def retry(self, item: ItemId, *, alone: bool = False) -> None:
        """Plan one item that failed in passing again."""
        if alone:
            self.surveyor.alone.add(item)
        self._reopen(item)

    def fail(self, item: ItemId, reason: Reason, message: str, traceback: str = "") -> None:
        """Quarantine an item from the driver (it killed its worker, or ran out of tries)."""
        self.surveyor.alone.discard(item)
        key = self.states.key(item)
        self.states.settle(Outcome(item, "quarantined", key, None, reason, message, traceback))

    def _reopen_rest(self, jobs: Iterable[Job]) -> None:
        """Plan again whatever of some jobs is still unsettled."""
        for job in jobs:
            if self.states[job.id] == RUNNING:
                self._reopen(job.id)

    def _lane(self, name: str) -> _Lane:
        return next(lane for lane in self._lanes if lane.segment.name == name)

    def _reopen(self, item: ItemId) -> None:
        """Forget that an item was settled, and survey its home again."""
        self.states.reopen(item)
        self._wait(item)

    def _wait(self, item: ItemId) -> None:
        lane = self._lane(self._plan.segment_of[item[0]])
        lane.waiting.put_back(self._home(lane, item))

    def _home(self, lane: _Lane, item: ItemId) -> int:
        """The slice that an item belongs to."""
        axis = lane.segment.home
        return self.items.spaces[item[0]].place(item[1])[axis] if axis else 0

    def needed(self) -> set[str]:
        """The packs that chunks in flight read."""
        inputs = (i for c in self._flying.values() for job in c.jobs for i in job.inputs())
        exported = (export.source for c in self._flying.values() for export in c.exports)
        return {
            origin.record.pack
            for origin in chain(inputs, exported)
            if isinstance(origin, FromItem) and origin.record is not None
            if origin.port not in origin.record.scalars
        }

    # -- telling ---------------------------------------------------------------------------------

    def news(self) -> list[Outcome]:
        """Everything settled since the last call."""
        found, self.states.news = self.states.news, []
        return found

    def counts(self) -> dict[str, dict[str, int]]:
        """Items of each step by status; what is not settled is `to_run`."""
        return {
            name: {
                "items": space.count(),
                **self.states.tally(name),
                "to_run": self.states.left[name],
            }
            for name, space in self.items.spaces.items()
        }

    def state_of(self, item: ItemId) -> str:
        """An item's status, or 'waiting'."""
        return STATUS.get(self.states[item], "waiting")
