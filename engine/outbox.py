"""Finished values on their way to the store and the output folder, by a thread of their own.

While an op works on the next items, packs and files of earlier ones are encoded and written, in the
order in which they were handed over.
"""

import errno
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.calling import nbytes
from engine.codecs import encode
from engine.errors import ItemError
from engine.export import export_value
from engine.hands import Hands
from engine.jobs import Export, FromPhoto, Outcome, Program, Written
from engine.records import Record
from engine.store import write_pack
from engine.values import Value

#: Packs are written when this much has gathered since the last ones, and at the end.
FLUSH_SECONDS = 0.5
FLUSH_BYTES = 64 << 20
#: Values that may wait to be written; whoever brings more waits too.
WAITING_BYTES = 256 << 20
#: A disk that is full stops the run; any other refusal concerns one file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Outbox:
    """What one chunk writes. Use as a context: leaving it waits until everything is written.

    With `beside` false everything is written at once, in the thread that brings it.
    Raises, in any call: StoreError or OSError when the disk refuses.
    """

    def __init__(self, program: Program, hands: Hands, *, beside: bool) -> None:
        self.outcomes: list[Outcome] = []
        self.written: list[Written] = []
        self.failed: list[tuple[Export, str]] = []
        self._store = Path(program.store_root)
        self._out_root = program.out_root
        self._hands = hands
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write") if beside else None
        self._queue: deque[tuple[Future[None], int]] = deque()
        self._queued = 0
        self._pending: list[tuple[Outcome, Record, dict[str, bytes]]] = []
        self._pending_bytes = 0
        self._flushed = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while error is None and self._queue:
                self._wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def store(self, outcome: Outcome, record: Record, ports: Mapping[str, Value]) -> None:
        """Have a record and its values put into the next pack."""
        size = sum(map(nbytes, ports.values()))
        self._post(lambda: self._add(outcome, record, ports), size)

    def export(self, export: Export, value: Value) -> None:
        """Have a file written."""
        self._post(lambda: self._write(export, value), nbytes(value))

    def flush(self, *, due: bool = False) -> None:
        """Have what has gathered written, a pack for each step; with `due` only if it is time.

        What one step made may be worth far more than what another did, and a pack goes whole.
        """
        self._post(lambda: self._flush(due=due), 0)

    def _post(self, work: Callable[[], None], size: int) -> None:
        if self._pool is None:
            work()
            return
        while self._queue and (self._queue[0][0].done() or self._queued + size > WAITING_BYTES):
            self._wait()
        self._queue.append((self._pool.submit(work), size))
        self._queued += size

    def _wait(self) -> None:
        """Wait for the first in the queue."""
        future, size = self._queue.popleft()
        self._queued -= size
        future.result()

    def _add(self, outcome: Outcome, record: Record, ports: Mapping[str, Value]) -> None:
        payload = {name: encode(value) for name, value in ports.items()}
        self._pending.append((outcome, record, payload))
        self._pending_bytes += sum(map(len, payload.values()))

    def _flush(self, *, due: bool) -> None:
        late = time.perf_counter() - self._flushed > FLUSH_SECONDS
        if due and not late and self._pending_bytes <= FLUSH_BYTES:
            return
        self._flushed = time.perf_counter()
        steps: dict[str, list[tuple[Outcome, Record, dict[str, bytes]]]] = {}
        for entry in self._pending:
            steps.setdefault(entry[0].item[0] if entry[2] else "", []).append(entry)
        for some in steps.values():
            records = write_pack(self._store, [(record, payload) for _, record, payload in some])
            self._hands.packed(records[0].pack)
            for (outcome, _, _), record in zip(some, records, strict=True):
                self.outcomes.append(replace(outcome, record=record))
        self._pending, self._pending_bytes = [], 0

    def _write(self, export: Export, value: Value) -> None:
        """Write one file; what refuses it, short of a full disk, concerns it alone."""
        beside = self._pool is not None
        try:
            with self._hands.holding(export.item[0], [export.item[1]], beside=beside):
                self.written.append(export_value(value, export, self._out_root))
        except OSError as error:
            if error.errno in FULL:
                raise
            self.failed.append((export, f"{type(error).__name__}: {error}"))
        except ItemError as error:
            if isinstance(export.source, FromPhoto):  # nobody has looked at it before
                self.refuse(export, error)
            else:
                self.failed.append((export, str(error)))

    def refuse(self, export: Export, error: ItemError) -> None:
        """Set the item of a file aside."""
        told = Outcome(export.item, "quarantined", export.key, None, error.reason, str(error))
        self.outcomes.append(told)
