"""Seams and softness: what is measured where two codes, or two pieces, meet in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import ModelError
from models.metrics import lab

#: Columns on each side of a seam whose means are compared.
SIDE = 8
#: Columns on each side of a seam whose jumps are those of its surroundings.
AROUND = 4
#: Columns looked at together.
PIECE = 8192
#: Added above and below so that a picture of one colour has no seam: less than a 2000th of a grey.
_FLAT = 1e-6
#: Changes in Lab that are none: a ten thousandth of what can just be seen.
_SAME = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Seams:
    """How visible the seams of N pictures are.

    Shapes: each [N].  Units: `ratio`, the jump of colours across a seam over that between other
    columns, on average over the seams (1: no seam is there), `worst` the greatest of them; `local`,
    the same over the jumps of the 4 columns on each side, where pictures differ in detail from
    place to place; `step`, the change from 8 columns before to 8 after in Lab, in standard
    deviations of that elsewhere.
    """

    ratio: Tensor
    worst: Tensor
    local: Tensor
    step: Tensor


def measure_seams(pictures: Tensor, columns: Sequence[int], closed: bool = False) -> Seams:
    """How visible seams left of some columns are, of pictures [N, 3, H, W] in -1..1.

    On a `closed` picture column 0 has a left neighbour: the last one.
    Raises: ModelError if a column has none, or if no column is left to compare with.
    """
    width = pictures.shape[3]
    wrong = [column for column in columns if not int(not closed) <= column < width]
    if wrong or not columns:
        told = f"column {wrong[0]}" if wrong else "no column"
        raise ModelError(
            f"{told}: the seams of this picture lie at {int(not closed)} to {width - 1}"
        )
    seams = torch.zeros(width, dtype=torch.bool)
    seams[list(columns)] = True
    jumps, steps = _changes(pictures)
    near = _near(seams)
    inside = torch.ones(width, dtype=torch.bool)
    if not closed:  # what wraps around is no neighbour
        inside[0] = False
        near[:SIDE] = True
        near[width - SIDE + 1 :] = True
    elsewhere = inside & ~seams
    if not elsewhere.any() or (~near).sum() < 2:
        raise ModelError(f"seams at {len(columns)} of {width} columns leave none to compare with")
    usual = jumps[:, elsewhere].median(1, keepdim=True).values
    ratios = (jumps[:, seams] + _FLAT) / (usual + _FLAT)
    near_by = _around(jumps, elsewhere, closed)[:, seams].sum(1)
    local = (jumps[:, seams].sum(1) + _FLAT) / (near_by + _FLAT)
    within = seams if closed else seams & _whole(width)
    found = steps[:, within].mean(1) if within.any() else steps[:, ~near].mean(1)
    spread = steps[:, ~near].std(1).clamp_min(_SAME)
    step = (found - steps[:, ~near].mean(1)) / spread
    return Seams(ratios.mean(1), ratios.amax(1), local, step)


def high_band(
    picture: Tensor, parents: Sequence[Tensor], period: int, start: float, end: float
) -> Tensor:
    """Fine detail of a picture where codes mix, over that of the pictures they make alone: [N].

    1: nothing is lost; half: what laying two unrelated textures over each other leaves. Detail is
    the variance of the Laplacian of the brightness, in the columns from `start` to `end`,
    fractions of a `period` that repeats (0.75 to 1.25: about its ends).

    Shapes: picture [N, 3, H, W], parents [1 or N, 3, H, period].
    Raises: ModelError if sizes differ or the zone holds no column.
    """
    zone = _zone(period, start, end)
    for parent in parents:
        if parent.shape[2:] != (picture.shape[2], period):
            raise ModelError(
                f"a parent is {tuple(parent.shape[2:])}: one period of the picture is "
                f"{(picture.shape[2], period)}"
            )
    own = torch.stack([_detail(parent, zone) for parent in parents]).mean(0)
    return _detail(picture, zone) / own.clamp_min(_FLAT**2)


def _changes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Per column, the jump of colours from its left neighbour, and a step in Lab: [N, W] each.

    The step is the distance between the means of the 8 columns on both sides; left of the first
    column is the last one. A piece at a time: nothing as large as a long strip lies between.
    """
    width = pictures.shape[3]
    jumps, steps = [], []
    for start in range(0, width, PIECE):
        end = min(start + PIECE, width)
        piece = pictures[..., torch.arange(start - SIDE, end + SIDE - 1) % width]
        apart = piece[..., SIDE : 1 - SIDE] - piece[..., SIDE - 1 : -SIDE]
        jumps.append(apart.abs().mean((1, 2)))
        colours, places = lab(piece), piece.shape[3] - SIDE + 1
        means = torch.zeros_like(colours[..., :places])
        for column in range(SIDE):
            means += colours[..., column : column + places] / SIDE
        distance = torch.linalg.vector_norm(means[..., SIDE:] - means[..., :-SIDE], dim=1)
        steps.append(distance.mean(1))
    return torch.cat(jumps, 1), torch.cat(steps, 1)


def _around(jumps: Tensor, counted: Tensor, closed: bool) -> Tensor:
    """The mean of those jumps [N, W] that count, of 4 columns on each side of every column."""
    kernel = jumps.new_ones(1, 1, 2 * AROUND + 1)
    kernel[..., AROUND] = 0
    held = torch.stack([jumps * counted, counted.to(jumps).expand_as(jumps)], 1)
    room = F.pad(held, (AROUND, AROUND), mode="circular" if closed else "constant")
    sums = F.conv1d(room.flatten(0, 1)[:, None], kernel).view(*held.shape[:2], -1)
    mean: Tensor = sums[:, 0] / sums[:, 1].clamp_min(1)
    return mean


def _near(seams: Tensor) -> Tensor:
    """Columns whose 8 neighbours on either side reach over a seam."""
    return torch.stack([seams.roll(away) for away in range(1 - SIDE, SIDE)]).any(0)


def _whole(width: int) -> Tensor:
    """Columns that have 8 neighbours on both sides."""
    place = torch.arange(width)
    return (place >= SIDE) & (place <= width - SIDE)


def _zone(period: int, start: float, end: float) -> Tensor:
    """Which columns of one period lie in a zone."""
    place = (torch.arange(period) + 0.5) / period
    zone = ((place - start) % 1) < end - start
    if not zone.any():
        raise ModelError(f"zone {start} to {end}: holds no column of a period of {period} px")
    return zone


def _detail(pictures: Tensor, zone: Tensor) -> Tensor:
    """Variance of the Laplacian in the columns of a repeated zone, [N]."""
    kernel = pictures.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    curved = F.conv2d(pictures.mean(1, keepdim=True), kernel)
    width = pictures.shape[3]
    columns = zone.repeat(-(-width // len(zone)))[1 : width - 1]
    return curved[..., columns].flatten(1).var(1)
