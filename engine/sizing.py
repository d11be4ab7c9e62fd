"""How many homes one chunk takes: about five seconds of work, and no less than a full batch.

Inside a chunk, work goes wave by wave: some homes through all steps, then the next ones. A wave is
as large as the largest batch, so that all calls are full; what it holds in memory stays small, the
first results come early, and photos of the next wave are decoded while this one is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from engine.dag import Step
from engine.items import Items
from engine.segments import Segment

#: Seconds of work one chunk should hold, and the most home items in it.
CHUNK_SECONDS = 5.0
MOST_HOMES = 512
#: How many homes make the first chunk where nobody knows how long one takes.
FIRST = 8


@dataclass(slots=True)
class Size:
    """The size of a segment's next chunk and of its waves, and the pace that it follows from."""

    homes: int
    least: int = 1
    wave: int = 1
    pace: float | None = None  # seconds per home

    def measure(self, seconds: float, homes: int) -> None:
        """Let the pace of a finished chunk set the size of the next ones."""
        pace = seconds / homes
        self.pace = pace if self.pace is None else 0.7 * self.pace + 0.3 * pace
        self._set(min(int(CHUNK_SECONDS / self.pace), self.homes * 4))

    def halve(self) -> None:
        """Take less from now on: one item of a chunk held up all others."""
        self._set(self.homes // 2)

    def _set(self, homes: int) -> None:
        self.homes = max(1, self.least, min(homes, MOST_HOMES))


def first_size(
    part: Segment, items: Items, seconds: Callable[[str], float | None], *, gpu: bool
) -> Size:
    """The size to begin with: from past timings of the ops, else few where networks work."""
    steps = [items.graph.steps[name] for name in part.steps]
    least = max((_least(part, items, step, gpu=gpu) for step in steps), default=1)
    past = [seconds(step.op.name) for step in steps]
    known = sum(took for took in past if took)
    if known and None not in past:
        homes = int(CHUNK_SECONDS / known)
    else:
        homes = 1 if any(step.models for step in steps) else FIRST
    wave = max((_batch(step, gpu=gpu) for step in steps), default=1)
    return Size(max(1, least, min(homes, MOST_HOMES)), least, wave)


def _least(part: Segment, items: Items, step: Step, *, gpu: bool) -> int:
    """How many homes fill one call of an op: a call of fixed size costs the same with fewer."""
    if not step.op.options.fixed or not part.home:
        return 1
    each = max(1, items.spaces[step.name].count() // max(1, items.sizes[part.home]))
    return -(-_batch(step, gpu=gpu) // each)


def _batch(step: Step, *, gpu: bool) -> int:
    return step.batch or (step.op.options.batch_cuda if gpu else step.op.options.batch)
