"""Drawn landscapes: repeatable, laid out by noise nearby, and true to their factors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Scene
from models.scenes.fields import along, bend, cells, over, row
from models.scenes.landscapes import FACTORS, LANDMARKS, PARTS, render
from models.stylegan2 import Generator
from models.training.domains import LANDSCAPES, PORTRAITS
from models.training.features import draw
from models.training.generator import draw_pairs

SIDES = LANDSCAPES.sides


def noise(items: int, seed: int = 0) -> list[Tensor]:
    dice = torch.Generator().manual_seed(seed)
    return [torch.randn(items, 1, side, side, generator=dice) for side in SIDES]


def uniform(items: int, seed: int = 0) -> Tensor:
    return torch.rand(items, len(FACTORS), generator=torch.Generator().manual_seed(seed))


def plain(fields: list[Tensor]) -> list[Tensor]:
    """Without texture: what the layout alone determines."""
    return [field if field.shape[-1] < 64 else torch.zeros_like(field) for field in fields]


def vary(name: str, values: list[float], size_px: int = 64, **fixed: float) -> Scene:
    """Eight places on an afternoon in summer, drawn once per value of one factor."""
    items = 8
    factors = torch.full((len(values), items, len(FACTORS)), 0.5)
    for key, value in ({"season": 0.3, "haze": 0.3} | fixed).items():
        factors[..., FACTORS.index(key)] = value
    factors[..., FACTORS.index(name)] = torch.tensor(values)[:, None]
    fields = [field.repeat(len(values), 1, 1, 1) for field in noise(items)]
    return render(factors.flatten(0, 1), fields, size_px)


def area(scene: Scene, part: str, steps: int = 4) -> Tensor:
    """The part's share of all places of one value, [steps]."""
    return by_step(scene.masks[:, PARTS.index(part)], steps).mean((1, 2, 3))


def by_step(picture: Tensor, steps: int) -> Tensor:
    """What `vary` drew, value by value: [steps * N, ...] -> [steps, N, ...]."""
    return picture.reshape(steps, -1, *picture.shape[1:])


def rises(values: Tensor) -> bool:
    return bool((values.diff() > 0).all())


def test_the_same_factors_and_noise_give_the_same_picture() -> None:
    one, other = (render(uniform(3), noise(3), 64).image for _ in range(2))
    assert torch.equal(one, other)


def test_a_batch_equals_its_singles() -> None:
    factors, fields = uniform(3, 4), noise(3)
    together = render(factors, fields, 32).image
    alone = [render(factors[[k]], [field[[k]] for field in fields], 32).image for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), extreme=st.booleans())
def test_masks_share_every_pixel_and_nothing_overflows(seed: int, extreme: bool) -> None:
    factors = uniform(4, seed)
    scene = render(factors.round() if extreme else factors, noise(4, seed), 32)
    assert torch.isfinite(scene.image).all()
    assert scene.image.abs().max() <= 1
    assert scene.masks.min() >= 0
    assert scene.masks.shape == (4, len(PARTS), 32, 32)
    torch.testing.assert_close(scene.masks.sum(1), torch.ones(4, 32, 32), atol=1e-5, rtol=0)
    assert scene.landmarks.shape == (4, len(LANDMARKS), 2)
    assert ((scene.landmarks >= 0) & (scene.landmarks <= 1)).all()


@pytest.mark.parametrize("size_px", [16, 48, 256])
def test_any_size_can_be_drawn(size_px: int) -> None:
    assert render(uniform(1), noise(1), size_px).image.shape == (1, 3, size_px, size_px)


def test_a_smaller_render_is_the_larger_one_seen_from_further_away() -> None:
    factors, fields = uniform(8), plain(noise(8))
    large, small = render(factors, fields, 256), render(factors, fields, 128)
    assert (F.avg_pool2d(large.image, 2) - small.image).abs().mean() < 0.02
    torch.testing.assert_close(large.landmarks, small.landmarks)


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_changes_the_picture_visibly(name: str) -> None:
    pictures = by_step(vary(name, [0.1, 0.35, 0.6, 0.85]).image, 4)
    steps = (pictures[1:] - pictures[:-1]).abs().mean((1, 2, 3, 4))
    assert steps.min() > 2e-3, name


