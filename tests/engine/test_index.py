"""The index knows what the packs hold, shares with other drivers, and can be made again."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import store
from engine.compaction import compact
from engine.errors import StoreError
from engine.index import Index, index_path
from engine.records import Record


def put(
    root: Path, *keys: str, seconds: float = 1.0, size: int = 100, **more: object
) -> list[Record]:
    """Write one pack of these keys."""
    record = Record("", seconds=seconds, **more)  # type: ignore[arg-type]
    entries = [(replace(record, key=key), {"image": key.encode()[:1] * size}) for key in keys]
    return store.write_pack(root, entries)


@given(st.dictionaries(st.text("0123456789abcdef", max_size=6), st.floats(0, 1e6), max_size=20))
def test_lookup_gives_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, float]
) -> None:
    root = tmp_path_factory.mktemp("store")
    entries = [
        (Record(k, seconds=s, scalars={"n": None}), {"image": b"x"}) for k, s in content.items()
    ]
    with Index(root) as index:
        records = store.write_pack(root, entries) if entries else []
        index.add(records)
        assert index.lookup([*content, "unknown key"]) == {r.key: r for r in records}


def test_thousands_of_keys_in_one_lookup(tmp_path: Path) -> None:
    records = put(tmp_path, *(f"k{i}" for i in range(5000)), size=1)
    with Index(tmp_path) as index:
        assert len(index.lookup([r.key for r in records])) == 5000


def test_a_new_index_learns_from_the_packs_alone(tmp_path: Path) -> None:
    failed = Record("bad", "failed", "no_face", "none found", 0.2)
    with Index(tmp_path) as index:
        index.add(put(tmp_path, "a", "b"))
        index.add(store.write_pack(tmp_path, [(failed, {})]))
        before = index.lookup(["a", "b", "bad"])
        index.rebuild()
        assert index.lookup(["a", "b", "bad"]) == before
        index.path.unlink()
    with Index(tmp_path) as index:
        assert index.lookup(["a", "b", "bad"]) == before
        assert before["bad"].reason == "no_face"


def test_packs_of_other_runs_are_absorbed_and_removed_ones_forgotten(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        (record,) = put(tmp_path, "a")
        assert index.lookup(["a"]) == {}
        assert index.absorb() == 1
        assert index.lookup(["a"]) == {"a": record}
        assert index.absorb() == 0
        store.remove_pack(tmp_path, record.pack)
        assert index.absorb() == 1
        assert index.lookup(["a"]) == {"a": replace(record, pack="")}, "identity stays"


def test_what_another_run_adds_while_packs_are_listed_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tmp_path) as index, Index(tmp_path) as other:
        index.add(put(tmp_path, "a"))

        def listed(root: Path) -> list[tuple[str, int, float]]:
            found = list(store.list_packs(root))
            other.add(put(tmp_path, "b"))
            return found

        monkeypatch.setattr("engine.index.list_packs", listed)
        index.absorb()
        assert all(record.pack for record in index.lookup(["a", "b"]).values())


def test_a_payload_is_not_lost_to_news_without_one(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        (record,) = put(tmp_path, "a")
        index.add([record])
        index.add([replace(record, pack="")])
        assert index.lookup(["a"])["a"].readable


def test_a_later_success_replaces_a_failure(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        index.add(store.write_pack(tmp_path, [(Record("a", "failed", "decode"), {})]))
        (good,) = put(tmp_path, "a")
        index.add([good])
        assert index.lookup(["a"]) == {"a": good}
        index.forget(["a"])
        assert index.lookup(["a"]) == {}


def test_eviction_drops_the_least_seconds_per_byte_then_the_oldest(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        dear = put(tmp_path, "dear", seconds=100, size=1000)
        cheap = put(tmp_path, "cheap", seconds=1, size=1000)
        old = put(tmp_path, "old!", seconds=10, size=1000)
        new = put(tmp_path, "new!", seconds=10, size=1000)
        for records in (dear, cheap, old, new):
            index.add(records)
            time.sleep(0.002)
        index.touch({record.pack for record in old})
        order = [pack.name for pack in index.packs()]
        assert order == [r[0].pack for r in (cheap, new, old, dear)]
        room = index.stats().size - 1
        assert 1000 < index.evict(room) < 2000
        assert index.evict(room) == 0, "the rest fits"
        assert index.evict(0, {pack.name for pack in index.packs()}) == 0, "all is needed"
        assert index.lookup(["cheap"])["cheap"] == replace(cheap[0], pack="")
        assert not (tmp_path / cheap[0].pack).exists()
        index.evict(0)
        stats = index.stats()
        assert (stats.records, stats.gone, stats.packs, stats.size) == (4, 4, 0, 0)


def test_a_failure_outlives_the_eviction_of_its_pack(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        index.add(store.write_pack(tmp_path, [(Record("a", "failed", "no_face"), {})]))
        index.evict(0)
        assert index.lookup(["a"])["a"].readable


def test_verify_finds_and_forgets_damage(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        good, bad = put(tmp_path, "good", "bad!", size=50)
        index.add([good, bad])
        raw = bytearray((tmp_path / bad.pack).read_bytes())
        raw[bad.ports["image"].offset] ^= 1
        (tmp_path / bad.pack).write_bytes(raw)
        assert index.verify() == [bad]
        assert index.lookup(["good", "bad!"]) == {"good": good}


def test_what_another_run_merges_during_a_look_at_all_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Index(tmp_path) as index, Index(tmp_path) as other:
        for key in ("a", "b", "c"):
            index.add(put(tmp_path, key))

        def late(root: Path, record: Record, port: str) -> memoryview | None:
            compact(root, other)
            return store.read_port(root, record, port)

        monkeypatch.setattr("engine.index.read_port", late)
        assert index.verify() == []
        found = index.lookup(["a", "b", "c"])
        assert {r.pack for r in found.values()} == {p for p, *_ in store.list_packs(tmp_path)}
        assert len(found) == 3


def test_a_ruined_pack_is_skipped_and_the_first_to_go(tmp_path: Path) -> None:
    (record,) = put(tmp_path, "a")
    (tmp_path / record.pack).write_bytes(b"rubbish")
    put(tmp_path, "b")
    with Index(tmp_path) as index:
        assert set(index.lookup(["a", "b"])) == {"b"}
        assert index.packs()[0].name == record.pack


@pytest.mark.parametrize(
    "rubbish", [b"not a database at all" * 100, b"", b"SQLite format 3\0" * 64]
)
def test_a_corrupt_index_is_set_aside_and_rebuilt(tmp_path: Path, rubbish: bytes) -> None:
    (record,) = put(tmp_path, "a")
    Index(tmp_path).close()
    index_path(tmp_path).write_bytes(rubbish)
    with Index(tmp_path) as index:
        assert index.lookup(["a"]) == {"a": record}
    assert any("damaged" in p.name for p in tmp_path.iterdir()) == bool(rubbish)


def test_an_index_that_breaks_while_open_heals(tmp_path: Path) -> None:
    records = put(tmp_path, *(f"k{i}" for i in range(2000)), size=1)
    with Index(tmp_path) as index:
        index._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw = bytearray(index.path.read_bytes())
        raw[4096:] = b"\xff" * (len(raw) - 4096)
        index.path.write_bytes(raw)
        index._db.execute("PRAGMA shrink_memory")
        assert len(index.lookup([r.key for r in records])) == 2000


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    (record,) = put(tmp_path, "a")
    with Index(tmp_path) as index:
        index._db.execute("PRAGMA user_version=99")
    with Index(tmp_path) as index:
        assert index.lookup(["a"]) == {"a": record}


def test_an_index_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Index(tmp_path, tmp_path / "file" / "index.sqlite")


DRIVER = """
import sys; from pathlib import Path; from engine import store; from engine.index import Index
from engine.records import Record
root, name = Path(sys.argv[1]), sys.argv[2]
with Index(root) as index:
    for i in range(40):
        index.add(store.write_pack(root, [(Record(f"{name}{i}"), {"image": name.encode()})]))
        index.absorb()
