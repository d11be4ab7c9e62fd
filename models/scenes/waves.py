"""Fixed random functions of one and two dimensions, periodic across the picture.

All of them repeat after one width and are moved by a phase, so that a uniform phase makes every
column of a picture equally likely.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

TURN = 2 * math.pi


@dataclass(frozen=True, slots=True)
class Field:
    """Coefficients [2 * down + 1, 2 * across] of a smooth random function, about unit variance."""

    across: int
    down: int
    table: Tensor


def field(seed: int, across: int, down: int) -> Field:
    """The random function of `seed` with so many harmonics in each direction."""
    dice = random.Random(seed)  # the same numbers on every machine and version
    rows = [[dice.gauss(0, 1) for _ in range(2 * across)] for _ in range(2 * down + 1)]
    return Field(across, down, torch.tensor(rows))


@dataclass(frozen=True, slots=True)
class Sample:
    """A field's value and its slopes to the right and downwards, each [N, H, W]."""

    value: Tensor
    slope_x: Tensor
    slope_y: Tensor


def sample(
    field: Field,
    phase: Tensor,
    y: Tensor,
    step_y: Tensor,
    peak: tuple[Tensor, Tensor],
    width_px: int,
) -> Sample:
    """A field on a grid of pixels, moved right by `phase`, without what is finer than a pixel.

    Shapes: phase, peak (the strongest harmonics across and down) [N, 1, 1]; y [N, H, 1] in periods
    and step_y, its change per pixel.
    """
    k = torch.arange(1, field.across + 1, device=y.device, dtype=y.dtype)
    m = torch.arange(1, field.down + 1, device=y.device, dtype=y.dtype)
    shape, shape_y = _spectrum(k, peak[0]), _spectrum(m, peak[1])  # [N, 1, K], [N, 1, L]
    shape = shape * blur(k / width_px)
    u = (torch.arange(width_px, device=y.device, dtype=y.dtype) + 0.5) / width_px
    turn = TURN * k[:, None] * (u - phase)  # [N, K, W]
    cos, sin = torch.cos(turn), torch.sin(turn)
    across = torch.cat([cos, sin], 1)
    across_slope = torch.cat([-sin, cos], 1) * TURN * torch.cat([k, k])[:, None]
    shape_y = shape_y * blur(m * step_y)
    down_cos, down_sin = torch.cos(TURN * m * y), torch.sin(TURN * m * y)
    down = torch.cat([0.3 * torch.ones_like(y), down_cos * shape_y, down_sin * shape_y], 2)
    slopes = torch.cat(
        [torch.zeros_like(y), -down_sin * shape_y * TURN * m, down_cos * shape_y * TURN * m], 2
    )
    weights = field.table.to(y) * torch.cat([shape, shape], 2)  # [N, 2L + 1, 2K]
    rows = down @ weights
    return Sample(rows @ across, rows @ across_slope, (slopes @ weights) @ across)


def _spectrum(harmonics: Tensor, peak: Tensor) -> Tensor:
    shape = torch.exp(-0.5 * (torch.log(harmonics / peak) / 0.7) ** 2)
    return shape / shape.square().sum(2, keepdim=True).sqrt()


def blur(cycles_per_px: Tensor) -> Tensor:
    """What is left of a wave after averaging over a pixel."""
    return torch.exp(-((math.pi * cycles_per_px) ** 2) / 6)


def peaks(x: Tensor, rough: Tensor) -> Tensor:
    """A mountain range's height at x, about 0..1: sharp peaks, jagged if `rough`."""
    x = x + 0.030 * torch.sin(TURN * 2 * x + 1.0) + 0.016 * torch.sin(TURN * 3 * x + 4.0)
    base = 0.34 * _roof(x, 1, 0.70) + 0.36 * _roof(x, 2, 0.11) + 0.34 * _roof(x, 5, 0.64)
    jag = 0.36 * _roof(x, 7, 0.13) + 0.26 * _roof(x, 11, 0.60) + 0.18 * _roof(x, 19, 0.80)
    jag = jag + 0.12 * _roof(x, 31, 0.29) - 0.46
    return 0.04 + 0.92 * base + (0.06 + 0.60 * rough) * jag * (0.30 + 0.70 * base)


def _roof(x: Tensor, count: int, shift: float) -> Tensor:
    """A row of gables, 0..1."""
    place = count * x + shift
    return 1 - 2 * (place - torch.floor(place) - 0.5).abs()


def swells(x: Tensor, seed: int) -> Tensor:
    """Rolling hills: smooth, about 0..1."""
    a = 0.9 * seed
    low = 0.24 * torch.sin(TURN * x + a) + 0.17 * torch.sin(TURN * 2 * x + 2.1 * a + 1)
    low = low + 0.10 * torch.sin(TURN * 3 * x + 3.3 * a)
    return 0.52 + low + 0.05 * torch.sin(TURN * 5 * x + 0.7 * a)
