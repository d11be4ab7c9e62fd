"""Principal components: exact on planted ones, in any order, carried back from features."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codes import number
from models.components import (
    _blocks,
    _carried_back,
    code_components,
    layer_components,
    leading,
    principal,
    turned,
)
from models.errors import ModelError
from models.stylegan2 import Generator


def items(count: int, width: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    scales = 2.0 ** -(torch.arange(width, dtype=torch.float64) / 4)
    mixed = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=random)).Q
    drawn = torch.randn(count, width, dtype=torch.float64, generator=random)
    return 3 + drawn * scales @ mixed.T


@settings(max_examples=20)
@given(count=st.integers(2, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_axes_are_orthonormal_ordered_and_signed(count: int, width: int, seed: int) -> None:
    found = principal(items(count, width, seed))
    kept = len(found.axes)
    assert kept <= min(count - 1, width)
    assert torch.allclose(found.axes @ found.axes.T, torch.eye(kept).double(), atol=1e-5)
    assert bool((found.variances.diff() <= 1e-12).all())
    assert float(found.shares.sum()) == pytest.approx(1, abs=1e-6)
    assert torch.equal(found.axes, turned(-found.axes))


def test_variance_along_each_axis_is_its_own() -> None:
    data = items(50, 8)
    found = principal(data)
    along = (data - found.mean) @ found.axes.T
    assert torch.allclose(along.var(0), found.variances)
    covariance = along.T @ along / 49
    assert float((covariance - covariance.diagonal().diag()).abs().max()) < 1e-10


@pytest.mark.parametrize("shape", [(60, 12), (12, 60)])
def test_order_leaves_no_trace(shape: tuple[int, int]) -> None:
    data = items(*shape)
    a, b = principal(data, 5), principal(data.flip(0), 5)
    assert torch.allclose(a.axes, b.axes, atol=1e-9)
    assert torch.allclose(a.variances, b.variances)


def test_planted_subspace_is_found() -> None:
    random = torch.Generator().manual_seed(1)
    scales = 2.0 ** -(torch.arange(64, dtype=torch.float64) / 4)
    data = torch.randn(20_000, 64, dtype=torch.float64, generator=random) * scales
    cosines = torch.linalg.svdvals(principal(data, 8).axes[:, :8])
    assert float(torch.rad2deg(torch.acos(cosines.min().clamp(max=1)))) < 5


@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (30, 30)])
def test_leading_components_are_the_first_ones(shape: tuple[int, int]) -> None:
    data = items(*shape)
    exact, found = principal(data), leading(data.float(), 6)
    assert float((found.axes * exact.axes[:6]).sum(1).min()) > 1 - 1e-8
    assert torch.allclose(found.variances, exact.variances[:6], rtol=1e-4)
    assert found.total == pytest.approx(exact.total, rel=1e-4)
    assert len(leading(data.float(), 99).axes) == min(shape) - 1


def test_leading_components_of_few_dimensions_are_no_more_than_these() -> None:
    flat = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    data = flat @ torch.linalg.qr(torch.randn(200, 3)).Q.T
    found = leading(data.clone(), 20)
    assert float(found.shares[:3].sum()) == pytest.approx(1, abs=1e-5)
    centred = data.double() - data.double().mean(0)
    assert torch.allclose(centred @ found.axes[:3].T @ found.axes[:3], centred, atol=1e-4)


def test_items_that_do_not_vary_have_no_components() -> None:
    for components in (principal, lambda data: leading(data, 2)):
        with pytest.raises(ModelError, match="do not vary"):
            components(torch.ones(5, 3))
        with pytest.raises(ModelError, match="1 codes: components need two"):
            components(torch.ones(1, 3))
        with pytest.raises(ModelError, match="not finite"):
            components(torch.full((5, 3), torch.nan))


def drawn(generator: Generator, count: int, seed: int) -> torch.Tensor:
    return torch.cat(list(_blocks(generator, count, seed)))


def test_components_of_drawn_codes_are_those_of_the_codes(tiny: Generator) -> None:
    found = code_components(tiny, 1200, 4)
    codes = drawn(tiny, 1200, 4).double()
    mean = codes.mean(0)
    _, values, axes = torch.linalg.svd(codes - mean, full_matrices=False)
    assert torch.allclose(found.directions, turned(axes), atol=1e-6)
    assert torch.allclose(found.sigmas, values / 1199**0.5, rtol=1e-6)
    assert torch.allclose(found.offsets, found.directions @ mean, atol=1e-6)


def test_a_generator_of_one_code_has_no_components(tiny: Generator) -> None:
    still = copy.deepcopy(tiny)
    for name, tensor in still.state_dict().items():
        if name.startswith(("mapper", "w_avg")):
            tensor.zero_()
    with pytest.raises(ModelError, match="do not vary"):
        code_components(still, 10, 0)


def test_more_codes_keep_the_earlier_ones(tiny: Generator) -> None:
    assert torch.allclose(drawn(tiny, 510, 4)[:503], drawn(tiny, 503, 4), atol=1e-6)


def test_first_component_beats_any_random_direction(tiny: Generator) -> None:
    codes = drawn(tiny, 2000, 9).double()
    random = F.normalize(torch.randn(200, codes.shape[1], dtype=torch.float64), dim=1)
    first = code_components(tiny, 2000, 3).directions[0]
    assert float((codes @ first).std()) > float((codes @ random.T).std(0).max())


def test_regression_finds_the_codes_behind_linear_features(tiny: Generator) -> None:
    """Features that are a linear picture of codes lead back to the directions that made them."""
    codes = drawn(tiny, 1000, number(5, "regression"))
    cause = principal(codes)
    pattern = torch.linalg.qr(torch.randn(40, 8, dtype=torch.float64)).Q

    def features(w: torch.Tensor) -> torch.Tensor:
        return ((w.double() - cause.mean) @ cause.axes.T @ pattern.T).float()

    seen = principal(features(drawn(tiny, 1000, 5)), 4)
    found = _carried_back(tiny, seen, features, 1000, number(5, "regression"))
    expected = F.normalize(seen.axes @ pattern @ cause.axes, dim=1)
    cosines = (found.directions * expected).sum(1).abs()
    assert float(cosines.min()) > 0.99


def test_layer_components_move_what_varies_there(tiny: Generator) -> None:
    found = layer_components(tiny, "8.conv1", 300, 0, 8)
    assert found.directions.shape == (8, 8)
    assert torch.allclose(found.directions.norm(dim=1), torch.ones(8).double())
    assert bool((found.shares.diff() <= 0).all())
    assert 0 < float(found.shares.sum()) <= 1
    stop = tiny.layer("8.conv1").index + 1

    def features(w: torch.Tensor) -> torch.Tensor:
        return tiny.run(tiny.styles(tiny.broadcast(w)), stop=stop).features.flatten(1)

    codes = drawn(tiny, 64, 77)
    step = 0.5 * found.sigmas.float()[:, None] * found.directions.float()
    moved = [float((features(codes + d) - features(codes - d)).norm(dim=1).mean()) for d in step]
    assert moved[0] > 1.2 * moved[-1]


@pytest.mark.parametrize(
    ("layer", "count", "message"),
    [
        ("8.conv9", 10, "layer '8.conv9' does not exist"),
        ("8.rgb", 10, "makes a picture"),
        ("32.conv1", 10**6, "too many to hold, at most 43690 are allowed"),
    ],
)
def test_layers_without_components_are_refused(
    tiny: Generator, layer: str, count: int, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        layer_components(tiny, layer, count, 0, 5)
