"""Drawn landscapes: repeatable, the same in every column, and true to their factors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Grain, Scene
from models.scenes.landscapes import CIRCULAR, FACTORS, LANDMARKS, PARTS, render, render_grain
from models.scenes.waves import blur, field, peaks, sample
from models.training.domains import LANDSCAPES


def noise(items: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(items, 1, 64, 64, generator=draw),
        torch.randn(items, 1, 128, 128, generator=draw),
    )


def uniform(items: int, seed: int = 0) -> Tensor:
    return torch.rand(items, len(FACTORS), generator=torch.Generator().manual_seed(seed))


def plain(factors: Tensor, size_px: int = 64) -> Scene:
    """Without texture: what the factors alone determine."""
    nothing = torch.zeros(len(factors), size_px, size_px)
    return render_grain(factors, Grain(nothing, nothing))


def vary(name: str, values: list[float], size_px: int = 64, **fixed: float) -> Scene:
    """One afternoon in summer, drawn once per value of one factor."""
    factors = torch.full((len(values), len(FACTORS)), 0.5)
    for key, value in ({"season": 0.3, "haze": 0.3, "sun_phase": 0.3} | fixed).items():
        factors[:, FACTORS.index(key)] = value
    factors[:, FACTORS.index(name)] = torch.tensor(values)
    coarse, fine = noise(1)
    return render(factors, coarse.expand(len(values), -1, -1, -1),
                  fine.expand(len(values), -1, -1, -1), size_px)  # fmt: skip


def area(scene: Scene, part: str) -> Tensor:
    return scene.masks[:, PARTS.index(part)].mean((1, 2))


def rises(values: Tensor) -> bool:
    return bool((values.diff() > 0).all())


def test_the_same_factors_and_noise_give_the_same_picture() -> None:
    one, other = (render(uniform(3), *noise(3), 64).image for _ in range(2))
    assert torch.equal(one, other)


def test_a_batch_equals_its_singles() -> None:
    factors, (coarse, fine) = uniform(3, 4), noise(3)
    together = render(factors, coarse, fine, 32).image
    alone = [render(factors[[k]], coarse[[k]], fine[[k]], 32).image for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), extreme=st.booleans())
def test_masks_share_every_pixel_and_nothing_overflows(seed: int, extreme: bool) -> None:
    factors = uniform(4, seed)
    scene = render(factors.round() if extreme else factors, *noise(4, seed), 32)
    assert torch.isfinite(scene.image).all()
    assert scene.image.abs().max() <= 1
    assert scene.masks.min() >= 0
    assert scene.masks.shape == (4, len(PARTS), 32, 32)
    torch.testing.assert_close(scene.masks.sum(1), torch.ones(4, 32, 32), atol=1e-5, rtol=0)
    assert scene.landmarks.shape == (4, len(LANDMARKS), 2)
    assert ((scene.landmarks >= 0) & (scene.landmarks <= 1)).all()


@pytest.mark.parametrize("size_px", [16, 48, 256])
def test_any_size_can_be_drawn(size_px: int) -> None:
    assert render(uniform(1), *noise(1), size_px).image.shape == (1, 3, size_px, size_px)


def test_a_smaller_render_is_the_larger_one_seen_from_further_away() -> None:
    large, small = plain(uniform(8), 256), plain(uniform(8), 128)
    assert (F.avg_pool2d(large.image, 2) - small.image).abs().mean() < 0.02
    torch.testing.assert_close(large.landmarks, small.landmarks)


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_changes_the_picture_visibly(name: str) -> None:
    values = [0.1, 0.35, 0.6, 0.85]
    pictures = vary(name, values).image
    steps = (pictures[1:] - pictures[:-1]).abs().mean((1, 2, 3))
    assert steps.min() > 2e-3, name


@pytest.mark.parametrize("name", sorted(CIRCULAR))
def test_a_phase_comes_back_to_where_it_began(name: str) -> None:
    start, end, half = vary(name, [0.0, 1.0, 0.5]).image
    torch.testing.assert_close(start, end, atol=0.02, rtol=0)
    assert (start - half).abs().mean() > 2e-3


def test_all_phases_together_roll_the_picture() -> None:
    """So layers are periodic, a picture tiles with itself, and no column is special."""
    factors = uniform(4, 2)
    turned = factors.clone()
    phases = [FACTORS.index(name) for name in CIRCULAR]
    turned[:, phases] = (factors[:, phases] + 16 / 64) % 1
    still, rolled = plain(factors), plain(turned)
    apart = (still.image.roll(16, 3) - rolled.image).abs()
    assert apart.mean() < 1e-3
    assert (still.masks.roll(16, 3) - rolled.masks).abs().mean() < 1e-3


@pytest.mark.parametrize(
    ("phase", "part"),
    [("sun_phase", "sun"), ("cloud_phase", "clouds"), ("ridge_phase", "ridges")],
)
def test_a_phase_moves_its_layer_around(phase: str, part: str) -> None:
    factors = torch.full((2, len(FACTORS)), 0.5)
    for name, value in {phase: 0.25, "hill_height": 0.0, "tree_density": 0.0, "haze": 0.0}.items():
        factors[:, FACTORS.index(name)] = value
    if part == "sun":
        factors[:, FACTORS.index("cloud_cover")] = 0.0
        factors[:, FACTORS.index("time_of_day")] = 0.9
    factors[1, FACTORS.index(phase)] = 0.5
    mask = plain(factors).masks[:, PARTS.index(part)]
    if part == "ridges":
        mask = mask[:, :36]  # above the hills, which stay
    moved = (mask[0].roll(16, 1) - mask[1]).abs().sum()
    assert moved < 0.15 * mask[0].sum()
    assert moved < 0.25 * (mask[0] - mask[1]).abs().sum()


def test_every_column_has_the_same_statistics() -> None:
    size, items = 32, 768
    images = torch.cat(
        [render(uniform(64, k), *noise(64, k), size).image for k in range(items // 64)]
    )
    columns = images.mean(2)  # [N, 3, W]
    mean, spread = columns.mean(0), columns.std(0)
    # A column's mean has a standard error of spread / sqrt(N); 96 of them stay within 4.5.
    error = spread.mean(1, keepdim=True) / items**0.5
    assert ((mean - mean.mean(1, keepdim=True)).abs() / error).max() < 4.5
    assert (spread / spread.mean(1, keepdim=True) - 1).abs().max() < 4.5 / (2 * items) ** 0.5
    contrast = images.std(2).mean(0)
    assert (contrast / contrast.mean(1, keepdim=True) - 1).abs().max() < 0.06


def test_factors_move_what_they_are_named_after() -> None:
    steps = [0.0, 0.35, 0.7, 1.0]
    assert rises(area(vary("ridge_height", steps), "ridges"))
    assert rises(area(vary("hill_height", steps), "hills"))
    assert rises(area(vary("tree_density", steps), "trees"))
    assert rises(area(vary("tree_height", steps), "trees"))
    assert rises(area(vary("cloud_cover", steps), "clouds"))
    assert rises(area(vary("water_level", steps), "water"))
    assert rises(-vary("horizon", steps).landmarks[:, 0, 1])
    assert rises(vary("time_of_day", steps, cloud_cover=0.0).image.mean((1, 2, 3)))
    assert rises(vary("ground_lightness", steps).image[:, :, -2].mean((1, 2)))


def test_noise_draws_texture_but_not_silhouettes() -> None:
    factors = uniform(4, 1)
    one, other = (render(factors, *noise(4, seed), 64) for seed in (1, 2))
    assert (one.image - other.image).abs().mean() > 5e-3
    for part in ("sun", "ridges", "hills", "water"):
        at = PARTS.index(part)
        assert (one.masks[:, at] - other.masks[:, at]).abs().mean() < 0.01, part


def test_water_mirrors_what_stands_above_it() -> None:
    calm = vary("ripple", [0.0, 1.0], 128, water_level=1.0, horizon=0.5)
    shore = int(calm.landmarks[0, 0, 1] * 128)
    above, below = (
        calm.image[:, :, shore - 20 : shore - 4],
        calm.image[:, :, shore + 4 : shore + 20],
    )
    stack = torch.stack([above.flip(2).flatten(1), below.flatten(1)], 1)
    likeness = torch.stack([torch.corrcoef(pair)[0, 1] for pair in stack])
    assert likeness[0] > 0.7
    assert likeness[1] < likeness[0]


def test_fields_have_about_unit_variance_and_true_slopes() -> None:
    size = 256
    y = ((torch.arange(size) + 0.5) / size).view(1, -1, 1)
    one = torch.ones(1, 1, 1)
    seen = sample(field(1, 12, 12), one * 0.2, y, one / size, (4 * one, 4 * one), size)
    assert 0.6 < seen.value.std() < 1.5
    across = (seen.value[:, :, 2:] - seen.value[:, :, :-2]) * size / 2
    down = (seen.value[:, 2:] - seen.value[:, :-2]) * size / 2
    torch.testing.assert_close(across, seen.slope_x[:, :, 1:-1], atol=2.0, rtol=0.05)
    torch.testing.assert_close(down, seen.slope_y[:, 1:-1], atol=2.0, rtol=0.05)
    assert blur(torch.tensor(0.0)) == 1
    x = torch.linspace(0, 1, 50)
    torch.testing.assert_close(peaks(x, one[0, 0]), peaks(x + 1, one[0, 0]), atol=1e-4, rtol=0)


def test_a_phase_is_read_as_a_point_on_a_circle() -> None:
    names = LANDSCAPES.attributes
    assert len(names) == len(FACTORS) + len(CIRCULAR)
    factors = torch.full((2, len(FACTORS)), 0.5)
    factors[:, FACTORS.index("sun_phase")] = torch.tensor([0.0, 0.25])
    seen = LANDSCAPES.visible_factors(factors)
    assert seen.shape == (2, len(names))
    place = names.index("sun_phase_cos")
    torch.testing.assert_close(seen[:, place : place + 2], torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
    assert seen[0, names.index("haze")] == 0.5
