"""What a run would do, counted without doing it: axes, items, cached, to run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.glance import Terms
from engine.page import duration, number, plural
from engine.plan import Board
from engine.session import Request, Session, numerics, open_session, paces, questions


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


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan. `unread` counts photos whose content no run has read yet: they count as to run."""

    steps: Mapping[str, PlannedStep]
    unread: int = 0

    def as_json(self) -> dict[str, Any]:
        """The plan as `--json` prints it."""
        kept = ("axes", "items", "cached", "to_run")
        steps = {
            name: {key: value for key, value in asdict(step).items() if key in kept}
            for name, step in self.steps.items()
        }
        return {"steps": steps}

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
        guesses = [step.seconds for step in self.steps.values() if step.seconds is not None]
        if any(guesses):
            yield f"about {duration(sum(guesses))} of work, going by past runs"


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
    pace = paces(session.memo)
    steps: dict[str, PlannedStep] = {}
    for name, step in session.declared.steps.items():
        space, count = session.items.spaces[name], counts[name]
        each = pace(step.op.name)
        steps[name] = PlannedStep(
            axes=dict(zip(space.axes, space.sizes, strict=True)),
            items=count["items"],
            cached=count["cached"],
            to_run=count["to_run"],
            quarantined=count["quarantined"],
            skipped=count["skipped"],
            seconds=None if each is None else each * count["to_run"],
        )
    return PlanResult(steps, unread=board.unread)
