"""The run's own folder inside the output folder: one driver at a time."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import staging
from engine.errors import RunError, UsageError
from engine.export import STAGING
from engine.history import is_running
from engine.signals import CANCEL, DRAIN, NOW
from engine.staging import write_whole


@contextmanager
def locked(out: Path, run_dir: Path) -> Iterator[None]:
    """Hold the output folder for one run; the lock goes with the process, however it ends.

    Raises: UsageError when another run has it; RunError when it cannot be made.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(f"the output folder {out} cannot be written: {error.strerror}") from error
    try:
        if not _obtain(lock):
            who = os.read(lock, 32).decode(errors="replace").strip()
            raise UsageError(
                f"another run is writing to {out} (process {who or 'unknown'}); "
                "wait for it, or choose another folder with -o"
            )
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        staging.sweep(out / STAGING)
        yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _obtain(lock: int) -> bool:
    """Take the lock; whoever only looks whether a run goes on holds it for an instant."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.03)
        else:
            return True
    return False


def clear_remains(out: Path, run_dir: Path) -> None:
    """Remove what only a run that is on needs: journals of chunks, empty folders."""
    shutil.rmtree(run_dir / "hands", ignore_errors=True)
    (run_dir / CANCEL).unlink(missing_ok=True)
    for folder in (run_dir / "staging", out / STAGING):
        with contextlib.suppress(OSError):
            folder.rmdir()


def cancel(run_dir: Path, *, now: bool = False) -> None:
    """Ask the run in a folder to finish what is under way and stop, or to stop at once.

    Raises: UsageError when none goes on there; RunError when the folder cannot be written.
    """
    if not is_running(run_dir):
        raise UsageError(f"no run is going on in {run_dir.parent}")
    try:
        write_whole(run_dir / CANCEL, [(NOW if now else DRAIN).encode()], run_dir / "staging")
    except OSError as error:
        raise RunError(f"{run_dir} cannot be written: {error.strerror}") from error
