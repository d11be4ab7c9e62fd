"""Dependency, identity and budgets, on readings whose answer is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.config import GeneratorConfig
from models.errors import ModelError
from models.perceptual import FeatureNet, FeatureNetConfig
from models.readings import (
    dependency,
    draw_codes,
    identity_distance,
    largest_share,
    read_codes,
    spreads,
    stray,
)
from models.stylegan2 import Generator

BEFORE = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
SPREAD = torch.tensor([0.5, 1.0, 2.0, 0.1])


def test_dependency_is_the_mean_and_the_largest_change_of_the_others() -> None:
    after = BEFORE + SPREAD * torch.tensor([1.0, 0.5, -0.25, 0.0])
    told = dependency(BEFORE, after, SPREAD, 0)
    assert told.reached == pytest.approx(1, abs=1e-5)
    assert told.mean == pytest.approx(0.25, abs=1e-5)
    assert told.most == pytest.approx(0.5, abs=1e-5)
    assert torch.allclose(told.each, torch.tensor([1, 0.5, -0.25, 0]).double(), atol=1e-5)


def test_what_changes_nothing_depends_on_nothing() -> None:
    told = dependency(BEFORE, BEFORE, SPREAD, 2)
    assert (told.mean, told.most, told.reached) == (0, 0, 0)


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_dependency_does_not_know_the_units_of_a_scorer(scale: float, shift: float) -> None:
    after = BEFORE + 0.3 * SPREAD
    plain = dependency(BEFORE, after, SPREAD, 1)
    units = torch.tensor([1, scale, 1, scale])
    other = dependency(BEFORE * units + shift, after * units + shift, SPREAD * units, 1)
    assert other.mean == pytest.approx(plain.mean, rel=1e-2, abs=1e-3)
    assert other.reached == pytest.approx(plain.reached, rel=1e-2, abs=1e-3)


def test_stray_is_what_an_edit_changes_beside_what_is_wanted() -> None:
    wanted = torch.tensor([2.0, 0.0, 0.0, 0.0])
    aside = SPREAD * torch.tensor([0.5, 0.25, 0.0, 0.0])
    assert stray(BEFORE, BEFORE + 3 * wanted, SPREAD, wanted) == pytest.approx(0, abs=1e-5)
    once, twice = (stray(BEFORE, BEFORE + k * aside, SPREAD, wanted) for k in (1, 2))
    assert once == pytest.approx(twice, rel=1e-4) == pytest.approx(0.25 / 4 / 0.5, rel=1e-4)
    assert stray(BEFORE, BEFORE - aside, SPREAD, wanted) > 1e6


def test_dependency_needs_others_and_readings_that_meet() -> None:
    with pytest.raises(ModelError, match="at least two attributes"):
        dependency(BEFORE[:, :1], BEFORE[:, :1], SPREAD[:1], 0)
    with pytest.raises(ModelError, match="do not meet"):
        dependency(BEFORE, BEFORE[:, :3], SPREAD, 0)


@given(st.lists(st.floats(0.05, 30), min_size=1, max_size=6), st.floats(0, 3))
def test_the_largest_share_keeps_the_budget_and_leaves_little_of_it(
    slopes: list[float], most: float
) -> None:
    slope = torch.tensor(slopes)
    share = largest_share(lambda s: s * slope, most, len(slopes))
    assert bool((share * slope <= most).all())
    left = torch.where(share == 1, 0, most - share * slope)
    assert bool((left <= slope / 2**10 + 1e-6).all())


def test_an_item_is_bisected_on_its_own() -> None:
    def distance(slopes: torch.Tensor, seen: list[int]) -> torch.Tensor:
        return largest_share(lambda s: s * slopes, 1.0, len(slopes))

    slopes = torch.tensor([0.5, 3.0, 10.0])
    alone = torch.cat([distance(s[None], []) for s in slopes])
    assert torch.equal(distance(slopes, []), alone)


@pytest.fixture(scope="module")
def net() -> FeatureNet:
    torch.manual_seed(1)
    config = FeatureNetConfig(("smile", "jaw", "nose"), ("face",), ("nose",), (8, 8, 8, 8, 8))
    return FeatureNet(config).eval().requires_grad_(False)


def test_identity_is_zero_for_the_same_and_symmetric(net: FeatureNet) -> None:
    a, b = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    spread = torch.ones(3)
    assert torch.equal(identity_distance(net, a, a, spread), torch.zeros(3))
    assert torch.equal(identity_distance(net, a, b, spread), identity_distance(net, b, a, spread))


def test_identity_does_not_look_at_the_expression(net: FeatureNet) -> None:
    a, b = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    told = identity_distance(net, a, b, torch.tensor([1.0, 1.0, 1.0]))
    assert torch.equal(told, identity_distance(net, a, b, torch.tensor([1e-6, 1.0, 1.0])))


def test_two_faces_drawn_at_random_are_about_one_apart(net: FeatureNet) -> None:
    torch.manual_seed(3)
    generator = Generator(GeneratorConfig(32, (12, 8, 8, 6), z_dim=8, w_dim=8, mapping_layers=2))
    generator.requires_grad_(False)
    w = draw_codes(generator, 64, 5)
    assert torch.equal(w[:10], draw_codes(generator, 10, 5))
    pictures = generator.synthesize(generator.broadcast(w))
    apart = identity_distance(net, pictures[:32], pictures[32:], spreads(generator, net))
    assert float(apart.square().mean().sqrt()) == pytest.approx(1, abs=0.25)
    assert read_codes(generator, net, w, "w").shape == (64, 3)