def shifted(field: Tensor, share: float) -> Tensor:
    """The field moved right by a share of its width; fresh noise comes in from the left."""
    by = int(share * field.shape[-1])
    fresh = torch.randn(field[..., :by].shape, generator=torch.Generator().manual_seed(9))
    return torch.cat([fresh, field[..., : field.shape[-1] - by]], 3)


def test_shifting_the_noise_shifts_the_picture() -> None:
    """Far enough from the ends of the fields, where something is only follows from the noise."""
    factors, fields = uniform(16, 2), noise(16)
    still = render(factors, fields, 128)
    moved = render(factors, [shifted(field, 1 / 4) for field in fields], 128)
    inner, came = slice(32, 64), slice(64, 96)  # two coarsest cells from either end of both
    apart = (still.image[..., inner] - moved.image[..., came]).abs()
    assert apart.mean() < 5e-3
    assert (still.image[..., inner] - moved.image[..., inner]).abs().mean() > 0.1
    masks = (still.masks[..., inner] - moved.masks[..., came]).abs().mean()
    assert masks < 5e-3


def test_noise_far_away_changes_nothing() -> None:
    factors, fields = uniform(8, 3), noise(8)
    other = [field.clone() for field in fields]
    for field, fresh in zip(other, noise(8, 1), strict=True):
        right = field.shape[-1] // 4 * 3
        field[..., right:] = fresh[..., right:]
    one, changed = render(factors, fields, 128).image, render(factors, other, 128).image
    assert torch.equal(one[..., :30], changed[..., :30])
    assert (one[..., 100:] - changed[..., 100:]).abs().mean() > 0.05


def test_layout_follows_from_coarse_noise_and_texture_from_fine_noise() -> None:
    factors, fields = uniform(8, 1), noise(8)
    coarse, fine = noise(8, 1), noise(8, 1)
    coarse[4:], fine[:4] = fields[4:], fields[:4]
    one = render(factors, fields, 64)
    textured, moved = render(factors, fine, 64), render(factors, coarse, 64)
    assert (one.image - textured.image).abs().mean() > 5e-3
    for part in ("sun", "clouds", "ridges", "hills", "trees"):
        at = PARTS.index(part)
        same = (one.masks[:, at] - textured.masks[:, at]).abs().mean()
        apart = (one.masks[:, at] - moved.masks[:, at]).abs().mean()
        assert same < 0.5 * apart, part


