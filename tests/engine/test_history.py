"""Reading a run folder that may hold nothing, or a run that still goes on."""

import fcntl
from pathlib import Path

import pytest

from engine.errors import StoreError, UsageError
from engine.history import is_running, load_items, load_run
from engine.ledger import Ledger


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run was made"):
        load_run(tmp_path / ".run")
    with pytest.raises(UsageError, match="no run was made"):
        load_items(tmp_path / ".run")
    (tmp_path / ".run").mkdir()
    Ledger(tmp_path / ".run").close()
    with pytest.raises(UsageError, match="no run was made"):
        load_run(tmp_path / ".run")


def test_a_run_goes_on_while_somebody_holds_its_lock(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        assert not is_running(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_running(tmp_path)
    assert not is_running(tmp_path)


def test_an_empty_ledger_is_no_run_and_a_damaged_one_says_what_comes_of_it(tmp_path: Path) -> None:
    run_dir = tmp_path / ".run"
    run_dir.mkdir()
    (run_dir / "ledger.sqlite").touch()
    with pytest.raises(UsageError, match="no run was made"):
        load_run(run_dir)
    (run_dir / "ledger.sqlite").write_bytes(b"no database at all " * 100)
    with pytest.raises(StoreError, match="the next run makes a new one"):
        load_run(run_dir)
