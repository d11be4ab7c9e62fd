"""Files that stand, files that do not, files left over."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from engine.jobs import Written
from engine.outputs import Standing

ITEM = ("s", 1)


@pytest.fixture
def standing(tmp_path: Path) -> Standing:
    file = tmp_path / "a" / "b" / "x.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"picture")
    stamp = file.stat().st_mtime_ns
    found = Standing(tmp_path, {})
    digest = sha256(b"picture").hexdigest()
    found.note([Written(0, str(file), ITEM, "key", digest, 7, stamp)])
    return found


def test_a_file_stands_while_nothing_about_it_changed(standing: Standing, tmp_path: Path) -> None:
    file = tmp_path / "a/b/x.png"
    assert standing.current("a/b/x.png", ITEM, "key")
    assert not standing.current("a/b/x.png", ITEM, "another key")
    assert standing.current("a/b/x.png", ("s", 2), "key")  # a photo came in before it
    assert not standing.current("a/b/x.png", ("t", 1), "key")
    assert not standing.current("other.png", ITEM, "key")
    os.utime(file, ns=(1, 1))
    assert standing.current("a/b/x.png", ITEM, "key")  # touched, but the same
    file.write_bytes(b"PICTURE")
    assert not standing.current("a/b/x.png", ITEM, "key")
    file.unlink()
    assert not standing.current("a/b/x.png", ITEM, "key")


def test_pruning_takes_files_and_the_folders_they_leave_empty(
    standing: Standing, tmp_path: Path
) -> None:
    (tmp_path / "a" / "mine.txt").write_text("not ours")
    assert standing.stale(["a/b/x.png"]) == []
    assert standing.stale([]) == ["a/b/x.png"]
    assert standing.prune(["a/b/x.png"]) == ["a/b/x.png"]
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == [
        "a",
        "a/mine.txt",
    ]
    assert standing.row("a/b/x.png") is None


def test_pruning_spares_what_somebody_altered(standing: Standing, tmp_path: Path) -> None:
    file = tmp_path / "a/b/x.png"
    file.write_bytes(b"retouched by hand")
    assert standing.prune(standing.stale([])) == []
    assert file.read_bytes() == b"retouched by hand"
    file.write_bytes(b"picture")
    assert standing.prune(standing.stale([])) == ["a/b/x.png"]


def test_pruning_follows_no_link_out_of_the_folder(standing: Standing, tmp_path: Path) -> None:
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    (tmp_path / "a").rename(elsewhere)
    (tmp_path / "a").symlink_to(elsewhere)
    assert standing.prune(standing.stale([])) == []
    assert (elsewhere / "b" / "x.png").exists()
