from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.index import Index
from engine.records import Record
from engine.store import open_store, write_pack
from engine.upkeep import look_after, read_size, size_text


def stored(root: Path, count: int = 3) -> list[Record]:
    open_store(root)
    with Index(root) as index:
        records = [
            write_pack(root, [(Record(f"key{i}", seconds=1.0), {"image": bytes(1000)})])[0]
            for i in range(count)
        ]
        index.add(records)
    return records


def test_stats_tell_what_is_there(tmp_path: Path) -> None:
    stored(tmp_path)
    care = look_after("stats", tmp_path)
    assert care.as_json()["records"] == 3
    assert "3 results in 3 files" in care.as_text()
    assert "worth 3.0 s" in care.as_text()


def test_gc_merges_and_evicts(tmp_path: Path) -> None:
    stored(tmp_path)
    assert look_after("gc", tmp_path).as_json()["merged"] == 2
    assert look_after("gc", tmp_path, "10 kB").as_json()["freed_bytes"] == 0
    assert look_after("gc", tmp_path, "1kB").as_json()["freed_bytes"] > 3000
    assert look_after("stats", tmp_path).as_json()["evicted"] == 3


def test_verify_finds_a_flipped_byte(tmp_path: Path) -> None:
    record = stored(tmp_path)[0]
    assert look_after("verify", tmp_path).sound
    pack = tmp_path / record.pack
    data = bytearray(pack.read_bytes())
    data[record.ports["image"].offset] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    care = look_after("verify", tmp_path)
    assert not care.sound
    assert "1 result damaged" in care.as_text()


def test_rebuild_needs_only_the_files(tmp_path: Path) -> None:
    stored(tmp_path)
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    assert look_after("rebuild", tmp_path).as_json()["records"] == 3


@pytest.mark.parametrize(
    ("text", "size"), [("20GB", 20 * 10**9), ("500 MB", 5 * 10**8), ("1e6", 10**6), ("0", 0)]
)
def test_sizes(text: str, size: int) -> None:
    assert read_size(text) == size


def test_what_is_no_size_is_refused() -> None:
    for text in ("many", "-3GB", "3 bananas", "1.2.3"):
        with pytest.raises(UsageError, match="is not a size"):
            read_size(text)


def test_sizes_are_written_for_people() -> None:
    assert [size_text(n) for n in (5, 12_000, 3_400_000_000)] == ["5 bytes", "12 kB", "3.4 GB"]
