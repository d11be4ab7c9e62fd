"""Spatial edits of features on their way to a picture: padded, scaled, shifted.

Each edits features and the small picture together, after the last layer of a resolution, so that
shape and colour stay in register. One cell there is generator.resolution / resolution pixels.
Source: Chong et al. 2021, arXiv:2111.01619, section 3.1 (padding, resizing) and 3.3 (shifting).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blend import Edit, Walk
from models.canvas import Region
from models.errors import ModelError

PadMode: TypeAlias = Literal["replicate", "reflect", "circular"]
ScaleMode: TypeAlias = Literal["nearest", "bilinear"]


@dataclass(frozen=True, slots=True)
class Sides:
    """Cells added on each side."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """A move of features: what stands at a place plus (dy, dx) is laid over it by `alpha`.

    With `swap` what stood there is laid over the place it came from. Without `picture` only the
    features move, and colours that the small picture holds already stay where they are.
    Shapes: alpha [1 or N, 1, h, w] at the resolution that is edited. Units: dy, dx cells.
    """

    dy: int
    dx: int
    alpha: Tensor
    swap: bool = False
    picture: bool = True


def padded(sides: Sides, mode: PadMode) -> Edit:
    """Features that go on beyond their sides. Raises: ModelError if a mirror is too short."""

    def edit(walk: Walk) -> Walk:
        if sides == Sides():
            return walk
        limit = {"reflect": -1, "circular": 0}.get(mode)
        if limit is not None:
            for name, size in (("height", walk.region.height), ("width", walk.region.width)):
                ends = (sides.top, sides.bottom) if name == "height" else (sides.left, sides.right)
                if max(ends) > size + limit:
                    raise ModelError(
                        f"{mode} by {max(ends)} cells: the features have a {name} of {size} cells, "
                        f"so at most {size + limit}"
                    )
        around = (sides.left, sides.right, sides.top, sides.bottom)
        return _changed(walk, lambda x: F.pad(x, around, mode=mode))

    return edit


def scaled(height: int, width: int, mode: ScaleMode = "nearest") -> Edit:
    """Features drawn out (or together) to so many cells."""

    def edit(walk: Walk) -> Walk:
        if (height, width) == (walk.region.height, walk.region.width):
            return walk
        corners = None if mode == "nearest" else False
        return _changed(
            walk, lambda x: F.interpolate(x, (height, width), mode=mode, align_corners=corners)
        )

    return edit


def shifted(shifts: Sequence[Shift]) -> Edit:
    """Parts of the features copied to other places, one after the other."""

    def edit(walk: Walk) -> Walk:
        for shift in shifts:
            if shift.dy or shift.dx:
                walk = _shifted(walk, shift)
        return walk

    return edit


def _shifted(walk: Walk, shift: Shift) -> Walk:
    moved = _changed(walk, lambda x: _moved(x, shift))
    if shift.picture:
        return moved
    return replace(moved, state=replace(moved.state, skip=walk.state.skip))


def _moved(x: Tensor, shift: Shift) -> Tensor:
    alpha = shift.alpha.to(x.dtype).to(x.device)
    there = torch.roll(x, (-shift.dy, -shift.dx), (2, 3))
    moved = torch.lerp(x, there, alpha.expand_as(x))
    if not shift.swap:
        return moved
    back = torch.roll(x, (shift.dy, shift.dx), (2, 3))
    came_from = torch.roll(alpha, (shift.dy, shift.dx), (2, 3))
    return torch.lerp(moved, back, came_from.expand_as(x))


def _changed(walk: Walk, change: Callable[[Tensor], Tensor]) -> Walk:
    state = walk.state
    features = change(state.features)
    skip = None if state.skip is None else change(state.skip)
    region = Region(walk.region.top, walk.region.left, *features.shape[2:])
    return Walk(replace(state, features=features, skip=skip), region)
