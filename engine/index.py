"""The driver's index of a store: key -> record, in SQLite; can always be rebuilt from the packs.

It belongs to drivers alone (workers get records with their jobs), lies on a local disk, and learns
of other runs' packs by reading the tables of those it has not seen.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from engine.database import (
    healing,
    is_network,
    open_database,
    seal,
    set_aside,
    transaction,
    unseal,
)
from engine.errors import StoreError
from engine.records import Fate, Record
from engine.store import from_row, list_packs, read_port, read_table, remove_pack, to_row

_VERSION = 1
_SCHEMA = """
CREATE TABLE packs (id INTEGER PRIMARY KEY, name TEXT UNIQUE, size INTEGER, used REAL);
CREATE TABLE records (
    key TEXT PRIMARY KEY, pack INTEGER, seconds REAL, row TEXT
) WITHOUT ROWID;
CREATE INDEX records_of_pack ON records (pack)
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stats:
    """What a store holds. `gone` records are known but their payload was evicted."""

    records: int
    gone: int
    packs: int
    size: int  # bytes
    seconds: float  # of computing that the payloads stand for


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack file: its bytes, the seconds its live records took to compute, and their number."""

    name: str
    size: int
    seconds: float
    records: int


def index_path(root: Path, name: str = "index.sqlite") -> Path:
    """Where a store's database lies: with the packs if these are local and writable."""
    if os.access(root, os.W_OK) and not is_network(root):
        return root / name
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    where = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
    return base / "latentloom-indices" / where / name


