"""What one worker does with one chunk: load, call the op, store, write files; name the culprit.

Ops are called in this thread; photos of later items are decoded beside it, and what earlier items
gave is written beside it.
"""

import os
import shutil
import socket
import time
import traceback
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

from engine import when
from engine.ahead import Ahead
from engine.blame import free_gpu_memory, is_out_of_memory, reason_of
from engine.calling import Loaded, Ports, alone, call, group_key, is_finite
from engine.codecs import rounded
from engine.dag import Step
from engine.errors import DETERMINISTIC, ItemError, Reason, SkipItem
from engine.fitting import fitting, too_many
from engine.hands import Hands
from engine.jobs import (
    Chunk,
    ChunkResult,
    Export,
    FromPhoto,
    Input,
    ItemId,
    Job,
    Lost,
    Outcome,
    Program,
)
from engine.op import Progress
from engine.outbox import Outbox
from engine.records import Record
from engine.supply import PayloadGoneError, Supply, within
from engine.thumbnails import thumbnail
from engine.values import Image, Scalar, Value

#: Seconds between looks at whether a part of the chunk was given to somebody else.
LOOK_EVERY_S = 0.25
#: Inputs loaded and waiting for a full batch; beyond it, batches go as they are.
WAITING_BYTES = 256 << 20


def run_chunk(program: Program, chunk: Chunk, *, guard: bool = False) -> ChunkResult:
    """Compute a chunk's jobs and write its files.

    With `guard` the process belongs to us: it may be ended when an op takes too long.
    Raises: StoreError or OSError when the disk refuses; BegunBeforeError when another worker died
    of it; nothing that an item can cause here.
    """
    began = time.perf_counter()
    hands = Hands(program.run_dir, chunk.id, guard=guard)
    try:
        supply = Supply(program, chunk)
        # A suspect is in hand by itself, or it could not be told whom to blame.
        beside = not any(job.alone for job in chunk.jobs)
        reads = ((program.steps[job.step], job) for job in chunk.jobs)
        with (
            Outbox(program, hands, beside=beside) as outbox,
            Ahead(supply, hands, reads, beside=beside) as ahead,
        ):
            walk = _Walk(program, chunk, hands, supply, ahead, outbox)
            walk.run()
    finally:
        hands.close()
    return ChunkResult(
        chunk=chunk.id,
        outcomes=tuple(outbox.outcomes),
        written=tuple(outbox.written),
        lost=tuple(walk.lost),
        failed_exports=tuple(outbox.failed),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        seconds=time.perf_counter() - began,
        computing=walk.computing,
    )


