"""The laws of alignment, and the shipped photographs."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from engine.errors import ItemError, OpError, ShapeError, SkipItem
from engine.values import Alignment, Image, Scalar
from ops.align import (
    align_center,
    align_face,
    cut_square,
    face_quad,
    paste_back,
    sharpness,
    to_crop,
    to_photo,
)
from ops.images import from_pillow

PHOTOS = Path(__file__).parents[2] / "workflows"
FACE = torch.tensor([[40, 50], [80, 52], [46, 92], [76, 93]], dtype=torch.float64)


def photo(name: str) -> Image:
    with Pillow.open(PHOTOS / name) as picture:
        return Image(from_pillow(picture))


def smooth(height: int, width: int) -> torch.Tensor:
    """A picture without detail finer than a crop can hold, [1, 3, height, width]."""
    y = torch.linspace(0, 6, height)[:, None]
    x = torch.linspace(0, 6, width)[None]
    return torch.stack([torch.sin(x + y), torch.cos(x - y), torch.sin(2 * x) * torch.cos(y)])[None]


@settings(max_examples=40)
@given(
    angle=st.floats(-math.pi, math.pi),
    scale=st.floats(0.1, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_quad_follows_any_similarity(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    move = torch.tensor(shift, dtype=torch.float64)
    moved = face_quad(FACE @ turn.T + move)
    assert torch.allclose(moved, face_quad(FACE) @ turn.T + move, atol=1e-9, rtol=1e-12)


def test_mirrored_face_has_the_mirrored_quad() -> None:
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    swapped = (FACE * mirror)[[1, 0, 3, 2]]
    assert torch.allclose(face_quad(swapped), (face_quad(FACE) * mirror)[[3, 2, 1, 0]], atol=1e-9)


def test_eyes_of_an_upright_face_stand_where_ffhq_has_them() -> None:
    points = torch.tensor([[40, 50], [80, 50], [45, 90], [75, 90]], dtype=torch.float64)
    eyes = to_crop(points[:2], face_quad(points), 1024)
    assert torch.allclose(eyes[:, 0], torch.tensor([384.0, 640.0], dtype=torch.float64))


@given(st.lists(st.tuples(st.floats(-99, 299), st.floats(-99, 299)), min_size=1, max_size=9))
@settings(max_examples=25)
def test_the_way_back_is_the_inverse(points: list[tuple[float, float]]) -> None:
    quad, p = face_quad(FACE), torch.tensor(points, dtype=torch.float64)
    assert torch.allclose(to_photo(to_crop(p, quad, 128), quad, 128), p, atol=1e-9)


def test_cut_at_an_upright_square_of_its_own_size_is_the_picture() -> None:
    image = smooth(90, 120)
    quad = torch.tensor([[20, 10], [20, 74], [84, 74], [84, 10]], dtype=torch.float64)
    assert torch.allclose(cut_square(image, quad, 64), image[:, :, 10:74, 20:84], atol=1e-5)


def test_cut_beyond_the_edge_continues_the_picture() -> None:
    quad = torch.tensor([[-30, -30], [-30, 70], [70, 70], [70, -30]], dtype=torch.float64)
    crop = cut_square(torch.full((1, 3, 80, 80), 0.5), quad, 50)
    assert torch.allclose(crop, torch.tensor(0.5), atol=1e-5)


@pytest.mark.parametrize("size", [128, 400])
def test_untouched_crop_pasted_back_changes_nothing_to_see(size: int) -> None:
    image = smooth(300, 260)
    quad = face_quad(FACE * 2 + 20)[None]
    crop = cut_square(image, quad[0], size)
    alignment = Alignment(quad, torch.tensor([[300, 260]]), size)
    back = paste_back(Image(image), Image(crop), alignment).data
    assert (back - image).abs().mean() * 127.5 < 2
    kept = paste_back(Image(image), Image(crop), alignment, Image(crop)).data
    assert torch.equal(kept, image)


def test_with_a_base_only_the_change_is_added() -> None:
    image = torch.zeros(1, 3, 100, 100)
    quad = torch.tensor([[[20, 20], [20, 80], [80, 80], [80, 20]]], dtype=torch.float64)
    alignment = Alignment(quad, torch.tensor([[100, 100]]), 60)
    base = Image(torch.full((1, 3, 60, 60), 0.25))
    edited = Image(torch.full((1, 3, 60, 60), 0.75))
    done = paste_back(Image(image), edited, alignment, base).data
    assert done[0, 0, 50, 50] == pytest.approx(0.5)
    assert done[0, 0, 10, 10] == 0


def test_paste_refuses_another_photo() -> None:
    alignment = Alignment(face_quad(FACE)[None], torch.tensor([[300, 260]]), 64)
    with pytest.raises(ShapeError, match=r"photo is \[300, 261\]"):
        paste_back(Image(smooth(300, 261)), Image(torch.zeros(1, 3, 64, 64)), alignment)


def test_shipped_faces_are_found_and_stand_right() -> None:
    for name in ("photos/eileen_collins.jpg", "photos/grace_hopper.jpg"):
        found = align_face(photo(name))
        assert found.image.data.shape == (1, 3, 128, 128)
        assert found.faces.data == (1,)
        assert 0.15 < float(found.sharpness.data[0] or 0) < 0.6


@pytest.mark.parametrize("name", ["cameraman", "chelsea", "coffee", "rocket"])
def test_photo_without_a_face_is_quarantined(name: str) -> None:
    with pytest.raises(ItemError, match="no face was found") as caught:
        align_face(photo(f"photos-without-faces/{name}.jpg"))
    assert (caught.value.reason, caught.value.item) == ("no_face", 0)


def test_several_faces(tmp_path: Path) -> None:
    one = photo("photos/grace_hopper.jpg").data
    two = Image(torch.cat([one, one], dim=3))
    assert align_face(two).faces.data == (2,)
    assert align_face(two, face=1).image.data.shape == (1, 3, 128, 128)
    with pytest.raises(ItemError, match="2 faces, one is allowed"):
        align_face(two, face="refuse_many")
    with pytest.raises(SkipItem, match="face 2 is asked for, the photo has 2"):
        align_face(two, face=2)


def test_large_photo_is_searched_in_a_smaller_copy_and_cut_from_the_large_one() -> None:
    small = photo("photos/eileen_collins.jpg")
    large = Image(torch.nn.functional.interpolate(small.data, scale_factor=3.0, mode="bicubic"))
    quad, expected = (align_face(image).alignment.quad for image in (large, small))
    assert (quad / 3 - expected).abs().max() < 8


def test_tiny_face_is_too_small() -> None:
    with pytest.raises(ItemError, match="at least 400 are needed") as caught:
        align_face(photo("photos/eileen_collins.jpg"), min_px=400)
    assert caught.value.reason == "too_small"


def test_one_pixel_is_too_small_for_a_face() -> None:
    with pytest.raises(ItemError, match="1x1 px"):
        align_face(Image(torch.zeros(1, 3, 1, 1)))


def test_landmarks_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faces.json"
    file.write_text(json.dumps({"a.jpg": (FACE - 0.5).tolist()}), "utf-8")
    blank, name = Image(smooth(140, 120)), Scalar(("a.jpg",))
    found = align_face(blank, name, landmarks=str(file), detector="file")
    assert torch.allclose(found.alignment.quad[0], face_quad(FACE))
    with pytest.raises(ItemError, match=r"names no face of b\.jpg"):
        align_face(blank, Scalar(("b.jpg",)), landmarks=str(file), detector="file")
    with pytest.raises(OpError, match=r"add `name: photo\.name`"):
        align_face(blank, landmarks=str(file))


def test_landmarks_outside_the_photo_are_bad_input(tmp_path: Path) -> None:
    file = tmp_path / "faces.csv"
    file.write_text("file,x1,y1\na.jpg," + ",".join(map(str, (FACE + 900).flatten().tolist())))
    with pytest.raises(ItemError, match="outside the photo"):
        align_face(Image(smooth(140, 120)), Scalar(("a.jpg",)), landmarks=str(file))


def test_center_crop_takes_the_middle_and_remembers_where() -> None:
    image = Image(smooth(64, 100))
    done = align_center(image, size=64)
    assert torch.allclose(done.image.data, image.data[:, :, :, 18:82], atol=1e-5)
    assert done.alignment.quad[0, 3].tolist() == [82, 0]
    left = align_center(image, size=64, gravity="left")
    assert left.alignment.quad[0, 0].tolist() == [0, 0]


def test_center_crop_of_one_pixel_is_too_small() -> None:
    with pytest.raises(ItemError, match="1x1 px"):
        align_center(Image(torch.zeros(1, 3, 1, 1)))


def test_blur_lowers_sharpness() -> None:
    crop = align_face(photo("photos/grace_hopper.jpg")).image.data
    soft = torch.nn.functional.avg_pool2d(crop, 5, stride=1)
    assert sharpness(soft)[0] < sharpness(crop)[0] / 2
