"""Ops of the campaign: plain ones that take their time, and one that some photos are poison for."""

import ctypes
import time

import numpy as np

from engine.op import op
from engine.values import Image, Scalar

#: The most that the memory-hungry photo takes if nobody stops it, in blocks of BLOCK bytes.
BLOCK = 256 << 20
BLOCKS = 4096


@op(version=1, batch=4)
def trust(image: Image) -> Image:
    """The picture. One that is all red crashes, all green never ends, all blue eats memory."""
    for picture in image.data:
        if tuple(picture.mean((1, 2)).tolist()) == (1, -1, -1):
            ctypes.string_at(0)
        if tuple(picture.mean((1, 2)).tolist()) == (-1, 1, -1):
            ctypes.PyDLL(None).sleep(1000)
        if tuple(picture.mean((1, 2)).tolist()) == (-1, -1, 1):
            hoard = [np.empty(BLOCK, np.uint8) for _ in range(BLOCKS)]
            hoard.clear()
    return image


@op(version=1, batch=2)
def tone(image: Image, *, gamma: float = 1.0, seconds: float = 0.0) -> Image:
    """The picture with another gamma, after a while."""
    time.sleep(seconds * len(image.data))
    return Image((((image.data + 1) / 2) ** gamma) * 2 - 1)


@op(version=1)
def brightness(image: Image) -> Scalar:
    """The mean of a picture."""
    return Scalar(tuple(float(picture.mean()) for picture in image.data))
