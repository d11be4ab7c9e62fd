"""Unchanged files are known by their stat, and paces by op."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.dag import SourceItem
from engine.memo import Memo, Pace


def digests(memo: Memo, *items: SourceItem) -> dict[str, str]:
    return memo.digests((item.path, (item.size, item.mtime_ns, item.inode)) for item in items)


@pytest.mark.parametrize(
    "path", ["/photos/a b.jpg", "/photos/Zoë 写真.jpg", "/photos/caf\udce9.jpg"]
)
def test_a_digest_holds_while_the_stat_holds(tmp_path: Path, path: str) -> None:
    item = SourceItem(0, {}, path=path, size=5, mtime_ns=2**60, inode=2**64 - 1)
    memo = Memo(tmp_path / "memo.sqlite")
    memo.remember_digests([(item, "aa")])
    memo.close()
    memo = Memo(tmp_path / "memo.sqlite")
    assert digests(memo, item) == {path: "aa"}
    for change in ({"size": 6}, {"mtime_ns": 7}, {"inode": 8}, {"path": "/else"}):
        assert digests(memo, replace(item, **change)) == {}
    memo.remember_digests([(replace(item, size=6), "bb")])
    assert digests(memo, item, replace(item, size=6, index=1)) == {path: "bb"}
    memo.close()


def test_items_without_files_have_no_digest(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.remember_digests([])
    assert digests(memo, SourceItem(0, {}, identity="x")) == {}
    memo.close()


def test_paces_mix_with_earlier_ones(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.remember_paces({"invert": Pace(4.0, 100.0)})
    memo.remember_paces({"invert": Pace(2.0, 300.0), "resize": Pace(1.0, 1.0)})
    assert memo.paces() == {"invert": Pace(3.0, 200.0), "resize": Pace(1.0, 1.0)}
    memo.close()


def test_an_altered_digest_is_no_digest(tmp_path: Path) -> None:
    item = SourceItem(0, {}, path="/a.jpg", size=5, mtime_ns=1, inode=1)
    memo = Memo(tmp_path / "memo.sqlite")
    memo.remember_digests([(item, "a" * 64)])
    with closing(sqlite3.connect(tmp_path / "memo.sqlite")) as db, db:
        db.execute("UPDATE digests SET digest = 'b' || substr(digest, 2)")
    assert digests(memo, item) == {}
    memo.close()


def test_a_memo_damaged_in_the_middle_of_things_begins_anew(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.remember_paces({"invert": Pace(4.0, 100.0)})
    with closing(sqlite3.connect(tmp_path / "memo.sqlite")) as db, db:
        db.execute("DROP TABLE paces")
    assert memo.paces() == {}
    memo.remember_paces({"invert": Pace(2.0, 1.0)})
    assert memo.paces() == {"invert": Pace(2.0, 1.0)}
    memo.close()
