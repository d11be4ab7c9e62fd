"""Parts of a picture copied to other places inside a generator: moves as edits of features.

A move [x, y, w, h, to_x, to_y] lays the box at (x, y) over the place at (to_x, to_y).
Source: Chong et al. 2021, arXiv:2111.01619, section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blend import Edit, reach_px
from models.codes import number
from models.edits import Shift, shifted
from models.grid import Box, several, way
from models.masks import box_mask
from models.stylegan2 import Generator

#: In fractions of the picture if all six are at most 1, else in pixels.
Move: TypeAlias = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Softness:
    """How moves are laid: soft edges in sides of the picture, strength 0..1, exchanged or copied.

    `picture`: whether the small picture moves along with the features.
    """

    feather: float = 0.0
    strength: float = 1.0
    swap: bool = False
    picture: bool = True


def moving(
    resolution: int, at: int | Sequence[int], moves: Sequence[Sequence[float]], soft: Softness
) -> dict[int, Edit]:
    """The edits that make some moves, by resolution.

    Raises: ModelError for a resolution the generator lacks, boxes that leave the picture, or ways
    that are no whole cells of the coarsest resolution.
    """
    sides = several(resolution, at)
    coarsest = min(sides)
    ways = [way(move, resolution, coarsest) for move in moves]
    return {
        side: shifted([_shift(each, resolution, side, coarsest, soft) for each in ways])
        for side in sides
    }


def touched(
    resolution: int, at: int | Sequence[int], moves: Sequence[Sequence[float]], soft: Softness
) -> Tensor:
    """Where some moves lay anything, [1, 1, R, R] in 0..1."""
    cell = resolution // min(several(resolution, at))
    found = torch.zeros(1, 1, resolution, resolution)
    for move in moves:
        box, dx, dy = way(move, resolution, resolution // cell)
        if not (dx or dy):
            continue
        start = Box(box.x - dx * cell, box.y - dy * cell, box.width, box.height)
        for place in (box, start) if soft.swap else (box,):
            laid = box_mask(place, resolution, resolution, soft.feather * resolution)
            found = torch.maximum(found, laid)
    return found * (soft.strength > 0)


def reach_of_edits(generator: Generator, at: int | Sequence[int]) -> int:
    """How far beyond what is touched edits of some resolutions can be seen, in pixels."""
    coarsest = min(several(generator.resolution, at))
    # What is edited is what the last convolution of a resolution makes, in whole cells.
    reach = reach_px(generator, generator.layer(f"{coarsest}.conv1"))
    return min(generator.resolution, reach + generator.resolution // coarsest - 1)


def random_moves(
    seed: int,
    variant: int,
    count: int,
    size: Sequence[float],
    reach: float,
    cells: int,
    axis: str,
) -> list[Move]:
    """Random boxes and ways, in fractions of the picture, all on a grid of `cells`."""
    dice = Random(number(seed, "moves", variant))

    def place(side: int, start: int, moved: bool) -> int:
        far = max(1, round(reach * cells)) if moved else 0
        low, high = max(0, start - far), min(cells - side, start + far)
        return dice.choice([to for to in range(low, high + 1) if to != start] or [start])

    found: list[Move] = []
    for _ in range(count):
        width, height = (min(cells, max(1, round(cells * dice.uniform(*size)))) for _ in range(2))
        x, y = dice.randint(0, cells - width), dice.randint(0, cells - height)
        to_x = place(width, x, axis != "vertical")
        to_y = place(height, y, axis != "horizontal")
        found.append(
            (x / cells, y / cells, width / cells, height / cells, to_x / cells, to_y / cells)
        )
    return found


def _shift(
    there: tuple[Box, int, int], resolution: int, side: int, coarsest: int, soft: Softness
) -> Shift:
    """One move at one resolution."""
    box, dx, dy = there
    dx, dy = dx * side // coarsest, dy * side // coarsest
    mask = box_mask(box, resolution, resolution, soft.feather * resolution)
    alpha = F.interpolate(mask, (side, side), mode="area") * soft.strength
    return Shift(-dy, -dx, _inside(alpha, dy, dx), soft.swap, soft.picture)


def _inside(alpha: Tensor, dy: int, dx: int) -> Tensor:
    """Where an alpha would fetch what lies beyond the features, it is nothing."""
    rows, columns = (torch.arange(size) for size in alpha.shape[-2:])
    from_row, from_column = rows - dy, columns - dx
    row_there = (from_row >= 0) & (from_row < len(rows))
    column_there = (from_column >= 0) & (from_column < len(columns))
    return alpha * (row_there[:, None] & column_there)
