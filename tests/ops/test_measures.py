"""Likeness as ports."""

import pytest
import torch

from engine.errors import ShapeError
from engine.values import Image, Network
from ops.measures import measure


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
