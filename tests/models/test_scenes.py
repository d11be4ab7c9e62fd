"""Drawn portraits: repeatable, antialiased at any size, and true to their factors."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Scene
from models.scenes.manners import ink
from models.scenes.portraits import FACTORS, LANDMARKS, PARTS, VISIBLE, render
from models.scenes.shapes import coverage, ellipse, rounded_box, smooth_union
from models.training import draw

# What a factor's whole range changes: the part, and by how much at least there (of 2), on average.
CHANGES: dict[str, tuple[str, float]] = {
    "yaw": ("skin", 0.10), "pitch": ("skin", 0.04), "face_width": ("skin", 0.04),
    "face_length": ("chin", 0.04), "jaw": ("chin", 0.02), "skin_tone": ("skin", 0.5),
    "hair_lightness": ("hair", 0.6), "hair_warmth": ("hair", 0.04), "hair_length": ("hair", 0.07),
    "hair_volume": ("hair", 0.02), "fringe": ("hair", 0.008), "parting": ("hair", 0.015),
    "eye_size": ("eyes", 0.2), "eye_colour": ("eyes", 0.06), "gaze": ("eyes", 0.2),
    "brow_height": ("brows", 0.06), "brow_tilt": ("brows", 0.06), "nose": ("nose", 0.06),
    "smile": ("mouth", 0.15), "mouth_open": ("mouth", 0.25), "lip_colour": ("mouth", 0.06),
    "glasses": ("glasses", 0.12), "beard": ("beard", 0.05), "age": ("skin", 0.002),
    "light": ("skin", 0.05), "background_hue": ("background", 0.015),
    "background_lightness": ("background", 0.8), "clothes_hue": ("clothes", 0.02),
    "clothes_lightness": ("clothes", 0.5),
}  # fmt: skip


def noise(items: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return (
        torch.randn(items, 1, 64, 64, generator=draw),
        torch.randn(items, 1, 128, 128, generator=draw),
    )


def random_faces(items: int, size_px: int = 64, seed: int = 0) -> Scene:
    factors = torch.rand(items, len(FACTORS), generator=torch.Generator().manual_seed(seed))
    return render(factors, *noise(items, seed), size_px)


def vary(name: str, values: list[float], size_px: int = 128, **fixed: float) -> Scene:
    """One plain person, drawn once per value of one factor."""
    factors = torch.full((len(values), len(FACTORS)), 0.5)
    for key, value in ({"glasses": 0.0, "beard": 0.0} | fixed).items():
        factors[:, FACTORS.index(key)] = value
    factors[:, FACTORS.index(name)] = torch.tensor(values)
    coarse, fine = noise(1)
    return render(factors, coarse.expand(len(values), -1, -1, -1),
                  fine.expand(len(values), -1, -1, -1), size_px)  # fmt: skip


def area(scene: Scene, part: str) -> Tensor:
    return scene.masks[:, PARTS.index(part)].mean((1, 2))


def landmark(scene: Scene, name: str) -> Tensor:
    return scene.landmarks[:, LANDMARKS.index(name)]


def rises(values: Tensor) -> bool:
    return bool((values.diff() > 0).all())


def test_the_same_factors_and_noise_give_the_same_picture() -> None:
    assert torch.equal(random_faces(3).image, random_faces(3).image)


def test_a_batch_equals_its_singles() -> None:
    factors = torch.rand(3, len(FACTORS), generator=torch.Generator().manual_seed(4))
    coarse, fine = noise(3)
    together = render(factors, coarse, fine, 32).image
    alone = [render(factors[[k]], coarse[[k]], fine[[k]], 32).image for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), extreme=st.booleans())
def test_masks_share_every_pixel_and_nothing_overflows(seed: int, extreme: bool) -> None:
    factors = torch.rand(4, len(FACTORS), generator=torch.Generator().manual_seed(seed))
    scene = render(factors.round() if extreme else factors, *noise(4, seed), 32)
    assert scene.image.abs().max() <= 1
    assert scene.masks.min() >= 0
    torch.testing.assert_close(scene.masks.sum(1), torch.ones(4, 32, 32), atol=1e-5, rtol=0)
    assert torch.isfinite(scene.landmarks).all()


def test_a_smaller_render_is_the_larger_one_seen_from_further_away() -> None:
    large, small = random_faces(8, 128), random_faces(8, 64)
    assert (F.avg_pool2d(large.image, 2) - small.image).abs().mean() < 0.02
    torch.testing.assert_close(large.landmarks, small.landmarks)


def test_eyes_and_mouth_lie_where_aligned_photographs_have_them() -> None:
    front = vary("yaw", [0.5])
    want = torch.tensor([[0.375, 0.4725], [0.625, 0.4725]])
    eyes = torch.cat([landmark(front, "left_eye"), landmark(front, "right_eye")])
    torch.testing.assert_close(eyes, want, atol=5e-3, rtol=0)
    turned = random_faces(32, 16)
    middle = (landmark(turned, "left_eye") + landmark(turned, "right_eye")) / 2
    assert (middle - torch.tensor([0.5, 0.4725])).abs().max() < 0.04
    assert (landmark(turned, "mouth") - torch.tensor([0.5, 0.75])).abs().max() < 0.04


def test_each_factor_changes_the_picture_and_most_change_only_their_place() -> None:
    for name in FACTORS:
        low, high = vary(name, [0.1, 0.95], size_px=64).image
        assert (low - high).abs().mean() > 5e-4, name
    moved = vary("smile", [0.0, 1.0]).image.diff(dim=0).abs().mean(1)[0]
    assert moved[:40].max() < 1e-5  # the forehead does not smile
    assert moved[85:105, 50:78].mean() > 0.05


def region(scene: Scene, name: str) -> Tensor:
    """Where a part is, [N, H, W]; the chin is the face below the nose, bearded or not."""
    if name != "chin":
        return scene.masks[:, PARTS.index(name)]
    below = torch.linspace(0, 1, scene.masks.shape[-1])[:, None] > 0.7
    return (region(scene, "skin") + region(scene, "beard")) * below


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_is_legible_in_its_own_part_of_any_sitter(name: str) -> None:
    factors = torch.rand(16, len(FACTORS), generator=torch.Generator().manual_seed(77))
    factors[8:] = factors[8:].round()
    texture = noise(16)
    ends = []
    for value in (0.0, 1.0):
        factors[:, FACTORS.index(name)] = value
        ends.append(render(factors, *texture, 64))
    part, least = CHANGES[name]
    where = torch.maximum(region(ends[0], part), region(ends[1], part))
    change = (ends[0].image - ends[1].image).abs().mean(1)
    assert ((change * where).sum((1, 2)) / where.sum((1, 2))).min() > least


def test_eyes_brows_and_lips_show_through_fringe_long_hair_and_beard() -> None:
    scenes = []
    for grown in (1.0, 0.0):
        one = vary("yaw", [0.2, 0.5, 0.8], fringe=grown, hair_length=grown, hair_volume=grown,
                   beard=grown)  # fmt: skip
        scenes.append(one)
    for part in ("eyes", "brows", "mouth"):
        assert (area(scenes[0], part) > 0.8 * area(scenes[1], part)).all(), part


def test_a_broad_smile_and_an_open_mouth_show_teeth() -> None:
    smiling = vary("smile", [0.3, 1.0], mouth_open=0.0)
    opened = vary("mouth_open", [0.0, 1.0], smile=0.5)
    for scene in (smiling, opened):
        shut, shown = (scene.image.min(1).values[:, 88:106, 48:80] > 0.5).sum((1, 2))
        assert shown > shut + 15


def test_a_smile_raises_the_corners_of_the_mouth() -> None:
    scene = vary("smile", [0.0, 0.3, 0.6, 1.0])
    assert rises(-landmark(scene, "left_mouth")[:, 1])
    width = landmark(scene, "right_mouth")[:, 0] - landmark(scene, "left_mouth")[:, 0]
    assert rises(width)


def test_factors_move_what_they_are_named_after() -> None:
    steps = [0.0, 0.35, 0.7, 1.0]
    nose = landmark(vary("yaw", steps), "nose")[:, 0]
    assert rises(nose)
    assert rises(area(vary("hair_length", steps), "hair"))
    assert rises(area(vary("eye_size", steps), "eyes"))
    assert rises(landmark(vary("face_length", steps), "chin")[:, 1])
    assert rises(area(vary("mouth_open", [0.3, 0.6, 1.0]), "mouth"))
    assert rises(vary("skin_tone", steps).image[:, :, 80, 64].mean(1))
    assert rises(vary("background_lightness", steps).image[:, :, 5, 5].mean(1))


def test_glasses_and_beard_are_there_or_not() -> None:
    low, high = VISIBLE["glasses"]
    worn = area(vary("glasses", [0.0, low, high, 1.0], glasses=0.0), "glasses")
    assert worn[1] == worn[0] == 0
    assert worn[2] == worn[3] > 0.005
    grown = area(vary("beard", [0.0, VISIBLE["beard"][0], 0.9], beard=0.0), "beard")
    assert grown[1] == grown[0] == 0
    assert grown[2] > 0.01


def test_noise_draws_hair_but_not_outlines() -> None:
    one, other = random_faces(1, 128, seed=0), random_faces(1, 128, seed=0)
    again = render(one.factors, *noise(1, seed=9), 128)
    assert torch.equal(one.image, other.image)
    change = (again.image - one.image).abs().mean(1)
    hair, eyes = (one.masks[:, PARTS.index(part)] for part in ("hair", "eyes"))
    assert (change * hair).sum() / hair.sum() > 3 * (change * eyes).sum() / eyes.sum()


def test_distances_are_negative_inside_and_true_on_the_axes() -> None:
    x, y = torch.tensor([[[0.0, 0.3, 0.5]]]), torch.zeros(1, 1, 3)
    torch.testing.assert_close(ellipse(x, y, 0.3, 0.2)[0, 0, 1:], torch.tensor([0.0, 0.2]))
    box = rounded_box(x, y, 0.3, 0.2, 0.05)[0, 0]
    torch.testing.assert_close(box, torch.tensor([-0.2, 0.0, 0.2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(coverage(box, 0.1), torch.tensor([1.0, 0.5, 0.0]), atol=1e-4, rtol=0)
    assert (smooth_union(box, box, 0.1) <= box).all()


def test_ink_is_paper_and_pen_and_outlines_what_differs() -> None:
    flat = torch.full((1, 3, 32, 32), 0.6)
    paper = ink(flat)
    assert bool((paper == paper[:, :, :1, :1]).all())
    halves = flat.clone()
    halves[..., 16:] = 0.0  # a lighter half beside a darker one, no tone of its own
    lines = (ink(halves) - ink(flat)).abs().sum(1)[0]
    assert bool((lines[:, 14:18].amax(1) > 0.5).all())
    assert float(lines[:, :12].max()) == 0
    colours = ink(torch.rand(4, 3, 32, 32) * 2 - 1)
    assert float(colours.min()) >= -1
    assert float(colours.max()) <= 1


def test_renders_can_be_drawn_into_a_folder(tmp_path: Path) -> None:
    draw.main(["portraits", "--count", "3", "--ink", "--out", str(tmp_path)])
    draw.main(["portraits", "--count", "3", "--out", str(tmp_path / "plain")])
    names = sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert names == ["0000.jpg", "0001.jpg", "0002.jpg"]
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.size == (128, 128)
    assert (tmp_path / names[0]).read_bytes() != (tmp_path / "plain" / names[0]).read_bytes()
