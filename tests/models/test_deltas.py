"""Deltas: exact round trips, nothing executed, nothing that does not fit."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn.utils import parametrize

from models import POOL, GeneratorConfig, ModelError, fetch, file_digest, save_generator
from models.deltas import (
    Added,
    AddedFactors,
    Delta,
    apply,
    digest,
    may_change,
    merged,
    pack,
    unpack,
)
from models.loading import load_generator
from models.stylegan2 import Generator

torch.manual_seed(2)
CONFIG = GeneratorConfig(16, (8, 8, 8), z_dim=8, w_dim=8, mapping_layers=2)
GENERATOR = Generator(CONFIG).requires_grad_(requires_grad=False)
GENERATOR.digest = "a" * 64


@pytest.fixture
def delta() -> Delta:
    name = next(n for n in may_change(GENERATOR) if n.endswith("conv0.weight"))
    tensors = {
        name + "::up": torch.randn(8, 2).half(),
        name + "::down": torch.randn(2, 72).half(),
        name.replace("weight", "bias"): torch.randn(8).half(),
    }
    return Delta("a" * 64, tensors, {"steps": 3})


def test_packing_is_exact_and_always_the_same(delta: Delta) -> None:
    packed = pack(delta)
    found = unpack(packed, digest(packed))
    assert (found.base, found.card) == (delta.base, {"steps": 3})
    assert found.tensors.keys() == delta.tensors.keys()
    assert all(torch.equal(found.tensors[k], v) for k, v in delta.tensors.items())
    assert pack(found) == packed


def test_applying_adds_and_leaves_the_base(delta: Delta) -> None:
    before = {k: v.clone() for k, v in GENERATOR.state_dict().items()}
    tuned = apply(GENERATOR, delta)
    assert all(torch.equal(before[k], v) for k, v in GENERATOR.state_dict().items())
    changed = {k for k, v in tuned.state_dict().items() if not torch.equal(before[k], v)}
    weight = next(k for k in changed if k.endswith("weight"))
    assert changed == {weight, weight.replace("weight", "bias")}
    up, down = (delta.tensors[f"{weight}::{part}"].float() for part in ("up", "down"))
    added = (up @ down).reshape(before[weight].shape)
    assert torch.allclose(tuned.state_dict()[weight], before[weight] + added, atol=1e-6)


def test_an_empty_delta_changes_nothing() -> None:
    z = torch.randn(2, 8)
    assert torch.equal(apply(GENERATOR, Delta("a" * 64, {}, {}))(z), GENERATOR(z))


def test_two_deltas_become_one(delta: Delta) -> None:
    both = merged(delta, delta)
    twice = apply(apply(GENERATOR, delta), delta)
    at_once = apply(GENERATOR, both)
    for (name, a), b in zip(twice.state_dict().items(), at_once.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-2), name


@pytest.mark.parametrize("where", [3, 40, -1])
def test_a_tampered_delta_is_refused(delta: Delta, where: int) -> None:
    packed = bytearray(pack(delta))
    name = digest(bytes(packed))
    packed[where] ^= 1
    with pytest.raises(ModelError, match="a weight delta is damaged: its sha256 is"):
        unpack(bytes(packed), name)


@pytest.mark.parametrize("junk", [b"", b"x" * 50, b"\x80\x04K\x01."])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(ModelError, match="a weight delta is damaged"):
        unpack(junk)


def test_a_delta_of_another_generator_or_shape_is_refused(delta: Delta) -> None:
    with pytest.raises(ModelError, match="made for the generator bbbbbbbbbbbb, not for aaaa"):
        apply(GENERATOR, replace(delta, base="b" * 64))
    with pytest.raises(ModelError, match="which no delta may change"):
        apply(GENERATOR, replace(delta, tensors={"mapper.layers.0.weight": torch.zeros(8, 8)}))
    bias = next(name for name in delta.tensors if name.endswith("bias"))
    with pytest.raises(ModelError, match="does not fit"):
        apply(GENERATOR, replace(delta, tensors={bias: torch.zeros(3)}))
    with pytest.raises(ModelError, match="not finite"):
        apply(GENERATOR, replace(delta, tensors={bias: torch.full((8,), torch.nan)}))
    alone = {k: v for k, v in delta.tensors.items() if not k.endswith("::up")}
    with pytest.raises(ModelError, match="no other factor"):
        apply(GENERATOR, replace(delta, tensors=alone))


def test_parametrizations_begin_without_a_change() -> None:
    for change in (Added, lambda weight: AddedFactors(weight, 2, 0)):
        conv = torch.nn.Conv2d(3, 4, 3)
        before = conv.weight.detach().clone()
        parametrize.register_parametrization(conv, "weight", change(conv.weight))
        assert torch.equal(conv.weight, before)


def test_the_pool_keeps_base_and_tuned_apart(
    delta: Delta, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pool") / "g.safetensors"
    save_generator(GENERATOR, path)
    base = file_digest(path)
    packed = pack(replace(delta, base=base))
    where = {"path": str(path), "device": "cpu", "precision": "fp32"}
    plain = SimpleNamespace(**where, delta=b"", digest=base)
    tuned = SimpleNamespace(**where, delta=packed, digest=digest(packed))
    z = torch.randn(1, 8)
    assert torch.equal(fetch(plain)(z), load_generator(path)(z))
    assert not torch.equal(fetch(tuned)(z), fetch(plain)(z))
    assert fetch(tuned) is fetch(tuned)
    assert fetch(tuned).digest == tuned.digest
    POOL.clear()
    broken = SimpleNamespace(**{**vars(tuned), "delta": packed[:-1] + b"?"})
    with pytest.raises(ModelError, match="damaged"):
        fetch(broken)
