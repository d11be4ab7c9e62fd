"""What one worker does with one chunk: load, call the op, store, write files; name the culprit."""

import errno
import os
import shutil
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from engine import when
from engine.blame import free_gpu_memory, is_out_of_memory, reason_of
from engine.calling import Loaded, Ports, alone, batch_size, call, group_key, is_finite
from engine.codecs import encode, rounded
from engine.dag import Step
from engine.errors import DETERMINISTIC, ItemError, Reason, SkipItem
from engine.export import export_value
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
    Written,
)
from engine.op import Progress
from engine.records import Record
from engine.store import write_pack
from engine.supply import PayloadGoneError, Supply, within
from engine.thumbnails import thumbnail
from engine.values import Image, Scalar, Value

#: A pack is written when this much has gathered since the last one, and after every step.
FLUSH_SECONDS = 0.5
FLUSH_BYTES = 64 << 20
#: Inputs loaded and waiting for a full batch; beyond it, batches go as they are.
WAITING_BYTES = 256 << 20
#: A disk that is full stops the run; any other refusal concerns one file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def run_chunk(program: Program, chunk: Chunk, *, guard: bool = False) -> ChunkResult:
    """Compute a chunk's jobs and write its files.

    With `guard` the process belongs to us: it may be ended when an op takes too long.
    Raises: StoreError or OSError when the disk refuses; BegunBeforeError when another worker died
    of it; nothing that an item can cause here.
    """
    began = time.perf_counter()
    hands = Hands(program.run_dir, chunk.id, guard=guard)
    try:
        walk = _Walk(program, chunk, hands)
        walk.run()
    finally:
        hands.close()
    return ChunkResult(
        chunk=chunk.id,
        outcomes=tuple(walk.outcomes),
        written=tuple(walk.written),
        lost=tuple(walk.lost),
        failed_exports=tuple(walk.failed_exports),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        seconds=time.perf_counter() - began,
    )


