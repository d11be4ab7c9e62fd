"""Reading a ledger, from any process, while its run goes on or after it."""

import fcntl
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine.dag import Json
from engine.database import is_damage, open_for_reading
from engine.errors import Reason, StoreError, UsageError
from engine.jobs import Status
from engine.ledger import DATABASE, EVENTS, OutputRow, read_outputs


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What became of one item. `at` is when it was told (seconds since 1970)."""

    step: str
    item: int
    label: str
    status: Status
    key: str
    reason: Reason | None
    message: str
    seconds: float
    batch: int
    at: float
    traceback: str = ""
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as its ledger tells it. Without `finished` it still goes on, or was killed.

    `counts` are items by step and status; `seconds` is the work this run did in each step, `spent`
    the work that all its items took when they were made.
    """

    run: int
    started: float
    finished: float | None
    info: Mapping[str, Json]
    summary: Mapping[str, Json]
    running: bool
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    outputs: Mapping[str, OutputRow] = field(default_factory=dict)

    @property
    def part(self) -> str:
        """The flags that made this a run of a part of its workflow; empty for a whole one."""
        return str(self.info.get("part", ""))

    def covered(self, row: ItemRow) -> bool:
        """Whether an item that was set aside is missed by nothing: a coalesce took another."""
        return [row.step, row.item] in self.summary.get("covered", ())


_COLUMNS = (
    "SELECT i.step, i.item, i.label, i.status, i.key, i.reason, i.message, i.seconds, i.batch, "
    "i.at, coalesce(t.traceback, ''), coalesce(t.thumbnail, x'') FROM items i "
    "LEFT JOIN troubles t ON t.run = i.run AND t.step = i.step AND t.item = i.item "
)
#: Statuses that took time in their own run; a cached item's seconds are an earlier run's.
_WORKED = ("done", "quarantined")
_LAST = "(SELECT max(id) FROM runs)"


def load_run(run_dir: Path) -> RunRecord:
    """Read the last run of a folder.

    Raises: UsageError when no run was ever begun there; StoreError when it cannot be read.
    """
    with _reading(run_dir) as db:
        row = db.execute(
            f"SELECT id, started, finished, info, summary FROM runs WHERE id = {_LAST}"  # noqa: S608
        ).fetchone()
        if row is None:
            raise _nothing(run_dir)
        run, started, finished, info, summary = row
        counts: dict[str, dict[str, int]] = {}
        seconds: dict[str, float] = {}
        spent: dict[str, float] = {}
        query = (
            "SELECT step, status, count(*), sum(seconds) FROM items WHERE run = ? "
            "GROUP BY step, status"
        )
        for step, status, count, took in db.execute(query, (run,)):
            counts.setdefault(step, {})[status] = count
            spent[step] = spent.get(step, 0.0) + took
            seconds[step] = seconds.get(step, 0.0) + (took if status in _WORKED else 0.0)
        return RunRecord(
            run,
            started,
            finished,
            json.loads(info),
            json.loads(summary or "{}"),
            is_running(run_dir),
            counts,
            seconds,
            spent,
            read_outputs(db),
        )


def load_items(run_dir: Path, *, step: str = "", status: str = "") -> list[ItemRow]:
    """Read what became of the items of the last run: all, or those of a step or status."""
    where = f"WHERE i.run = {_LAST} AND (? = '' OR i.step = ?) AND (? = '' OR i.status = ?)"
    with _reading(run_dir) as db:
        rows = db.execute(_COLUMNS + where, (step, step, status, status))
        return [ItemRow(*row) for row in rows]


def load_fate(run_dir: Path, step: str, label: str) -> ItemRow | None:
    """Read what the last run that came to an item made of it."""
    where = "WHERE i.step = ? AND i.label = ? ORDER BY i.run DESC LIMIT 1"
    with _reading(run_dir) as db:
        row = db.execute(_COLUMNS + where, (step, label)).fetchone()
        return None if row is None else ItemRow(*row)


def load_times(run_dir: Path) -> tuple[list[float], float]:
    """When each item of the last run was computed, in seconds from its start, and what it saved.

    The second number is the computing that cached items took when they were made.
    """
    moments = (
        "SELECT at - started FROM items JOIN runs ON runs.id = items.run "
        "WHERE run = (SELECT max(id) FROM runs) AND status = 'done' ORDER BY at"
    )
    saved = (
        "SELECT coalesce(sum(seconds), 0) FROM items "
        "WHERE run = (SELECT max(id) FROM runs) AND status = 'cached'"
    )
    with _reading(run_dir) as db:
        return [at for (at,) in db.execute(moments)], float(db.execute(saved).fetchone()[0])


def load_components(run_dir: Path, step: str, label: str) -> Mapping[str, Json] | None:
    """Read the parts of an item's key as the last run that examined it saw them."""
    query = "SELECT told FROM components WHERE step = ? AND label = ? ORDER BY run DESC LIMIT 1"
    with _reading(run_dir) as db:
        row = db.execute(query, (step, label)).fetchone()
    found: Mapping[str, Json] | None = None if row is None else json.loads(row[0])
    return found


def load_events(run_dir: Path) -> list[dict[str, Json]]:
    """Read the story; a line cut short by a kill is left out."""
    found: list[dict[str, Json]] = []
    try:
        lines = (run_dir / EVENTS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def is_running(run_dir: Path) -> bool:
    """Tell whether some process holds the run folder's lock."""
    try:
        with (run_dir / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _reading(run_dir: Path) -> Iterator[sqlite3.Connection]:
    if not (run_dir / DATABASE).exists():
        raise _nothing(run_dir)
    try:
        with closing(open_for_reading(run_dir / DATABASE)) as db:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                raise _nothing(
                    run_dir
                )  # an empty file: it was not made yet, or has lost everything
            yield db
    except sqlite3.DatabaseError as error:
        hint = "; the next run makes a new one, outputs and cache are not touched"
        told = f"the ledger in {run_dir} cannot be read: {error}"
        raise StoreError(told + (hint if is_damage(error) else "")) from error


def _nothing(run_dir: Path) -> UsageError:
    return UsageError(f"no run was made in {run_dir.parent}; name the folder that outputs went to")
