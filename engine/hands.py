"""What a worker has in its hands: a journal that outlives it, and a watchdog that ends it.

A worker can die in the middle of anything: a segfault in a decoder, the kernel's out-of-memory
killer, an op that never returns. Before it touches items it appends their numbers to a file in the
run folder; after each flush it appends the pack it wrote. Whoever finds the body reads the file:
packs are kept, the items that were held are to blame, everything else is innocent. Threads that
read and write beside the ops hold items of their own, so there may be several. Ops that take
minutes for one item say how far they are; a file beside the journal holds the last word, written
anew at most twice a second, and the driver looks at it when it moves its bars.
"""

import faulthandler
import itertools
import json
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.jobs import ItemId

#: Seconds between two writings of how far an op is.
ADVANCE_EVERY_S = 0.5
#: Python writes this line when its watchdog ends the process.
_WATCHDOG_WORD = "Timeout ("


@dataclass(frozen=True, slots=True)
class Grip:
    """What a dead worker left behind: items it held, packs it had written, where it stood."""

    held: frozenset[ItemId]
    packs: tuple[str, ...]
    trace: str

    @property
    def overdue(self) -> bool:
        """Whether the watchdog ended the worker."""
        return self.trace.startswith(_WATCHDOG_WORD)


class BegunBeforeError(Exception):
    """Another worker had this chunk in its hands and did not finish it: its journal is there.

    A cluster that is not ours gives a dead worker's chunk to the next one, which would die too.
    """


class Hands:
    """The journal of one chunk, open for appending.

    With `guard` the process may be ended: by the watchdog when an op takes longer than allowed,
    and a crash leaves its traceback in the run folder. Without it (the process is somebody's
    notebook) only the journal is kept.
    Raises: BegunBeforeError.
    """

    __slots__ = (
        *("_advanced", "_deadlines", "_guard", "_held", "_journal", "_lock"),
        *("_recall", "_serial", "_share", "_trace"),
    )

    def __init__(self, run_dir: str, chunk: str, *, guard: bool) -> None:
        journal, trace, self._share, self._recall = _paths(run_dir, chunk)
        self._held: tuple[str, int] = ("", 0)
        self._advanced: float | None = None
        self._serial = itertools.count()
        self._deadlines: dict[int, float] = {}
        self._lock = threading.Lock()
        journal.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            self._journal = os.open(journal, flags | os.O_EXCL, 0o644)
        except FileExistsError as error:
            raise BegunBeforeError(chunk) from error
        self._trace = os.open(trace, flags, 0o644)
        self._guard = guard
        if guard:
            faulthandler.enable(file=self._trace)

    def _append(self, line: dict[str, object]) -> None:
        # One unbuffered write: a killed process loses nothing that was already said.
        os.write(self._journal, (json.dumps(line) + "\n").encode())

    @contextmanager
    def holding(
        self, step: str, numbers: Collection[int], *, beside: bool = False
    ) -> Iterator[None]:
        """Hold items of a step: if the process dies meanwhile, they are to blame.

        `beside`: held by another thread than the one that calls ops.
        """
        grip = next(self._serial)
        self._append({"grip": grip, "step": step, "numbers": list(numbers)})
        if not beside:
            self._held = (step, len(numbers))
        try:
            yield
        finally:
            self._append({"free": grip})
            if not beside and self._advanced is not None:
                self._advanced = None
                self._share.unlink(missing_ok=True)

    def advance(self, share: float) -> None:
        """Note what share, 0..1, of the items in hand is done; cheap, however often it is said."""
        now = time.monotonic()
        if self._advanced is not None and now - self._advanced < ADVANCE_EVERY_S:
            return
        self._advanced = now
        step, items = self._held
        # Nothing depends on it, so a disk that refuses does no harm; readers never see half of it.
        with suppress(OSError):
            fresh = self._share.with_suffix(".new")
            fresh.write_text(json.dumps({"step": step, "items": share * items}))
            fresh.replace(self._share)

    @contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """End the process when this takes longer (needs no GIL, so even C code cannot resist)."""
        if not self._guard or seconds is None:
            yield
            return
        mark = next(self._serial)
        with self._lock:
            self._deadlines[mark] = time.monotonic() + seconds
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[mark]
                self._arm()

    def _arm(self) -> None:
        """Set the one watchdog of the process to the nearest deadline."""
        if not self._deadlines:
            faulthandler.cancel_dump_traceback_later()
            return
        left = min(self._deadlines.values()) - time.monotonic()
        faulthandler.dump_traceback_later(max(left, 0.001), exit=True, file=self._trace)

    def left(self) -> frozenset[ItemId] | None:
        """The items that are still this worker's own; None when all of them are."""
        with suppress(OSError, ValueError):
            told = json.loads(self._recall.read_text())
            return frozenset((step, number) for step, number in told)
        return None

    def packed(self, pack: str) -> None:
        """Note that a pack is complete in the store."""
        self._append({"pack": pack})

    def close(self) -> None:
        """Let go of the files; the driver removes them once it has the chunk's result."""
        if self._guard:
            faulthandler.disable()
        os.close(self._journal)
        os.close(self._trace)


