"""Files that say which values they can hold, and appear whole or not at all."""

from hashlib import sha256
from pathlib import Path

import pytest

from engine.errors import ItemError
from engine.export import encode_file, export_value
from engine.jobs import Export, FromItem
from engine.values import Mask, Scalar


def dot() -> Mask:
    import torch

    return Mask(torch.ones(1, 1, 1, 1))


def export(path: Path) -> Export:
    item = ("s", 3)
    kind = path.suffix[1:]
    return Export(1, str(path), FromItem(item, "value"), item, "key", kind, 95, "")


def test_a_format_that_cannot_hold_a_value_says_so(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="a Scalar cannot be written as"):
        encode_file(Scalar((1,)), export(tmp_path / "a.png"))
    with pytest.raises(ItemError, match="no such output format 'tiff'"):
        encode_file(Scalar((1,)), export(tmp_path / "a.tiff"))


def test_what_was_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.png"
    written = export_value(dot(), export(path), str(tmp_path))
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert (written.path, written.item, written.key) == (str(path), ("s", 3), "key")
    assert (written.size, written.digest) == (len(content), sha256(content).hexdigest())
    assert written.mtime_ns == path.stat().st_mtime_ns
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.png"]


def test_an_existing_file_is_replaced_even_when_it_is_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    root = tmp_path / "out"
    root.mkdir()
    (root / "a.png").symlink_to(outside)
    export_value(dot(), export(root / "a.png"), str(root))
    assert outside.read_text() == "mine"
    assert not (root / "a.png").is_symlink()


def test_links_do_not_lead_out_of_the_output_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(ItemError, match="leaves the output folder"):
        export_value(dot(), export(root / "link" / "new" / "a.png"), str(root))
    assert list(outside.iterdir()) == []
