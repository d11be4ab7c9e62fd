"""Half precision: every op that draws gives nearly the picture of full precision, no other one."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.dag import ModelInfo
from engine.keys import model_key
from engine.values import Latent, Network, take
from models import fetch
from ops.features import interpolate_features, transfer_attribute
from ops.finetuning import finetune
from ops.inversion import invert
from ops.local import collage, edit_locally
from ops.masks import segment_parts
from ops.panorama import weave_panorama
from ops.spatial import pad_features, resize_features, sample_shifts, shift_features
from ops.synthesis import synthesize, vary_noise
from ops.tuning import tune_generator

BOX = (0.25, 0.25, 0.5, 0.5)
MOVE = (*BOX, 0.25, 0.0)
DRAWING: dict[str, Callable[[Latent, Network], Tensor]] = {
    "synthesize": lambda w, model: synthesize(w, model).data,
    "vary_noise": lambda w, model: vary_noise(w, model, rows="all", seed=(1,) * len(w.data)).data,  # type: ignore[arg-type]
    "interpolate_features": lambda w, model: interpolate_features(pair(w), model).image.data,
    "transfer_attribute": lambda w, model: transfer_attribute(*pair(w), model, box=BOX).image.data,
    "collage": lambda w, model: collage(*pair(w), model, box=BOX).image.data,
    "weave_panorama": lambda w, model: weave_panorama(pair(w), model).data,
    "pad_features": lambda w, model: pad_features(w, model, left=1).data,
    "resize_features": lambda w, model: resize_features(w, model, width=48).data,
    "shift_features": lambda w, model: shift_features(w, model, moves=[MOVE]).image.data,
    "sample_shifts": lambda w, model: sample_shifts(w, model).image.data,
    "edit_locally": lambda w, model: (
        edit_locally(
            *pair(w), model, parts=[0, 1], method="clusters", clusters=4, at=8, rho=0.0
        ).image.data
    ),
}


def pair(w: Latent) -> list[Latent]:
    return [take(w, 0, 1), take(w, 1, 2)]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", DRAWING)
def test_half_precision_draws_nearly_the_same(
    model: Network, w: Latent, name: str, precision: str
) -> None:
    full = DRAWING[name](w, model)
    half = DRAWING[name](w, replace(model, precision=precision))
    assert half.dtype == torch.float32
    error = (half - full).abs()
    assert 0 < float(error.mean()) < 0.02
    assert float(error.max()) < 0.5


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_numbered_part_is_the_same_part_in_every_precision(
    model: Network, w: Latent, precision: str
) -> None:
    for number in range(12):
        full, half = (
            segment_parts(each, latent=w, parts=number, method="clusters", clusters=12, at=16).mask
            for each in (model, replace(model, precision=precision))
        )
        assert float((full.data - half.data).abs().mean()) < 0.02


def test_the_pool_keeps_precisions_apart(model: Network) -> None:
    kinds = [fetch(replace(model, precision=p)).dtype for p in ("fp32", "bf16", "fp16", "fp32")]
    assert kinds == [torch.float32, torch.bfloat16, torch.float16, torch.float32]


def test_inversion_descends_in_half_precision(model: Network, w: Latent) -> None:
    half = replace(model, precision="bf16")
    target = synthesize(take(w, 0, 1), model)
    begun, found = (
        invert(target, half, method="optimize", space="w", steps=steps) for steps in (1, 60)
    )
    assert float(found.psnr.data[0] or 0) > float(begun.psnr.data[0] or 0) + 3


def test_tuned_generators_keep_the_precision(model: Network, w: Latent) -> None:
    half = replace(model, precision="bf16")
    target = synthesize(take(w, 1, 2), model)
    tuned = tune_generator(take(w, 0, 1), target, half, steps=2).model
    learned = finetune([target, target], half, steps=1, batch=2).model
    for network in (tuned, learned):
        assert network.precision == "bf16"
        assert fetch(network).dtype == torch.bfloat16


def test_the_precision_of_a_model_is_part_of_the_keys_and_full_precision_adds_nothing() -> None:
    info = ModelInfo("m", "/m", "abc", "abc", 64, 10, 512, 512)
    assert model_key(info) == "abc"
    assert model_key(replace(info, precision="bf16")) == "abc:bf16"
