"""A SQLite file opened as its file system allows; a damaged one is set aside, never in the way."""

import fcntl
import functools
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from engine.errors import StoreError

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

#: File systems on which SQLite's shared memory (its write-ahead log needs it) cannot be trusted.
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"}
_BUSY_S = 30.0
#: A database and the journals beside it.
SUFFIXES = ("", "-wal", "-shm", "-journal")
#: What SQLite says of a file whose content makes no sense, where its kind of error does not tell.
_NONSENSE = ("Could not decode", "no such table", "no such column", "malformed")
_NONSENSE_CODES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")
#: Keys are random, so looks at a large index go to pages all over: how many SQLite may keep.
_CACHE_KIB = 64 << 10
#: A disk with less room than this is full as far as a database is concerned.
_FULL_BYTES = 256 << 10


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
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if not is_damage(error) and not _is_locked_up(path):
                    raise
                set_aside(path, str(error))
            return _open(path, schema, version)
    except (sqlite3.OperationalError, OSError) as error:
        raise StoreError(f"the database {path} cannot be opened: {error}{hint_of(path)}") from error


def is_damage(error: sqlite3.DatabaseError | UnicodeDecodeError) -> bool:
    """Tell damage from a full disk, a lock, or a mistake of ours."""
    nonsense = isinstance(error, UnicodeDecodeError) or str(error).startswith(_NONSENSE)
    code = getattr(error, "sqlite_errorname", "")
    return nonsense or type(error) is sqlite3.DatabaseError or code in _NONSENSE_CODES


def _is_locked_up(path: Path) -> bool:
    """Whether a file of a database cannot be read or written in a folder where it could be made."""
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    mine = partial(os.access, effective_ids=os.access in os.supports_effective_ids)
    shut = any(file.exists() and not mine(file, os.R_OK | os.W_OK) for file in files)
    return shut and mine(path.parent, os.W_OK)


def hint_of(path: Path) -> str:
    """What to do about an error of a database, when its disk is to blame."""
    with suppress(OSError):
        disk = os.statvfs(path.parent)
        if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
            return "; the disk is full: free some space, or name another folder"
    return ""


class Healed(Protocol):
    """What keeps things in a database that can be made again."""

    path: Path

    def heal(self, why: str) -> None:
        """Set the database aside and make a new one."""


H = TypeVar("H", bound=Healed)


def healing(method: "Callable[Concatenate[H, P], R]") -> "Callable[Concatenate[H, P], R]":
    """Make a database anew that is found damaged in the middle of things, and do it again.

    The method raises: StoreError when the database cannot be used for other reasons.
    """

    @functools.wraps(method)
    def healed(self: H, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if not is_damage(error):
                told = f"the database {self.path} cannot be used: {error}{hint_of(self.path)}"
                raise StoreError(told) from error
            self.heal(str(error))
            return method(self, *args, **kwargs)

    return healed


def seal(text: str) -> str:
    """Give a text a checksum, for SQLite itself notices no altered byte."""
    return f"{text}#{zlib.crc32(text.encode()):08x}"


def unseal(sealed: str) -> str:
    """The text that was sealed.

    Raises: sqlite3.DatabaseError when it is another one.
    """
    text = sealed[:-9]
    if seal(text) != sealed:
        raise sqlite3.DatabaseError(f"an altered row: {sealed[:60]}")
    return text


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
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
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
    for suffix in SUFFIXES:
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.replace(path.with_name(path.name + mark + suffix))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time make or replace a database."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
