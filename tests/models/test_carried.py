"""Networks that travel as bytes: the same bytes for the same content, and nothing else is read."""

from pathlib import Path

import pytest
import torch

from models.carried import digest, pack, unpack
from models.errors import ModelError
from models.native import read_base

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(1, dtype=torch.float64)}


def test_what_is_packed_comes_back_and_says_whose_it_is(tmp_path: Path) -> None:
    packed = pack("scorer", "abc", {"name": "x"}, TENSORS)
    config, tensors = unpack(packed, "scorer")
    assert config == {"name": "x", "base": "abc"}
    assert {name: t.dtype for name, t in tensors.items()} == {
        "a": torch.float64,
        "b": torch.float32,
    }
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    path = tmp_path / "x.safetensors"
    path.write_bytes(packed)
    assert read_base(path) == "abc"


def test_order_leaves_no_trace() -> None:
    turned = {name: TENSORS[name] for name in reversed(TENSORS)}
    first = pack("flow", "b", {"x": 1, "y": 2}, TENSORS)
    assert digest(first) == digest(pack("flow", "b", {"y": 2, "x": 1}, turned))
    assert digest(first) != digest(pack("flow", "c", {"y": 2, "x": 1}, turned))


def test_damage_and_other_kinds_are_told() -> None:
    packed = pack("flow", "b", {}, TENSORS)
    with pytest.raises(ModelError, match="holds a network of kind flow, not a weight delta"):
        unpack(packed, "delta")
    for damaged in (b"", b"nonsense" * 9, packed[:-3], packed.replace(b"base", b"vase")):
        with pytest.raises(ModelError, match="a flow is damaged"):
            unpack(damaged, "flow")
