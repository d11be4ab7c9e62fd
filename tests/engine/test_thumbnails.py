"""Small pictures of refused inputs."""

import io

import pytest

from engine.thumbnails import MOST_BYTES, SIZE_PX, thumbnail
from engine.values import Image


@pytest.mark.parametrize("size", [(1, 1), (40, 2000), (700, 500)])
def test_any_picture_becomes_a_small_one(size: tuple[int, int]) -> None:
    import torch
    from PIL import Image as Pillow

    noise = torch.rand(1, 3, *size) * 4 - 2  # louder than a picture may be
    noise[..., 0, 0] = float("nan")
    data = thumbnail(Image(noise))
    assert len(data) <= MOST_BYTES
    with Pillow.open(io.BytesIO(data)) as picture:
        assert max(picture.size) <= SIZE_PX
