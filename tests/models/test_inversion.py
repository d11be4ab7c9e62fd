"""Descent to codes: schedules by hand, items that do not know of each other."""

from dataclasses import replace

import pytest
import torch

from models import GeneratorConfig, ModelError
from models.inversion import Recipe, code_scale, descend, mean_start, rate, start_code
from models.metrics import psnr, pyramid_l1
from models.stylegan2 import Generator

torch.manual_seed(3)
GENERATOR = Generator(GeneratorConfig(16, (16, 16, 16), z_dim=16, w_dim=16, mapping_layers=2))
with torch.no_grad():
    GENERATOR.w_avg.copy_(GENERATOR.mapping(torch.randn(500, 16)).mean(0))
GENERATOR.requires_grad_(requires_grad=False)
W = GENERATOR.mapping(torch.randn(3, 16))
TARGET = GENERATOR.synthesize(GENERATOR.broadcast(W))
QUICK = Recipe(space="w", steps=60, prior=0.0)


@pytest.mark.parametrize(("step", "expected"), [(5, 1.0), (75, 1.0), (100, 0.0), (50, 1.0)])
def test_rate_rises_stays_and_falls(step: int, expected: float) -> None:
    assert rate(step, Recipe(steps=100, learning_rate=1.0)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("space", ["w", "w_plus", "style"])
def test_own_pictures_are_found_again(space: str) -> None:
    recipe = replace(QUICK, space=space)  # type: ignore[arg-type]
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), recipe.space)
    found = descend(GENERATOR, None, TARGET, start, recipe)
    before = psnr(GENERATOR.synthesize(mean_start(GENERATOR, 3)), TARGET)
    after = psnr(found.picture, TARGET.clamp(-1, 1))
    assert (after > before + 8).all()


def test_an_item_is_found_alone_as_among_others() -> None:
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), "w")
    together = descend(GENERATOR, None, TARGET, start, QUICK)
    alone = descend(GENERATOR, None, TARGET[1:2], start[1:2], QUICK)
    assert (together.picture[1] - alone.picture[0]).abs().max() < 1e-2
    shuffled = descend(GENERATOR, None, TARGET[[1, 0, 2]], start, QUICK)
    assert torch.equal(together.data[1], shuffled.data[0])


def test_a_hard_neighbour_does_not_change_when_an_item_stops() -> None:
    easy = Recipe(space="w", steps=60, prior=0.0, patience=5)
    start = start_code(GENERATOR, mean_start(GENERATOR, 2), "w")
    start[0] = W[0]  # already there
    found = descend(GENERATOR, None, TARGET[:2], start, easy)
    assert found.steps[0] < 12
    assert found.steps[1] > found.steps[0]
    assert torch.allclose(found.data[0], W[0])


def test_good_enough_stops_at_once() -> None:
    found = descend(GENERATOR, None, TARGET, W.clone(), replace(QUICK, stop_psnr=40.0))
    assert found.steps.tolist() == [0, 0, 0]
    assert torch.equal(found.data, W)


def test_the_best_step_is_kept_even_when_descent_goes_wrong() -> None:
    wild = Recipe(space="w", steps=20, learning_rate=30.0, prior=0.0)
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), "w")
    found = descend(GENERATOR, None, TARGET, start, wild)
    begun = pyramid_l1(GENERATOR.synthesize(mean_start(GENERATOR, 3)), TARGET)
    assert (found.loss <= begun).all()
    drawn = GENERATOR.synthesize(GENERATOR.broadcast(found.data))
    assert torch.allclose(pyramid_l1(drawn, TARGET), found.loss, atol=1e-4)


def test_prior_holds_the_code_near_the_mean() -> None:
    scale = code_scale(GENERATOR, "w_plus")
    start = mean_start(GENERATOR, 3)
    depth = []
    for prior in (0.0, 1.0):
        recipe = Recipe(steps=40, prior=prior)
        data = descend(GENERATOR, None, TARGET, start, recipe).data
        depth.append(((data - scale.mean) / scale.std).square().mean())
    assert depth[1] < depth[0] / 2


def test_scale_is_that_of_mapped_codes() -> None:
    w = GENERATOR.mapping(torch.randn(4000, 16))
    assert torch.allclose(code_scale(GENERATOR, "w").std[0], w.std(0), rtol=0.1)
    styles = GENERATOR.styles(GENERATOR.broadcast(w))
    assert torch.allclose(code_scale(GENERATOR, "style").std[0], styles.std(0), rtol=0.1, atol=1e-3)


def test_z_is_refused() -> None:
    with pytest.raises(ModelError, match="space z cannot be descended in"):
        start_code(GENERATOR, mean_start(GENERATOR, 1), "z")
