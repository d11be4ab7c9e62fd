"""Presets say what the papers say; what is given wins."""

import pytest
import torch

from models import GeneratorConfig
from models.inversion import Recipe, descend, mean_start, start_code
from models.perceptual import FeatureNet, FeatureNetConfig
from models.presets import PRESETS, Preset, choose
from models.stylegan2 import Generator


@pytest.mark.parametrize(
    ("preset", "space", "steps", "lr"),
    [
        ("soat", "style", 3000, 0.05),
        ("image2stylegan", "w_plus", 5000, 0.01),
        ("nvlabs", "w", 1000, 0.1),
        ("pti", "w", 450, 0.01),
    ],
)
def test_papers_are_as_written(preset: Preset, space: str, steps: int, lr: float) -> None:
    recipe = PRESETS[preset]
    assert (recipe.space, recipe.steps, recipe.learning_rate) == (space, steps, lr)
    assert recipe.units == "code"
    assert recipe.patience >= recipe.steps


def test_given_settings_win_and_none_leaves_the_preset() -> None:
    found = choose("soat", steps=5, prior_weight=0.0, space=None)
    assert (found.steps, found.prior_weight, found.space) == (5, 0.0, "style")
    assert choose("own") == Recipe()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset_runs(preset: Preset) -> None:
    torch.manual_seed(1)
    config = GeneratorConfig(16, (8, 8, 8), z_dim=8, w_dim=8, mapping_layers=2)
    generator = Generator(config).requires_grad_(requires_grad=False)
    net = FeatureNet(FeatureNetConfig(("a",), ("b",), ("c",), (8, 8, 8, 8, 8)))
    target = generator(torch.randn(1, 8)).detach()
    recipe = choose(preset, steps=12)
    start = start_code(generator, mean_start(generator, 1), recipe.space)
    found = descend(generator, net.requires_grad_(requires_grad=False), target, start, recipe)
    assert torch.isfinite(found.loss).all()
