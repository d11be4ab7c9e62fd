"""Descent to codes: schedules by hand, items that do not know of each other."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models import GeneratorConfig, ModelError
from models.inversion import (
    Recipe,
    descend,
    mean_start,
    rate,
    restlessness,
    start_code,
    uniform_start,
)
from models.metrics import psnr, pyramid_l1
from models.paths import along
from models.priors import code_scale
from models.stylegan2 import Generator

torch.manual_seed(3)
GENERATOR = Generator(GeneratorConfig(16, (16, 16, 16), z_dim=16, w_dim=16, mapping_layers=2))
with torch.no_grad():
    GENERATOR.w_avg.copy_(GENERATOR.mapping(torch.randn(500, 16)).mean(0))
GENERATOR.requires_grad_(requires_grad=False)
W = GENERATOR.mapping(torch.randn(3, 16))
TARGET = GENERATOR.synthesize(GENERATOR.broadcast(W))
QUICK = Recipe(space="w", steps=60, prior_weight=0.0)


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


def test_a_code_costs_nothing_for_its_own_picture() -> None:
    for pixel_loss in ("pyramid", "squared"):
        recipe = replace(QUICK, steps=0, pixel_loss=pixel_loss)  # type: ignore[arg-type]
        own = GENERATOR.synthesize(GENERATOR.broadcast(W[:1]))
        found = descend(GENERATOR, None, own, W[:1], recipe)
        assert found.loss.tolist() == [0]
        assert torch.equal(found.data, W[:1])


def test_own_pictures_are_found_to_thirty_decibels() -> None:
    mean = mean_start(GENERATOR, 3)
    begun = (GENERATOR.synthesize(mean) - TARGET).square().flatten(1).mean(1)
    recipe = replace(QUICK, steps=200, pixel_loss="squared", patience=200)
    found = descend(GENERATOR, None, TARGET, start_code(GENERATOR, mean, "w"), recipe)
    assert (psnr(found.picture, TARGET.clamp(-1, 1)) > 30).all()
    assert (found.loss < begun / 100).all()


def test_what_is_no_picture_of_its_own_is_met_nearer_in_w_plus() -> None:
    mean, target = mean_start(GENERATOR, 2), TARGET[:2].flip(3)
    losses = []
    for space in ("w", "w_plus"):
        recipe = replace(QUICK, space=space, steps=80, pixel_loss="squared")  # type: ignore[arg-type]
        start = start_code(GENERATOR, mean, recipe.space)
        losses.append(descend(GENERATOR, None, target, start, recipe).loss)
    assert (losses[1] <= losses[0]).all()


class Linear(Generator):
    """Pictures that are a linear map of the styles, so that what a morph must show is known."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        width = self.layers[-1].style.stop
        self.register_buffer("map", torch.randn(width, 3 * 16 * 16) / (3 * width**0.5))

    def synthesize_styles(self, styles: Tensor, *_: object, **__: object) -> Tensor:
        pictures: Tensor = (styles - 1) @ self.get_buffer("map")
        return pictures.reshape(-1, 3, 16, 16)


def test_halfway_between_embedded_pictures_lies_the_mean_of_the_pictures() -> None:
    torch.manual_seed(4)
    generator = Linear(GENERATOR.config).requires_grad_(requires_grad=False)
    own = generator.styles(generator.broadcast(generator.mapping(torch.randn(2, 16))))
    target = generator.synthesize_styles(own)
    assert target.abs().max() < 1
    recipe = replace(QUICK, space="w_plus", steps=200, pixel_loss="squared", patience=200)
    start = start_code(generator, mean_start(generator, 2), "w_plus")
    found = descend(generator, None, target, start, recipe)
    middle = generator.synthesize(along(found.data, 0.5, "linear", closed=False))
    near = psnr(middle, target.mean(0, keepdim=True))
    assert float(near) > 50
    assert float(near) >= float(psnr(found.picture, target).min())


def test_a_uniform_start_has_the_spread_of_codes_and_is_the_items_own() -> None:
    codes = uniform_start(GENERATOR, range(400))
    scale = code_scale(GENERATOR, "w_plus")
    apart = (codes - scale.mean) / scale.std
    assert apart.abs().max() <= 3**0.5 + 1e-5
    assert torch.allclose(apart.mean(), torch.tensor(0.0), atol=0.02)
    assert torch.allclose(apart.std(), torch.tensor(1.0), atol=0.02)
    assert torch.equal(uniform_start(GENERATOR, [7])[0], codes[7])


