"""The board of a run: graph x items x "which keys exist" -> the chunks left to run, depth first.

The board hands out chunks (`next_chunk`) and takes results back (`settle`). It surveys a slice of a
segment only when everything that slice reads is settled, deepest segment first, so finished
pictures come early and memory does not grow with the folder. It touches no disk; it asks.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from engine.dag import Graph, SourceItem
from engine.errors import Reason
from engine.examine import Blocked
from engine.glance import Questions, Terms
from engine.items import Items
from engine.jobs import Chunk, ChunkResult, Export, FromItem, ItemId, Job, Lost, Outcome
from engine.lanes import ANYBODY, Asks, Lane, Waiting
from engine.listing import Contents
from engine.readiness import Readiness
from engine.segments import segment
from engine.sizing import first_size
from engine.states import RUNNING, STATUS, WANTED, States
from engine.survey import Surveyor
from engine.writes import Writes

#: Homes that may be looked at in vain on the way to one that can be surveyed.
MOST_MISSED = 32
#: Chunks per worker that are ready for GPUs when CPU workers stop preparing more.
FED_CHUNKS = 4
#: The most home items in one survey.
SURVEY_HOMES = 256

DEFAULTS = Terms()


class Board:
    """Everything a run still has to do. See Terms for the ways to plan."""

    def __init__(self, items: Items, ask: Questions, terms: Terms = DEFAULTS) -> None:
        self.items = items
        self.graph: Graph = items.graph
        self.states = States(items, telling=not terms.forecast)
        self._plan = segment(self.graph, pools=terms.pools)
        self._ask = ask
        self._terms = terms
        #: Grows with every look at homes: what one worker's question settles may be another's work.
        self.looks = 0
        self._flying: dict[str, Chunk] = {}
        self._writes = Writes()
        #: Packs with what was lost and made again: losing it twice, a run might never end.
        self._regained: set[str] = set()
        self._serial = 0
        small_first = sorted(items.listings.items(), key=lambda pair: len(pair[1]))
        self._digests: dict[str, Contents[Blocked]] = {n: Contents(of) for n, of in small_first}
        self._undigested = sum(1 for known in self._digests.values() for _ in known.unread())
        self._unread = ((name, i) for name, of in self._digests.items() for i in of.unread())
        self._is_ready = Readiness(
            items, self._plan, self.states, self._digests, lambda: self._undigested
        )
        self.surveyor = Surveyor(items, self._plan, self.states, self._digests, ask, terms)
        gpu = terms.numerics.startswith("cuda")
        self._lanes = [
            Lane(
                part,
                Waiting(items.sizes[part.home] if part.home else 1),
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

    def next_chunk(
        self, tell: Callable[[], object] = lambda: None, asks: Asks = ANYBODY
    ) -> Chunk | None:
        """The next chunk that can run now, for a worker who asks; None while it must wait.

        Before it comes to one, any number of slices may turn out to need no work; `tell` is called
        after each of them, so that their news need not pile up.
        """
        while True:
            if self._writes and asks.pool != "gpu":
                return self._files()
            for lane in self._lanes_for(asks, tell):
                if lane.waiting.returned and self._survey_some(lane, returned=True):
                    tell()
                    break
                if lane.ready:
                    if (chunk := self._chunk(lane)) is not None:
                        return chunk
                    break  # it was files only, which are written elsewhere
                if self._survey_some(lane):
                    tell()
                    break  # what it settled may let a deeper segment go on
            else:
                return None

    def _lanes_for(self, asks: Asks, tell: Callable[[], object]) -> list[Lane]:
        """The segments that a worker may work on, in the order in which it should."""
        lanes = [lane for lane in self._order if asks.may_do(lane)]
        if asks.pool == "cpu":  # as long as GPUs have enough to do, nothing more is prepared
            fed = [lane for lane in self._lanes if self._is_fed(lane, tell)]
            top = max((lane.segment.level for lane in fed), default=0)
            lanes = [lane for lane in lanes if lane.segment.level > top or not fed]
        # What others have loaded, and this worker has not, is left to them while it is little.
        return sorted(lanes, key=asks.leaves)

    def _is_fed(self, lane: Lane, tell: Callable[[], object]) -> bool:
        """Whether GPUs have enough to do on a segment for a while."""
        if lane.segment.pool != "gpu":
            return False
        enough = min(FED_CHUNKS * self._terms.slots * lane.size.homes, 2 * SURVEY_HOMES)
        while len(lane.ready) < enough and self._survey_some(lane):
            tell()
        return len(lane.ready) >= enough

    def _files(self) -> Chunk:
        """A chunk that only writes files."""
        self._serial += 1
        files = Chunk(f"{self._serial:06d}", "", (), self._writes.take(), pool="cpu")
        self._flying[files.id] = files
        return files

    @property
    def pools(self) -> bool:
        """Whether some work is for workers with a GPU only."""
        return any(lane.segment.pool == "gpu" for lane in self._lanes)

    @property
    def wants_gpu(self) -> bool:
        """Whether some of it is left that no worker has."""
        return any(lane.left and lane.segment.pool == "gpu" for lane in self._lanes)

    @property
    def many_models(self) -> bool:
        """Whether it matters who does what: not all chunks work with the same models."""
        return len({lane.segment.models for lane in self._lanes if lane.segment.models}) > 1

    @property
    def unread(self) -> int:
        """How many photos have a content that is not known."""
        return self._undigested

    @property
    def finished(self) -> bool:
        """Whether everything is settled and nothing is in flight or waiting to be written."""
        return not (self._flying or self._writes or any(lane.left for lane in self._lanes))

    def left(self) -> str:
        """What waits, segment by segment: homes prepared and homes to be looked at."""
        lanes = [lane for lane in self._lanes if lane.left]
        told = [f"{lane.segment.name} {len(lane.ready)}+{len(lane.waiting)}" for lane in lanes]
        return ", ".join([*told, *(["files"] if self._writes else [])])

    def _survey_some(self, lane: Lane, *, returned: bool = False) -> bool:
        """Survey the next ready homes of a lane, or of those put back; False when none is ready."""
        most = lane.waiting.returned if returned else SURVEY_HOMES
        ready = sorted(self._ready_homes(lane, most))
        if not ready:
            return False
        self.looks += 1
        lane.waiting.take(ready)
        prepared = self.surveyor.survey(lane.segment, ready)
        if returned:  # what was under way before comes first
            lane.ready.extendleft(reversed(prepared))
        else:
            lane.ready.extend(prepared)
        lost, self.surveyor.lost = self.surveyor.lost, []
        for item in lost:
            self.surveyor.gone.add(self.states.key(item))
            self._reopen(item)
        if lost:  # their consumers were prepared too early: look at these homes again
            self._unprepare(lane, set(ready))
            if self._terms.forecast:
                self._look_again(lane, ready)
        return True

    def _ready_homes(self, lane: Lane, most: int) -> Iterator[int]:
        """The next homes that can be surveyed; one that cannot does not hold those behind it."""
        missed = 0
        for home in lane.waiting.first(most):
            if self._terms.forecast or self._is_ready(lane.segment, home):
                yield home
            elif (missed := missed + 1) > MOST_MISSED:
                return

    def _look_again(self, lane: Lane, homes: Sequence[int]) -> None:
        """Survey homes of a forecast again: what is to run there needs more than was thought."""
        for home in homes:
            for name in lane.segment.steps:
                for number in self.items.spaces[name].numbers(lane.segment.home, home):
                    if self.states[name, number] == WANTED:
                        self.states.reopen((name, number))
            lane.waiting.put_back(home)

    def _unprepare(self, lane: Lane, homes: set[int]) -> None:
        """Take prepared homes back to be surveyed again."""
        for home in [h for h in lane.ready if h.index in homes]:
            lane.ready.remove(home)
            for job in home.jobs:
                self.states.reopen(job.id)
            lane.waiting.put_back(home.index)

    def _chunk(self, lane: Lane) -> Chunk | None:
        """Take as many prepared homes as make one chunk; None when they only have files."""
        share = max(lane.size.least, -(-lane.left // self._terms.slots))
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
            pool=lane.segment.pool,
            models=lane.segment.models,
        )
        if chunk.pool == "gpu":
            self._writes.withhold(chunk.id, chunk.exports)
            chunk = replace(chunk, exports=())
            if not chunk.jobs:
                self.looks += 1
                return None
        self._flying[chunk.id] = chunk
        return chunk

    def _stored(self, step: str) -> bool:
        """Whether results go to disk: as declared, and always when read across segments."""
        return self.graph.steps[step].cache or step in self._plan.crossing

    # -- taking back -----------------------------------------------------------------------------

    def settle(self, result: ChunkResult) -> None:
        """Take in a chunk's outcomes; what it did not report is planned again."""
        chunk = self._flying.pop(result.chunk)
        if result.seconds and not chunk.split and (chunk.jobs or not chunk.segment):
            size = self._lane(chunk.segment).size if chunk.segment else self._writes.size
            size.measure(result.seconds, len(chunk.home or chunk.exports))
        self._settle(result.outcomes)
        self._writes.release(chunk.id, self.surveyor.records)
        for lost in result.lost:
            self.lose(lost)
        self._reopen_rest(chunk.jobs)
        if result.lost:  # a file may be of a value that another step made
            self._wait_for(chunk.exports)

    def _settle(self, outcomes: Iterable[Outcome]) -> None:
        """Settle items that a worker tells of."""
        for outcome in outcomes:
            self.surveyor.alone.discard(outcome.item)
            if outcome.status == "done" and outcome.key in self.surveyor.gone:
                self.surveyor.gone.remove(outcome.key)
                if outcome.record is not None:
                    self._regained.add(outcome.record.pack)
            elif self.graph.steps[outcome.item[0]].coalesce:  # it stood for a photo that is none
                self.states.reopen(outcome.item)
            self.states.settle(outcome)

    def split(self, chunk: Chunk, held: Collection[ItemId], known: ChunkResult) -> Chunk | None:
        """Leave a chunk under way the homes of some items only, and plan its others again.

        `known` is what it has done so far. None when it has nothing else left to do.
        """
        self._settle(known.outcomes)
        self._writes.release(chunk.id, self.surveyor.records, over=False)
        lane = self._lane(chunk.segment)
        kept = {self._home(lane, item) for item in held}
        done = {outcome.item for outcome in known.outcomes}
        others = [job for job in chunk.jobs if self._home(lane, job.id) not in kept]
        if all(job.id in done for job in others):
            return None
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
        self._wait_for(e for e in chunk.exports if self._home(lane, e.item) not in kept)
        return left

    def lose(self, lost: Lost) -> None:
        """Plan an item again whose payload turned out to be gone; another run may have moved it."""
        known = self._ask.records({lost.key}).get(lost.key) if lost.pack else None
        if known is not None and known.pack not in ("", lost.pack):
            return
        self.surveyor.gone.add(lost.key)
        self._reopen(lost.item)

    def requeue(self, chunk: Chunk, alone: Collection[ItemId] = ()) -> None:
        """Plan an unfinished chunk again, items under suspicion each in a batch of its own."""
        self._flying.pop(chunk.id, None)
        self._writes.forget(chunk.id)
        self.surveyor.alone.update(alone)
        self._reopen_rest(chunk.jobs)
        self._wait_for(chunk.exports)

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

    def _lane(self, name: str) -> Lane:
        return next(lane for lane in self._lanes if lane.segment.name == name)

    def _reopen(self, item: ItemId) -> None:
        """Forget that an item was settled, and survey its home again."""
        self.states.reopen(item)
        self._wait(item)

    def _wait_for(self, exports: Iterable[Export]) -> None:
        """Survey the homes of some files again, which may have been written or not."""
        for export in exports:
            self._wait(export.item)

    def _wait(self, item: ItemId) -> None:
        lane = self._lane(self._plan.segment_of[item[0]])
        lane.waiting.put_back(self._home(lane, item))

    def _home(self, lane: Lane, item: ItemId) -> int:
        """The slice that an item belongs to."""
        axis = lane.segment.home
        return self.items.spaces[item[0]].place(item[1])[axis] if axis else 0

    def needed(self) -> set[str]:
        """The packs that chunks in flight read, and those that would be lost a second time."""
        inputs = (i for c in self._flying.values() for job in c.jobs for i in job.inputs())
        written = chain(self._writes, *(c.exports for c in self._flying.values()))
        exported = (export.source for export in written)
        return self._regained | {
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
