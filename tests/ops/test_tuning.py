"""Tuning as an op: the network it gives is used by every later op, and survives the store."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.codecs import decode, encode
from engine.errors import ItemError, OpError, StoreError
from engine.values import Image, Latent, Network, take
from models import ModelError
from models.deltas import digest
from ops.inversion import invert
from ops.synthesis import synthesize, vary_noise
from ops.tuning import TunedGenerator, tune_generator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def target(model: Network, w: Latent) -> Image:
    drawn = synthesize(take(w, 0, 1), model).data
    other = torch.randn(drawn.shape, generator=torch.Generator().manual_seed(3))
    return Image((drawn + 0.3 * other).clamp(-1, 1))


@pytest.fixture(scope="module")
def found(model: Network, w: Latent, target: Image) -> TunedGenerator:
    return tune_generator(take(w, 0, 1), target, model, steps=40, rank=4, locality=0.0)


def test_tuned_is_nearer_and_later_steps_draw_with_it(
    model: Network, w: Latent, target: Image, found: TunedGenerator
) -> None:
    one = take(w, 0, 1)
    assert float(found.psnr.data[0] or 0) > float(found.before.data[0] or 0) + 1
    assert (found.model.family, found.model.path) == (model.family, model.path)
    assert found.model.digest == digest(found.model.delta) != model.digest
    assert found.size.data == (len(found.model.delta),)
    drawn = synthesize(one, found.model)
    assert torch.equal(drawn.data, found.reconstruction.data)
    assert not torch.equal(drawn.data, synthesize(one, model).data)
    again = vary_noise(one, found.model, rows="all", strength=0.0)
    assert torch.allclose(again.data, drawn.data, atol=1e-6)
    nearer = invert(target, found.model, method="optimize", space="w", steps=5)
    assert nearer.latent.family == model.family


def test_a_network_survives_the_store_bit_for_bit(found: TunedGenerator) -> None:
    stored = encode(found.model)
    again = decode(stored)
    assert again == found.model
    assert isinstance(again, Network)
    assert again.delta == found.model.delta
    assert encode(again) == stored


def test_a_tampered_network_is_refused(w: Latent, found: TunedGenerator) -> None:
    delta = bytearray(found.model.delta)
    delta[-1] ^= 1
    broken = replace(found.model, delta=bytes(delta), digest="0" * 64)
    with pytest.raises(ModelError, match="damaged: its sha256 is"):
        synthesize(take(w, 0, 1), broken)
    with pytest.raises(StoreError, match="cut short"):
        decode(encode(found.model)[:-1])


def test_what_cannot_be_tuned_is_refused(model: Network, w: Latent, target: Image) -> None:
    one = take(w, 0, 1)
    with pytest.raises(OpError, match="belongs to the generator"):
        tune_generator(replace(one, family="f" * 64), target, model)
    with pytest.raises(ItemError, match="80x64: cut a square first"):
        tune_generator(one, Image(torch.zeros(1, 3, 64, 80)), model)
    with pytest.raises(OpError, match="nothing compares"):
        tune_generator(one, target, model, pixel=0)
    with pytest.raises(ItemError, match="broke down"):
        tune_generator(one, Image(target.data * torch.nan), model, steps=2)


def test_every_op_fetches_by_reference_so_that_no_delta_is_lost() -> None:
    # Only what learns a delta asks for the base of a network.
    allowed = ("finetuning.py", "tuning.py")
    careless = [
        path.name
        for path in sorted((ROOT / "ops").glob("*.py"))
        if path.name not in allowed and "models.network(" in path.read_text(encoding="utf-8")
    ]
    assert careless == []