def test_it_is_told_how_many_steps_are_done() -> None:
    said: list[tuple[int, int]] = []
    recipe = replace(QUICK, steps=4)
    start = mean_start(GENERATOR, 3).mean(1)
    descend(GENERATOR, None, TARGET, start, recipe, watch=lambda *told: said.append(told))
    assert said == [(step, 4) for step in range(5)]


def test_an_item_is_found_alone_as_among_others() -> None:
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), "w")
    together = descend(GENERATOR, None, TARGET, start, QUICK)
    alone = descend(GENERATOR, None, TARGET[1:2], start[1:2], QUICK)
    assert torch.equal(together.data[1], alone.data[0])
    shuffled = descend(GENERATOR, None, TARGET[[1, 0, 2]], start, QUICK)
    assert torch.equal(together.data[1], shuffled.data[0])


def test_drawing_a_batch_at_once_changes_only_the_rounding() -> None:
    smooth = Recipe(space="w", steps=25, pixel_loss="squared", prior_weight=0.0, patience=6)
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), "w")
    start[0] = W[0]  # done first: the others go on in a smaller batch
    apart = descend(GENERATOR, None, TARGET, start, smooth, together=1)
    at_once = descend(GENERATOR, None, TARGET, start, smooth, together=3)
    assert apart.steps.tolist() == at_once.steps.tolist()
    assert (apart.data - at_once.data).abs().max() < 1e-5


def test_what_has_converged_is_no_longer_drawn() -> None:
    drawn = []
    watched = Generator(GENERATOR.config).requires_grad_(requires_grad=False)
    watched.load_state_dict(GENERATOR.state_dict())
    watched.get_submodule(watched.layers[0].key).register_forward_hook(
        lambda module, args, out: drawn.append(len(out))
    )
    start = start_code(GENERATOR, mean_start(GENERATOR, 3), "w")
    start[0] = W[0]
    recipe = replace(QUICK, steps=20, patience=5)
    found = descend(watched, None, TARGET, start, recipe, together=3)
    assert drawn[:-1] == [3] + [2] * 20  # the last pictures are those of the answer
    assert found.steps.tolist() == [0, 20, 20]


def test_a_perturbed_code_finds_its_picture_again() -> None:
    own = GENERATOR.styles(GENERATOR.broadcast(W))
    start = own + 0.3 * code_scale(GENERATOR, "style").std * torch.randn_like(own)
    recipe = replace(QUICK, space="style", steps=150, patience=150)
    found = descend(GENERATOR, None, TARGET, start, recipe)
    before = psnr(GENERATOR.synthesize_styles(start), TARGET)
    assert (psnr(GENERATOR.synthesize_styles(found.data), TARGET) > before + 15).all()


def test_exploration_is_the_items_own_and_dies_away() -> None:
    restless = Recipe(space="w", steps=40, exploration=0.05, prior_weight=0.0)
    assert restlessness(0, restless) == 0.05
    assert restlessness(15, restless) == pytest.approx(0.0125)
    assert restlessness(30, restless) == restlessness(40, restless) == 0
    start = start_code(GENERATOR, mean_start(GENERATOR, 2), "w")
    both = descend(GENERATOR, None, TARGET[:2], start, restless, seeds=(7, 8))
    second = descend(GENERATOR, None, TARGET[1:2], start[1:], restless, seeds=(8,))
    assert torch.equal(both.data[1], second.data[0])
    other = descend(GENERATOR, None, TARGET[1:2], start[1:], restless, seeds=(9,))
    assert not torch.equal(both.data[1], other.data[0])


def test_a_constant_rate_is_applied_in_the_numbers_of_the_code() -> None:
    plain = Recipe(space="w", steps=1, units="code", schedule="constant", learning_rate=1e-3)
    assert rate(0, plain) == rate(1, plain) == 1e-3
    start = start_code(GENERATOR, mean_start(GENERATOR, 1), "w")
    found = descend(GENERATOR, None, TARGET[:1], start, plain)
    assert (found.data - start).abs().max() == pytest.approx(1e-3, rel=1e-3)


def test_nothing_to_compare_with_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing compares the pictures"):
        descend(GENERATOR, None, TARGET[:1], W[:1], Recipe(space="w", pixel=0.0))


def test_a_hard_neighbour_does_not_change_when_an_item_stops() -> None:
    easy = Recipe(space="w", steps=60, prior_weight=0.0, patience=5)
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
    wild = Recipe(space="w", steps=20, learning_rate=30.0, prior_weight=0.0)
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
    for weight in (0.0, 1.0):
        recipe = Recipe(steps=40, prior_weight=weight)
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
