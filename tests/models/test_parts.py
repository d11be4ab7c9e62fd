"""Kinds of features and what each style channel serves."""

import pytest
import torch

from models.parts import catalogue, channel_shares, contributions, memberships, typical_styles
from models.stylegan2 import Generator


def test_every_place_is_of_one_kind_and_the_first_kind_is_the_largest(tiny: Generator) -> None:
    centers = catalogue(tiny, 16, 6)
    torch.testing.assert_close(centers.norm(dim=1), torch.ones(6))
    found = memberships(tiny, typical_styles(tiny), 16, centers)
    assert found.shape == (32, 6, 16, 16)
    assert torch.equal(found.sum(1), torch.ones(32, 16, 16))
    sizes = found.sum((0, 2, 3))
    assert bool((sizes.diff() <= 0).all())
    assert catalogue(tiny, 16, 6) is centers


def test_shares_of_a_channel_add_up_to_one_whatever_the_parts(tiny: Generator) -> None:
    styles = typical_styles(tiny, 9)
    members = torch.rand(9, 4, 16, 16).softmax(1)
    shares = contributions(tiny, styles, members)
    for layer in tiny.layers:
        total = shares[:, layer.style].sum(0)
        expected = torch.zeros_like(total) if layer.kind == "rgb" else torch.ones_like(total)
        torch.testing.assert_close(total, expected, atol=1e-4, rtol=0)
    left = torch.zeros(9, 2, 16, 16)
    left[:, 0, :, :8] = 1
    left[:, 1, :, 8:] = 1
    layer = tiny.layer("16.conv1")
    state = tiny.run(styles, stop=layer.index)
    energy = state.features.square()
    expected = energy[..., :8].sum((0, 2, 3)) / energy.sum((0, 2, 3))
    found = contributions(tiny, styles, left)[0, layer.style]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_channels_are_taken_best_first_within_the_budget(tiny: Generator) -> None:
    mine = torch.zeros(tiny.layers[-1].style.stop)
    layer = tiny.layers[0]
    mine[layer.style] = torch.linspace(0.95, 0.4, layer.in_channels)
    budgets = [512 / layer.in_channels * 0.5] * len(tiny.layers)  # a leak of 0.5 in this layer
    taken = channel_shares(tiny, mine, "sequential", 0.1, budgets)[layer.style]
    leak = (1 - mine[layer.style]).cumsum(0)
    assert torch.equal(taken > 0, leak < 0.5)
    strict = channel_shares(tiny, mine, "sequential", 0.92, budgets)[layer.style]
    assert int(strict.sum()) == int((mine[layer.style] > 0.92).sum())
    even = channel_shares(tiny, mine, "simultaneous", 0.0, [2.0] * len(tiny.layers))
    assert float(even.max()) == 1
    assert even[layer.style][-1] == pytest.approx(0.8)
