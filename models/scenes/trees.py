"""Painting trees: rows of conifers or round crowns on the hills and along the water."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.scenes.canvas import Canvas
from models.scenes.fields import along, cells
from models.scenes.fields import row as line
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import coverage, mix, smoothstep
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
    """A row of trees, one place per cell of a noise field: how tall, how far, and where it reads.

    `shift` moves the places, in cells; `height` says which row of the field decides.
    """

    level: int
    height: float
    shift: float
    scale: float
    lift: float
    distance: float


_TIERS = 38.0  # of a spruce, radians along its height
ROWS = (
    Row(2, 0.53, 0.5, 0.72, 0.028, 0.20),
    Row(2, 0.59, 0.0, 0.86, 0.014, 0.13),
    Row(1, 0.60, 0.5, 1.55, 0.002, 0.06),
)


def paint_trees(canvas: Canvas, s: View, row: Row) -> None:
    """One row; every tree has a strip of columns to itself."""
    count = s.field(row.level).shape[-1]
    x = s.u[0, 0] * count + row.shift
    cell = x.floor().long()
    own = cells(line(s.field(row.level), row.height), cell)
    finer = line(s.field(row.level + 1), row.height)
    jitter = 0.20 * torch.tanh(cells(finer, 2 * cell))
    vigour = torch.tanh(cells(finer, 2 * cell + 1))
    across = (x - cell - 0.5 - jitter) / count
    group = along(s.field(1), 0.55, s.size)
    want = span(s.land.tree_density, -1.7, 1.5) - (0.9 if row.level == 1 else 0.0)
    grown = smoothstep(0.0, 0.6, 0.8 * own + 0.6 * group + want)
    tall = span(s.land.tree_height, 0.08, 0.16) * row.scale * (1 + 0.22 * vigour) * grown
    up = (s.shore - row.lift - s.v) / tall.clamp(min=1e-3)  # 0 at the root, 1 at the tip
    # Crowns keep inside their strip however tall they are.
    room = (0.5 - jitter.abs()) / count
    round_ = smoothstep(0.15, 0.85, s.land.tree_type)
    half_width = torch.minimum(tall * mix(0.26, 0.42, round_), room)
    tiers = torch.sin(_TIERS * up)
    width = half_width * mix(_conifer(up, tiers), _crown(up), round_)
    fringe = (0.008 * s.grain.fine + 0.006 * s.grain.strands) * row.scale * grown
    inside = (
        coverage(across.abs() - width - fringe * (width > 0), s.pixel) * (up < 1.0) * (up > 0.04)
    )
    bare = smoothstep(0.78, 1.0, s.land.season) * round_
    thin = smoothstep(-1.0, 1.4, s.grain.fine + s.grain.strands * 0.5)
    crown = inside * (1 - bare * 0.62 * thin)
    trunk = coverage(across.abs() - 0.045 * tall, s.pixel) * (up > -0.02) * (up < 0.5)
    leaves = mix(ramp(s.land.season, _NEEDLES), ramp(s.land.season, _LEAVES), round_[:, None])
    leaves = leaves * (1 + 0.16 * vigour)[:, None]
    puffs = 0.18 * s.grain.fine + 0.12 * s.grain.strands + (1 - round_) * 0.16 * tiers
    shade = (0.56 + 0.56 * up.clamp(0, 1) + puffs).clamp(min=0.15)
    colour = mix(rgb(s.v, 0.34, 0.26, 0.20), leaves * shade[:, None], crown[:, None])
    facing = (1.2 * across / (half_width + 1e-3)).clamp(-1, 1)
    alpha = torch.maximum(crown, trunk) * (tall > 0.012)
    canvas.paint("trees", alpha, far(s, lit(s, colour, facing), row.distance))


def _conifer(up: Tensor, tiers: Tensor) -> Tensor:
    """Half the width of a spruce at a height: a cone with drooping tiers."""
    cone = (1 - up).clamp(0, 1) * smoothstep(0.06, 0.16, up)
    return cone * (1.0 + 0.20 * tiers)


def _crown(up: Tensor) -> Tensor:
    """Half the width of a broadleaf at a height: an egg on a short trunk."""
    y = (up - 0.60) / 0.42
    return torch.sqrt((1 - y * y).clamp(min=0))
