"""The loop of a run: a small window of chunks in flight, results back, retries, blame, drain."""

import heapq
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from engine.cluster import CUT_OFF, Workers, has_died, is_cut_off
from engine.dag import SourceItem
from engine.errors import Reason, RunError, StoreError, WorkflowError
from engine.examine import Blocked
from engine.hands import BegunBeforeError, Grip, forget, has_begun, read_grip, recall
from engine.inputs import content_digest
from engine.jobs import Chunk, ChunkResult, Outcome, Program
from engine.lanes import Asks
from engine.photos import unreadable
from engine.placement import Places
from engine.plan import Board
from engine.retries import Tries, cause_of_death, is_passing, left_done, without
from engine.segments import Pool
from engine.signals import Interrupts
from engine.store import read_table
from engine.stragglers import Stragglers, own_part
from engine.task import pack, run_packed, unpack

#: Slices of photos with the hashing threads.
HASHING = 2
#: Photos read by one hashing task, and seconds between ticks.
HASH_SLICE = 32
TICK_S = 0.2
#: Seconds that fetching a result may take before it is asked whether its worker is still there.
RESULT_S = 2.0
#: What a run bears: deaths that no hands explain, for which a chunk that ends well makes up by so
#: much; seconds without workers, and without a move.
MOST_DEATHS, FORGIVEN, NO_WORKERS_S, STUCK_S = 12, 0.05, 300.0, 20.0

Digest: TypeAlias = str | Blocked
Unread: TypeAlias = tuple[str, int, SourceItem]  # source, index, item


class _LostResultError(Exception):
    """A worker ended with the result of a chunk that it had finished."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop tells its owner. `absorb` must be durable before the board hears of it."""

    absorb: Callable[[Chunk, ChunkResult], None]
    settled: Callable[[Sequence[Outcome]], None]
    learned: Callable[[Sequence[tuple[Unread, str]]], None]
    event: Callable[[str, dict[str, Any]], None]
    tick: Callable[[int], None]


