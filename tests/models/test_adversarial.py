"""The rules of the game, where the answer is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.adversarial import (
    discriminator_loss,
    generator_loss,
    mixed,
    path_penalty,
    r1_penalty,
)


def test_undecided_scores_cost_log_2() -> None:
    zero = torch.zeros(3)
    assert float(generator_loss(zero)) == pytest.approx(math.log(2))
    assert float(discriminator_loss(zero, zero)) == pytest.approx(2 * math.log(2))


def test_both_sides_want_opposite_scores() -> None:
    fake = torch.zeros(4, requires_grad=True)
    (maker,) = torch.autograd.grad(generator_loss(fake), fake)
    (judge,) = torch.autograd.grad(discriminator_loss(torch.zeros(4), fake), fake)
    torch.testing.assert_close(maker, -judge)


class Linear(nn.Module):
    """Scores with a known slope: twice the sum of the first colour."""

    def forward(self, image: Tensor) -> Tensor:
        return 2 * image[:, 0].sum((1, 2))


def test_the_penalty_is_half_the_squared_slope() -> None:
    assert float(r1_penalty(Linear(), torch.randn(5, 3, 4, 4))) == pytest.approx(4 * 16 / 2)  # type: ignore[arg-type]


class Scaling(nn.Module):
    """Draws pictures whose every pixel is a multiple of the codes' sum."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def synthesize(self, w_plus: Tensor) -> Tensor:
        return (self.factor * w_plus.sum((1, 2)))[:, None, None, None].expand(-1, 3, 8, 8)


def lengths(factor: float, items: int = 20_000) -> Tensor:
    """The mean of the path lengths, from the step that the running mean takes."""
    random = torch.Generator().manual_seed(0)
    w_plus = torch.zeros(items, 2, 5)
    _, mean = path_penalty(Scaling(factor), w_plus, torch.zeros(()), random)  # type: ignore[arg-type]
    return mean / 0.01


def test_path_lengths_are_those_of_the_slope() -> None:
    # The slope in each of 5 numbers of a row is factor * sum of 192 normal numbers / 8.
    expected = 3 * math.sqrt(5) * math.sqrt(192) / 8 * math.sqrt(2 / math.pi)
    assert float(lengths(3.0)) == pytest.approx(expected, rel=0.02)
    assert float(lengths(6.0)) == pytest.approx(2 * expected, rel=0.02)


def test_the_path_penalty_can_be_descended() -> None:
    maker = Scaling(2.0)
    random = torch.Generator().manual_seed(0)
    penalty, _ = path_penalty(maker, torch.zeros(64, 2, 5), torch.zeros(()), random)  # type: ignore[arg-type]
    penalty.backward()  # type: ignore[no-untyped-call]
    assert maker.factor.grad is not None
    assert float(maker.factor.grad) > 0  # shorter paths are nearer the mean of zero


@given(st.integers(1, 6), st.integers(2, 9), st.integers(0, 99))
def test_mixed_codes_begin_as_their_own_and_end_as_their_neighbours(
    items: int, rows: int, seed: int
) -> None:
    w_plus = torch.arange(items * rows * 2.0).view(items, rows, 2)
    random = torch.Generator().manual_seed(seed)
    codes, chosen = mixed(w_plus, 0.5, random)
    assert torch.equal(codes[~chosen], w_plus[~chosen])
    assert torch.equal(codes[:, 0], w_plus[:, 0])
    assert torch.equal(codes[chosen][:, -1], w_plus.roll(1, 0)[chosen][:, -1])


def test_nothing_or_everything_is_mixed_at_the_ends() -> None:
    w_plus = torch.randn(8, 4, 3)
    random = torch.Generator().manual_seed(0)
    same, none = mixed(w_plus, 0.0, random)
    assert torch.equal(same, w_plus)
    assert not none.any()
    assert mixed(w_plus, 1.0, random)[1].all()
