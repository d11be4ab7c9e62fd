"""Plain picture work: sizes, identities, sheets."""

import pytest
import torch

from engine.errors import ItemError, OpError, ShapeError
from engine.op import Caption, Members
from engine.values import Image, Mask, split
from ops.images import (
    composite,
    crop,
    from_pillow,
    make_film,
    make_grid,
    make_strip,
    pad,
    resize,
    rotate,
    to_pillow,
)


def picture(items: int = 1, height: int = 12, width: int = 18, seed: int = 0) -> Image:
    random = torch.Generator().manual_seed(seed)
    return Image(torch.rand(items, 3, height, width, generator=random) * 2 - 1)


def flat(value: float, height: int = 10, width: int = 10) -> Image:
    return Image(torch.full((1, 3, height, width), float(value)))


def row(items: int) -> Members:
    return Members((items,), tuple((i,) for i in range(items)))


@pytest.mark.parametrize(
    ("fit", "shape"), [("longest", (8, 12)), ("shortest", (12, 18)), ("exact", (12, 12))]
)
def test_resize_gives_the_side_that_was_asked_for(fit: str, shape: tuple[int, int]) -> None:
    assert resize(picture(), size=12, fit=fit).data.shape[2:] == shape  # type: ignore[arg-type]


def test_resize_to_the_same_size_is_bitwise_the_same() -> None:
    image = picture()
    assert torch.equal(resize(image, size=18).data, image.data)


def test_resize_keeps_a_flat_colour_and_a_batch_equals_its_singles() -> None:
    assert torch.allclose(resize(flat(0.25), size=7).data, torch.tensor(0.25), atol=1e-6)
    batch = picture(3)
    singles = torch.cat([resize(one, size=9).data for one in split(batch)])
    assert torch.allclose(resize(batch, size=9).data, singles, atol=1e-5)


def test_crop_takes_the_window_at_its_anchor() -> None:
    image = picture()
    assert torch.equal(crop(image, width=6, height=4).data, image.data[:, :, 4:8, 6:12])
    assert torch.equal(
        crop(image, width=6, height=4, anchor="right").data, image.data[:, :, 4:8, 12:]
    )


def test_crop_larger_than_the_picture_is_too_small() -> None:
    with pytest.raises(ItemError, match="18x12 px, the crop 19x4") as caught:
        crop(picture(), width=19, height=4)
    assert caught.value.reason == "too_small"


def test_pad_then_crop_gives_the_picture_back() -> None:
    image = picture(2)
    wide = pad(image, left=3, right=5, top=2, bottom=1, color="#ff0000")
    assert wide.data.shape == (2, 3, 15, 26)
    assert wide.data[1, :, 0, 0].tolist() == [1, -1, -1]
    assert torch.equal(wide.data[:, :, 2:14, 3:21], image.data)


def test_pad_refuses_an_unknown_colour() -> None:
    with pytest.raises(OpError, match="color 'blurple' is unknown"):
        pad(picture(), left=1, color="blurple")


@pytest.mark.parametrize("turns", [1, 2, 3, 4, -1, 5])
def test_quarter_turns_move_pixels_counterclockwise_and_change_none(turns: int) -> None:
    image = Image(torch.rand(2, 3, 8, 8) * 2 - 1)
    turned = rotate(image, degrees=90.0 * turns)
    assert torch.equal(turned.data, torch.rot90(image.data, turns, (2, 3)))
    assert torch.equal(rotate(turned, degrees=-90.0 * turns).data, image.data)


def test_turns_by_any_angle_go_on_from_quarter_turns() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    image = Image(torch.stack([x, y, x * y])[None] * 0.5)
    disc = (x**2 + y**2 < 0.8).expand(3, -1, -1)[None]
    nearly = rotate(image, degrees=89.99).data - rotate(image, degrees=90).data
    assert nearly[disc].abs().max() < 1e-3
    there = rotate(image, degrees=37.0)
    assert (there.data - image.data)[disc].abs().max() > 0.2
    back = rotate(there, degrees=-37.0).data - image.data
    assert back[disc].abs().max() < 2e-3
    thirds = rotate(rotate(there, degrees=23.0), degrees=30.0).data
    assert (thirds - rotate(image, degrees=90).data)[disc].abs().max() < 4e-3


def test_what_comes_in_by_a_turn_has_the_colour_and_oblong_frames_stay() -> None:
    image = Image(torch.zeros(1, 3, 20, 40))
    for degrees in (45.0, 90.0):
        turned = rotate(image, degrees=degrees, color="black").data
        assert turned.shape == image.data.shape
        assert torch.equal(turned[..., 0, 0], -torch.ones(1, 3))
        assert torch.allclose(turned[..., 10, 20], torch.zeros(1, 3), atol=1e-5)
    assert torch.equal(rotate(image, degrees=-180.0).data, image.data)
    with pytest.raises(OpError, match="color 'blak' is unknown"):
        rotate(image, degrees=45.0, color="blak")
    with pytest.raises(OpError, match="color 'blak' is unknown"):
        rotate(image, degrees=90.0, color="blak")
    with pytest.raises(OpError, match="degrees nan: must be a finite number"):
        rotate(image, degrees=float("nan"))


