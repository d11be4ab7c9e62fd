"""What happened to every item of a run: durable, batched, readable by others while it goes on.

`ledger.sqlite` holds this run and the two before it, by (run, step, item), and the files that were
written; `events.jsonl` tells the story line by line. For one thread.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.dag import Json
from engine.database import (
    check_sound,
    hint_of,
    is_damage,
    open_database,
    set_aside,
    transaction,
)
from engine.errors import StoreError
from engine.jobs import ItemId, Outcome, Written

DATABASE = "ledger.sqlite"
EVENTS = "events.jsonl"
KEPT_RUNS = 3

_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL, finished REAL, info TEXT, summary TEXT
);
CREATE TABLE items (
    run INTEGER, step TEXT, item INTEGER, label TEXT, status TEXT, key TEXT, reason TEXT,
    message TEXT, seconds REAL, batch INTEGER, at REAL, PRIMARY KEY (run, step, item)
) WITHOUT ROWID;
CREATE TABLE troubles (
    run INTEGER, step TEXT, item INTEGER, key TEXT, traceback TEXT, thumbnail BLOB,
    PRIMARY KEY (run, step, item)
);
CREATE TABLE components (
    run INTEGER, step TEXT, label TEXT, told TEXT, PRIMARY KEY (run, step, label)
) WITHOUT ROWID;
CREATE TABLE outputs (
    path TEXT PRIMARY KEY, output INTEGER, step TEXT, item INTEGER, key TEXT, digest TEXT,
    size INTEGER, mtime_ns INTEGER
) WITHOUT ROWID
"""
#: Rows wait in memory until there are so many of them, or for so long.
_MOST_ROWS = 2000
_LONGEST_S = 0.5


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One file that was written, as it was then. `path` is relative to the output folder."""

    path: str
    output: int
    item: ItemId
    key: str
    digest: str
    size: int
    mtime_ns: int


class Ledger:
    """The ledger in a run folder, open for writing; whoever opens it holds the folder's lock.

    Raises: StoreError when it cannot be written.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / DATABASE
        self._out = run_dir.parent
        self._db = _open_sound(self.path)
        self._events = (run_dir / EVENTS).open("a", encoding="utf-8")
        self._run = 0
        self._items: list[tuple[object, ...]] = []
        self._troubles: list[tuple[object, ...]] = []
        self._components: list[tuple[object, ...]] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting and close; the folder can then be read from anywhere."""
        try:
            self.flush()
            # Without a write-ahead log a finished ledger can be read on a read-only disk.
            self._db.execute("PRAGMA busy_timeout=0")
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # somebody is reading it just now: the log stays, which is as good
        finally:
            self._db.close()
            self._events.close()

    # -- the run ---------------------------------------------------------------------------------

    def begin(self, info: Mapping[str, Json]) -> None:
        """Open a new run; the oldest kept one is forgotten."""
        self.flush()
        self._many("INSERT INTO runs (started, info) VALUES (?, ?)", [(time.time(), _json(info))])
        (self._run,) = self._db.execute("SELECT max(id) FROM runs").fetchone()
        oldest = [(self._run - KEPT_RUNS,)]
        self._many("DELETE FROM runs WHERE id <= ?", oldest)
        self._many("DELETE FROM items WHERE run <= ?", oldest)
        self._many("DELETE FROM troubles WHERE run <= ?", oldest)
        self._many(_FORGET_COMPONENTS, oldest)
        self.event("begin", run=self._run)

    def finish(self, summary: Mapping[str, Json]) -> None:
        """Note how the run ended."""
        self.flush()
        row = (time.time(), _json(summary), self._run)
        self._many("UPDATE runs SET finished = ?, summary = ? WHERE id = ?", [row])
        self.event("finish", **summary)

    def event(self, kind: str, **fields: Json) -> None:
        """Add a line to the story."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind}
        try:
            self._events.write(_json({**line, **fields}) + "\n")
            self._events.flush()
        except OSError as error:
            raise StoreError(f"{self.path.with_name(EVENTS)} cannot be written: {error}") from error

    # -- items -----------------------------------------------------------------------------------

    def record(self, settled: Iterable[tuple[Outcome, str]]) -> None:
        """Note what became of items, each with its label for people; a later word wins."""
        now = time.time()
        for outcome, label in settled:
            address = (self._run, *outcome.item)
            told = (_text(label), outcome.status, outcome.key, outcome.reason)
            cost = (_text(outcome.message), outcome.seconds, outcome.batch, now)
            self._items.append((*address, *told, *cost))
            if outcome.status == "quarantined":
                evidence = (_text(outcome.traceback), outcome.thumbnail)
                self._troubles.append((*address, outcome.key, *evidence))
        late = time.monotonic() - self._flushed > _LONGEST_S
        if late or len(self._items) >= _MOST_ROWS:
            self.flush()

    def record_components(self, told: Iterable[tuple[str, str, Mapping[str, Json]]]) -> None:
        """Keep the parts of keys, by step and label, for `explain` to compare with later ones."""
        self._components += [(self._run, s, _text(label), _json(c)) for s, label, c in told]

    def flush(self) -> None:
        """Write everything that waits, as one transaction."""
        try:
            with transaction(self._db):
                self._insert("items", 11, self._items)
                self._insert("troubles", 6, self._troubles)
                self._insert("components", 4, self._components)
                if self._troubles:
                    self._db.execute(_INHERIT, {"run": self._run})
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error
        for waiting in (self._items, self._troubles, self._components):
            waiting.clear()
        self._flushed = time.monotonic()

    # -- outputs ---------------------------------------------------------------------------------

    def record_outputs(self, written: Iterable[Written]) -> None:
        """Note files that now exist, at once: they are what a repeated run looks at first."""
        rows = [
            (self._name(w.path), w.output, *w.item, w.key, w.digest, w.size, w.mtime_ns)
            for w in written
        ]
        self._many("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def forget_outputs(self, paths: Iterable[str]) -> None:
        """Know nothing of these files any more."""
        names = [(self._name(path),) for path in paths]
        self._many("DELETE FROM outputs WHERE path = ?", names)

    def outputs(self) -> dict[str, OutputRow]:
        """Every file that any run wrote here, by its path relative to the output folder."""
        return read_outputs(self._db)

    def _name(self, path: str) -> str:
        """A path relative to the output folder, as SQLite takes it: names need not be UTF-8."""
        return json.dumps(os.path.relpath(self._out / path, self._out))

    # -- writing ---------------------------------------------------------------------------------

    def _insert(self, table: str, width: int, rows: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * width)
        self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)  # noqa: S608

    def _many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            with transaction(self._db):
                self._db.executemany(statement, rows)
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.DatabaseError) -> StoreError:
        told = f"the ledger {self.path} cannot be written: {error}{hint_of(self.path)}"
        return StoreError(told)


