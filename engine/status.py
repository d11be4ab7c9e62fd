"""How far a run is, or how it ended, told from its folder alone."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.history import ItemRow, RunRecord, load_items, load_run
from engine.page import STATES, duration, number, plural
from engine.pulse import Pulse, read_pulse
from engine.report import COVERED, state_of
from engine.session import RUN_FOLDER
from engine.story import read_outline

#: Quarantined items that are named one by one.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What became of the items of a run so far, by step."""

    state: str
    run_dir: Path
    exit_code: int | None
    seconds: float
    steps: Mapping[str, Mapping[str, int]]
    refused: tuple[ItemRow, ...]
    covered: frozenset[tuple[str, int]] = frozenset()
    part: str = ""
    in_all: float = 0.0  # seconds that the items took whenever they were made
    pulse: Pulse | None = None  # of a run that goes on

    def as_json(self) -> dict[str, Any]:
        """The status as `--json` prints it."""
        return {
            "state": self.state,
            "run_dir": str(self.run_dir),
            "exit_code": self.exit_code,
            "seconds": self.seconds,
            "steps": self.steps,
            **self._live(),
            "quarantined": [
                {"step": r.step, "item": r.label, "reason": r.reason, "message": r.message}
                for r in self.refused
            ],
        }

    def _live(self) -> dict[str, Any]:
        """What there is to say of a run that goes on."""
        if self.pulse is None:
            return {}
        told = asdict(self.pulse)
        return {name: told[name] for name in ("rate", "eta_s", "workers")}

    def _pace(self) -> Iterator[str]:
        """The same for people."""
        if self.pulse is None:
            return
        if self.pulse.rate:
            left = f", about {duration(self.pulse.eta_s)} left" if self.pulse.eta_s else ""
            yield f"  {self.pulse.rate:.3g} items/s{left}"
        for name, worker in self.pulse.workers.items():
            done = f"{plural(worker.chunks, 'chunk')}, {plural(worker.items, 'item')}"
            ago = duration(max(0.0, time.time() - worker.at))
            share = f" ({worker.computing / worker.seconds:.0%} in ops)" if worker.seconds else ""
            took = f"{duration(worker.seconds)}{share}"
            yield f"  worker {name}: {done} in {took}, last heard {ago} ago"

    def as_text(self) -> str:
        """The status for people."""
        made = f"; its items took {duration(self.in_all)} in all" if self.in_all >= 0.05 else ""
        lines = [f"{STATES[self.state]} ({duration(self.seconds)}{made})"]
        if self.part:
            lines.append(f"  only a part of the workflow was asked for: {self.part}")
        width = max((len(name) for name in self.steps), default=0)
        for name, counts in self.steps.items():
            told = ", ".join(f"{number(count)} {fate}" for fate, count in counts.items())
            lines.append(f"  {name:<{width}}  {told}")
        lines += self._pace()
        named = self.refused[:MOST_NAMED]
        lines += [
            f"  {row.reason}: {row.step} of {row.label}: {row.message}"
            + COVERED * ((row.step, row.item) in self.covered)
            for row in named
        ]
        if len(self.refused) > MOST_NAMED:
            lines.append(f"  ... and {plural(len(self.refused) - MOST_NAMED, 'item')} more")
        return "\n".join(lines)


def _in_order(run: RunRecord) -> list[str]:
    """The steps that have items so far, in the order of the workflow."""
    drawn = [node.id for node in read_outline(run.info["outline"]).nodes if node.id in run.counts]
    return [*drawn, *(name for name in run.counts if name not in drawn)]


def run_folder(out: Path) -> Path:
    """The run folder of an output folder, or that folder itself."""
    return out if out.name == RUN_FOLDER else out / RUN_FOLDER


def _pulse(run_dir: Path, run: RunRecord) -> Pulse | None:
    """The pulse of a run that goes on, once it has one: not that of the run before."""
    pulse = read_pulse(run_dir) if run.running else None
    return pulse if pulse is not None and pulse.at >= run.started else None


def read_status(out: Path) -> RunStatus:
    """Read how the last run in an output folder is doing.

    Raises: UsageError when there was none.
    """
    run_dir = run_folder(out)
    run = load_run(run_dir)
    items = load_items(run_dir, status="quarantined")
    end = run.finished or max((row.at for row in items), default=run.started)
    seconds = float(run.summary.get("seconds", end - run.started))
    return RunStatus(
        state=state_of(run),
        run_dir=run_dir.absolute(),
        exit_code=run.summary.get("exit_code"),
        seconds=round(seconds, 3),
        steps={name: run.counts[name] for name in _in_order(run)},
        refused=tuple(items),
        covered=frozenset((row.step, row.item) for row in items if run.covered(row)),
        part=run.part,
        in_all=round(sum(run.spent.values()), 3),
        pulse=_pulse(run_dir, run),
    )
