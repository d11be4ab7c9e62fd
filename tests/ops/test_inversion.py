"""Inversion as an op: ports, companions, refusals."""

from pathlib import Path

import pytest
import torch

from engine.errors import ItemError, OpError
from engine.op import Seed
from engine.values import Image, Latent, Network, split, take
from ops.directions import score_attributes
from ops.inversion import _judge_prior, invert
from ops.measures import measure
from ops.synthesis import synthesize


def test_descent_comes_nearer_and_says_how_near(model: Network, w: Latent) -> None:
    target = synthesize(take(w, 0, 2), model)
    found = invert(target, model, method="optimize", steps=25)
    assert found.latent.data.shape == (2, 8, 16)
    assert (found.latent.space, found.latent.family) == ("w_plus", model.family)
    redrawn = synthesize(found.latent, model)
    assert torch.allclose(redrawn.data, found.reconstruction.data, atol=1e-5)
    start = synthesize(Latent(w.data[:2] * 0, "w", w.family), model)
    before = measure(start, target, model)
    assert all(
        float(a or 0) > float(b or 0)
        for a, b in zip(found.psnr.data, before.psnr.data, strict=True)
    )
    assert found.perceptual.data == (None, None)
    assert found.steps.data == (25, 25)


def test_encoder_reads_in_one_pass_and_hybrid_goes_on_from_there(
    companions: Network, w: Latent
) -> None:
    target = synthesize(w, companions)
    read = invert(target, companions, method="encoder")
    assert read.steps.data == (0,) * 5
    singles = [invert(one, companions, method="encoder").latent.data for one in split(target)]
    assert torch.allclose(read.latent.data, torch.cat(singles), atol=1e-5)
    better = invert(target, companions, steps=8)
    gains = zip(better.perceptual.data, read.perceptual.data, strict=True)
    assert all(float(a or 0) < float(b or 0) for a, b in gains)


def test_a_picture_of_another_size_is_scaled_and_an_oblong_one_refused(model: Network) -> None:
    found = invert(Image(torch.zeros(1, 3, 80, 80)), model, method="optimize", steps=1)
    assert found.reconstruction.data.shape == (1, 3, 32, 32)
    with pytest.raises(ItemError, match="80x64: cut a square first"):
        invert(Image(torch.zeros(1, 3, 64, 80)), model, method="optimize")


def test_model_without_an_encoder_says_what_to_do(model: Network) -> None:
    with pytest.raises(OpError, match=r"'tiny' has no encoder .* use method: optimize"):
        invert(Image(torch.zeros(1, 3, 32, 32)), model)


def test_numbers_that_are_not_finite_name_the_item(model: Network) -> None:
    target = torch.zeros(2, 3, 32, 32)
    target[1] = float("nan")
    with pytest.raises(ItemError, match="broke down at step 0") as caught:
        invert(Image(target), model, method="optimize", steps=3)
    assert (caught.value.reason, caught.value.item) == ("not_finite", 1)


def test_attributes_are_read_by_the_network_beside_the_model(
    companions: Network, w: Latent
) -> None:
    scores = score_attributes(synthesize(w, companions), companions)
    assert scores.names == ("smile", "age")
    assert scores.data.shape == (5, 2)
    assert Path(companions.path).with_name("features.safetensors").is_file()


def test_presets_expand_and_given_settings_win(companions: Network, w: Latent) -> None:
    target = synthesize(take(w, 0, 1), companions)
    found = invert(target, companions, preset="soat", steps=3)
    assert (found.latent.space, found.steps.data) == ("style", (3,))
    found = invert(target, companions, preset="nvlabs", steps=2, space="w_plus", seed=Seed((4,)))
    assert (found.latent.space, found.steps.data) == ("w_plus", (2,))
    with pytest.raises(OpError, match="w_gaussian needs space w or w_plus"):
        invert(target, companions, preset="soat", prior="w_gaussian", steps=1)


def test_nothing_to_compare_with_is_told(model: Network, w: Latent) -> None:
    target = synthesize(take(w, 0, 1), model)
    with pytest.raises(OpError, match="'tiny': nothing compares the pictures"):
        invert(target, model, preset="nvlabs", steps=1)


@pytest.mark.parametrize(
    ("preset", "space", "wrong"), [("own", "style", 1), ("soat", None, 1), ("soat", "w", 0)]
)
def test_a_prior_that_does_not_fit_is_told_before_a_run(
    preset: str, space: str | None, wrong: int
) -> None:
    given = {
        "preset": preset,
        "space": space,
        "prior": "w_gaussian",
        "method": "optimize",
        "start": "mean",
    }
    assert len(list(_judge_prior(given, {"model": 32}))) == wrong


def test_descent_may_begin_anywhere_but_not_with_an_encoder(companions: Network, w: Latent) -> None:
    target = synthesize(take(w, 0, 2), companions)
    asked = {"method": "optimize", "steps": 1, "start": "uniform"}
    one, again, other = (
        invert(target, companions, seed=Seed(seeds), **asked).latent.data  # type: ignore[arg-type]
        for seeds in ((1, 2), (1, 2), (1, 3))
    )
    assert torch.equal(one, again)
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])
    with pytest.raises(OpError, match="start uniform: hybrid begins with what the encoder reads"):
        invert(target, companions, start="uniform")
    given = {"preset": "own", "space": None, "prior": None, "method": None, "start": "uniform"}
    assert [name for name, _ in _judge_prior(given, {"model": 32})] == ["start"]


def test_distance_is_about_one_for_the_models_own_codes(model: Network, w: Latent) -> None:
    found = invert(synthesize(w, model), model, method="optimize", space="w", steps=60)
    assert all(0.05 < float(d or 0) < 5 for d in found.distance.data)
