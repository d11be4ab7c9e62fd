"""Paths through code space: arcs that keep their length, curves that pass through their points."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codes import slerp
from models.paths import Curve, along, curvatures

CURVES: tuple[Curve, ...] = ("linear", "spherical", "cubic")


def points(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, dtype=torch.float64, generator=random)


@settings(max_examples=30)
@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_slerp_keeps_length_and_turns_evenly(t: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    a, b = torch.nn.functional.normalize(torch.randn(2, 1, 9, generator=random).double(), dim=-1)
    point = slerp(a, b, t)
    assert point.norm() == pytest.approx(1, abs=1e-9)
    whole, part = torch.acos((a * b).sum()), torch.acos((a * point).sum().clamp(-1, 1))
    assert part == pytest.approx(float(whole * t), abs=1e-6)


def test_slerp_of_equal_and_of_opposite_codes_is_finite() -> None:
    a = torch.randn(1, 8)
    assert torch.allclose(slerp(a, a, 0.3), a)
    assert torch.isfinite(slerp(a, -a, 0.3)).all()


@settings(max_examples=20)
@given(count=st.integers(1, 6), closed=st.booleans(), curve=st.sampled_from(CURVES))
def test_every_point_is_met_exactly(count: int, closed: bool, curve: Curve) -> None:
    given = points(count)
    segments = count if closed else max(1, count - 1)
    for k in range(count):
        assert torch.equal(along(given, k / segments, curve, closed=closed)[0], given[k])
    end = along(given, 1.0, curve, closed=closed)[0]
    assert torch.equal(end, given[0 if closed else -1])


@pytest.mark.parametrize("curve", CURVES)
def test_closed_path_may_begin_at_any_point(curve: Curve) -> None:
    given = points(5)
    a = along(given, 0.37, curve, closed=True)
    b = along(given.roll(-2, 0), (0.37 - 2 / 5) % 1, curve, closed=True)
    assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("closed", [True, False])
def test_open_path_is_the_same_both_ways(closed: bool) -> None:
    given = points(5)
    back = torch.cat([given[:1], given[1:].flip(0)]) if closed else given.flip(0)
    for curve in CURVES:
        a, b = along(given, 0.3, curve, closed=closed), along(back, 0.7, curve, closed=closed)
        assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("closed", [True, False])
def test_cubic_path_has_no_corner_where_the_straight_one_has(closed: bool) -> None:
    given, step = points(6), 1e-5

    def corner(curve: Curve) -> float:
        before, here, after = (along(given, 0.0 + t, curve, closed=closed) for t in places)
        return float((after - 2 * here + before).norm() / step)

    knot = 2 / (6 if closed else 5)
    places = (knot - step, knot, knot + step)
    assert corner("cubic") < 1e-2
    assert corner("linear") > 1


def test_cubic_path_of_a_closed_circle_is_nearly_the_circle() -> None:
    angles = torch.arange(12, dtype=torch.float64) * torch.pi / 6
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    found = torch.cat([along(circle, k / 120, "cubic", closed=True) for k in range(120)])
    assert float((found.norm(dim=1) - 1).abs().max()) < 1e-3


def test_even_steps_along_a_line_bend_nowhere() -> None:
    line = torch.arange(5.0)[:, None] * torch.tensor([1.0, -2.0])
    assert float(curvatures(line, closed=False).abs().max()) < 1e-12
    assert torch.allclose(along(line, 0.6, "cubic", closed=False), torch.tensor([[2.4, -4.8]]))
