"""Painting trees: rows of conifers or round crowns on the hills and along the water."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.scenes.canvas import Canvas
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.terrain import hill_top
from models.scenes.view import View, far, lit, rgb

_LEAVES: tuple[Colour, ...] = (
    (0.48, 0.64, 0.22), (0.20, 0.44, 0.17), (0.72, 0.56, 0.16), (0.76, 0.34, 0.14),
    (0.60, 0.58, 0.60),
)  # fmt: skip
_NEEDLES: tuple[Colour, ...] = (
    (0.22, 0.46, 0.26), (0.13, 0.36, 0.22), (0.20, 0.36, 0.20), (0.26, 0.34, 0.20),
    (0.62, 0.68, 0.74),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row of trees: how many places it has, how tall they are, where they stand."""

    places: int
    scale: float
    rise: float  # up the meadow, 0 at the water
    distance: float
    seed: float


_TIERS = 38.0  # of a spruce, radians along its height
ROWS = (Row(17, 0.50, 0.75, 0.20, 0.11), Row(9, 1.0, 0.10, 0.07, 0.53))


def paint_trees(canvas: Canvas, s: View, row: Row) -> None:
    """One row, its odd places behind its even ones."""
    for half in range(2):
        _paint_half(canvas, s, row, half)


def _paint_half(canvas: Canvas, s: View, row: Row, half: int) -> None:
    """Every tree has a strip of columns to itself, so halves can overlap but not within."""
    x = (s.u - s.land.tree_phase) * row.places + 0.5 * half
    cell, place = torch.remainder(torch.floor(x), row.places), x - torch.floor(x)
    pick = torch.frac(cell * 0.618034 + row.seed + 0.37 * half)
    jitter = 0.30 * (torch.frac(pick * 5.3) - 0.5)
    across = (place - 0.5 - jitter) / row.places
    grown = smoothstep(-0.06, 0.12, span(s.land.tree_density, 0.14, 1.02) - pick)
    tall = span(s.land.tree_height, 0.06, 0.175) * row.scale * (0.72 + 0.5 * torch.frac(pick * 9.1))
    tall = tall * grown
    root_x = s.u - across
    foot = mix(
        s.shore - 0.004, hill_top(s, root_x, 1), row.rise * (0.5 + 0.5 * torch.frac(pick * 3.1))
    )
    up = (foot - s.v) / tall.clamp(min=1e-3)  # 0 at the root, 1 at the tip
    # Crowns keep inside their strip however tall they are.
    room = 0.5 / row.places
    round_ = smoothstep(0.15, 0.85, s.land.tree_type)
    half_width = torch.minimum(tall * mix(0.20, 0.40, round_), room * (0.98 - 2 * jitter.abs()))
    width = half_width * mix(_conifer(up), _crown(up), round_)
    fringe = (0.010 * s.grain.fine + 0.008 * s.grain.strands) * row.scale * grown
    inside = (
        coverage(across.abs() - width - fringe * (width > 0), s.pixel) * (up < 1.0) * (up > 0.04)
    )
    winter = smoothstep(0.78, 1.0, s.land.season) * round_
    thin = smoothstep(-1.0, 1.4, s.grain.fine + s.grain.strands * 0.5)
    alpha = inside * (1 - winter * 0.62 * thin) * (tall > 0.012)
    trunk = coverage(across.abs() - 0.045 * tall, s.pixel) * (up > -0.02) * (up < 0.5)
    bark = lit(s, rgb(s.v, 0.34, 0.26, 0.20), across / (0.05 * tall + 1e-3))
    canvas.paint("trees", trunk * (tall > 0.012), far(s, bark, row.distance))
    leaves = mix(ramp(s.land.season, _NEEDLES), ramp(s.land.season, _LEAVES), round_[:, None])
    leaves = leaves * (0.86 + 0.30 * torch.frac(pick * 11.7))[:, None]
    tiers = (1 - round_) * 0.16 * torch.sin(_TIERS * up)
    puffs = 0.20 * s.grain.fine + 0.14 * s.grain.strands
    shade = (0.56 + 0.56 * up.clamp(0, 1) + puffs + tiers).clamp(min=0.15)
    facing = torch.tanh(1.4 * across / (half_width + 1e-3))
    canvas.paint("trees", alpha, far(s, lit(s, leaves * shade[:, None], facing), row.distance))


def _conifer(up: Tensor) -> Tensor:
    """Half the width of a spruce at a height: a cone with drooping tiers."""
    cone = (1 - up).clamp(0, 1) * smoothstep(0.06, 0.16, up)
    return cone * (1.0 + 0.20 * torch.sin(_TIERS * up + 1.2))


def _crown(up: Tensor) -> Tensor:
    """Half the width of a broadleaf at a height: an egg on a short trunk."""
    y = (up - 0.60) / 0.42
    return torch.sqrt((1 - y * y).clamp(min=0)) * (1 + 0.12 * torch.sin(21 * up))
