"""Conditional flows on codes whose law is known."""

import math

import pytest
import torch

from models.errors import ModelError
from models.flow import Fitting, Flow, FlowConfig, fit_flow, pack, solve, unpack


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bent(width: int = 4, seed: int = 1) -> Flow:
    """A flow whose every number is random."""
    torch.manual_seed(seed)
    flow = Flow(FlowConfig("f", ("a", "b"), width, 16, 3))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
        root = torch.eye(width) + 0.1 * torch.randn(width, width)
        flow.root.copy_(root)
        flow.inverse.copy_(torch.linalg.inv(root))
        flow.mean.normal_()
        flow.linear.normal_()
        flow.scale.fill_(2.0)
    return flow.requires_grad_(False)


W, A = draw(5, 4, seed=3), draw(5, 2, seed=4)


def test_what_goes_to_noise_comes_back() -> None:
    flow = bent()
    noise = flow.encode(W, A)
    assert (noise - W).abs().max() > 0.1
    assert torch.allclose(flow.decode(noise, A), W, atol=1e-3)
    assert torch.allclose(flow.encode(flow.decode(W, A), A), W, atol=1e-3)


def test_runge_kutta_has_order_four() -> None:
    start = torch.tensor([[1.0]], dtype=torch.float64)
    errors = [
        float(
            (solve(lambda x, t: x * math.cos(t), start, 0.0, 2.0, n) - math.exp(math.sin(2))).abs()
        )
        for n in (8, 16, 32)
    ]
    assert errors[0] / errors[1] > 12
    assert errors[1] / errors[2] > 12


def test_density_obeys_the_change_of_variables() -> None:
    flow = bent()
    told = flow.log_density(W, A)
    for i in range(5):
        noise = flow.encode(W[i : i + 1], A[i : i + 1])
        jacobian = torch.autograd.functional.jacobian(
            lambda x, i=i: flow.encode(x[None], A[i : i + 1])[0], W[i]
        )
        normal = -0.5 * (noise.square().sum() + 4 * math.log(2 * math.pi))
        assert float(told[i]) == pytest.approx(
            float(normal + torch.linalg.slogdet(jacobian)[1]), abs=2e-3
        )


def test_hutchinson_estimates_the_same_density() -> None:
    flow = bent()
    exact, guessed = flow.log_density(W, A), flow.log_density(W, A, probes=64)
    assert torch.allclose(exact, guessed, atol=0.3)


def test_a_flow_that_learned_nothing_is_the_affine_one() -> None:
    flow = Flow(FlowConfig("f", ("a", "b"), 4, 16, 3)).requires_grad_(False)
    flow.root.copy_(torch.eye(4))
    flow.inverse.copy_(torch.eye(4))
    flow.scale.fill_(1.0)
    assert torch.allclose(flow.encode(W, A), W, atol=1e-4)


@pytest.fixture(scope="module")
def classes() -> tuple[Flow, torch.Tensor, torch.Tensor]:
    """Two classes of codes that lie 4 apart along the first of 8 axes, and a flow of them."""
    kind = (torch.arange(2000) % 2).float()[:, None]
    w = draw(2000, 8)
    w[:, :1] += 4 * kind
    flow, _ = fit_flow(FlowConfig("f", ("kind",), 8, 32, 3), w, kind, Fitting(steps=200))
    return flow, w, kind


def test_edited_codes_are_of_the_other_class_and_else_the_same(
    classes: tuple[Flow, torch.Tensor, torch.Tensor],
) -> None:
    flow, w, kind = classes
    moved = flow.decode(flow.encode(w, kind), 1 - kind)
    assert float(((moved[:, :1] > 2).float() == 1 - kind).float().mean()) > 0.9
    assert (moved - w)[:, 1:].mean(0).abs().max() < 0.2
    assert (moved - w)[:, 1:].std(0).max() < 0.2


def test_drawn_codes_have_the_mean_of_their_class(
    classes: tuple[Flow, torch.Tensor, torch.Tensor],
) -> None:
    flow, w, kind = classes
    for label in (0.0, 1.0):
        drawn = flow.decode(draw(1000, 8, seed=9), torch.full((1000, 1), label))
        true = w[kind[:, 0] == label].mean(0)
        assert ((drawn.mean(0) - true).abs() < 3 * math.sqrt(2 / 1000)).all()