def _open_sound(path: Path) -> sqlite3.Connection:
    """Open a ledger. One that is damaged somewhere is set aside: the next word would fail on it."""
    db, new = open_database(path, _SCHEMA, _VERSION)
    try:
        if not new:
            check_sound(db)
    except sqlite3.DatabaseError as error:
        db.close()
        if not is_damage(error):
            raise StoreError(f"the ledger {path} cannot be read: {error}") from error
        set_aside(path, str(error))
        db, _ = open_database(path, _SCHEMA, _VERSION)
    return db


#: The parts of a key stay until newer ones are told: `explain` works after any number of repeats.
_FORGET_COMPONENTS = """
DELETE FROM components WHERE run <= ? AND EXISTS (
    SELECT 1 FROM components AS newer
    WHERE newer.step = components.step AND newer.label = components.label
        AND newer.run > components.run
)
"""

#: A failure that is only remembered brings no traceback: take over those of the run that saw it.
_INHERIT = """
UPDATE troubles SET
    traceback = old.traceback, thumbnail = old.thumbnail
FROM troubles AS old
WHERE troubles.run = :run AND old.run < :run
    AND old.step = troubles.step AND old.key = troubles.key
    AND troubles.traceback = '' AND length(troubles.thumbnail) = 0
"""


def read_outputs(db: sqlite3.Connection) -> dict[str, OutputRow]:
    """Read the files that were written."""
    query = "SELECT path, output, step, item, key, digest, size, mtime_ns FROM outputs"
    found: dict[str, OutputRow] = {}
    for name, output, step, item, *rest in db.execute(query):
        path = json.loads(name)
        found[path] = OutputRow(path, output, (step, item), *rest)
    return found


def _json(value: Json) -> str:
    return json.dumps(value, default=str)


def _text(text: str) -> str:
    """Make text that SQLite takes of text with an odd file name in it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
