"""The project's own weight files."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelError
from models.native import network_kind, read_base, read_header, read_native

META = {"kind": "line", "config": '{"width": 2}'}
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: Any, data: bytes = struct.pack("<2f", 1.5, -2.0)) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_file_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "line.safetensors", {"__metadata__": META, "x": ENTRY})
    config, tensors = read_native(path, "line")
    assert config == {"width": 2}
    assert tensors["x"].values() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"x": ENTRY}, "of kind unknown, not line"),
        ({"__metadata__": META | {"kind": "curve"}}, "of kind curve, not line"),
        ({"__metadata__": META | {"config": "{"}}, "damaged"),
        ({"__metadata__": META, "x": ENTRY | {"data_offsets": [0, 80]}}, "truncated: tensor x"),
        ({"__metadata__": META, "x": ENTRY | {"data_offsets": [0, 7]}}, "no whole number"),
        ({"__metadata__": META, "x": ENTRY | {"dtype": "F8"}}, "damaged"),
        ({"__metadata__": META, "x": ENTRY | {"shape": [3]}}, "needs 3 elements"),
        (["x"], "damaged"),
    ],
)
def test_damaged_headers_are_refused(header: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "line.safetensors", header)
    with pytest.raises(ModelError, match=message) as caught:
        read_native(path, "line")
    assert "line.safetensors" in str(caught.value)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "line.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(ModelError, match="truncated"):
        read_native(path, "line")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 an archive",
        struct.pack("<Q", 3) + b"[1]",
        struct.pack("<Q", 4) + b"{1 }",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 60_000) + b'{"a":' * 12_000,
    ],
    ids=["empty", "archive", "list", "no JSON", "cut", "nested"],
)
def test_what_has_no_header_is_of_no_kind_and_no_network(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "line.safetensors"
    path.write_bytes(content)
    assert (network_kind(path), read_base(path)) == ("", "")
    with pytest.raises(ValueError, match=r".+"):
        read_header(path)
    with pytest.raises(ModelError, match=r"line\.safetensors: damaged or not a safetensors file"):
        read_native(path, "line")


def test_a_carried_network_must_say_whose_it_is(tmp_path: Path) -> None:
    told = {"kind": "flow", "config": '{"width": 2}'}
    path = write(tmp_path / "flow.safetensors", {"__metadata__": told})
    assert network_kind(path) == "flow"
    with pytest.raises(ModelError, match="damaged"):
        read_base(path)
    assert read_base(write(path, {"__metadata__": {"format": "pt"}, "x": ENTRY})) == ""


def test_the_header_says_where_tensors_begin(tmp_path: Path) -> None:
    path = write(tmp_path / "line.safetensors", {"__metadata__": META, "x": ENTRY})
    header, start = read_header(path)
    assert header == {"__metadata__": META, "x": ENTRY}
    assert struct.unpack("<2f", path.read_bytes()[start:]) == (1.5, -2.0)
