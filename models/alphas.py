"""Alphas: how much of a picture each of several codes draws, at every layer and place.

Places are given in picture fractions, so that an alpha means the same at every resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blend import Alpha
from models.canvas import Region
from models.config import Layer

Axis: TypeAlias = Literal["horizontal", "vertical"]
#: Shares of several codes at a place; they add up to 1.
Weight: TypeAlias = Callable[[Layer, Region], Tensor]


def constant(value: float) -> Alpha:
    """The same everywhere."""
    return lambda _layer, _region: value


def up_to(alpha: Alpha, last: int, first: int = 0) -> Alpha:
    """An alpha for layers `first` to `last` of the walk, nothing elsewhere."""
    return lambda layer, region: alpha(layer, region) if first <= layer.index <= last else 0.0


def ramp(axis: Axis = "horizontal", start: float = 0.25, end: float = 0.75) -> Alpha:
    """From 0 at `start` to 1 at `end`, in fractions of the native picture's side."""

    def alpha(layer: Layer, region: Region) -> Tensor:
        place = centers(layer, region, axis)
        if end == start:
            return along((place >= start).float(), axis)
        return along(((place - start) / (end - start)).clamp(0, 1), axis)

    return alpha


def from_mask(mask: Tensor) -> Alpha:
    """A soft selection of the whole picture, averaged over the cells of each layer.

    Averaging keeps the mass of a mask: a small one weighs little in a coarse layer, but it does
    not vanish. Shapes: mask [1 or N, 1, H, W].
    """

    def alpha(layer: Layer, region: Region) -> Tensor:
        scale = layer.resolution / native
        height, width = (max(1, round(side * scale)) for side in mask.shape[-2:])
        pooled = F.interpolate(mask, (height, width), mode="area")
        rows = slice(region.top, region.bottom)
        return pooled[:, :, rows, region.left : region.right]

    native = mask.shape[-1]
    return alpha


def shares(weights: Sequence[Weight]) -> list[Alpha]:
    """Alphas that give every code its share: each covers w_k / (w_0 + ... + w_k) of those below."""
    last: dict[tuple[int, Region], list[Tensor]] = {}  # every code asks for the same window in turn

    def covered(layer: Layer, region: Region) -> list[Tensor]:
        found, total = [], torch.zeros(())
        for weight in weights:
            mine = weight(layer, region)
            total = total + mine
            found.append(
                torch.where(mine > 0, mine / total.clamp_min(1e-30), torch.zeros_like(mine))
            )
        return found

    def alpha(number: int) -> Alpha:
        def mine(layer: Layer, region: Region) -> Tensor:
            asked = (layer.index, region)
            if asked not in last:
                last.clear()
                last[asked] = covered(layer, region)
            return last[asked][number]

        return mine

    return [alpha(number) for number in range(len(weights))]


def centers(layer: Layer, region: Region, axis: Axis) -> Tensor:
    """Where the cells of a window lie, in sides of the native picture."""
    start, size = (
        (region.left, region.width) if axis == "horizontal" else (region.top, region.height)
    )
    return (torch.arange(start, start + size) + 0.5) / layer.resolution


def along(values: Tensor, axis: Axis) -> Tensor:
    """Values per column (or row) as a tensor that broadcasts over the other axis."""
    return values.reshape(1, 1, 1, -1) if axis == "horizontal" else values.reshape(1, 1, -1, 1)
