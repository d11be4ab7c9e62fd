"""Linear readouts on codes whose true direction is known."""

import math

import pytest
import torch

from models.errors import ModelError
from models.linear import (
    Method,
    Plane,
    compare_pairs,
    fit_readout,
    ridge,
    separate,
    sign_test,
)

METHODS: tuple[Method, ...] = (
    "regression",
    "mean_difference",
    "pair_difference",
    "ridge",
    "logistic",
    "svm",
)


def planted(items: int, width: int, noise: float = 0.3) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(items, width, generator=random)
    axis = torch.nn.functional.normalize(torch.randn(width, generator=random), dim=0)
    labels = codes @ axis + noise * torch.randn(items, generator=random)
    return codes, labels, axis


@pytest.mark.parametrize("method", METHODS)
def test_planted_direction_is_found(method: Method) -> None:
    codes, labels, axis = planted(2000, 32)
    found = fit_readout(codes, labels, method)
    assert float(found.direction @ axis.double()) > 0.97
    assert float(found.direction.norm()) == pytest.approx(1)
    assert found.accuracy > 0.85


@pytest.mark.parametrize("method", METHODS)
def test_yes_or_no_labels_do_as_well(method: Method) -> None:
    codes, labels, axis = planted(2000, 32)
    found = fit_readout(codes, (labels > 0.8).double(), method)
    assert float(found.direction @ axis.double()) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_few_numbers_are_those_that_go_with_the_label(method: Method) -> None:
    codes = torch.randn(2000, 32, generator=torch.Generator().manual_seed(3))
    codes = codes * torch.linspace(0.2, 5, 32)  # large numbers tell no more than small ones
    codes[:, 9] = codes[:, 9] * 0 + 1  # and one that never changes nothing
    labels = codes[:, 4] / codes[:, 4].std() + 0.6 * codes[:, 20] / codes[:, 20].std()
    one = fit_readout(codes, labels, method, numbers=1)
    assert one.direction.nonzero().flatten().tolist() == [4]
    two = fit_readout(codes, labels, method, numbers=2)
    assert two.direction.nonzero().flatten().tolist() == [4, 20]
    every = fit_readout(codes, labels, method).direction
    assert torch.equal(fit_readout(codes, labels, method, numbers=32).direction, every)


def test_a_step_of_sigma_moves_the_label_by_one_deviation() -> None:
    codes, _, axis = planted(4000, 16)
    labels = 3 * codes @ axis + 7
    found = fit_readout(codes * 2 + 1, labels, "ridge")
    moved = (codes * 2 + 1).double() + found.sigma * found.direction
    true = 3 * ((moved - 1) / 2) @ axis.double() + 7
    assert float((true - labels).mean()) == pytest.approx(float(labels.std()), rel=0.02)
    scores = ((codes * 2 + 1).double() @ found.direction - found.offset) / found.sigma
    assert float(scores.mean()) == pytest.approx(0, abs=0.02)
    assert float(scores.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_shuffled_labels_are_read_no_better_than_by_chance(method: Method) -> None:
    codes, labels, _ = planted(2000, 16)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(1))
    assert fit_readout(codes, labels[order], method).accuracy == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_more_labels_are_read_better(method: Method) -> None:
    codes, labels, _ = planted(15_000, 64)
    fresh, truth = codes[10_000:].double(), labels[10_000:].double()
    told = []
    for count in (60, 600, 10_000):
        found = fit_readout(codes[:count], labels[:count], method, held_out=0.05)
        above = fresh @ found.direction > found.offset
        told.append(float((above == (truth > labels[:count].mean())).double().mean()))
    assert told == sorted(told)
    assert told[-1] > told[0] + 0.05


def test_readers_and_held_labels_see_through_a_correlated_attribute() -> None:
    random = torch.Generator().manual_seed(2)
    codes = torch.randn(4000, 8, generator=random)
    codes[:, 1] = 0.8 * codes[:, 0] + 0.6 * codes[:, 1]
    labels, other = codes[:, 0], codes[:, 1:2]
    for method in ("ridge", "svm"):
        assert float(fit_readout(codes, labels, method).direction[0]) > 0.98  # type: ignore[arg-type]
    assert float(fit_readout(codes, labels, "mean_difference").direction[0]) < 0.9
    assert float(fit_readout(codes, labels, "regression").direction[0]) < 0.9
    assert float(fit_readout(codes, labels, "regression", others=other).direction[0]) > 0.98


