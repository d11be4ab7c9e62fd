"""How a run is doing right now: a small file in its folder, rewritten while it goes on.

`pulse.json` is for `status` in another terminal, `metrics.prom` says the same in the text format of
Prometheus, for the node exporter's textfile collector.
"""

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.jobs import ChunkResult
from engine.pace import Counts, time_left_s
from engine.staging import write_whole

PULSE = "pulse.json"
METRICS = "metrics.prom"
#: The rate is that of so many last seconds.
WINDOW_S = 60.0
#: What Prometheus calls the counts of a worker.
COUNTERS = {
    "chunks": "chunks",
    "items": "items",
    "seconds": "seconds",
    "computing_seconds": "computing",
}


@dataclass(slots=True)
class Worker:
    """What one worker has done in this run, and when it was last heard of (since 1970).

    Of the `seconds` that it had work, ops took `computing`; the rest it waited for inputs, outputs.
    """

    chunks: int = 0
    items: int = 0
    seconds: float = 0.0
    computing: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """A run at one moment. `rate` is in computed items per second, `eta_s` None when unknown."""

    at: float
    counts: Counts
    rate: float
    eta_s: float | None
    workers: Mapping[str, Worker] = field(default_factory=dict)


class Meter:
    """Measures a run as it goes."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}
        self._moments: deque[tuple[float, int]] = deque([(time.time(), 0)])

    def count(self, result: ChunkResult) -> None:
        """Take in what a worker did."""
        worker = self._workers.setdefault(result.worker or "driver", Worker())
        worker.chunks += 1
        worker.items += sum(outcome.status == "done" for outcome in result.outcomes)
        worker.seconds += result.seconds
        worker.computing += result.computing
        worker.at = time.time()

    def take(self, counts: Counts, now: float | None = None) -> Pulse:
        """Take the pulse."""
        now = time.time() if now is None else now
        done = sum(count["done"] for count in counts.values())
        self._moments.append((now, done))
        while len(self._moments) > 2 and now - self._moments[1][0] > WINDOW_S:
            self._moments.popleft()
        then, before = self._moments[0]
        rate = (done - before) / (now - then) if now > then else 0.0
        return Pulse(now, counts, rate, time_left_s(counts, rate), dict(self._workers))


def write_pulse(run_dir: Path, pulse: Pulse) -> None:
    """Write both files."""
    staging = run_dir / "staging"
    write_whole(run_dir / PULSE, [json.dumps(asdict(pulse)).encode()], staging)
    write_whole(run_dir / METRICS, [metrics(pulse).encode()], staging)


def read_pulse(run_dir: Path) -> Pulse | None:
    """Read the last pulse of a run; None when it has none."""
    try:
        told = json.loads((run_dir / PULSE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    workers = {name: Worker(**worker) for name, worker in told.pop("workers").items()}
    return Pulse(**told, workers=workers)


def metrics(pulse: Pulse) -> str:
    """Write a pulse as Prometheus reads it."""
    lines = ["# TYPE latentloom_items gauge"]
    lines += [
        f'latentloom_items{{step="{_escaped(step)}",state="{state}"}} {count}'
        for step, counts in pulse.counts.items()
        for state, count in counts.items()
        if state != "items"
    ]
    lines += ["# TYPE latentloom_items_per_second gauge"]
    lines += [f"latentloom_items_per_second {pulse.rate:.6g}"]
    if pulse.eta_s is not None:
        lines += ["# TYPE latentloom_seconds_left gauge"]
        lines += [f"latentloom_seconds_left {pulse.eta_s:.6g}"]
    for name, counted in COUNTERS.items():
        if pulse.workers:
            lines.append(f"# TYPE latentloom_worker_{name}_total counter")
        lines += [
            f'latentloom_worker_{name}_total{{worker="{_escaped(worker)}"}} '
            f"{getattr(told, counted):.10g}"
            for worker, told in pulse.workers.items()
        ]
    lines += ["# TYPE latentloom_updated_seconds gauge"]
    lines += [f"latentloom_updated_seconds {pulse.at:.3f}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Write a label's value as the format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