def test_columns_a_coarse_cell_apart_have_the_same_statistics() -> None:
    size, items = 32, 768
    images = torch.cat(
        [render(uniform(64, k), noise(64, k), size).image for k in range(items // 64)]
    )
    inner = images[..., 4:28]  # fields end at the borders
    columns = inner.mean(2)  # [N, 3, W]
    mean, spread = columns.mean(0), columns.std(0)
    # A column's mean has a standard error of spread / sqrt(N); 72 of them stay within 4.5.
    error = spread.mean(1, keepdim=True) / items**0.5
    assert ((mean - mean.mean(1, keepdim=True)).abs() / error).max() < 4.5
    assert (spread / spread.mean(1, keepdim=True) - 1).abs().max() < 4.5 / (2 * items) ** 0.5
    contrast = inner.std(2).mean(0)
    assert (contrast / contrast.mean(1, keepdim=True) - 1).abs().max() < 0.06


def test_many_pictures_show_the_sun_and_few_show_two() -> None:
    scene = render(uniform(200), noise(200), 64)
    sun = scene.masks[:, PARTS.index("sun")].amax(1)  # [N, W]
    seen = sun > 0.5
    begins = (seen[:, 1:] & ~seen[:, :-1]).sum(1) + seen[:, 0]
    assert 0.35 < (begins > 0).float().mean() < 0.8
    assert (begins > 1).float().mean() < 0.12


def test_factors_move_what_they_are_named_after() -> None:
    steps = [0.0, 0.35, 0.7, 1.0]
    assert rises(area(vary("ridge_height", steps), "ridges"))
    assert rises(area(vary("hill_height", steps), "hills"))
    assert rises(area(vary("tree_density", steps), "trees"))
    assert rises(area(vary("tree_height", steps), "trees"))
    assert rises(area(vary("cloud_cover", steps), "clouds"))
    assert rises(area(vary("water_level", steps), "water"))
    assert rises(-vary("horizon", steps).landmarks[::8, 0, 1])
    bright = vary("time_of_day", steps, cloud_cover=0.0).image
    assert rises(by_step(bright, 4).mean((1, 2, 3, 4)))
    ground = vary("ground_lightness", steps).image[:, :, -2]
    assert rises(by_step(ground, 4).mean((1, 2, 3)))


def test_water_mirrors_what_stands_above_it() -> None:
    calm = vary("ripple", [0.0, 1.0], 128, water_level=1.0, tree_density=1.0)
    shore = int(calm.landmarks[0, 0, 1] * 128)
    above, below = (
        calm.image[:, :, shore - 10 : shore - 2],
        calm.image[:, :, shore + 2 : shore + 10],
    )
    stack = torch.stack([above.flip(2).flatten(1), below.flatten(1)], 1)
    likeness = by_step(torch.stack([torch.corrcoef(pair)[0, 1] for pair in stack]), 2)
    assert likeness[0].min() > 0.6
    assert likeness[1].mean() < likeness[0].mean()


@pytest.mark.parametrize("sharp", [False, True])
def test_lines_and_areas_of_noise_have_unit_variance_in_every_column(sharp: bool) -> None:
    field = torch.randn(4000, 8, 8, generator=torch.Generator().manual_seed(0))
    line = along(field, 0.5, 64, sharp=sharp)
    assert line.shape == (4000, 1, 64)
    torch.testing.assert_close(line.std(0), torch.ones(1, 64), atol=0.06, rtol=0)
    assert over(field[:64], 32, sharp=sharp).std().item() == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(over(field[:3], 64, sharp=sharp)[0, 0].std(), line[0].std(),
                               atol=1.5, rtol=0)  # fmt: skip


def test_a_bent_line_has_the_slope_and_curvature_of_its_values() -> None:
    line = row(torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0)), 0.3)
    assert line.shape == (3, 1, 4)
    size = 512
    value, slope, curve = bend(line, size)
    step = 4 / size
    found = (value[..., 2:] - value[..., :-2]) / (2 * step)
    torch.testing.assert_close(found, slope[..., 1:-1], atol=0.02, rtol=0.02)
    found = (slope[..., 2:] - slope[..., :-2]) / (2 * step)
    torch.testing.assert_close(found, curve[..., 1:-1], atol=0.3, rtol=0.05)
    assert torch.equal(cells(line, torch.tensor([-1, 0, 3, 4])), line[..., [0, 0, 3, 3]])


def test_a_generator_and_the_renders_share_their_noise() -> None:
    network = Generator(LANDSCAPES.generator)
    random = torch.Generator().manual_seed(0)
    z, fields, scene = draw_pairs(network, LANDSCAPES, 2, 32, random, LANDSCAPES.render)
    assert z.shape == (2, network.config.z_dim)
    names = [layer.name for layer in network.layers if layer.noise is not None]
    shown = [fields[names.index(f"{side}.conv{int(side == 4)}")] for side in SIDES]
    assert torch.equal(scene.image, render(scene.factors, shown, 32).image)


@pytest.mark.parametrize("domain", [LANDSCAPES, PORTRAITS])
def test_renders_for_the_feature_network_are_drawn_by_the_domains_noise(domain) -> None:  # type: ignore[no-untyped-def]
    scene = draw(domain, 2, torch.Generator().manual_seed(0), torch.device("cpu"), domain.render)
    assert scene.image.shape == (2, 3, 128, 128)
    assert domain.visible_factors(scene.factors).shape == scene.factors.shape
