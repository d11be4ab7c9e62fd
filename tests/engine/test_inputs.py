"""Sources become items with fields and identities."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from engine.dag import ModelInfo, ModelRef, Source, SourceItem
from engine.errors import UsageError
from engine.inputs import content_digest, list_source
from engine.keys import digest


def listed(
    kind: Any, out: Path | None = None, model: ModelRef | None = None, **options: Any
) -> tuple[SourceItem, ...]:
    return list_source(Source("photo", kind, options, (), None, model), out)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_fields_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "photos/2024/a.b c.JPG", "photos/z.jpg", "photos/out/made.jpg")
    items = listed(
        "glob", tmp_path / "photos" / "out", glob="photos/**/*.jpg", folder=str(tmp_path)
    )
    assert [dict(item.fields) for item in items] == [
        {"stem": "a.b c", "name": "a.b c.JPG", "rel": "2024/a.b c", "dir": "2024", "ext": ".JPG",
         "index": 0},
        {"stem": "z", "name": "z.jpg", "rel": "z", "dir": ".", "ext": ".jpg", "index": 1},
    ]  # fmt: skip
    stat = (tmp_path / "photos/z.jpg").stat()
    z = items[1]
    assert (z.identity, z.path) == ("", str(tmp_path / "photos/z.jpg"))
    assert (z.size, z.mtime_ns, z.inode) == (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def test_a_broken_link_is_an_item(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").symlink_to(tmp_path / "none")
    (item,) = listed("glob", glob="*.jpg", folder=str(tmp_path))
    assert (item.fields["stem"], item.size, item.inode) == ("b", 0, 0)


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"source 'photo': no file matches '\*\.jpg'"):
        listed("glob", glob="*.jpg", folder=str(tmp_path))
    with pytest.raises(UsageError, match="empty"):
        listed("files", files=[])


def test_names_need_not_be_valid_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).touch()
    (tmp_path / "写真 1.jpg").touch()
    items = listed("glob", glob="*.jpg", folder=str(tmp_path))
    assert [item.fields["stem"] for item in items] == ["caf\udce9", "写真 1"]
    assert len(digest([dict(item.fields) for item in items])) == 64, "and can be part of a key"


def test_listed_files_keep_their_order_below_their_shared_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x/b.jpg", "x/sub/a.jpg")
    files = [str(tmp_path / name) for name in ("x/sub/a.jpg", "x/b.jpg", "x/sub/../missing.jpg")]
    items = listed("files", files=files)
    assert [item.fields["rel"] for item in items] == ["sub/a", "b", "missing"]
    assert items[2].size == 0


def test_rows_are_items_whose_identity_is_their_content(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("name,age\nanna,31\nbert,7\n")
    before = listed("table", table=str(table), image=None)
    assert [dict(item.fields) for item in before] == [
        {"index": 0, "name": "anna", "age": 31},
        {"index": 1, "name": "bert", "age": 7},
    ]
    table.write_text("name,age\nnew,1\nanna,31\nbert,7\n")
    after = listed("table", table=str(table), image=None)
    assert [item.identity for item in after[1:]] == [item.identity for item in before]


def test_rows_name_pictures_relative_to_the_table(tmp_path: Path) -> None:
    touch(tmp_path, "faces/anna.jpg")
    table = tmp_path / "t.csv"
    table.write_text("file,name\nfaces/anna.jpg,Anna\nfaces/none.jpg,Nobody\n")
    items = listed("table", table=str(table), image="file")
    assert [item.path for item in items] == [
        str(tmp_path / f"faces/{n}.jpg") for n in ("anna", "none")
    ]
    assert (items[0].fields["rel"], items[0].fields["name"]) == ("faces/anna", "Anna")
    table.write_text("file\n../elsewhere/a.jpg\nfaces/anna.jpg\n")
    rels = [item.fields["rel"] for item in listed("table", table=str(table), image="file")]
    assert all(".." not in rel for rel in rels), "a name may not lead out of the output folder"


def test_an_empty_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match="has no rows"):
        listed("table", table=str(tmp_path / "t.csv"), image=None)


def test_a_larger_count_of_samples_keeps_the_earlier_ones() -> None:
    info = ModelInfo("m", "", "d1", "f", 64, 10, 512, 512)
    few = listed("samples", model=ModelRef("m", info), count=2, seed=5)
    many = listed("samples", model=ModelRef("m", info), count=4, seed=5)
    assert many[:2] == few
    assert dict(few[1].fields) == {"index": 1, "seed": 5}
    others = listed("samples", model=ModelRef("n", step="tuned"), count=2, seed=5)
    assert not {item.identity for item in few} & {item.identity for item in others}


def test_values_are_items() -> None:
    items = listed("values", values=[1, "a", 1])
    assert [item.fields["value"] for item in items] == [1, "a", 1]
    assert items[0].identity == items[2].identity != items[1].identity


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert content_digest(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    with pytest.raises(OSError, match="No such file"):
        content_digest(tmp_path / "none")