"""


def test_two_drivers_share_one_index(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
    drivers = [subprocess.Popen([*command, name]) for name in "ab"]
    assert [driver.wait() for driver in drivers] == [0, 0]
    with Index(tmp_path) as index:
        stats = index.stats()
    assert (stats.records, stats.gone, stats.packs) == (80, 0, 80)


def test_an_altered_row_is_read_anew_from_its_pack(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        (record,) = put(tmp_path, "a", scalars={"mean": 0.25})
        index.add([record])
        with closing(sqlite3.connect(index.path)) as db, db:
            db.execute("UPDATE records SET row = replace(row, '0.25', '0.75')")
        assert index.lookup(["a"]) == {"a": record}
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db, db:
        db.execute("UPDATE records SET row = cast(x'ab' AS TEXT)")
    with Index(tmp_path) as index:
        assert index.lookup(["a"]) == {"a": record}


def test_the_least_of_records_tells_as_much_as_they_do(tmp_path: Path) -> None:
    records = [
        Record("a", seconds=2.0, scalars={"n": 1}),
        Record("b", "failed", "no_face", "nobody"),
        Record("c", "failed", None, 'skipped "ok"'),
    ]
    store.open_store(tmp_path)
    with Index(tmp_path) as index:
        index.add(store.write_pack(tmp_path, [(record, {}) for record in records]))
        keys = ["a", "b", "c", "none"]
        fates = index.fates(keys)
        assert {key: (f.ok, f.seconds, f.pack) for key, f in fates.items()} == {
            key: (r.status == "ok", r.seconds, r.pack) for key, r in index.lookup(keys).items()
        }
        assert [fates[key].ok for key in "abc"] == [True, False, False]
