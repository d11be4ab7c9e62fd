"""Noise fields looked up at a place: what lies near decides, and nothing far away does.

A field is what a generator gets as the noise input of a convolution: standard normal cells, square.
Between its cells a spline of at most two cells' reach interpolates; past its ends it is zero, just
as convolutions see it.  Source: own; the splines are cardinal B-splines (Schoenberg 1946).
"""

from __future__ import annotations

import torch
from torch import Tensor

_VARIANCE = 0.48  # of a cubic spline through standard normal cells, within a few percent everywhere
_STEP = 0.05  # in cells, of the differences that stand for slopes


def along(field: Tensor, height: float, size_px: int, *, sharp: bool = False) -> Tensor:
    """One row of a field, [N, 1, W] of unit variance: a random line from left to right.

    Shapes: field [N, S, S]; `height` 0..1 from the top says which row. Cells are joined by straight
    lines if `sharp`, by soft curves otherwise.
    """
    return row(field, height) @ _weights(field, size_px, 1 if sharp else 3).T


def over(field: Tensor, size_px: int, *, sharp: bool = False) -> Tensor:
    """All of a field, [N, H, W] of unit variance: random hills and dales.  Shapes: [N, S, S]."""
    weights = _weights(field, size_px, 1 if sharp else 3)
    return weights @ field @ weights.T


def row(field: Tensor, height: float) -> Tensor:
    """The cells at a height (0..1 from the top).  Shapes: [N, S, S] -> [N, 1, S]."""
    place = int(height * field.shape[-1])
    return field[:, place : place + 1]


def bend(line: Tensor, size_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """A soft line through cells, its slope and its curvature, per cell.

    Shapes: [N, 1, S] -> three [N, 1, W].
    """
    away = _away(line, size_px, 1)
    low, middle, high = (_spline(away + step, 3) for step in (-_STEP, 0.0, _STEP))
    scale = _VARIANCE**-0.5
    slope = (high - low) * (scale / (2 * _STEP))
    curve = (high - 2 * middle + low) * (scale / _STEP**2)
    return line @ (middle * scale).T, line @ slope.T, line @ curve.T


def cells(line: Tensor, index: Tensor) -> Tensor:
    """The cells [N, 1, W] of a line [N, 1, S] at `index` [W]."""
    return line.index_select(2, index.clamp(0, line.shape[-1] - 1))


def _weights(field: Tensor, size_px: int, degree: int) -> Tensor:
    """How much every pixel sees of each cell, [W, S]: unit variance unless cells are finer."""
    count = field.shape[-1]
    parts = max(1, 4 * count // size_px)  # a pixel shows the mean of what falls on it
    weights = _spline(_away(field, size_px, parts), degree)
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()
    return weights.view(size_px, parts, count).mean(1)


def _away(like: Tensor, size_px: int, parts: int) -> Tensor:
    """Distances of the parts of pixels from the middles of cells, in cells, [W * parts, S]."""
    count, places = like.shape[-1], size_px * parts
    x = (torch.arange(places, device=like.device, dtype=like.dtype) + 0.5) * (count / places)
    middles = torch.arange(count, device=like.device, dtype=like.dtype) + 0.5
    return x[:, None] - middles


def _spline(away: Tensor, degree: int) -> Tensor:
    away = away.abs()
    if degree == 1:
        return (1 - away).clamp(min=0)
    near = 2 / 3 - away.square() * (1 - away / 2)
    outer = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, outer)