class _Walk:
    """The state of one chunk on its way through its steps."""

    def __init__(
        self,
        program: Program,
        chunk: Chunk,
        hands: Hands,
        supply: Supply,
        ahead: Ahead,
        outbox: Outbox,
    ) -> None:
        self.program = program
        self.chunk = chunk
        self.hands = hands
        self.supply = supply
        self.ahead = ahead
        self.outbox = outbox
        self.lost: list[Lost] = []
        self.computing = 0.0  # seconds in ops
        self._fates: dict[ItemId, Literal["quarantined", "skipped", "lost"]] = {}
        self._shortages = 0  # how often memory ran out
        self._left: frozenset[ItemId] | None = None
        self._looked = time.perf_counter()
        self._exports: dict[ItemId | None, list[Export]] = {}
        for export in chunk.exports:
            made = next(within([export.source]), None)
            self._exports.setdefault(made, []).append(export)

    def run(self) -> None:
        """Walk through the steps, wave by wave; files are written once their item is done."""
        self._export(None)
        for name, jobs in groupby(self.chunk.jobs, key=lambda job: job.step):
            self._step(self.program.steps[name], list(jobs))
        self.outbox.flush()

    # -- one step --------------------------------------------------------------------------------

    def _step(self, step: Step, jobs: Sequence[Job]) -> None:
        """Load jobs one by one and call the op whenever a batch of equals is full."""
        waiting: dict[object, list[Loaded]] = {}
        held = 0
        for job in self.ahead.along(step, jobs):
            loaded = self._load(step, job) if self._is_mine(job) else None
            if loaded is None:
                self.supply.release(job.inputs())
                continue
            if job.alone or alone(step):
                self._batch(step, [loaded])
                continue
            key = group_key(loaded)
            group = waiting.setdefault(key, [])
            group.append(loaded)
            held += loaded.nbytes
            if len(group) >= fitting(step, self.supply.device, loaded):
                held -= sum(one.nbytes for one in group)
                self._batch(step, waiting.pop(key))
            elif held > WAITING_BYTES:
                for rest in waiting.values():
                    self._batch(step, rest)
                waiting, held = {}, 0
        for rest in waiting.values():
            self._batch(step, rest)

    def _is_mine(self, job: Job) -> bool:
        """Whether a job was not given to somebody else, because one before it takes so long."""
        if time.perf_counter() - self._looked > LOOK_EVERY_S:
            self._left = self.hands.left()
            self._looked = time.perf_counter()
        return self._left is None or job.id in self._left

    def _load(self, step: Step, job: Job) -> Loaded | None:
        """Bring a job's inputs together; None when that already seals its fate."""
        began = time.perf_counter()
        fates = {self._fates.get(item) for item in within(job.inputs())} - {None}
        if fates:
            if "lost" in fates:
                self._fates[job.id] = "lost"
            else:
                self._skip(job, "an input was skipped or quarantined")
            return None
        try:
            if step.when is not None and not self._wanted(step, job):
                self._skip(job, f"when: {step.when.text}")
                return None
            wires = {
                name: tuple(self._value(step, job, source) for source in sources)
                for name, sources in job.wires.items()
            }
            networks = self.supply.networks(job, step)
        except PayloadGoneError as gone:
            self.lost.append(gone.lost)
            self._fates[job.id] = "lost"
            return None
        except Exception as error:  # noqa: BLE001  (a decoder may raise anything)
            self._fail(job, *reason_of(error), began=began)
            return None
        return Loaded(job, wires, networks, time.perf_counter() - began)

    def _value(self, step: Step, job: Job, source: Input) -> Value:
        """Make one input."""
        if isinstance(source, FromPhoto):
            return self.ahead.photo(step, job, source)
        return self.supply.get(source)

    def _wanted(self, step: Step, job: Job) -> bool:
        """Evaluate a step's condition for one item."""
        assert step.when is not None
        values = [self.supply.scalar(source) for source in job.when]
        return when.decide(step.when.tree, values)

    # -- one batch -------------------------------------------------------------------------------

    def _batch(self, step: Step, batch: list[Loaded]) -> None:
        """Call the op on a batch, then let its inputs go."""
        size = fitting(step, self.supply.device, batch[0])
        mine = [loaded for loaded in batch if self._is_mine(loaded.job)]
        with self.hands.holding(step.name, [loaded.job.number for loaded in mine]):
            self._attempt(step, mine, size)
        for loaded in batch:
            self.supply.release(loaded.job.inputs())
        for loaded in mine:
            self._export(loaded.job.id)
        self.outbox.flush(due=True)

    def _attempt(self, step: Step, batch: list[Loaded], size: int) -> None:
        """Call the op; when it fails, find the guilty item and do the others without it."""
        if not batch:
            return
        began = time.perf_counter()
        try:
            results = self._call(step, batch, size)
        except (ItemError, SkipItem) as error:
            self._set_aside(step, batch, size, error, began)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (an op is foreign code)
            traceback.clear_frames(error.__traceback__)  # let go at once of what the op hoarded
            self._shortages += is_out_of_memory(error)
            if is_out_of_memory(error) and self.ahead.give_up():
                self._attempt(step, batch, size)
            elif is_out_of_memory(error) and max(size, len(batch)) > 1:
                self._halve(step, batch, size)
            elif len(batch) == 1:
                self._fail(batch[0].job, *reason_of(error), began=began, loaded=batch[0])
            else:
                self._bisect(step, batch, size)
        else:
            seconds = (time.perf_counter() - began) / len(batch)
            for loaded, ports in zip(batch, results, strict=True):
                self._finish(step, loaded, ports, loaded.seconds + seconds, max(size, len(batch)))

    def _call(self, step: Step, batch: list[Loaded], size: int) -> list[Ports]:
        scratch = Path(self.program.store_root) / "scratch" / batch[0].job.key
        uses_scratch = any(setting.role == "scratch" for setting in step.op.settings)
        if uses_scratch:
            scratch.mkdir(parents=True, exist_ok=True)
        limit = None if step.timeout_s is None else step.timeout_s * len(batch)
        began = time.perf_counter()
        try:
            with self.hands.limited(limit):
                results = call(step, batch, size, str(scratch), Progress(self.hands.advance))
        finally:
            self.computing += time.perf_counter() - began
        if uses_scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        return results

    def _set_aside(
        self,
        step: Step,
        batch: list[Loaded],
        size: int,
        error: ItemError | SkipItem,
        began: float,
    ) -> None:
        """Settle the item that an op refused, and do the others."""
        if error.item is None and len(batch) > 1:
            self._bisect(step, batch, size)
            return
        guilty = min(error.item or 0, len(batch) - 1)
        refused = batch[guilty]
        if isinstance(error, SkipItem):
            self._skip_for_good(refused.job, str(error))
        else:
            self._fail(refused.job, *reason_of(error), began=began, loaded=refused)
        self._attempt(step, batch[:guilty] + batch[guilty + 1 :], size)

    def _bisect(self, step: Step, batch: list[Loaded], size: int) -> None:
        middle = len(batch) // 2
        self._attempt(step, batch[:middle], size)
        self._attempt(step, batch[middle:], size)

    def _halve(self, step: Step, batch: list[Loaded], size: int) -> None:
        """Go on with half the batch size, here and wherever such items come again."""
        free_gpu_memory()
        half = max(1, max(size, len(batch)) // 2) if step.op.options.fixed else len(batch) // 2
        half, before = max(1, half), self._shortages
        for start in range(0, len(batch), half):
            self._attempt(step, batch[start : start + half], half)
        if self._shortages == before:  # else one of them is larger than others, or half too many
            too_many(step, self.supply.device, batch[0], half)

    # -- one item --------------------------------------------------------------------------------

    def _finish(self, step: Step, loaded: Loaded, ports: Ports, seconds: float, batch: int) -> None:
        """Keep and store one item's results as they will be read back."""
        job = loaded.job
        broken = [name for name, value in ports.items() if not is_finite(value)]
        if broken:
            message = f"{step.op.name} gave numbers that are not finite (port '{broken[0]}')"
            self._fail(job, "not_finite", message, "", loaded=loaded)
            return
        ports = {name: rounded(value) for name, value in ports.items()}
        self.supply.keep(job.id, ports)
        scalars = {name: v.data[0] for name, v in ports.items() if isinstance(v, Scalar)}
        record = Record(key=job.key, seconds=seconds, scalars=scalars)
        outcome = Outcome(job.id, "done", job.key, record, seconds=seconds, batch=batch)
        if job.step in self.chunk.stored:
            kept = {name: v for name, v in ports.items() if not isinstance(v, Scalar)}
            self.outbox.store(outcome, record, kept)
        else:
            self.outbox.outcomes.append(outcome)

    def _skip(self, job: Job, message: str) -> None:
        self._fates[job.id] = "skipped"
        self.outbox.outcomes.append(Outcome(job.id, "skipped", job.key, message=message))

    def _skip_for_good(self, job: Job, message: str) -> None:
        """Skip an item as its op asked; that depends on its key alone and is remembered."""
        self._fates[job.id] = "skipped"
        outcome = Outcome(job.id, "skipped", job.key, message=message)
        self.outbox.store(outcome, Record(job.key, "failed", None, message), {})

    def _fail(
        self,
        job: Job,
        reason: Reason,
        message: str,
        trace: str,
        *,
        began: float | None = None,
        loaded: Loaded | None = None,
    ) -> None:
        """Quarantine an item; what depends on nothing but its key is remembered in the store."""
        self._fates[job.id] = "quarantined"
        seconds = 0.0 if began is None else time.perf_counter() - began
        outcome = Outcome(
            job.id,
            "quarantined",
            job.key,
            reason=reason,
            message=message,
            traceback=trace,
            seconds=seconds,
            thumbnail=_thumbnail_of(loaded),
        )
        if reason in DETERMINISTIC:
            record = Record(job.key, "failed", reason, message, seconds)
            self.outbox.store(outcome, record, {})
        else:
            self.outbox.outcomes.append(outcome)

    # -- the output folder -----------------------------------------------------------------------

    def _export(self, item: ItemId | None) -> None:
        """Have the files of an item written if it is done; for None, those of stored values."""
        for export in self._exports.pop(item, ()):
            if item is None or self._fates.get(item) is None:
                self._write(export)
            self.supply.release([export.source])

    def _write(self, export: Export) -> None:
        try:
            with self.hands.holding(export.item[0], [export.item[1]]):
                value = self.supply.get(export.source)
        except PayloadGoneError as gone:
            self.lost.append(gone.lost)
        except ItemError as error:
            self.outbox.refuse(export, error)
        else:
            self.outbox.export(export, value)


def _thumbnail_of(loaded: Loaded | None) -> bytes:
    """Show the picture that an op could not do, if it was given one."""
    values = (value for wire in loaded.wires.values() for value in wire) if loaded else ()
    image = next((value for value in values if isinstance(value, Image)), None)
    return thumbnail(image) if image is not None else b""