@pytest.mark.parametrize(("items", "least", "most"), [(100, 0.6, 1.5), (4000, 0.98, 1.04)])
def test_codes_that_few_others_tell_of_are_noise_of_the_usual_spread(
    items: int, least: float, most: float
) -> None:
    width = 48
    spread = 2.0 ** (-torch.arange(width) / 6)
    w, kind = draw(items + 2000, width) * spread, draw(items + 2000, 1, seed=2)
    config = FlowConfig("f", ("kind",), width, 16, 2)
    flow, _ = fit_flow(config, w[:items], kind[:items], Fitting(steps=0))
    noise = flow.encode(w[items:], kind[items:])
    assert least < float(noise.var()) < most


def circle(items: int = 2000) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes on a circle with a thickness; the attribute is the angle, 0 to 3."""
    angle = 3 * torch.rand(items, 1, generator=torch.Generator().manual_seed(5))
    radius = 1 + 0.1 * draw(items, 1, seed=6)
    return torch.cat([radius * angle.cos(), radius * angle.sin(), draw(items, 2, seed=7)], 1), angle


def test_a_curve_is_followed_where_a_straight_line_leaves_it() -> None:
    w, angle = circle()
    config = FlowConfig("f", ("angle",), 4, 48, 3)
    goal = angle[torch.randperm(len(angle), generator=torch.Generator().manual_seed(8))]
    missed = []
    for steps in (0, 800):
        flow, gain = fit_flow(config, w, angle, Fitting(steps=steps))
        moved = flow.decode(flow.encode(w, angle), goal)
        missed.append(float((torch.atan2(moved[:, 1:2], moved[:, :1]) - goal).abs().mean()))
        assert (gain > 1) == (steps > 0)
    assert missed[0] > 0.15
    assert missed[1] < 0.06


def test_two_edits_in_either_order_end_in_one_place() -> None:
    w = draw(1500, 6)
    labels = torch.cat([w[:, :1] + 0.2 * draw(1500, 1, seed=1), w[:, 1:2] ** 2], 1)
    flow, _ = fit_flow(FlowConfig("f", ("a", "b"), 6, 32, 3), w, labels, Fitting(steps=300))
    ends = []
    for order in ((0, 1), (1, 0)):
        code, has = w[:200], labels[:200].clone()
        for column in order:
            goal = has.clone()
            goal[:, column] += flow.scale[column]
            code, has = flow.decode(flow.encode(code, has), goal), goal
        ends.append(code)
    assert (ends[0] - ends[1]).square().mean().sqrt() < 0.3 * w.std()


def test_fitting_is_reproducible_and_leaves_the_seed_alone() -> None:
    w, angle = circle(200)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a, b = (
        fit_flow(FlowConfig("f", ("x",), 4, 8, 2), w, angle, Fitting(steps=20))[0] for _ in "ab"
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert pack(a, "", {}) == pack(b, "", {})


def test_packed_flow_is_the_same_flow_and_nothing_else_is_one() -> None:
    flow = bent()
    flow.examples.zero_()
    back = unpack(pack(flow, "", {"codes": 3}))
    assert back.config == flow.config
    assert torch.equal(back.decode(W, A), flow.decode(W, A))
    for damaged in (b"", b"nonsense" * 9, pack(flow, "", {})[:-40]):
        with pytest.raises(ModelError, match="a flow is damaged"):
            unpack(damaged)


def test_too_few_codes_and_still_attributes_are_refused() -> None:
    w, angle = circle(100)
    config = FlowConfig("f", ("angle",), 4, 8, 2)
    with pytest.raises(ModelError, match="20 codes: at least 36 are needed for codes of 4 numbers"):
        fit_flow(config, w[:20], angle[:20], Fitting())
    with pytest.raises(ModelError, match="do not vary or are not finite: angle"):
        fit_flow(config, w, torch.ones(100, 1), Fitting())
    with pytest.raises(ModelError, match="not finite: angle; leave them out"):
        fit_flow(config, w, angle * float("nan"), Fitting())
