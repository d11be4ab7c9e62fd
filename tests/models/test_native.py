"""The project's own weight files."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelError
from models.native import read_native

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
