"""Files appear whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import staging


def dead_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_a_file_replaces_the_old_one_and_nothing_else_stays(tmp_path: Path) -> None:
    for text in (b"old", b"new"):
        staging.write_whole(tmp_path / "a" / "b", [text, b"!"], tmp_path / "staging")
    assert (tmp_path / "a" / "b").read_bytes() == b"new!"
    assert list((tmp_path / "staging").iterdir()) == []


def test_parts_made_while_writing_are_made_again_where_a_folder_was_missing(
    tmp_path: Path,
) -> None:
    asked = []

    def parts() -> Iterator[bytes]:
        asked.append(1)
        yield from (b"new", b"!")

    staging.write_whole(tmp_path / "a" / "b", parts, tmp_path / "staging")
    assert (tmp_path / "a" / "b").read_bytes() == b"new!"
    staging.write_whole(tmp_path / "c" / "b", parts, tmp_path / "staging")
    assert (tmp_path / "c" / "b").read_bytes() == b"new!"
    assert list((tmp_path / "staging").iterdir()) == []
    assert len(asked) == 3  # the second time the folder of unfinished files was there


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    staging.write_whole(tmp_path / "file", [b"old"], tmp_path / "staging")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        staging.write_whole(tmp_path / "folder", [b"new"], tmp_path / "staging")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list((tmp_path / "staging").iterdir()) == []


def test_only_dead_writers_files_are_swept(tmp_path: Path) -> None:
    mine = staging.staging_name()
    place, pid, started, _ = mine.split("+")
    theirs = f"{place}+{dead_pid()}+{started}+0.tmp"
    reborn = f"{place}+{pid}+1{started}+0.tmp"  # our pid, but an earlier process
    foreign = "elsewhere+1+1+0.tmp"
    ancient = "elsewhere+1+2+0.tmp"
    for name in (mine, theirs, reborn, foreign, ancient, "notes.txt"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ancient, (0, 0))
    assert staging.sweep(tmp_path) == 3
    assert {p.name for p in tmp_path.iterdir()} == {mine, foreign, "notes.txt"}


def test_a_missing_folder_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert staging.sweep(tmp_path / "none") == 0
