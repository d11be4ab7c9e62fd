"""Likeness as ports."""

import pytest
import torch

from engine.errors import ItemError, OpError, ShapeError
from engine.values import Image, Mask, Network
from ops.measures import (
    measure,
    measure_high_band,
    measure_locality,
    measure_seam,
    measure_smoothness,
)


def test_equal_pictures_are_as_alike_as_can_be(model: Network) -> None:
    image = Image(torch.rand(2, 3, 24, 24) * 2 - 1)
    found = measure(image, image, model)
    assert found.psnr.data == (99.0, 99.0)
    assert found.ssim.data == (1.0, 1.0)
    assert found.perceptual.data == (None, None)


def test_a_tenth_of_the_range_is_twenty_decibels(model: Network) -> None:
    image = Image(torch.zeros(1, 3, 24, 24))
    assert measure(image, Image(image.data + 0.2), model).psnr.data == (20.0,)


def test_other_sizes_are_refused(model: Network) -> None:
    with pytest.raises(ShapeError, match=r"a is \[24, 24\], b \[24, 25\]: resize one"):
        measure(Image(torch.zeros(1, 3, 24, 24)), Image(torch.zeros(1, 3, 24, 25)), model)


def test_seams_every_period_and_as_listed() -> None:
    data = 0.2 * torch.randn(2, 3, 32, 256, generator=torch.Generator().manual_seed(1))
    data[1, :, :, 128:192] += 0.6
    by_period = measure_seam(Image(data), period=64)
    assert by_period.ratio.data[0] == pytest.approx(1, abs=0.1)
    assert by_period.worst.data[1] > 2
    listed = measure_seam(Image(data), columns=[192, 64, 128])
    assert listed == by_period
    shifted = measure_seam(Image(data), period=64, offset=32)
    assert shifted.worst.data[1] < 1.2
    upright = Image(data.transpose(2, 3).contiguous())
    assert measure_seam(upright, period=64, axis="vertical") == by_period
    assert measure_seam(Image(data), period=64, closed=True).ratio != by_period.ratio


def test_a_seam_outside_of_the_picture_is_refused() -> None:
    image = Image(torch.zeros(1, 3, 8, 64))
    with pytest.raises(OpError, match="no column"):
        measure_seam(image)
    with pytest.raises(OpError, match="column 80"):
        measure_seam(image, columns=[80])


def test_detail_against_the_parents() -> None:
    a, b = (
        Image(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(n))) for n in (1, 2)
    )
    mixed = Image((a.data + b.data) / 2)
    assert measure_high_band(mixed, (a, b)).data[0] == pytest.approx(0.5, abs=0.05)
    strip = Image(a.data.repeat(1, 1, 1, 3))
    assert measure_high_band(strip, (a,), period=64, start=0.75, end=1.25).data[0] > 0.9
    with pytest.raises(ShapeError, match="one period"):
        measure_high_band(strip, (a,))


def test_an_edit_inside_a_mask_is_local() -> None:
    before = torch.rand(2, 3, 32, 32) - 0.5
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 10:20, 10:20] = 1
    after = before + 0.2 * mask
    after[1, :, 0, 0] += 0.3
    found = measure_locality(Image(after), Image(before), Mask(mask), margin=0.1)
    assert found.inside.data[0] > 1e-3  # type: ignore[operator]
    assert found.outside.data[0] == 0
    assert found.outside.data[1] > 0  # type: ignore[operator]
    assert found.ratio.data[0] is None
    assert found.ratio.data[1] > 10  # type: ignore[operator]
    same = measure_locality(Image(before), Image(before), Mask(mask))
    assert same.inside.data == same.outside.data == (0.0, 0.0)


def test_a_change_of_black_to_white_is_a_third_inside() -> None:
    black, mask = torch.full((1, 3, 8, 8), -1.0), torch.ones(1, 1, 8, 8)
    found = measure_locality(Image(-black), Image(black), Mask(mask))
    assert found.inside.data[0] == pytest.approx(1 / 3, abs=1e-4)
    with pytest.raises(ItemError, match="empty"):
        measure_locality(Image(black), Image(black), Mask(0 * mask))
    with pytest.raises(ShapeError, match="one size"):
        measure_locality(Image(black), Image(black), Mask(torch.ones(1, 1, 4, 4)))


def test_a_step_that_is_all_of_the_way_is_uneven(companions: Network) -> None:
    a, b = (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    jump = measure_smoothness([Image(x) for x in (a, a, a, b)], companions)
    assert jump.unevenness.data == (3.0,)
    assert jump.detour.data == (1.0,)
    fade = measure_smoothness([Image(torch.lerp(a, b, t / 8)) for t in range(9)], companions)
    assert 1 <= float(fade.unevenness.data[0] or 0) < 2
    assert float(fade.detour.data[0] or 0) >= 1
    back = measure_smoothness([Image(x) for x in (a, b, a)], companions)
    assert (back.unevenness.data, back.detour.data) == ((1.0,), (None,))
    same = measure_smoothness([Image(a)] * 3, companions)
    assert same.unevenness.data == same.detour.data == (None,)


def test_a_way_that_is_none_is_refused(companions: Network, model: Network) -> None:
    image = Image(torch.zeros(1, 3, 32, 32))
    with pytest.raises(OpError, match="2 pictures: a way has at least three"):
        measure_smoothness([image, image], companions)
    with pytest.raises(OpError, match="no feature network"):
        measure_smoothness([image] * 3, model)
    with pytest.raises(ShapeError, match="several sizes"):
        measure_smoothness([image, image, Image(torch.zeros(1, 3, 32, 40))], companions)
