"""Who gets another try: tries per item, pauses between them, and what a dead worker left done."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from engine.dag import Step
from engine.errors import DETERMINISTIC
from engine.hands import Grip
from engine.jobs import Chunk, ChunkResult, ItemId, Outcome, Status
from engine.records import Record
from engine.supply import within

#: Pause before the second try; doubled for every further one.
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


class Tries:
    """Tries used per item, against the `retries` of its step."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = steps
        self._used: Counter[ItemId] = Counter()

    def use(self, item: ItemId) -> bool:
        """Note a failed try; tell whether the item may have another."""
        self._used[item] += 1
        return self._used[item] <= self._steps[item[0]].retries

    def pause(self, items: Collection[ItemId]) -> float:
        """Seconds to wait before these items are tried again."""
        most = max(self._used[item] for item in items)
        return float(min(FIRST_PAUSE_S * 2 ** (most - 1), LONGEST_PAUSE_S))


def is_passing(outcome: Outcome) -> bool:
    """Whether a failure may go away by itself."""
    return outcome.status == "quarantined" and outcome.reason not in DETERMINISTIC


def without(result: ChunkResult, chunk: Chunk, again: Collection[ItemId]) -> ChunkResult:
    """Take items that get another try out of a result, and what was skipped because of them."""
    open_ = set(again)
    for job in chunk.jobs:  # in topological order
        if open_.intersection(within(job.inputs())):
            open_.add(job.id)
    kept = tuple(
        outcome
        for outcome in result.outcomes
        if outcome.item not in open_ or (outcome.status != "skipped" and outcome.item not in again)
    )
    return replace(result, outcomes=kept)


def left_done(chunk: Chunk, records: Iterable[Record]) -> ChunkResult:
    """Make the result of a chunk whose worker died, from the packs it had written."""
    known = {record.key: record for record in records}
    outcomes = []
    for job in chunk.jobs:
        record = known.get(job.key)
        if record is None:
            continue
        if record.status == "ok":
            done = Outcome(job.id, "done", job.key, record, seconds=record.seconds)
        else:
            fate: Status = "quarantined" if record.reason else "skipped"
            done = Outcome(job.id, fate, job.key, record, record.reason, record.message)
        outcomes.append(done)
    return ChunkResult(chunk.id, tuple(outcomes), ())


def cause_of_death(grip: Grip) -> str:
    """Say how a worker died, from the trace it left."""
    first = grip.trace.splitlines()[0] if grip.trace else ""
    if grip.overdue:
        return "it took longer than its timeout and was ended"
    if first.startswith("Fatal Python error: "):
        return f"it crashed the worker process: {first.removeprefix('Fatal Python error: ')}"
    return "its worker process was killed (by hand, or because the machine ran out of memory)"