def test_composite_mixes_by_mask_and_opacity() -> None:
    mask = Mask(torch.zeros(1, 1, 10, 10))
    mask.data[:, :, :, :5] = 1
    mixed = composite(flat(-1), flat(1), mask, opacity=0.25).data
    assert torch.equal(mixed[0, 0, 0, [0, 9]], torch.tensor([-0.5, -1.0]))


def test_composite_with_no_opacity_is_the_base_and_with_all_is_the_other() -> None:
    base, over = picture(seed=1), picture(seed=2)
    assert torch.equal(composite(base, over, opacity=0.0).data, base.data)
    assert torch.equal(composite(base, over).data, over.data)


def test_composite_refuses_other_sizes() -> None:
    with pytest.raises(ShapeError, match="must have one size"):
        composite(flat(0), flat(0, 10, 11))


def test_grid_places_members_and_leaves_gaps_blank() -> None:
    members = Members((2, 2), ((0, 0), (1, 1)))
    sheet = make_grid(
        [flat(-1), flat(0)], members=members, tile_px=20, gap_px=2, background="white"
    ).data
    assert sheet.shape == (1, 3, 46, 46)
    assert sheet[0, 0, 10, 10] == -1
    assert sheet[0, 0, 30, 30] == 0
    assert sheet[0, 0, 10, 30] == 1


def test_grid_of_one_axis_is_about_square_or_as_wide_as_asked() -> None:
    tiles = [flat(0)] * 4
    assert make_grid(tiles, members=row(4), tile_px=20, gap_px=0).data.shape[2:] == (40, 40)
    wide = make_grid(tiles, members=row(4), columns=4, tile_px=20, gap_px=0)
    assert wide.data.shape[2:] == (20, 80)


def test_grid_of_listed_pictures_needs_no_members() -> None:
    assert make_grid([flat(0)] * 3, tile_px=20, gap_px=0, columns=3).data.shape[2:] == (20, 60)


def test_grid_writes_captions_and_a_title_without_touching_the_pictures() -> None:
    plain = make_grid([flat(0)], members=row(1), tile_px=40, gap_px=4).data
    told = make_grid(
        [flat(0)], members=row(1), tile_px=40, gap_px=4, caption=Caption(("smile +1",)), title="A"
    ).data
    assert told.shape[2] > plain.shape[2]
    assert (told < -0.5).any()
    assert (told.abs() < 0.01).all(dim=1).sum() >= 40 * 39


def test_strip_labels_pictures_of_other_sizes() -> None:
    strip = make_strip([flat(0), flat(0, 10, 20)], labels=["a", "b"], height_px=40, gap_px=4)
    assert strip.data.shape == (1, 3, 54, 40 + 4 + 80)
    tall = make_strip([flat(0), flat(0, 10, 20)], direction="vertical", height_px=40, gap_px=4)
    assert tall.data.shape == (1, 3, 40 + 4 + 20, 40)


def test_strip_refuses_more_labels_than_pictures() -> None:
    with pytest.raises(OpError, match="2 labels for 1 pictures"):
        make_strip([flat(0)], labels=["a", "b"])


@pytest.mark.parametrize("number", [1, 2, 3, 6])
def test_a_film_shows_its_pictures_in_order(number: int) -> None:
    images = [picture(seed=seed) for seed in range(number)]
    film = make_film(images, fps=25)
    assert (film.fps, film.data.shape) == (25, (1, number, 3, 12, 18))
    for frame, image in zip(film.data.unbind(1), images, strict=True):
        assert torch.equal(frame, image.data)


@pytest.mark.parametrize("number", [1, 2, 3, 6])
def test_there_and_back_is_closed_and_shows_no_frame_twice_in_a_row(number: int) -> None:
    images = [picture(seed=seed) for seed in range(number)]
    frames = make_film(images, back_and_forth=True).data[0]
    assert len(frames) == max(number, 2 * number - 2)
    assert torch.equal(frames[:number], torch.cat([image.data for image in images]))
    assert torch.equal(frames[1:].flip(0), frames[1:])  # the same backwards
    repeats = [torch.equal(a, b) for a, b in zip(frames, frames.roll(1, 0), strict=True)]
    assert not any(repeats[number == 1 :])


def test_a_film_of_other_sizes_says_which_picture_differs() -> None:
    with pytest.raises(OpError, match="picture 3 of 4 is 20x10 px, the first 10x10"):
        make_film([flat(0), flat(1), flat(0, 10, 20), flat(0, 9)])


def test_pillow_round_trip_is_exact_in_8_bit() -> None:
    image = from_pillow(to_pillow(picture().data))
    assert torch.equal(from_pillow(to_pillow(image)), image)
