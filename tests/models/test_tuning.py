"""Pivotal tuning on a tiny generator: nearer to the picture, elsewhere the same."""

import math
from dataclasses import replace

import pytest
import torch

from models import GeneratorConfig, ModelError
from models.deltas import apply, unpack
from models.metrics import psnr
from models.stylegan2 import Generator
from models.tuning import Tuning, pace, picture_in_noise, tune

torch.manual_seed(6)
GENERATOR = Generator(GeneratorConfig(32, (16, 16, 16, 8), z_dim=16, w_dim=16, mapping_layers=2))
with torch.no_grad():
    for _name, _parameter in GENERATOR.named_parameters():
        if _name.endswith("noise_strength"):
            _parameter.fill_(0.05)
GENERATOR.requires_grad_(requires_grad=False)
GENERATOR.digest = "c" * 64
STYLES = GENERATOR.styles(GENERATOR.broadcast(GENERATOR.mapping(torch.randn(1, 16))))
TARGET = (GENERATOR.synthesize_styles(STYLES) + 0.3 * torch.randn(1, 3, 32, 32)).clamp(-1, 1)
QUICK = Tuning(steps=60, rank=4, locality=0.0, learning_rate=0.02)


def shown(packed: bytes) -> torch.Tensor:
    return apply(GENERATOR, unpack(packed)).synthesize_styles(STYLES)


@pytest.mark.parametrize("what", ["both", "weights", "noise"])
def test_tuning_comes_nearer_and_says_how_near(what: str) -> None:
    found = tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, what=what))  # type: ignore[arg-type]
    assert found.before == pytest.approx(float(psnr(GENERATOR.synthesize_styles(STYLES), TARGET)))
    assert found.after > found.before + 1
    assert found.after == pytest.approx(float(psnr(shown(found.packed), TARGET)), abs=1e-4)
    changed = set(unpack(found.packed).tensors)
    assert any("noise_const" in name for name in changed) == (what != "weights")
    assert any("weight" in name for name in changed) == (what != "noise")


def test_codes_mean_the_same_to_the_tuned_generator() -> None:
    tuned = apply(GENERATOR, unpack(tune(GENERATOR, None, STYLES, TARGET, QUICK).packed))
    z = torch.randn(3, 16)
    assert torch.equal(tuned.mapping(z), GENERATOR.mapping(z))
    w_plus = GENERATOR.broadcast(GENERATOR.mapping(z))
    assert torch.equal(tuned.styles(w_plus), GENERATOR.styles(w_plus))


def test_it_is_told_how_many_steps_are_done() -> None:
    said: list[tuple[int, int]] = []
    tuning = replace(QUICK, steps=3)
    tune(GENERATOR, None, STYLES, TARGET, tuning, watch=lambda *told: said.append(told))
    assert said == [(step, 3) for step in range(4)]


def test_no_steps_change_nothing() -> None:
    found = tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, steps=0))
    assert torch.equal(shown(found.packed), GENERATOR.synthesize_styles(STYLES))
    assert found.drift == 0


def test_locality_holds_other_pictures() -> None:
    drift = [
        tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, locality=weight)).drift
        for weight in (0.0, 3.0)
    ]
    assert 0 < drift[1] < drift[0]


def test_less_rank_is_smaller() -> None:
    sizes = [
        len(tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, steps=1, rank=rank)).packed)
        for rank in (1, 4, 0)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_only_chosen_layers_change_and_unknown_ones_are_refused() -> None:
    found = tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, steps=2, layers=("16.conv0",)))
    key = GENERATOR.layer("16.conv0").key
    assert all(name.startswith(key) for name in unpack(found.packed).tensors)
    with pytest.raises(ModelError, match=r"layer '9.conv0' does not exist"):
        tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, layers=("9.conv0",)))


def test_tuning_goes_on_from_an_earlier_delta() -> None:
    first = tune(GENERATOR, None, STYLES, TARGET, QUICK)
    second = tune(GENERATOR, None, STYLES, TARGET, QUICK, unpack(first.packed))
    assert second.before == pytest.approx(first.after, abs=1e-3)
    assert second.after > first.after


def test_it_stops_when_good_enough_and_is_repeatable() -> None:
    found = tune(GENERATOR, None, STYLES, TARGET, replace(QUICK, stop_psnr=1.0))
    assert found.steps == 0
    again = [tune(GENERATOR, None, STYLES, TARGET, QUICK).packed for _ in range(2)]
    assert again[0] == again[1]


def test_pace_and_whiteness_by_hand() -> None:
    assert pace(0.25) == pace(0.5) == 1
    assert pace(1.0) == pytest.approx(0, abs=1e-9)
    assert pace(0.75) == pytest.approx(0.5)
    for side in (8, 32):
        expected = 2 * (math.log2(side) - 2)
        assert picture_in_noise(torch.ones(side, side)) == pytest.approx(expected)
    assert picture_in_noise(torch.randn(64, 64)) < 0.2
