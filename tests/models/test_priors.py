"""Priors against their samples, and what their weight does to an inversion."""

from dataclasses import replace
from typing import cast

import pytest
import torch

from models import GeneratorConfig, ModelError
from models.codes import Space
from models.inversion import Recipe, descend
from models.metrics import psnr
from models.priors import (
    Prior,
    distance_from,
    sample_w,
    style_gaussian,
    unfold,
    w_gaussian,
)
from models.stylegan2 import Generator

torch.manual_seed(4)
CONFIG = GeneratorConfig(16, (16, 16, 16), z_dim=16, w_dim=16, mapping_layers=2)
GENERATOR = Generator(CONFIG).requires_grad_(requires_grad=False)
GENERATOR.w_avg.copy_(sample_w(GENERATOR).mean(0))
W = sample_w(GENERATOR, 4000, seed=9)
S = GENERATOR.styles(GENERATOR.broadcast(W))
KINDS = cast(tuple[Prior, ...], ("distance", "w_gaussian", "style_gaussian"))


def test_moments_of_styles_are_those_of_sampled_styles() -> None:
    w = sample_w(GENERATOR)
    styles = GENERATOR.styles(GENERATOR.broadcast(w))
    found = style_gaussian(GENERATOR)
    assert torch.allclose(found.mean, styles.mean(0), atol=1e-5)
    assert torch.allclose(found.spread, styles.var(0), rtol=1e-3)


def test_unfolding_undoes_the_last_bend() -> None:
    before = torch.randn(5, 16)
    after = torch.nn.functional.leaky_relu(before, 0.2)
    assert torch.allclose(unfold(after), before, atol=1e-6)


def test_mahalanobis_distance_is_that_of_the_textbook() -> None:
    gaussian = w_gaussian(GENERATOR)
    centred = unfold(W) - gaussian.mean
    variances, axes = torch.linalg.eigh(gaussian.spread.double())
    least = variances.mean() / 1000  # what codes never do must not outweigh the rest
    inverse = axes @ torch.diag(1 / variances.clamp(min=least)) @ axes.t()
    textbook = torch.einsum("nd,de,ne->n", centred.double(), inverse, centred.double()) / 16
    found = distance_from(GENERATOR, "w_gaussian", "w")(W, S)
    assert torch.allclose(found.double(), textbook, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_own_codes_lie_at_about_one_in_every_space(kind: Prior, space: Space) -> None:
    code = W if space == "w" else GENERATOR.broadcast(W)
    found = distance_from(GENERATOR, kind, space)(code, S)
    assert found.shape == (4000,)
    assert found.mean() == pytest.approx(1, abs=0.1)


def test_conditional_generators_are_sampled_over_their_classes() -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, c_dim=3)
    found = style_gaussian(Generator(config).requires_grad_(requires_grad=False))
    assert (found.spread > 0).all()


def test_no_prior_costs_nothing_and_a_style_has_no_w() -> None:
    assert (distance_from(GENERATOR, "none", "style")(S, S) == 0).all()
    with pytest.raises(ModelError, match="w_gaussian needs space w or w_plus, not style"):
        distance_from(GENERATOR, "w_gaussian", "style")


@pytest.mark.parametrize("kind", KINDS)
def test_more_weight_is_nearer_to_the_prior_and_farther_from_the_picture(kind: Prior) -> None:
    # From codes the generator would not draw itself: fidelity has its price.
    torch.manual_seed(5)
    far = GENERATOR.broadcast(W[:2]) + 1.5 * torch.randn(2, GENERATOR.num_rows, 16)
    target = GENERATOR.synthesize(far)
    measure = distance_from(GENERATOR, kind, "w_plus")
    distances, qualities = [], []
    for weight in (0.0, 0.03, 0.3):
        recipe = Recipe(
            steps=150, pixel_loss="squared", prior=kind, prior_weight=weight, stop_psnr=200
        )
        found = descend(GENERATOR, None, target, far, recipe)
        distances.append(measure(found.data, GENERATOR.styles(found.data)))
        qualities.append(psnr(GENERATOR.synthesize(found.data), target))
    assert (distances[0] > distances[1]).all()
    assert (distances[1] > distances[2]).all()
    assert (qualities[0] > qualities[1]).all()
    assert (qualities[1] > qualities[2]).all()
