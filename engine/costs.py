"""What the items of a run cost: paces, from which the plans of later runs tell time and disk.

A pace is known by op, and more exactly by op with settings, models and kind of device: how long an
inversion takes depends on its steps. What a run takes beside its items (workers that start, the
report), and how well it keeps its workers at work, is remembered like a pace.
"""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.dag import Output, Step
from engine.jobs import ChunkResult
from engine.memo import Pace

#: The names of what a run takes beside its items, and of how much longer it takes than its workers
#: would if they never waited.
BESIDE, STRETCH = "", "*"
#: So many chunks for each worker tell something of the latter.
TELLING = 2
#: Bytes of a record itself and of each of its ports: in the table of its pack, and in the index.
RECORD_BYTES, PORT_BYTES = 450, 200


def exact(step: Step, device: str) -> str:
    """The name of a step's pace: its op with all that it was asked, but for the items."""
    models = {
        slot: [(info.digest, info.precision) for info in (ref.info, ref.base) if info is not None]
        for slot, ref in step.models.items()
    }
    told = repr((sorted(step.settings.items()), sorted(models.items()), device))
    return f"{step.op.name} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def written(step: Step, output: Output) -> str:
    """The name of the pace at which an output's files grow."""
    return f"{step.op.name} > {output.format}"


@dataclass(slots=True)
class _Sum:
    """What some items cost together."""

    count: int = 0
    seconds: float = 0.0
    size: float = 0.0

    def add(self, other: "_Sum") -> None:
        self.count += other.count
        self.seconds += other.seconds
        self.size += other.size

    @property
    def mean(self) -> Pace:
        """What one of them cost."""
        return Pace(self.seconds / self.count, self.size / self.count)


class Costs:
    """What the items of one run have cost so far. The clock runs from the beginning.

    What a worker does first is held apart, and is used only if nothing else is known: libraries and
    networks are loaded then, which may take longer than all items.
    """

    def __init__(self, steps: Mapping[str, Step], outputs: Sequence[Output], device: str) -> None:
        self._names = {name: (step.op.name, exact(step, device)) for name, step in steps.items()}
        self._files = [written(steps[output.ref.node], output) for output in outputs]
        self._warm: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._cold: defaultdict[str, _Sum] = defaultdict(_Sum)
        self._met: set[tuple[str, str]] = set()  # worker and step
        self._began = self._first = self._last = time.monotonic()
        self._results = 0
        self._begun: Counter[str] = Counter()  # items of the first result, by step
        self._others: Counter[str] = Counter()

    def count(self, result: ChunkResult) -> None:
        """Add a chunk: what its worker took is shared out among the items that it did."""
        for file in result.written:
            self._warm[self._files[file.output]].add(_Sum(1, 0.0, file.size))
        sums = self._sums(result)
        if not sums:
            return
        total = sum(some.count for some in sums.values())
        own = sum(outcome.seconds for outcome in result.outcomes)
        known = (result.worker, "") in self._met
        beside = result.seconds - own if result.seconds and known else 0.0
        scale = result.seconds / own if beside < 0 else 1.0
        self._last = time.monotonic()
        if not self._results:
            self._first = self._last
        for (step, cold), some in sums.items():
            some.seconds = some.seconds * scale + max(0.0, beside) * some.count / total
            for name in self._names[step]:
                (self._cold if cold else self._warm)[name].add(some)
            (self._others if self._results else self._begun)[step] += some.count
        self._results += 1
        self._met |= {(result.worker, step) for step in ("", *(step for step, _ in sums))}

    def _sums(self, result: ChunkResult) -> dict[tuple[str, bool], _Sum]:
        """Sum up what was done, by step; the first batch of a worker on a step apart (True)."""
        sums: dict[tuple[str, bool], _Sum] = {}
        cold: dict[str, int] = {}
        for outcome in result.outcomes:
            step, record = outcome.item[0], outcome.record
            if outcome.status != "done" or record is None:
                continue
            if step not in cold:
                cold[step] = 0 if (result.worker, step) in self._met else outcome.batch
            which = (step, cold[step] > 0)
            cold[step] -= 1
            some = sums.setdefault(which, _Sum())
            some.count += 1
            some.seconds += outcome.seconds
            some.size += record.size + RECORD_BYTES + PORT_BYTES * len(record.ports)
        return sums

    def paces(self, slots: int) -> dict[str, Pace]:
        """What one item of each op took, and the run beside its items; nothing if none was done."""
        if not self._results:
            return {}
        found = {name: some.mean for name, some in {**self._cold, **self._warm}.items()}
        start = self._first - self._began - self._work(found, self._begun)
        found[BESIDE] = Pace(max(0.0, start) + time.monotonic() - self._last, 0.0)
        busy = self._work(found, self._others)
        if busy and self._results > TELLING * slots:
            found[STRETCH] = Pace(max(1.0, (self._last - self._first) * slots / busy), 0.0)
        return found

    def _work(self, found: Mapping[str, Pace], done: Mapping[str, int]) -> float:
        """Seconds of so many items."""
        return sum(found[self._names[step][1]].seconds * n for step, n in done.items())
