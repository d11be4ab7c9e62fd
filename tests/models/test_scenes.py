"""Drawn portraits: repeatable, antialiased at any size, and true to their factors."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Scene
from models.scenes.portraits import FACTORS, LANDMARKS, PARTS, VISIBLE, render
from models.scenes.shapes import coverage, ellipse, rounded_box, smooth_union


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


@settings(max_examples=10, deadline=None)
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
