"""What a run would do, counted without doing it: axes, items, cached, to run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.cluster import planned_slots
from engine.costs import BESIDE, STRETCH, exact, written
from engine.glance import Terms
from engine.memo import Pace
from engine.page import duration, number, plural, size_text
from engine.plan import Board
from engine.session import Request, Session, numerics, open_session, questions


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a plan. `axes` gives their sizes; quarantined and skipped are known already."""

    axes: Mapping[str, int]
    items: int
    cached: int
    to_run: int
    quarantined: int = 0
    skipped: int = 0
    seconds: float | None = None  # guessed from past runs, for one worker
    size: float | None = None  # bytes in the store, guessed likewise
    files_size: float | None = 0.0  # bytes of output files, guessed likewise


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan. `unread` counts photos whose content no run has read yet: they count as to run.

    `beside` is what a run takes beside its items, in seconds, and `stretch` how much longer it
    takes than its workers would if they never waited.
    """

    steps: Mapping[str, PlannedStep]
    unread: int = 0
    slots: int = 1
    beside: float = 0.0
    stretch: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """The plan as `--json` prints it."""
        kept = ("axes", "items", "cached", "to_run")
        steps = {
            name: {key: value for key, value in asdict(step).items() if key in kept}
            for name, step in self.steps.items()
        }
        guessed = {"seconds": self.seconds, "bytes": self.size, "output_bytes": self.files_size}
        return {"steps": steps, "estimate": {**guessed, "workers": self.slots}}

    @property
    def seconds(self) -> float | None:
        """Seconds that the run will take; None when no past run tells."""
        work = _sum([step.seconds for step in self._to_run()])
        return None if work is None else round(self._wall(work), 3)

    def _wall(self, work: float) -> float:
        return self.beside + self.stretch * work / self.slots if self._to_run() else 0.0

    def _to_run(self) -> list[PlannedStep]:
        return [step for step in self.steps.values() if step.to_run]

    @property
    def size(self) -> int | None:
        """Bytes that will be added to the cache; None when no past run tells."""
        size = _sum([step.size for step in self._to_run()])
        return None if size is None else round(size)

    @property
    def files_size(self) -> int | None:
        """Bytes of the output files that will be written; None when no past run tells."""
        size = _sum([step.files_size for step in self._to_run()])
        return None if size is None else round(size)

    def as_text(self) -> str:
        """The plan for people: one line per step."""
        rows = [
            (name, _axes(step.axes), number(step.items), _fate(step))
            for name, step in self.steps.items()
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
        lines = [
            f"{name:<{widths[0]}}  {axes:<{widths[1]}}  {items:>{widths[2]}} {noun}  {fate}"
            for name, axes, items, fate in rows
            for noun in ["item " if items == "1" else "items"]
        ]
        return "\n".join([*lines, *self._footer()])

    def _footer(self) -> Iterator[str]:
        """What stands below the table."""
        if self.unread:
            yield f"{plural(self.unread, 'photo')} not read yet: what is cached shows in the run"
        if self.seconds:
            workers = plural(self.slots, "worker")
            told = f"about {duration(self.seconds)} on {workers}"
            told += f", {size_text(self.size)} of cache" if self.size else ""
            told += f", {size_text(self.files_size)} of outputs" if self.files_size else ""
            yield f"{told}, going by past runs"


def _sum(guesses: Sequence[float | None]) -> float | None:
    """The sum of guesses, if there is one for everything."""
    known = [guess for guess in guesses if guess is not None]
    return sum(known) if len(known) == len(guesses) else None


def _axes(axes: Mapping[str, int]) -> str:
    """Write '[photo 1 200 × ref 8]'."""
    return f"[{' × '.join(f'{name} {number(size)}' for name, size in axes.items())}]"


def _fate(step: PlannedStep) -> str:
    """Write what is to run, and what is not."""
    parts = [
        (step.to_run, "to run"),
        (step.cached, "cached"),
        (step.quarantined, "set aside"),
        (step.skipped, "skipped"),
    ]
    told = [f"{number(count)} {word}" for count, word in parts if count]
    if step.seconds:
        told[0] += f" (about {duration(step.seconds)})"
    return ", ".join(told)


def plan_request(request: Request) -> PlanResult:
    """Count what a run would do.

    Raises: SpecError, UsageError, StoreError.
    """
    with open_session(request) as session:
        return forecast(session)


def open_board(session: Session) -> Board:
    """Make a board that only counts."""
    terms = Terms(
        out_root=str(session.out),
        numerics=numerics(session.request),
        forced=frozenset(session.request.force),
        forecast=True,
        pools=bool(session.request.cluster.gpus),
    )
    return Board(session.items, questions(session), terms)


def survey(board: Board) -> Board:
    """Survey everything without handing anything out."""
    while board.next_chunk(board.news) is not None:
        pass
    return board


def forecast(session: Session) -> PlanResult:
    """Count what a run would do in an opened session."""
    board = survey(open_board(session))
    counts = board.counts()
    paces = session.memo.paces()
    steps: dict[str, PlannedStep] = {}
    for name, step in session.declared.steps.items():
        space, count = session.items.spaces[name], counts[name]
        pace = paces.get(exact(step, numerics(session.request))) or paces.get(step.op.name)
        if step.coalesce:  # a choice, which no worker makes
            pace = Pace(0.0, 0.0)
        files = [
            paces.get(written(step, output))
            for output in session.declared.outputs
            if output.ref.node == name and not output.table
        ]
        grown = _sum([pace.size if pace is not None else None for pace in files])
        steps[name] = PlannedStep(
            axes=dict(zip(space.axes, space.sizes, strict=True)),
            items=count["items"],
            cached=count["cached"],
            to_run=count["to_run"],
            quarantined=count["quarantined"],
            skipped=count["skipped"],
            seconds=None if pace is None else pace.seconds * count["to_run"],
            size=None if pace is None else pace.size * count["to_run"],
            files_size=None if grown is None else grown * count["to_run"],
        )
    beside, stretch = paces.get(BESIDE, Pace(0.0, 0.0)), paces.get(STRETCH, Pace(1.0, 0.0))
    slots = planned_slots(session.request.cluster)
    return PlanResult(steps, board.unread, slots, beside.seconds, stretch.seconds)
