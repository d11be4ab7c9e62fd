"""One whole run: from a request to files, ledger, manifest and report."""

import gc
import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.aside import NOTHING, Aside, set_aside
from engine.cluster import CUT_OFF, Workers, is_cut_off, open_workers, planned_slots
from engine.compaction import compact
from engine.console import Screen
from engine.dag import Step
from engine.dispatch import Dispatch, Hooks
from engine.errors import RunError, UsageError, WorkflowError
from engine.export import STAGING
from engine.farewell import say_farewell
from engine.folder import clear_remains, locked
from engine.glance import Terms
from engine.greeting import files_needed
from engine.history import load_items
from engine.jobs import Program
from engine.ledger import Ledger
from engine.local import refuse_to_start_again
from engine.notes import Notes
from engine.outputs import Standing
from engine.page import plural
from engine.plan import Board
from engine.records import Record
from engine.report import write_report
from engine.session import Request, Session, numerics, open_session, questions
from engine.signals import CANCEL, Interrupts, interrupts
from engine.staging import write_whole
from engine.store import sweep
from engine.story import opening, pairs
from engine.tables import lost_rows, write_tables

#: At the end of a run small packs are merged for so many seconds, or such a share of what it took.
TIDY_S, TIDY_SHARE = 10.0, 0.1


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `outputs` counts the declared files that exist now; `files` are they.

    `steps` tells of every step how many items it has, and how many were done (computed in this
    run), cached (known already), quarantined and skipped; and the seconds that its work took.
    """

    exit_code: int
    run_dir: Path
    outputs: int
    seconds: float
    steps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    message: str = ""
    aside: Aside = NOTHING
    files: tuple[Path, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        return {
            "exit_code": self.exit_code,
            "run_dir": str(self.run_dir),
            "outputs": self.outputs,
            "seconds": round(self.seconds, 3),
            "steps": self.steps,
        }

    def as_text(self) -> str:
        """The result for people."""
        told = [f"{plural(self.outputs, 'output')} in {self.run_dir.parent}"]
        skipped = sum(int(step["skipped"]) for step in self.steps.values())
        counts = (
            (self.aside.missing, "set aside"),
            (self.aside.covered, "set aside and covered by coalesce"),
            (skipped, "skipped"),
        )
        told += [f"{plural(count, 'item')} {word}" for count, word in counts if count]
        return ", ".join(told)


def run_request(request: Request) -> RunResult:
    """Run a workflow: compute what is not known yet, write its outputs, tell what happened.

    Raises: SpecError, UsageError, StoreError when it cannot begin; what happens later is in the
    result's exit code and message.
    """
    refuse_to_start_again()
    with Screen(quiet=request.quiet, verbose=request.verbose) as screen:
        with (
            open_session(request) as session,
            locked(session.out, session.run_dir),
            Ledger(session.run_dir) as ledger,
            interrupts(session.run_dir / CANCEL) as seen,
            patient_collector(),
        ):
            result = _Run(session, ledger, screen, seen).go()
        try:
            report = f"report: {write_report(result.run_dir)}"
        except (WorkflowError, OSError) as error:
            report = f"no report: {error}"
        if result.message:
            screen.warn(f"error: {result.message}")
        screen.say(f"{result.as_text()}; {report}")
        if request.on_finish and (said := say_farewell(request.on_finish, result.as_json())):
            screen.warn(said)
    return result


class _Run:
    """One run in an opened session whose folder is locked."""

    def __init__(self, session: Session, ledger: Ledger, screen: Screen, seen: Interrupts) -> None:
        self.session = session
        self.ledger = ledger
        self.seen = seen
        self.graph = session.items.graph
        self.refused = _refused(session.run_dir, session.request.reasons)
        ledger.begin(opening(session))
        self.standing = Standing(session.out, ledger.outputs())
        request = session.request
        terms = Terms(
            out_root=str(session.out),
            numerics=numerics(request),
            forced=frozenset(request.force),
            slots=planned_slots(request.cluster),
            pools=bool(request.cluster.gpus),
        )
        ask = replace(questions(session), records=self._records, current=self.standing.current)
        self.board = Board(session.items, ask, terms)
        self.notes = Notes(session, ledger, self.standing, screen, self.board)
        self.tables: list[str] = []

    def go(self) -> RunResult:
        """Do everything; whatever goes wrong on the way is in the result."""
        began = time.monotonic()
        problem: WorkflowError | None = None
        try:
            self._prepare()
            self._compute()
            self._keep_house(time.monotonic() - began)
        except WorkflowError as error:
            problem = error
        except OSError as error:
            problem = RunError(refusal(error))
        self.notes.beat()
        result = self._result(problem, time.monotonic() - began)
        self._finish(result)
        return result

    def _records(self, keys: Collection[str]) -> Mapping[str, Record]:
        """What the index knows; failures are forgotten when they are to be tried again."""
        found = self.session.index.lookup(keys)
        if not self.session.request.retry_failed:
            return found
        kept = {key: record for key, record in found.items() if record.status == "ok"}
        return {**{key: self.refused[key] for key in keys if key in self.refused}, **kept}

    def _prepare(self) -> None:
        """Sweep what a killed run left, and keep the workflow beside its results."""
        session = self.session
        clear_remains(session.out, session.run_dir)
        sweep(session.store)
        text = session.declared.text.encode()
        write_whole(session.run_dir / "workflow.yaml", [text], session.out / STAGING)

    def _compute(self) -> None:
        """Run chunks until every item is settled and every file is there."""
        session, notes = self.session, self.notes
        program = Program(
            steps={name: travelling(step) for name, step in self.graph.steps.items()},
            store_root=str(session.store),
            run_dir=str(session.run_dir),
            out_root=str(session.out),
            device="cuda:0" if session.request.cluster.gpus else "cpu",
        )
        hooks = Hooks(notes.absorb, notes.settled, notes.learned, notes.event, notes.tick)
        with ExitStack() as stack:

            def start() -> Workers:
                shared, spec = (session.store, session.run_dir), session.request.cluster
                photos = [listing[0].path for listing in session.items.listings.values() if listing]
                files = files_needed(self.graph, photos) if spec.elsewhere else ()
                return stack.enter_context(open_workers(spec, session.run_dir, shared, files))

            dispatch = Dispatch(self.board, program, hooks, start, self.seen)
            dispatch.run()
            while lost := lost_rows(self.board):
                for one in lost:
                    self.board.lose(one)
                dispatch.run()
        self.tables = write_tables(session, self.board, self.standing, self.ledger)
        if notes.unwritten:
            count = plural(len(notes.unwritten), "output")
            raise RunError(f"{count} could not be written; the first one: {notes.unwritten[0]}")

    def _keep_house(self, took: float) -> None:
        """Leave the cache tidy: few files, no more bytes than asked for.

        A run of `took` seconds is not held up for long by it; what is left, later ones do.
        """
        session = self.session
        self.notes.remember_paces()
        session.index.touch(self.board.states.packs)
        if (most := self.graph.run.max_size_bytes) is not None:
            session.index.evict(most)  # first: a merged pack goes or stays as a whole
        until = time.monotonic() + max(TIDY_S, TIDY_SHARE * took)

        def enough() -> bool:
            return self.seen.draining or time.monotonic() > until

        compact(session.store, session.index, limit=most, stop=enough)

    # -- the end ---------------------------------------------------------------------------------

    def _declared(self) -> Iterator[str]:
        """The paths of all outputs that this run is to have made."""
        for output, paths in zip(self.graph.outputs, self.board.surveyor.paths, strict=True):
            for number, path in paths.items():
                if not self.board.states.blocked((output.ref.node, number)):
                    yield path
        yield from self.tables

    def _result(self, problem: WorkflowError | None, seconds: float) -> RunResult:
        counts = self.board.counts()
        steps = {
            name: {
                **{fate: n for fate, n in counts[name].items() if fate != "to_run"},
                "seconds": round(self.notes.seconds[name], 3),
            }
            for name in self.session.declared.steps
        }
        declared = list(self._declared())
        there = [path for path in declared if self.standing.exists(path)]
        gone = sorted(set(declared) - set(there))
        if gone and problem is None:
            told = f"{plural(len(gone), 'output')} of this run disappeared, such as {gone[0]}"
            problem = RunError(f"{told}; the same command again makes what is missing")
        aside = set_aside(self.board)
        code = problem.exit_code if problem else 3 if aside.missing else 0
        run_dir = self.session.run_dir
        files = tuple(self.session.out / path for path in sorted(there))
        told = str(problem or "")
        return RunResult(code, run_dir, len(files), seconds, steps, told, aside, files)

    def _finish(self, result: RunResult) -> None:
        """Write down how the run ended: stale files, manifest, the last word in the ledger."""
        session = self.session
        rows = [row for path in self._declared() if (row := self.standing.row(path)) is not None]
        stale = self._stale() if result.exit_code in (0, 3) else []
        summary = {
            **result.as_json(),
            "error": result.message,
            "stale": stale,
            "covered": sorted(result.aside.covered_items),
            "pairs": pairs(session.items, rows),
        }
        manifest = {
            "name": self.graph.name,
            "outputs": [
                {"path": r.path, "step": r.item[0], "sha256": r.digest, "bytes": r.size}
                for r in sorted(rows, key=lambda row: row.path)
            ],
        }
        text = json.dumps(manifest, indent=1).encode()
        try:
            write_whole(session.run_dir / "manifest.json", [text], session.out / STAGING)
        finally:
            self.ledger.finish(summary)
            clear_remains(session.out, session.run_dir)

    def _stale(self) -> list[str]:
        """Files of earlier runs that nothing declares now; with --prune they go."""
        request = self.session.request
        if request.limit is not None or request.until:
            return []  # the rest is not declared only because it was not asked for
        stale = self.standing.stale(list(self._declared()))
        if not request.prune:
            return stale
        gone = self.standing.prune(stale)
        self.ledger.forget_outputs(gone)
        return [path for path in stale if path not in set(gone)]


def _refused(run_dir: Path, reasons: Collection[str]) -> dict[str, Record]:
    """What the last run set aside for other reasons than these, which stays so; by key."""
    if not reasons:
        return {}
    try:
        rows = load_items(run_dir, status="quarantined")
    except UsageError:  # there was none
        return {}
    return {
        row.key: Record(row.key, "failed", row.reason, row.message)
        for row in rows
        if row.reason not in reasons
    }


def refusal(error: OSError) -> str:
    """What a disk or a network refused, in words."""
    if is_cut_off(error):
        return CUT_OFF
    if error.filename is None:
        return f"{type(error).__name__}: {error}"
    return f"{error.filename} cannot be written: {error.strerror}"


@contextmanager
def patient_collector() -> Iterator[None]:
    """Let Python look for cycles less often: planning makes many small objects and no cycles.

    It takes a third off the time of a repeated run.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def travelling(step: Step) -> Step:
    """A step as workers need it: without texts, and without types that only a driver has."""
    settings = tuple(replace(setting, annotation=None) for setting in step.op.settings)
    return replace(step, op=replace(step.op, settings=settings, doc=""))
