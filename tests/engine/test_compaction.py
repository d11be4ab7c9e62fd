"""Merging packs changes where values lie, never what they are."""

from pathlib import Path

import pytest

from engine import compaction, store
from engine.compaction import compact
from engine.index import Index
from engine.records import Record


def put(root: Path, index: Index, key: str, seconds: float, size: int = 100) -> Record:
    record = Record(key, seconds=seconds, scalars={"n": 1})
    (stored,) = store.write_pack(root, [(record, {"image": key.encode() * size})])
    index.add([stored])
    return stored


def content(root: Path, index: Index, keys: list[str]) -> dict[str, bytes | None]:
    found = index.lookup(keys)
    views = {key: store.read_port(root, found[key], "image") for key in keys}
    return {key: None if view is None else bytes(view) for key, view in views.items()}


def test_values_survive_and_files_become_few(tmp_path: Path) -> None:
    keys = [f"k{i}" for i in range(20)]
    with Index(tmp_path) as index:
        for key in keys:
            put(tmp_path, index, key, 1.0)
        before = content(tmp_path, index, keys)
        assert compact(tmp_path, index) == 19
        assert len(list(store.list_packs(tmp_path))) == 1
        assert content(tmp_path, index, keys) == before
        assert compact(tmp_path, index) == 0
        index.rebuild()
        assert content(tmp_path, index, keys) == before


def test_it_ends_when_told_and_goes_on_the_next_time(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        for i in range(8):
            put(tmp_path, index, f"k{i}", 1.0)
        two = 2 * index.packs()[0].size
        answers = iter([False, True])
        assert compact(tmp_path, index, target=two, stop=lambda: next(answers)) == 1
        assert len(index.packs()) == 7
        assert compact(tmp_path, index, target=two) == 3


def test_like_goes_with_like(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        for i in range(4):
            put(tmp_path, index, f"cheap{i}", 0.1)
            put(tmp_path, index, f"dear{i}", 100.0)
        compact(tmp_path, index, target=sum(pack.size for pack in index.packs()[:4]))
        packs = [{r.key[:-1] for r in index.records_in(pack.name)} for pack in index.packs()]
        assert packs == [{"cheap"}, {"dear"}]


def test_what_is_worth_more_is_not_merged_with_what_is_worth_less(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        for i in range(4):
            put(tmp_path, index, f"cheap{i}", 0.0)
            put(tmp_path, index, f"dear{i}", 100.0 + i)
        assert compact(tmp_path, index) == 6
        cheap, dear = index.packs()
        assert {r.key[:-1] for r in index.records_in(cheap.name)} == {"cheap"}
        index.evict(dear.size)
        assert [pack.name for pack in index.packs()] == [dear.name]


def test_merged_packs_are_a_small_part_of_a_limited_cache(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        for i in range(64):
            put(tmp_path, index, f"k{i}", 1.0)
        limit = index.size()
        compact(tmp_path, index, limit=limit)
        sizes = [pack.size for pack in index.packs()]
        assert 8 <= len(sizes) <= 20
        assert index.evict(limit // 2) < 0.7 * limit


def test_a_merged_pack_holds_so_many_records_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MOST_RECORDS", 5)
    with Index(tmp_path) as index:
        for i in range(20):
            put(tmp_path, index, f"k{i}", 1.0)
        assert compact(tmp_path, index) == 16
        assert [len(index.records_in(pack.name)) for pack in index.packs()] == [5] * 4
        assert compact(tmp_path, index) == 0


def test_large_packs_and_damaged_ones_are_left_alone(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        large = put(tmp_path, index, "large", 1.0, size=10_000)
        damaged = put(tmp_path, index, "damaged", 1.0)
        for i in range(3):
            put(tmp_path, index, f"k{i}", 1.0)
        path = tmp_path / damaged.pack
        path.write_bytes(path.read_bytes().replace(b"damageddamaged", b"DAMAGEDdamaged", 1))
        assert compact(tmp_path, index, small=10_000) == 2
        assert (tmp_path / large.pack).exists()
        assert path.exists()
        assert index.lookup(["large"])["large"] == large
