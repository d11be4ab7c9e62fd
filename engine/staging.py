"""Files that appear whole or not at all: written under a name that says by whom, then renamed.

No fsync: it costs 1 to 4 ms a file, and what a power cut could leave behind fails its checksum and
is made again.
"""

import contextlib
import itertools
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TypeAlias

Part: TypeAlias = bytes | bytearray | memoryview
Parts: TypeAlias = Iterable[Part] | Callable[[], Iterable[Part]]
#: Ends the name of every unfinished file, and of nothing else.
SUFFIX = ".tmp"
#: Files of hosts (or containers) whose processes cannot be seen from here count as dead after this.
FOREIGN_AGE_S = 24 * 3600.0

_serial = itertools.count()


def write_whole(path: Path, parts: Parts, staging: Path) -> None:
    """Make the file `path` of these parts, replacing what is there, in one step.

    Parts that are made as they are written come as a function, which may be called once more.
    `staging` is a folder on the same file system. Nothing is left behind on failure.
    Raises: OSError.
    """
    make = parts if callable(parts) else list(parts).__iter__
    try:
        _write_and_rename(path, make, staging)
    except FileNotFoundError:
        # A folder is missing, or another host took us for dead and swept the file away: once more.
        staging.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_rename(path, make, staging)


def _write_and_rename(path: Path, make: Callable[[], Iterable[Part]], staging: Path) -> None:
    temporary = staging / staging_name()
    try:
        with temporary.open("xb") as file:
            file.writelines(make())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def staging_name() -> str:
    """Make a new name for an unfinished file of this process: host, pid, start time, number."""
    return f"{_writer(os.getpid())}+{next(_serial)}{SUFFIX}"


@cache
def _writer(pid: int) -> str:
    return f"{_place()}+{pid}+{_started(pid)}"


def sweep(staging: Path) -> int:
    """Remove the unfinished files of writers that are dead; tell how many there were."""
    if not staging.is_dir():
        return 0
    dead = [entry for entry in staging.iterdir() if _is_dead(entry)]
    for entry in dead:
        with contextlib.suppress(OSError):
            entry.unlink()
    return len(dead)


def _is_dead(entry: Path) -> bool:
    """Tell whether an unfinished file has lost its writer."""
    match entry.name.removesuffix(SUFFIX).split("+"):
        case [place, pid, started, _] if place == _place() and pid.isdigit():
            return _started(int(pid)) != started
        case [_, _, _, _] if entry.name.endswith(SUFFIX):
            with contextlib.suppress(OSError):
                return time.time() - entry.stat().st_mtime > FOREIGN_AGE_S
    return False


@cache
def _place() -> str:
    """Name the set of processes that this one can see: the host, and the container on it."""
    try:
        namespace = f"-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        namespace = ""
    return re.sub(r"[^\w.-]", "_", platform.node() or "host") + namespace


def _started(pid: int) -> str:
    """When a process began, in its system's own unit; "" when it is dead."""
    try:
        # The second field is the program's name in brackets and may contain anything.
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        state, started = after_name.split()[0], after_name.split()[19]
    except FileNotFoundError:
        return _alive_without_proc(pid)
    except OSError:
        return ""
    return "" if state in "ZX" else started


def _alive_without_proc(pid: int) -> str:
    """The same where there is no /proc: all that can be told is that the process exists."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "0"
