"""What one machine remembers between runs: contents of files by their stat, the pace of ops."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.dag import SourceItem
from engine.database import healing, open_database, seal, set_aside, transaction
from engine.listing import Stat

_VERSION = 1
_SCHEMA = """
CREATE TABLE digests (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, digest TEXT
) WITHOUT ROWID;
CREATE TABLE paces (op TEXT PRIMARY KEY, seconds REAL, size REAL) WITHOUT ROWID
"""
_INODE_MASK = (1 << 63) - 1  # SQLite's integers are signed
_SEAL = 9  # characters of a checksum


@dataclass(frozen=True, slots=True)
class Pace:
    """What one item of an op takes: seconds of a worker, bytes on disk; see costs.py for others."""

    seconds: float
    size: float


class Memo:
    """The memo in one SQLite file. Losing it costs a re-reading of the photos, no more.

    Raises: StoreError when the database cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db, _ = open_database(path, _SCHEMA, _VERSION)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def heal(self, why: str) -> None:
        """Set a damaged database aside and begin a new one."""
        self._db.close()
        set_aside(self.path, why)
        self._db, _ = open_database(self.path, _SCHEMA, _VERSION)

    @healing
    def digests(self, files: Iterable[tuple[str, Stat]]) -> dict[str, str]:
        """The content digests, by path, of the files that have not changed since they were read."""
        stats = {_text(path): _told(stat) for path, stat in files if path}
        query = (
            "SELECT path, digest, size, mtime_ns, inode FROM digests "
            "WHERE path IN (SELECT value FROM json_each(?))"
        )
        rows = self._db.execute(query, (json.dumps(list(stats)),))
        return {
            json.loads(path): digest[:-_SEAL]
            for path, digest, *stat in rows
            if tuple(stat) == stats[path] and digest == _sealed(path, digest[:-_SEAL])
        }

    @healing
    def remember_digests(self, read: Iterable[tuple[SourceItem, str]]) -> None:
        """Keep the digests of files that were read, under the stat they were listed with."""
        named = [(_text(item.path), item, digest) for item, digest in read]
        rows = [
            (path, *_told((item.size, item.mtime_ns, item.inode)), _sealed(path, digest))
            for path, item, digest in named
        ]
        self._write("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", rows)

    @healing
    def paces(self) -> dict[str, Pace]:
        """The pace of every op that ever ran here."""
        return {op: Pace(*row) for op, *row in self._db.execute("SELECT * FROM paces")}

    @healing
    def remember_paces(self, measured: Mapping[str, Pace]) -> None:
        """Mix new paces half and half with the old ones, so that one odd run does not rule."""
        self._write(
            "INSERT INTO paces VALUES (?, ?, ?) ON CONFLICT (op) DO UPDATE SET "
            "seconds = (seconds + excluded.seconds) / 2, size = (size + excluded.size) / 2",
            [(op, pace.seconds, pace.size) for op, pace in measured.items()],
        )

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with transaction(self._db):
            self._db.executemany(statement, rows)


def _told(stat: Stat) -> Stat:
    """A stat as SQLite takes it."""
    size, mtime_ns, inode = stat
    return size, mtime_ns, inode & _INODE_MASK


def _text(path: str) -> str:
    """Write a path so that SQLite takes it: names need not be valid UTF-8."""
    return json.dumps(path)


def _sealed(path: str, digest: str) -> str:
    """A digest with a checksum: a wrong one would be held against its photo for ever."""
    return digest + seal(path + digest)[-_SEAL:]