def test_movers_stay_where_the_codes_lie() -> None:
    random = torch.Generator().manual_seed(2)
    flat = torch.randn(2000, 2, generator=random)
    # The label is the first coordinate; a faint third one happens to tell it as well.
    codes = torch.cat([flat, 0.01 * flat[:, :1]], dim=1)
    mover = fit_readout(codes, flat[:, 0], "regression").direction
    assert float(mover[2]) == pytest.approx(0.01, abs=1e-3)


def test_same_seed_same_bits() -> None:
    codes, labels, _ = planted(300, 8)
    a, b = (fit_readout(codes, labels, "svm", seed=4).direction for _ in range(2))
    assert torch.equal(a, b)


def test_constant_labels_and_few_codes_are_refused() -> None:
    codes, labels, _ = planted(300, 8)
    with pytest.raises(ModelError, match="all 300 labels are 1: they must vary"):
        fit_readout(codes, torch.ones(300), "svm")
    with pytest.raises(ModelError, match="2 of 300 labels are not finite"):
        fit_readout(codes, torch.cat([torch.tensor([math.nan, math.inf]), labels[2:]]), "svm")
    with pytest.raises(ModelError, match="all 300 codes are the same"):
        fit_readout(codes[:1].expand(300, -1), labels, "regression")
    with pytest.raises(ModelError, match="5 items: at least 8 are needed"):
        fit_readout(codes[:5], labels[:5], "regression")


@pytest.mark.parametrize(
    ("items", "width", "least"),
    [(200, 32, 0.93), (2000, 32, 0.98), (2000, 512, 0.85), (10_000, 512, 0.97)],
)
def test_logistic_finds_the_axis_as_well_as_the_numbers_of_codes_allow(
    items: int, width: int, least: float
) -> None:
    codes, labels, axis = planted(items, width)
    found = fit_readout(codes, (labels > 0).double(), "logistic", held_out=0.05)
    assert float(found.direction @ axis.double()) > least


@pytest.mark.parametrize(("items", "width", "least"), [(4000, 32, 0.95), (10_000, 512, 0.87)])
def test_a_boundary_of_the_extreme_fiftieth_is_good_enough(
    items: int, width: int, least: float
) -> None:
    codes, labels, axis = planted(items, width)
    found = fit_readout(codes, labels, "svm", held_out=0.05, quantile=0.02)
    assert float(found.direction @ axis.double()) > least


def correlated(items: int = 4000) -> tuple[torch.Tensor, ...]:
    """Codes whose first two coordinates go together (0.8); the label is the first, with noise."""
    random = torch.Generator().manual_seed(2)
    codes = torch.randn(items, 16, generator=random)
    codes[:, 1] = 0.8 * codes[:, 0] + 0.6 * codes[:, 1]
    return codes, codes[:, 0] + 0.3 * torch.randn(items, generator=random)


def test_pair_difference_converges_to_the_regression_that_holds_nothing() -> None:
    codes, labels = correlated(20_000)
    pairs = fit_readout(codes, labels, "pair_difference").direction
    regression = fit_readout(codes, labels, "regression").direction
    spread = torch.cov(codes.T.double())[0]
    assert float(pairs @ regression) > 0.98
    assert float(pairs @ spread / spread.norm()) > 0.98


def test_pair_difference_needs_its_gap() -> None:
    codes, labels = (tensor.double() for tensor in correlated())
    even = torch.ones(len(codes)).double()
    true = torch.cov(codes.T)[0]
    true = true / true.norm()
    for gap, good in ((0.2, True), (0.0, False)):
        cosines = [
            float(
                torch.nn.functional.normalize(compare_pairs(codes, labels, gap, s, even), dim=0)
                @ true
            )
            for s in range(3)
        ]
        assert (min(cosines) > 0.97) == good, (gap, cosines)
    with pytest.raises(ModelError, match="no two labels differ by 30 deviations: lower gap"):
        compare_pairs(codes, labels, 30, 0, even)


@pytest.mark.parametrize(
    ("method", "left"), [("regression", 0.85), ("mean_difference", 0.75), ("pair_difference", 0.75)]
)
def test_balancing_takes_a_correlated_attribute_out(method: Method, left: float) -> None:
    codes, labels = correlated()
    other = torch.nn.functional.one_hot(torch.tensor(1), 16).double()
    plain = fit_readout(codes, labels, method).direction @ other
    fair = fit_readout(codes, labels, method, balance=codes[:, 1:2]).direction @ other
    assert float(fair) < left * float(plain)