class _Walk:
    """The state of one chunk on its way through its steps."""

    def __init__(self, program: Program, chunk: Chunk, hands: Hands) -> None:
        self.program = program
        self.chunk = chunk
        self.hands = hands
        self.store = Path(program.store_root)
        self.supply = Supply(program, chunk)
        self.outcomes: list[Outcome] = []
        self.written: list[Written] = []
        self.lost: list[Lost] = []
        self.failed_exports: list[tuple[Export, str]] = []
        self._fates: dict[ItemId, Literal["quarantined", "skipped", "lost"]] = {}
        self._pending: list[tuple[Outcome, Record, dict[str, bytes]]] = []
        self._pending_bytes = 0
        self._flushed = time.perf_counter()
        self._sizes: dict[str, int] = {}

    def run(self) -> None:
        """Walk through the steps in order; files are written as soon as their step is done."""
        exports: dict[str, list[Export]] = {}
        for export in self.chunk.exports:
            made = next(within([export.source]), None)
            exports.setdefault(made[0] if made else "", []).append(export)
        self._export(exports.pop("", []))
        jobs: dict[str, list[Job]] = {}
        for job in self.chunk.jobs:
            jobs.setdefault(job.step, []).append(job)
        for name, mine in jobs.items():
            self._step(self.program.steps[name], mine)
            self._flush()
            self._export(exports.pop(name, []))

    # -- one step --------------------------------------------------------------------------------

    def _step(self, step: Step, jobs: Sequence[Job]) -> None:
        """Load jobs one by one and call the op whenever a batch of equals is full."""
        size = self._sizes.setdefault(step.name, batch_size(step, self.supply.device))
        waiting: dict[object, list[Loaded]] = {}
        held = 0
        for job in jobs:
            loaded = self._load(step, job)
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
            if len(group) == size:
                held -= sum(one.nbytes for one in group)
                self._batch(step, waiting.pop(key))
            elif held > WAITING_BYTES:
                for rest in waiting.values():
                    self._batch(step, rest)
                waiting, held = {}, 0
        for rest in waiting.values():
            self._batch(step, rest)

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
            self.lost.append(Lost(gone.item, gone.key))
            self._fates[job.id] = "lost"
            return None
        except Exception as error:  # noqa: BLE001  (a decoder may raise anything)
            self._fail(job, *reason_of(error), began=began)
            return None
        return Loaded(job, wires, networks, time.perf_counter() - began)

    def _value(self, step: Step, job: Job, source: Input) -> Value:
        """Make one input; decoding runs C code on foreign bytes, so it is held in hand."""
        if isinstance(source, FromPhoto):
            import torch  # noqa: F401  (seconds of loading are no item's time)

            with self.hands.holding(step.name, [job.number]), self.hands.limited(step.timeout_s):
                return self.supply.get(source)
        return self.supply.get(source)

    def _wanted(self, step: Step, job: Job) -> bool:
        """Evaluate a step's condition for one item."""
        assert step.when is not None
        values = [self.supply.scalar(source) for source in job.when]
        return when.decide(step.when.tree, values)

    # -- one batch -------------------------------------------------------------------------------

    def _batch(self, step: Step, batch: list[Loaded]) -> None:
        """Call the op on a batch, then let its inputs go."""
        size = 1 if alone(step) else self._sizes[step.name]
        with self.hands.holding(step.name, [loaded.job.number for loaded in batch]):
            self._attempt(step, batch, size)
        for loaded in batch:
            self.supply.release(loaded.job.inputs())
        due = time.perf_counter() - self._flushed > FLUSH_SECONDS
        if self._pending and (due or self._pending_bytes > FLUSH_BYTES):
            self._flush()

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
            if is_out_of_memory(error) and max(size, len(batch)) > 1:
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
        scratch = self.store / "scratch" / batch[0].job.key
        uses_scratch = any(setting.role == "scratch" for setting in step.op.settings)
        if uses_scratch:
            scratch.mkdir(parents=True, exist_ok=True)
        limit = None if step.timeout_s is None else step.timeout_s * len(batch)
        with self.hands.limited(limit):
            results = call(step, batch, size, str(scratch), Progress(self.hands.advance))
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
        """Go on with half the batch size, here and for the rest of the chunk."""
        free_gpu_memory()
        half = max(1, max(size, len(batch)) // 2) if step.op.options.fixed else len(batch) // 2
        half = max(1, half)
        self._sizes[step.name] = min(self._sizes[step.name], half)
        for start in range(0, len(batch), half):
            self._attempt(step, batch[start : start + half], half)

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
            payload = {n: encode(v) for n, v in ports.items() if not isinstance(v, Scalar)}
            self._store(outcome, record, payload)
        else:
            self.outcomes.append(outcome)

    def _skip(self, job: Job, message: str) -> None:
        self._fates[job.id] = "skipped"
        self.outcomes.append(Outcome(job.id, "skipped", job.key, message=message))

    def _skip_for_good(self, job: Job, message: str) -> None:
        """Skip an item as its op asked; that depends on its key alone and is remembered."""
        self._fates[job.id] = "skipped"
        outcome = Outcome(job.id, "skipped", job.key, message=message)
        self._store(outcome, Record(job.key, "failed", None, message), {})

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
            self._store(outcome, record, {})
        else:
            self.outcomes.append(outcome)

    # -- the store and the output folder ---------------------------------------------------------

    def _store(self, outcome: Outcome, record: Record, payload: dict[str, bytes]) -> None:
        self._pending.append((outcome, record, payload))
        self._pending_bytes += sum(map(len, payload.values()))

    def _flush(self) -> None:
        """Write what has gathered as one pack."""
        self._flushed = time.perf_counter()
        if not self._pending:
            return
        entries = [(record, payload) for _, record, payload in self._pending]
        records = write_pack(self.store, entries)
        self.hands.packed(records[0].pack)
        for (outcome, _, _), record in zip(self._pending, records, strict=True):
            self.outcomes.append(replace(outcome, record=record))
        self._pending, self._pending_bytes = [], 0

    def _export(self, exports: Sequence[Export]) -> None:
        """Write files whose value is there; those of failed items are not written."""
        for export in exports:
            if all(self._fates.get(item) is None for item in within([export.source])):
                self._write(export)
            self.supply.release([export.source])

    def _write(self, export: Export) -> None:
        try:
            with self.hands.holding(export.item[0], [export.item[1]]):
                value = self.supply.get(export.source)
                self.written.append(export_value(value, export, self.program.out_root))
        except PayloadGoneError as gone:
            self.lost.append(Lost(gone.item, gone.key))
        except OSError as error:
            if error.errno in FULL:
                raise
            self.failed_exports.append((export, f"{type(error).__name__}: {error}"))
        except ItemError as error:
            if isinstance(export.source, FromPhoto):  # nobody has looked at it before
                key, reason, told = export.key, error.reason, str(error)
                self.outcomes.append(Outcome(export.item, "quarantined", key, None, reason, told))
            else:
                self.failed_exports.append((export, str(error)))


def _thumbnail_of(loaded: Loaded | None) -> bytes:
    """Show the picture that an op could not do, if it was given one."""
    values = (value for wire in loaded.wires.values() for value in wire) if loaded else ()
    image = next((value for value in values if isinstance(value, Image)), None)
    return thumbnail(image) if image is not None else b""