def _paths(run_dir: str, chunk: str) -> tuple[Path, Path, Path, Path]:
    """Journal, trace, how far it is, and what is left to it."""
    folder = Path(run_dir) / "hands"
    names = (f"{chunk}.{ending}" for ending in ("jsonl", "trace", "share", "left"))
    journal, trace, share, left = (folder / name for name in names)
    return journal, trace, share, left


def recall(run_dir: str, chunk: str, left: Collection[ItemId]) -> None:
    """Take all but some items of a chunk from the worker that has it in hands.

    It notices between two batches. Raises: OSError.
    """
    path = _paths(run_dir, chunk)[3]
    fresh = path.with_suffix(".newleft")
    fresh.write_text(json.dumps(sorted(left)))
    fresh.replace(path)


def journal_size(run_dir: str, chunk: str) -> int:
    """Bytes of a chunk's journal, 0 when nobody has begun it."""
    try:
        return _paths(run_dir, chunk)[0].stat().st_size
    except OSError:
        return 0


def under_way(run_dir: Path) -> dict[str, float]:
    """How many items of each step are done by parts, as far as their ops say: 0.37 of a strip."""
    done: dict[str, float] = {}
    for path in sorted((run_dir / "hands").glob("*.share")):
        # It may be gone by now, or be of a machine whose disk is slow to tell.
        with suppress(OSError, ValueError):
            told = json.loads(path.read_text())
            done[told["step"]] = done.get(told["step"], 0.0) + told["items"]
    return done


def has_begun(run_dir: str, chunk: str) -> bool:
    """Whether a worker has a chunk in its hands, or had."""
    return _paths(run_dir, chunk)[0].exists()


def read_grip(run_dir: str, chunk: str) -> Grip | None:
    """Read what a dead worker left of a chunk; None when it had not begun."""
    journal, trace, *_ = _paths(run_dir, chunk)
    try:
        lines = journal.read_text().splitlines()
    except FileNotFoundError:
        return None
    held: dict[int, frozenset[ItemId]] = {}
    packs = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:  # the line it died in
            continue
        if "pack" in entry:
            packs.append(str(entry["pack"]))
        elif "free" in entry:
            held.pop(entry["free"], None)
        else:
            held[entry["grip"]] = frozenset((entry["step"], n) for n in entry["numbers"])
    text = trace.read_text(errors="replace") if trace.exists() else ""
    return Grip(frozenset().union(*held.values()), tuple(packs), text.strip())


def forget(run_dir: str, chunk: str) -> None:
    """Remove a chunk's journal."""
    for path in _paths(run_dir, chunk):
        path.unlink(missing_ok=True)