def test_balancing_by_several_takes_each_of_them_out() -> None:
    codes = torch.randn(4000, 8, generator=torch.Generator().manual_seed(5)).double()
    labels = codes[:, 0] + 0.5 * codes[:, 1] + 0.5 * codes[:, 2]
    plain = fit_readout(codes, labels, "mean_difference").direction[1:3]
    fair = fit_readout(codes, labels, "mean_difference", balance=codes[:, 1:3]).direction[1:3]
    assert bool((fair < 0.75 * plain).all())


def test_balancing_what_always_goes_together_is_refused() -> None:
    codes, labels = correlated()
    worn = (labels > 0).double()
    with pytest.raises(ModelError, match="balancing leaves 0 of 3000 items"):
        fit_readout(codes, worn, "regression", balance=worn[:, None])


def test_sign_test_is_the_binomial_tail() -> None:
    assert sign_test(0, 10) == 1
    assert sign_test(10, 10) == pytest.approx(2**-10)
    assert sign_test(8, 10) == pytest.approx(56 / 1024)
    codes, labels, _ = planted(400, 8)
    assert fit_readout(codes, labels, "ridge").chance < 1e-9
    shuffled = labels[torch.randperm(400, generator=torch.Generator().manual_seed(3))]
    assert fit_readout(codes, shuffled, "ridge").chance > 0.01


@pytest.mark.parametrize(("items", "width"), [(300, 6), (20, 400)])
def test_a_penalty_holds_the_weights_of_least_squares(items: int, width: int) -> None:
    """Where the sum of squares and the penalty are least, the slope of the one is the other's."""
    codes, labels, _ = planted(items, width)
    z, y = (tensor.double() - tensor.double().mean(0) for tensor in (codes, labels))
    weight = ridge(z, y)
    slope = z.T @ (y - z @ weight) / items
    strength = float(slope @ weight / (weight @ weight))
    torch.testing.assert_close(slope, strength * weight)
    share = strength / float(z.square().mean())
    assert min(abs(share / tried - 1) for tried in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)) < 1e-6


PLANES: tuple[Plane, ...] = ("logistic", "svm")


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize(("items", "width"), [(300, 6), (20, 400)])
def test_a_plane_is_where_its_loss_is_least(plane: Plane, items: int, width: int) -> None:
    """There the penalty holds the normal w against the loss: its slope is -penalty w."""
    codes, labels, _ = planted(items, width)
    z, signs = codes.double(), torch.where(labels > 0.3, 1.0, -1.0).double()
    share = torch.linspace(0.5, 1.5, items).double()
    normal = separate(z, signs, plane, 0.02, share)
    sides = [share * (signs == side) for side in (1, -1)]
    part = sum(side / side.sum() for side in sides) / 2

    def slopes(bias: torch.Tensor) -> torch.Tensor:
        """How the loss of each item changes with where it lies."""
        margin = signs * (z @ normal + bias)
        steep = -torch.sigmoid(-margin) if plane == "logistic" else -2 * (1 - margin).clamp(min=0)
        return part * signs * steep

    low, high = torch.tensor(-50.0).double(), torch.tensor(50.0).double()
    for _ in range(60):  # the best bias has no slope
        middle = (low + high) / 2
        low, high = (middle, high) if float(slopes(middle).sum()) < 0 else (low, middle)
    torch.testing.assert_close(slopes(low) @ z, -0.02 * normal, rtol=1e-3, atol=1e-4 * 0.02)


@pytest.mark.parametrize("plane", PLANES)
def test_an_item_of_twice_the_weight_is_as_good_as_two(plane: Plane) -> None:
    codes, labels, _ = planted(60, 5)
    z, signs = codes.double(), torch.where(labels > 0, 1.0, -1.0).double()
    share = torch.where(torch.arange(60) < 20, 2.0, 1.0).double()
    twice = [torch.cat([both, both[:20]]) for both in (z, signs)]
    torch.testing.assert_close(
        separate(z, signs, plane, share=share),
        separate(*twice, plane),
        rtol=1e-4,
        atol=1e-6,
    )


def test_planes_that_cannot_be_found_are_told() -> None:
    codes, labels, _ = planted(60, 3)
    z, signs = codes.double(), torch.where(labels > 0, 1.0, -1.0).double()
    with pytest.raises(ModelError, match="some codes are not finite"):
        separate(z.where(z < z.max(), math.inf), signs, "svm")
    with pytest.raises(ModelError, match="no plane was found between the classes: lbfgs failed"):
        separate(z * torch.tensor([1, 1e60, 1], dtype=torch.float64), signs, "logistic")
