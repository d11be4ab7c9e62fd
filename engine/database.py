"""A SQLite file opened as its file system allows; a damaged one is set aside, never in the way."""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import StoreError

log = logging.getLogger(__name__)

#: File systems on which SQLite's shared memory (its write-ahead log needs it) cannot be trusted.
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
_BUSY_S = 30.0


def is_network(path: Path) -> bool:
    """Tell whether a path lies on a network file system, as far as the mount table says."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    real = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        mount, found = line.split(" ")[1:3]
        mount = mount.replace("\\040", " ").rstrip("/")
        if f"{real}/".startswith(f"{mount}/") and len(mount) >= len(best):
            best, kind = mount, found
    return kind in _NETWORK or kind.startswith("fuse.")


def open_database(path: Path, schema: str, version: int) -> tuple[sqlite3.Connection, bool]:
    """Open a database, making it if need be; the flag says that it is new and empty.

    One that is damaged or of another version is renamed and replaced by a new one: everything we
    keep in SQLite can be made again. Raises: StoreError when the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            try:
                return _open(path, schema, version)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                set_aside(path, str(error))
            return _open(path, schema, version)
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreError(f"the database {path} cannot be opened: {error}") from error


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Tell damage from a full disk, a lock, or a mistake of ours."""
    return type(error) is sqlite3.DatabaseError


def check_sound(connection: sqlite3.Connection) -> None:
    """Look through a database.

    Raises: sqlite3.DatabaseError when it is damaged.
    """
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found.strip().splitlines()[-1])


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a database that another process may be writing.

    Raises: StoreError when there is none.
    """
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
    except sqlite3.OperationalError as error:
        raise StoreError(f"the database {path} cannot be opened: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Do everything inside as one write: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _open(path: Path, schema: str, version: int) -> tuple[sqlite3.Connection, bool]:
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        journal = "TRUNCATE" if is_network(path.parent) else "WAL"
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("PRAGMA synchronous=NORMAL")
        with transaction(connection):
            made = _make_tables(connection, schema, version)
    except BaseException:
        connection.close()
        raise
    return connection, made


def _make_tables(connection: sqlite3.Connection, schema: str, version: int) -> bool:
    """Make the tables of a new database; tell whether it was one."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found not in (0, version):
        raise sqlite3.DatabaseError(f"format {found}, this version knows {version}")
    if not found:
        for statement in schema.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version}")
    return not found


def set_aside(path: Path, why: str) -> None:
    """Rename a database that cannot be used, with its journals."""
    log.warning("the database %s cannot be used (%s); it is set aside and made anew", path, why)
    mark = f".damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", "-wal", "-shm", "-journal"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.replace(path.with_name(path.name + mark + suffix))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time make or replace a database."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
