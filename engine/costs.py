"""What the items of a run cost: paces, from which the plans of later runs tell time and disk.

A pace is known by op, and more exactly by op with settings, models and kind of device: how long an
inversion takes depends on its steps. What a run takes beside its items (workers that start, the
report), and how well it keeps its workers at work, is remembered like a pace.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.dag import Output, Step
from engine.jobs import ChunkResult, Outcome
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

    def add(self, seconds: float, size: float) -> None:
        self.count += 1
        self.seconds += seconds
        self.size += size

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
        self._began = time.monotonic()
        self._results: list[tuple[float, list[str]]] = []  # when, and the paces of what was done

    def count(self, result: ChunkResult) -> None:
        """Add a chunk: what its worker took is shared out among the items that it did."""
        done = [o for o in result.outcomes if o.status == "done" and o.record is not None]
        for file in result.written:
            self._warm[self._files[file.output]].add(0.0, file.size)
        if not done:
            return
        own = sum(outcome.seconds for outcome in result.outcomes)
        known = (result.worker, "") in self._met
        beside = result.seconds - own if result.seconds and known else 0.0
        scale = result.seconds / own if beside < 0 else 1.0
        first: dict[str, int] = {}
        for outcome in done:
            step = outcome.item[0]
            if (result.worker, step) not in self._met:
                self._met.add((result.worker, step))
                first[step] = outcome.batch
            cold = first.get(step, 0) > 0
            first[step] = first.get(step, 0) - 1
            self._add(outcome, outcome.seconds * scale + max(0.0, beside) / len(done), cold=cold)
        self._met.add((result.worker, ""))
        self._results.append((time.monotonic(), [self._names[o.item[0]][1] for o in done]))

    def _add(self, outcome: Outcome, seconds: float, *, cold: bool) -> None:
        assert outcome.record is not None
        size = outcome.record.size + RECORD_BYTES + PORT_BYTES * len(outcome.record.ports)
        for name in self._names[outcome.item[0]]:
            (self._cold if cold else self._warm)[name].add(seconds, size)

    def paces(self, slots: int) -> dict[str, Pace]:
        """What one item of each op took, and the run beside its items; nothing if none was done."""
        if not self._results:
            return {}
        found = {name: some.mean for name, some in {**self._cold, **self._warm}.items()}
        (first, begun), *others = self._results
        last = self._results[-1][0]
        start = first - self._began - sum(found[name].seconds for name in begun)
        found[BESIDE] = Pace(max(0.0, start) + time.monotonic() - last, 0.0)
        busy = sum(found[name].seconds for _, names in others for name in names)
        if busy and len(others) >= TELLING * slots:
            found[STRETCH] = Pace(max(1.0, (last - first) * slots / busy), 0.0)
        return found