@dataclass(slots=True)
class _Flight:
    """What is under way: chunks with workers, slices with the hashing threads, pauses."""

    chunks: dict[str, Chunk] = field(default_factory=dict)
    futures: dict[str, "Future[Any]"] = field(default_factory=dict)  # of these chunks
    slices: int = 0
    paused: list[tuple[float, int, ChunkResult, tuple[Outcome, ...]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.chunks or self.slices or self.paused)


class Dispatch:
    """One run's loop. The board knows what is left, workers do it, hooks remember it."""

    def __init__(
        self,
        board: Board,
        program: Program,
        hooks: Hooks,
        open_workers: Callable[[], Workers],
        interrupts: Interrupts,
    ) -> None:
        self.board = board
        self.program = program
        self.hooks = hooks
        self.tries = Tries(board.graph.steps)
        self._open_workers = open_workers
        self._workers: Workers | None = None
        self._interrupts = interrupts
        self._packed = pack(program)
        self._done: SimpleQueue[tuple[str, Future[Any]]] = SimpleQueue()
        self._flight = _Flight()
        self._places = Places()
        self._stragglers = Stragglers(program.run_dir)
        self._serial = itertools.count()
        self._deaths = 0.0  # between items
        self._without_workers: float | None = None
        self._drained = False
        self._stuck = 0.0  # since when nothing moves

    def run(self) -> None:
        """Go on until nothing is left.

        Raises: RunError, StoreError, InterruptedRunError; whatever is done by then is kept.
        """
        with (
            ThreadPoolExecutor(2, thread_name_prefix="hash") as self._hashing,
            ThreadPoolExecutor(1, thread_name_prefix="fetch") as self._fetching,
        ):
            try:
                while self._step():
                    pass
            except BaseException:
                self._hashing.shutdown(cancel_futures=True)
                raise
        self._interrupts.check()

    def _step(self) -> bool:
        """Hand out, wait a little, take back; False when nothing is left."""
        if not self._interrupts.draining:
            self._fill()
        elif not self._drained:
            self._drain()
        if self._interrupts.draining and not self._flight.chunks:
            self._resume_paused()
            self._tell()
            return False
        self._tell()
        if not self._flight and self.board.finished:
            return False
        if self._flight or self._lacks_workers():
            self._stuck = 0.0
        elif self._workers is None or 0 < self._stuck < time.monotonic() - STUCK_S:
            raise RunError(f"a defect: nothing is under way, and left are {self.board.left()}")
        else:
            self._stuck = self._stuck or time.monotonic()
        self._wait()
        self._resume_paused()
        self._relieve()
        self._tell()
        return True

    # -- handing out -----------------------------------------------------------------------------

    def _fill(self) -> None:
        """Keep the hashing threads and the window of chunks full."""
        while self._flight.slices < HASHING and (unread := self.board.next_unread(HASH_SLICE)):
            self._flight.slices += 1
            future = self._hashing.submit(read_digests, unread)
            future.add_done_callback(lambda f: self._done.put(("", f)))
        if self._workers is None:
            chunk = self.board.next_chunk(self._tell)
            if chunk is None:
                return
            self._workers = self._open_workers()  # there is work for them
            self.board.requeue(chunk)
        roster = self._workers.roster()
        self._follow(roster)
        if not roster and not self.board.pools:
            roster = {"": ""}  # an adaptive cluster starts workers when it sees work
        looks = self.board.looks
        while self._hand_out(self._workers, roster) or looks != self.board.looks:
            looks = self.board.looks
        self._level(roster)

    def _hand_out(self, workers: Workers, roster: Mapping[str, Pool]) -> bool:
        """Send one more chunk to a worker that has room; False when there is none for any."""
        without: set[str] = set()  # kinds of workers for whom there is nothing
        for address in self._places.free(roster):
            kind = roster[address]
            if kind in without:
                continue
            warm, elsewhere = self._places.warm(address), self._places.elsewhere(address)
            chunk = self.board.next_chunk(self._tell, Asks(kind, warm, elsewhere))
            if chunk is not None:
                bound = self.board.pools or self.board.many_models
                self._places.sent(chunk, address, bound=bound)
                self._start(chunk, partial(workers.send, address if bound else ""), workers)
                return True
            without.add(kind)
        return False

    def _start(self, chunk: Chunk, send: Callable[..., Any], workers: Workers) -> None:
        self._flight.chunks[chunk.id] = chunk
        task = (run_packed, self._packed, pack(chunk), workers.guard, workers.code, workers.fit)
        self._flight.futures[chunk.id] = future = send(*task)
        future.add_done_callback(lambda f: self._done.put((chunk.id, f)))

    def _level(self, roster: Mapping[str, Pool]) -> None:
        """Take back what waits behind another chunk while a worker of that kind has nothing.

        Where any worker may do a chunk, Dask sees to that itself.
        """
        begun = partial(has_begun, self.program.run_dir)
        for name in self._places.behind(roster, begun):
            self.board.requeue(self._take_back(name))

    def _follow(self, roster: Mapping[str, Pool]) -> None:
        """Send on what lost its worker; if nobody had begun it, nobody is to blame."""
        for name in self._places.stranded(roster):
            if not self._flight.futures[name].done():
                self._bury(self._take_back(name))

    def _take_back(self, name: str) -> Chunk:
        """Forget a chunk under way; should a worker do it still, nobody listens."""
        self._flight.futures.pop(name).cancel()
        self._places.back(name)
        return self._flight.chunks.pop(name)

    def _take_digests(self, read: Sequence[tuple[Unread, Digest]]) -> None:
        """Take back one slice of photos that were read."""
        self._flight.slices -= 1
        self.hooks.learned([(one, digest) for one, digest in read if isinstance(digest, str)])
        self.board.digests((source, index, digest) for (source, index, _), digest in read)

    def _drain(self) -> None:
        """Take back the chunks that no worker has begun, and tell how many are under way."""
        self._drained = True
        for name, chunk in list(self._flight.chunks.items()):
            if not has_begun(self.program.run_dir, name):
                self._take_back(name)
                self.board.requeue(chunk)
        self.hooks.event("draining", {"chunks": len(self._flight.chunks)})

    # -- taking back -----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Take back everything that has ended; wait a moment when nothing has."""
        try:
            name, future = self._done.get(timeout=TICK_S)
        except Empty:
            self._look_for_workers()
            return
        while True:
            if name:
                self._flight.futures.pop(name, None)
                if (chunk := self._flight.chunks.pop(name, None)) is not None:
                    self._take(chunk, future, self._places.back(name))
            else:
                self._take_digests(future.result())
            try:
                name, future = self._done.get_nowait()
            except Empty:
                return

    def _take(self, chunk: Chunk, future: "Future[Any]", worker: str) -> None:
        """Take back one chunk, however it ended."""
        packed, error = self._ended(future, worker)
        if error is None:
            result: ChunkResult = unpack(packed)
            self._deaths = max(0.0, self._deaths - FORGIVEN)
            forget(self.program.run_dir, chunk.id)
            self._accept(chunk, own_part(result, chunk))
        elif has_died(error) or isinstance(error, BegunBeforeError | _LostResultError):
            self._bury(chunk)
        elif is_cut_off(error):
            raise RunError(CUT_OFF)
        elif isinstance(error, WorkflowError):
            raise error
        elif isinstance(error, OSError):
            raise StoreError(f"a worker could not write: {error}")
        else:
            raise RunError(f"chunk {chunk.id} failed: {error!r}") from error

    def _ended(self, future: "Future[Any]", worker: str) -> tuple[bytes, BaseException | None]:
        """The result of a future that has ended, or why there is none.

        Until it is fetched it lies with the worker, who may end meanwhile. One that only this
        worker may do would then never come.
        """
        if not worker:  # whoever has it: Dask has it done again, and somebody has begun it before
            return _result(future)
        fetched = self._fetching.submit(_result, future)
        while not wait([fetched], RESULT_S).done:
            if self._workers is not None and worker not in self._workers.roster():
                future.cancel()
                return b"", _LostResultError()
        return fetched.result()

    def _accept(self, chunk: Chunk, result: ChunkResult) -> None:
        """Remember a result; items that failed in passing get another try after a pause."""
        failed = [outcome for outcome in result.outcomes if is_passing(outcome)]
        again = tuple(outcome for outcome in failed if self.tries.use(outcome.item))
        if not again:
            self.hooks.absorb(chunk, result)
            self.board.settle(result)
            return
        items = [outcome.item for outcome in again]
        result = without(result, chunk, items)
        self.hooks.absorb(chunk, result)
        pause = self.tries.pause(items)
        self.hooks.event("retry", {"items": [list(item) for item in items], "pause_s": pause})
        due = time.monotonic() + pause
        heapq.heappush(self._flight.paused, (due, next(self._serial), result, again))

    def _resume_paused(self) -> None:
        """Give items whose pause is over back to the board."""
        paused = self._flight.paused
        while paused and (self._interrupts.draining or paused[0][0] <= time.monotonic()):
            _, _, result, again = heapq.heappop(paused)
            self.board.settle(result)
            for outcome in again:
                self.board.retry(outcome.item, alone=outcome.reason == "out_of_memory")

    # -- deaths ----------------------------------------------------------------------------------

    def _bury(self, chunk: Chunk) -> None:
        """A worker died on a chunk: keep what it stored, blame what it held, requeue the rest."""
        grip = read_grip(self.program.run_dir, chunk.id)
        forget(self.program.run_dir, chunk.id)
        if grip is None:  # it was only waiting its turn there
            self.board.requeue(chunk)
            return
        self._deaths += not grip.held
        if self._deaths > MOST_DEATHS:
            raise RunError("workers keep dying between items; see dask.log in the run folder")
        partial = self._packed_so_far(chunk, grip)
        self.hooks.absorb(chunk, partial)
        self.board.settle(partial)
        cause = cause_of_death(grip)
        self.hooks.event("worker_died", {"chunk": chunk.id, "cause": cause})
        suspects = set(grip.held)
        # Only who was alone is surely guilty; a batch is taken apart first, at nobody's cost.
        if len(suspects) == 1 and not self.tries.use(next(iter(suspects))):
            item = suspects.pop()
            reason: Reason = "timeout" if grip.overdue else "worker_died"
            self.board.fail(item, reason, cause, grip.trace)
        self.board.requeue(chunk, suspects)

    def _packed_so_far(self, chunk: Chunk, grip: Grip) -> ChunkResult:
        """What a worker has stored of a chunk that it has not finished."""
        root = Path(self.program.store_root)
        records = [record for name in grip.packs for record in read_table(root, name)]
        return left_done(chunk, records)

    def _relieve(self) -> None:
        """Give away what waits behind a slow item: its neighbours need not."""
        if self._interrupts.draining or self._workers is None:
            return
        for chunk in list(self._stragglers.among(self._flight.chunks.values())):
            grip = read_grip(self.program.run_dir, chunk.id)
            if grip is None or not grip.held or self._workers.slots() < 2:
                continue
            known = self._packed_so_far(chunk, grip)
            self.hooks.absorb(chunk, known)
            left = self.board.split(chunk, grip.held, known)
            if left is not None:
                self._flight.chunks[chunk.id] = left
                recall(self.program.run_dir, chunk.id, [job.id for job in left.jobs])
                held = [list(item) for item in sorted(grip.held)]
                self.hooks.event("relieved", {"chunk": chunk.id, "slow": held})

    def _lacks_workers(self) -> bool:
        """Whether nobody is there for some of the work."""
        kinds = {""} if self._workers is None else set(self._workers.roster().values())
        return not kinds or (kinds == {"cpu"} and self.board.wants_gpu)

    def _look_for_workers(self) -> None:
        """Give up when a cluster has had no worker for minutes."""
        if self._workers is None:
            return
        roster = self._workers.roster()
        self._follow(roster)
        if not self._lacks_workers():
            self._without_workers = None
            return
        now = time.monotonic()
        since = self._without_workers = self._without_workers or now
        if self._interrupts.draining:
            self._interrupts.check()  # nobody is left to wait for
        if now - since > NO_WORKERS_S:
            kind = "workers with a GPU" if roster else "workers"
            raise RunError(f"the cluster has had no {kind} for {NO_WORKERS_S:g} s")

    def _tell(self) -> None:
        if news := self.board.news():
            self.hooks.settled(news)
        self.hooks.tick(len(self._flight.chunks))


def read_digests(unread: Sequence[Unread]) -> list[tuple[Unread, Digest]]:
    """Read the content digests of some photos, or why they cannot be read."""
    found: list[tuple[Unread, Digest]] = []
    for one in unread:
        try:
            found.append((one, content_digest(one[2].path)))
        except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
            found.append((one, Blocked("decode", unreadable(one[2].path, error))))
    return found


def _result(future: "Future[Any]") -> tuple[bytes, BaseException | None]:
    """What a future gives, or raises."""
    try:
        return future.result(), None
    except BaseException as error:  # noqa: BLE001  (a chunk may end in any way)
        return b"", error
