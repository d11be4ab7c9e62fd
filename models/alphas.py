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
from models.errors import ModelError
from models.grid import Box

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


def cells(axis: Axis = "horizontal", plateau: float = 0.25, pictures: int = 1) -> Alpha:
    """The reference's ramp: its plateaus and steps are counted in cells of each resolution.

    At 4 cells it is a hard cut. For canvases as long as so many native pictures.
    Source: Chong et al. 2021, arXiv:2111.01619 (as released).
    """

    def alpha(layer: Layer, region: Region) -> Tensor:
        count = pictures * layer.resolution
        flat = int(count * plateau)
        middle = torch.linspace(0, 1, count - 2 * flat)
        values = torch.cat([torch.zeros(flat), middle, torch.ones(flat)])
        first = region.left if axis == "horizontal" else region.top
        size = region.width if axis == "horizontal" else region.height
        return along(values[first : first + size], axis)

    return alpha


def tents(count: int, axis: Axis = "horizontal", plateau: float = 0.25) -> list[Alpha]:
    """Alphas of codes in a row: plateaus at both ends, and one even ramp from each to the next."""
    if count == 2:
        return [constant(1.0), ramp(axis, plateau, 1 - plateau)]
    step = (1 - 2 * plateau) / (count - 1)

    def tent(k: int) -> Weight:
        def weight(layer: Layer, region: Region) -> Tensor:
            place = centers(layer, region, axis).clamp(plateau, 1 - plateau) - plateau
            if step == 0:
                nearest = (centers(layer, region, axis) * count).floor().clamp(0, count - 1)
                return along((nearest == k).float(), axis)
            return along((1 - (place / step - k).abs()).clamp(0, 1), axis)

        return weight

    return shares([tent(k) for k in range(count)])


def even(weights: Sequence[float]) -> list[Alpha]:
    """Alphas that give codes these shares everywhere. Raises: ModelError if they add up to 0."""
    if min(weights) < 0 or sum(weights) <= 0:
        raise ModelError(f"shares {list(weights)}: none may be below 0, and not all 0")
    totals = [sum(weights[: k + 1]) for k in range(len(weights))]
    return [
        constant(weight / total if weight else 0.0)
        for weight, total in zip(weights, totals, strict=True)
    ]


def stepped(early: Alpha, late: Alpha, count: int) -> Alpha:
    """One alpha for the first `count` layers of the walk, another for the rest."""
    return lambda layer, region: (early if layer.index < count else late)(layer, region)


def within(alpha: Alpha, mask: Alpha) -> Alpha:
    """An alpha where a mask holds, nothing elsewhere."""
    return lambda layer, region: alpha(layer, region) * mask(layer, region)


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


def looked_up(mask: Tensor) -> Alpha:
    """A selection of the whole picture, looked up between pixels at the middles of cells.

    As the reference does it: a small one may fall between the cells of a coarse layer.
    Shapes: mask [1 or N, 1, H, W].
    """

    def alpha(layer: Layer, region: Region) -> Tensor:
        found = F.interpolate(mask, (layer.resolution, layer.resolution), mode="bilinear")
        return found[:, :, region.top : region.bottom, region.left : region.right]

    return alpha


def blurred_box(box: Box, side: int) -> Tensor:
    """The reference's soft box, [1, 1, side, side]: along each axis blurred as wide as half of it.

    Source: Chong et al. 2021, arXiv:2111.01619 (as released).
    """

    def line(length: int) -> Tensor:
        size = length // 2 + (1 if length // 2 % 2 == 0 else 2)
        place = torch.arange(size) - size // 2
        weights = torch.exp(-place.square() / (2 * size**2))
        return weights / weights.sum()

    x, y, width, height = (int(n) for n in (box.x, box.y, box.width, box.height))
    mask = torch.zeros(1, 1, side, side)
    mask[..., y : y + height, x : x + width] = 1
    rows, columns = line(height), line(width)
    across, down = len(columns) // 2, len(rows) // 2
    around = F.pad(mask, (across, across, down, down), mode="reflect")
    return F.conv2d(F.conv2d(around, rows[None, None, :, None]), columns[None, None, None, :])


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
