"""Distances of distributions against closed forms and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.distributions import (
    auc,
    frechet_distance,
    ks_against_clipped_uniform,
    ks_against_normal,
    ks_distance,
    r_squared,
)
from models.errors import ModelError


def evenly(count: int) -> Tensor:
    """Numbers spread evenly over 0..1."""
    return (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) / count


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 2.0])
def test_uniform_samples_are_as_far_apart_as_they_are_shifted(shift: float) -> None:
    distance = ks_distance(evenly(1000), evenly(1000) + shift)
    assert float(distance) == pytest.approx(min(shift, 1.0), abs=2e-3)


def test_ks_by_hand_with_equal_values_and_unequal_counts() -> None:
    a, b = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    assert float(ks_distance(a, b)) == pytest.approx(2 / 3 - 1 / 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_ks_is_symmetric_and_blind_to_rising_scales(n: int, m: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    a, b = torch.randn(n, 3, generator=random), torch.randn(m, 3, generator=random)
    distance = ks_distance(a, b)
    torch.testing.assert_close(distance, ks_distance(b, a))
    torch.testing.assert_close(distance, ks_distance(a.double().exp(), b.double().exp()))
    assert (ks_distance(a, a) == 0).all()
    assert ((distance >= 0) & (distance <= 1)).all()


def test_evenly_spread_numbers_are_uniform_and_squares_are_not() -> None:
    low, high = torch.zeros(2), torch.ones(2)
    x = torch.cat([evenly(1000), evenly(1000).square()], 1)
    even, squared = ks_against_clipped_uniform(x, low, high).tolist()
    assert even == pytest.approx(0, abs=1e-3)
    assert squared == pytest.approx(0.25, abs=2e-3)  # sqrt(x) - x is greatest at a quarter


def test_a_normal_is_normal_whatever_its_scale_and_evenly_spread_numbers_are_not() -> None:
    normal = torch.special.ndtri(evenly(1000))
    x = torch.cat([normal, 7 * normal - 40, evenly(1000)], 1)
    distance = ks_against_normal(x).tolist()
    assert distance[:2] == pytest.approx([0, 0], abs=2e-3)
    # By hand: u = 1/2 + t of a uniform against a normal of deviation sqrt(1/12); at its greatest
    # the density of the normal is 1.
    t = (2 * math.log(math.sqrt(12 / (2 * math.pi)))) ** 0.5 / math.sqrt(12)
    known = abs(float(torch.special.ndtr(torch.tensor(t * math.sqrt(12)))) - (0.5 + t))
    assert distance[2] == pytest.approx(known, abs=2e-3)


def test_ks_against_a_normal_by_hand() -> None:
    x = torch.tensor([[-1.0], [1.0]])  # the normal has 0.24 below the first, where half is reached
    below = float(torch.special.ndtr(torch.tensor(-1 / math.sqrt(2))))
    assert float(ks_against_normal(x)) == pytest.approx(0.5 - below)


def test_readings_clamped_to_an_end_count_unless_the_end_has_a_lump() -> None:
    clamped = (evenly(1000) - 0.3).clamp_min(0) / 0.7
    whole = ks_against_clipped_uniform(clamped, torch.tensor([0.0]), torch.tensor([1.0]))
    assert float(whole) == pytest.approx(0.3, abs=2e-3)
    known = ks_against_clipped_uniform(clamped, torch.tensor([0.3]), torch.tensor([1.0]))
    assert float(known) == pytest.approx(0, abs=2e-3)


def test_a_margin_forgives_readings_near_a_lump_only() -> None:
    truth = ((evenly(1000) - 0.6) / 0.1).clamp(0, 1)
    random = torch.Generator().manual_seed(0)
    read = (truth + 0.02 * torch.randn(1000, 1, generator=random)).clamp(0, 1)
    low, high = torch.tensor([0.6]), torch.tensor([0.7])
    assert float(ks_against_clipped_uniform(read, low, high)) > 0.2
    assert float(ks_against_clipped_uniform(read, low, high, margin=0.1)) < 0.02
    none = torch.zeros(1000, 1)
    missing = ks_against_clipped_uniform(none, low, high, margin=0.1)
    assert float(missing) == pytest.approx(0.39, abs=2e-3)  # a share of 0.61 should be below 0.1


def test_frechet_of_samples_with_known_means_and_covariances() -> None:
    # Whitened by their own moments, so that means and covariances hold exactly.
    random = torch.Generator().manual_seed(1)
    x = torch.randn(500, 3, generator=random, dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    shift, scale = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 2.0, 3.0])
    moved = x * scale + shift
    expected = shift.square().sum() + (scale - 1).square().sum()
    assert frechet_distance(x, moved) == pytest.approx(float(expected), rel=1e-9)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=random, dtype=torch.float64)).Q
    assert frechet_distance(x @ turn, moved @ turn) == pytest.approx(float(expected), rel=1e-9)
    assert frechet_distance(moved, moved) == pytest.approx(0, abs=1e-9)


def test_r_squared_of_the_truth_its_mean_and_half_way() -> None:
    truth = evenly(100)
    mean = truth.mean().expand_as(truth)
    read = torch.cat([truth, mean, (truth + mean) / 2], 1)
    found = r_squared(read, truth.expand(-1, 3))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0, 0.75], dtype=torch.float64))


def test_auc_counts_pairs() -> None:
    random = torch.Generator().manual_seed(2)
    read = torch.randint(0, 6, (40, 4), generator=random).float()
    truth = torch.rand(40, 4, generator=random) < 0.4
    for k, area in enumerate(auc(read, truth).tolist()):
        yes, no = read[truth[:, k], k], read[~truth[:, k], k]
        won = (yes[:, None] > no).double() + 0.5 * (yes[:, None] == no).double()
        assert area == pytest.approx(float(won.mean()))


def test_empty_samples_are_refused() -> None:
    with pytest.raises(ModelError, match="at least 1"):
        ks_distance(torch.zeros(0, 2), torch.zeros(3, 2))
    with pytest.raises(ModelError, match="at least 2"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(3, 2))