class Index:
    """The index of the store in `root`. For one thread; any number of processes may share it.

    Raises: StoreError when the database cannot be written.
    """

    def __init__(self, root: Path, path: Path | None = None) -> None:
        self.root = root
        self.path = path or index_path(root)
        self._db, new = open_database(self.path, _SCHEMA, _VERSION)
        if new:
            self.absorb()

    def __enter__(self) -> "Index":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def heal(self, why: str) -> None:
        """Set a damaged database aside and make a new one from the packs."""
        self._db.close()
        set_aside(self.path, why)
        self._db, _ = open_database(self.path, _SCHEMA, _VERSION)
        self.absorb()

    # -- records ---------------------------------------------------------------------------------

    @healing
    def lookup(self, keys: Collection[str]) -> dict[str, Record]:
        """Make the records of those keys that are known."""
        query = (
            "SELECT row, name FROM records LEFT JOIN packs ON packs.id = records.pack "
            "WHERE key IN (SELECT value FROM json_each(?))"
        )
        rows = self._db.execute(query, (json.dumps(list(keys)),))
        found = (_unsealed(row, name or "") for row, name in rows)
        return {record.key: record for record in found}

    @healing
    def fates(self, keys: Collection[str]) -> dict[str, Fate]:
        """The least about those keys that are known: a third of the cost of their records."""
        query = (
            "SELECT key, row, seconds, coalesce(name, '') FROM records "
            "LEFT JOIN packs ON packs.id = records.pack "
            "WHERE key IN (SELECT value FROM json_each(?))"
        )
        rows = self._db.execute(query, (json.dumps(list(keys)),))
        return {
            key: Fate(told.startswith('"ok"', len(head)), seconds, name)
            for key, row, seconds, name in rows
            if (told := _text(row)).startswith(head := f'["{key}", ')
        }

    @healing
    def add(self, records: Collection[Record]) -> None:
        """Learn what keys produced; the newest news wins, unless it has lost its payload."""
        sizes = {name: _size(self.root, name) for name in {r.pack for r in records if r.pack}}
        with transaction(self._db):
            self._insert(records, sizes)

    def _insert(self, records: Iterable[Record], sizes: dict[str, int]) -> None:
        now = time.time()
        self._db.executemany(
            "INSERT INTO packs (name, size, used) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET size = excluded.size, used = excluded.used",
            [(name, size, now) for name, size in sizes.items()],
        )
        ids = {name: self._pack_id(name) for name in sizes}
        self._db.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "pack = excluded.pack, seconds = excluded.seconds, row = excluded.row "
            "WHERE excluded.pack IS NOT NULL OR records.pack IS NULL",
            [(r.key, ids.get(r.pack), r.seconds, _sealed(r)) for r in records],
        )

    def _pack_id(self, name: str) -> int:
        (found,) = self._db.execute("SELECT id FROM packs WHERE name = ?", (name,)).fetchone()
        return int(found)

    @healing
    def touch(self, packs: Iterable[str]) -> None:
        """Note that these were used just now: age decides between packs of equal worth."""
        now = time.time()
        with transaction(self._db):
            self._db.executemany(
                "UPDATE packs SET used = ? WHERE name = ?", [(now, name) for name in packs]
            )

    @healing
    def forget(self, keys: Collection[str]) -> None:
        """Know nothing of these keys any more (until a rebuild finds them in a pack)."""
        with transaction(self._db):
            self._db.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in keys])

    # -- packs -----------------------------------------------------------------------------------

    @healing
    def absorb(self) -> int:
        """Learn the packs that other runs wrote and forget those they removed; tell how many."""
        # In this order: what another run adds while the folder is listed is not gone.
        known = {name for (name,) in self._db.execute("SELECT name FROM packs")}
        there = {name: (size, when) for name, size, when in list_packs(self.root)}
        gone = known - there.keys()
        new = sorted(there.keys() - known, key=lambda name: there[name][1])
        with transaction(self._db):
            self._drop(gone)
            for name in new:  # oldest first: the newest news wins
                self._insert(self._table(name), {name: there[name][0]})
                when = (there[name][1], name)
                self._db.execute("UPDATE packs SET used = ? WHERE name = ?", when)
        return len(new) + len(gone)

    def _table(self, name: str) -> list[Record]:
        try:
            return read_table(self.root, name)
        except StoreError as error:
            log.warning("%s; it is of no use and the first to be evicted", error)
            return []

    @healing
    def rebuild(self) -> None:
        """Read every pack's table anew; what is known of evicted payloads stays known."""
        with transaction(self._db):
            self._db.execute("UPDATE records SET pack = NULL")
            self._db.execute("DELETE FROM packs")
        self.absorb()

    def _drop(self, names: Iterable[str]) -> None:
        """Note that packs are gone: their records stay, without payload."""
        for name in names:
            pack = (self._pack_id(name),)
            self._db.execute("UPDATE records SET pack = NULL WHERE pack = ?", pack)
            self._db.execute("DELETE FROM packs WHERE id = ?", pack)

    @healing
    def packs(self) -> list[Pack]:
        """All packs, those of least worth first: seconds to compute again per byte, then age."""
        query = (
            "SELECT name, size, coalesce(sum(seconds), 0), count(records.pack) FROM packs "
            "LEFT JOIN records ON records.pack = packs.id GROUP BY packs.id "
            "ORDER BY coalesce(sum(seconds), 0) / size, used"
        )
        return [Pack(*row) for row in self._db.execute(query)]

    @healing
    def records_in(self, pack: str) -> list[Record]:
        """The records whose payload lies in a pack as far as the index knows."""
        query = "SELECT row FROM records JOIN packs ON packs.id = pack WHERE name = ?"
        return [_unsealed(row, pack) for (row,) in self._db.execute(query, (pack,))]

    @healing
    def remove(self, names: Collection[str]) -> None:
        """Delete packs, file and all; their records stay, without payload."""
        with transaction(self._db):
            self._drop(names)
        for name in names:
            remove_pack(self.root, name)

    @healing
    def size(self) -> int:
        """Bytes of all packs."""
        (found,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM packs").fetchone()
        return int(found)

    def evict(self, max_size_bytes: int, needed: Collection[str] = ()) -> int:
        """Delete packs of least worth until the rest fits; tell how many bytes that freed.

        Those that are `needed` just now stay.
        """
        excess = self.size() - max_size_bytes
        if excess <= 0:
            return 0
        freed = 0
        leaving: list[str] = []
        for pack in self.packs():
            if freed >= excess:
                break
            if pack.name not in needed:
                leaving.append(pack.name)
                freed += pack.size
        self.remove(leaving)
        return freed

    # -- looking ---------------------------------------------------------------------------------

    @healing
    def stats(self) -> Stats:
        """Count what is there."""
        packs, size = self._db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM packs"
        ).fetchone()
        records, gone, seconds = self._db.execute(
            "SELECT count(*), count(*) - count(pack), "
            "coalesce(sum(seconds) FILTER (WHERE pack IS NOT NULL), 0) FROM records"
        ).fetchone()
        return Stats(records, gone, packs, size, seconds)

    def verify(self) -> list[Record]:
        """Read every payload; give the records whose bytes are damaged and forget these."""
        self.absorb()
        damaged = [
            record
            for pack in self.packs()
            for record in self.records_in(pack.name)
            if any(read_port(self.root, record, port) is None for port in record.ports)
        ]
        self.absorb()  # what another run merged or evicted meanwhile is not damaged
        known = self.lookup([record.key for record in damaged])
        damaged = [r for r in damaged if r.key in known and known[r.key].pack == r.pack]
        self.forget([record.key for record in damaged])
        return damaged


def _size(root: Path, pack: str) -> int:
    """Bytes of a pack; 1 when another run removed it just now (a size divides)."""
    try:
        return (root / pack).stat().st_size
    except OSError:
        return 1


def _sealed(record: Record) -> str:
    return seal(json.dumps(to_row(record)))


def _unsealed(row: str, pack: str) -> Record:
    """The record of a row. Raises: sqlite3.DatabaseError when the row was altered."""
    return from_row(json.loads(_text(row)), pack)


def _text(row: str) -> str:
    """The JSON of a row; rows of older versions have no seal."""
    return row if row.endswith("]") else unseal(row)
