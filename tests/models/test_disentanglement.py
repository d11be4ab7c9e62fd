"""Path length and separability of cases whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from models.disentanglement import (
    conditional_entropy,
    path_lengths,
    separability,
    trimmed_mean,
)
from models.errors import ModelError


def squares(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(1)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_a_linear_generator_has_the_path_length_of_its_matrix(epsilon: float) -> None:
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(6, 4, generator=random, dtype=torch.float64)
    a, b = torch.randn(2, 20_000, 4, generator=random, dtype=torch.float64)
    found = path_lengths(lambda w: w @ matrix.T, squares, a, b, epsilon)
    torch.testing.assert_close(found, ((b - a) @ matrix.T).square().sum(1), rtol=1e-5, atol=1e-6)
    # Two independent codes differ by twice their covariance.
    assert float(found.mean()) == pytest.approx(2 * float(matrix.square().sum()), rel=0.03)


def test_a_great_arc_has_the_length_of_its_angle() -> None:
    """R^2 angle^2 |M u|^2, u the direction in which the arc sets out, R the length it keeps."""
    random = torch.Generator().manual_seed(1)
    matrix = torch.randn(6, 4, generator=random, dtype=torch.float64)
    a, b = torch.randn(2, 500, 4, generator=random, dtype=torch.float64)
    a, b = (3 * torch.nn.functional.normalize(x, dim=1) for x in (a, b))
    found = path_lengths(lambda z: z @ matrix.T, squares, a, b, 1e-6, curve="spherical")
    angle = torch.acos((a * b).sum(1) / 9)
    out = torch.nn.functional.normalize(b - (a * b).sum(1, keepdim=True) / 9 * a, dim=1)
    expected = (3 * angle) ** 2 * (out @ matrix.T).square().sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_full_paths_are_measured_at_their_places() -> None:
    random = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 50, 4, generator=random, dtype=torch.float64)
    places = torch.rand(50, generator=random, dtype=torch.float64)
    # A generator whose pictures change twice as fast for every unit of the first number.
    found = path_lengths(lambda w: w[:, :1] ** 2, squares, a, b, 1e-6, places=places)
    there = torch.lerp(a, b, places[:, None])[:, 0]
    torch.testing.assert_close(found, (2 * there * (b - a)[:, 0]) ** 2, rtol=1e-3, atol=1e-4)
    # An arc is as long at every place.
    z = torch.nn.functional.normalize(a, dim=1), torch.nn.functional.normalize(b, dim=1)
    whole = path_lengths(lambda z: z, squares, *z, 1e-6, curve="spherical")
    part = path_lengths(lambda z: z, squares, *z, 1e-6, curve="spherical", places=places)
    torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-6)


def test_the_trimmed_mean_forgets_both_ends() -> None:
    values = torch.cat([torch.full((98,), 2.0), torch.tensor([-1e6, 1e6])])
    assert trimmed_mean(values) == 2
    with pytest.raises(ModelError, match="no values"):
        trimmed_mean(torch.zeros(0))


def test_what_lies_along_codes_is_separable_and_what_does_not_is_not() -> None:
    random = torch.Generator().manual_seed(1)
    codes = torch.randn(2000, 8, generator=random)
    linear, radius = codes @ torch.randn(8, 1, generator=random), codes.norm(dim=1, keepdim=True)
    found = separability(codes, torch.cat([linear, radius], 1))
    assert float(found.entropies[0]) < 0.02
    assert float(found.entropies[1]) > 0.6
    assert float(found.entropies[1]) <= math.log(2) + 1e-9
    assert found.score == pytest.approx(math.exp(float(found.entropies.sum())))


def test_separability_does_not_depend_on_the_scale_of_scores_or_codes() -> None:
    random = torch.Generator().manual_seed(2)
    codes = torch.randn(400, 4, generator=random)
    scores = codes[:, :1] + torch.randn(400, 1, generator=random)
    first = separability(codes, scores).score
    assert separability(3 * codes + 1, 5 * scores - 2).score == pytest.approx(first, rel=1e-3)
    with pytest.raises(ModelError, match="at least 32"):
        separability(codes[:8], scores[:8])


def test_conditional_entropy_by_hand() -> None:
    truth = torch.tensor([True, True, False, False])
    assert conditional_entropy(truth, truth) == 0
    assert conditional_entropy(truth, ~truth) == 0
    assert conditional_entropy(truth, torch.ones(4, dtype=torch.bool)) == pytest.approx(math.log(2))
    seen = torch.tensor([True, True, True, False])
    third = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert conditional_entropy(truth, seen) == pytest.approx(0.75 * third)
