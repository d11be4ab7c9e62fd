"""Painting the land: ridges with snow, foothills and meadows, the near bank with its rocks."""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes.canvas import Canvas
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.view import View, far, lit, rgb
from models.scenes.waves import TURN, field, peaks, sample, swells

_GULLIES = field(5, 24, 12)
_PATCHES = field(3, 16, 16)
_ROCK: tuple[Colour, ...] = (
    (0.36, 0.42, 0.55), (0.46, 0.46, 0.48), (0.58, 0.48, 0.38), (0.68, 0.40, 0.30),
)  # fmt: skip
_GRASS: tuple[Colour, ...] = (
    (0.50, 0.68, 0.24), (0.30, 0.54, 0.20), (0.48, 0.52, 0.22), (0.62, 0.47, 0.22),
    (0.74, 0.76, 0.80),
)  # fmt: skip
_GROUND: tuple[Colour, ...] = (
    (0.74, 0.55, 0.38), (0.68, 0.62, 0.36), (0.46, 0.57, 0.27), (0.27, 0.50, 0.36),
)  # fmt: skip
_ROCK_CELLS = 7


def ridge_top(s: View, u: Tensor) -> Tensor:
    """The ridges' silhouette, as a height in the picture."""
    high = span(s.land.ridge_height, 0.13, 0.40)
    return s.shore - 0.05 - high * peaks(u - s.land.ridge_phase, s.land.ridge_roughness)


def paint_ridges(canvas: Canvas, s: View) -> None:
    """Two ranges, the far one fading into the air; snow lies where they are high."""
    high = span(s.land.ridge_height, 0.13, 0.40)
    rock = ramp(s.land.ridge_hue, _ROCK)
    behind = (
        s.shore
        - 0.03
        - 0.82 * high * peaks(s.u - s.land.ridge_phase + 0.37, s.land.ridge_roughness)
    )
    pale = lit(s, rock, torch.zeros_like(s.sun_side))
    snowy = smoothstep(-0.10, 0.25, s.land.snow - 0.1 - (s.v - behind) / high)
    pale = mix(
        pale, lit(s, rgb(s.v, 0.86, 0.89, 0.95), torch.zeros_like(s.sun_side)), 0.6 * snowy[:, None]
    )
    canvas.paint("ridges", coverage(behind - s.v, s.pixel), far(s, pale, 1.1))

    step = 0.004
    top, right = ridge_top(s, s.u), ridge_top(s, s.u + step)
    slope = (right - top) / step  # of the silhouette, positive where it falls to the right
    below = s.v - top
    size = canvas.image.shape[-1]
    y = (s.v - s.shore) / high * 0.42
    cells = span(s.land.ridge_roughness, 4.0, 8.0), torch.full_like(high, 3.0)
    rill = sample(_GULLIES, s.land.ridge_phase, y, 0.42 / high / size, cells, size)
    spur = torch.tanh(5 * rill.value) * rill.slope_x / 22
    facing = torch.tanh(0.55 * slope * torch.exp(-below / (0.35 * high)) - 0.8 * spur)
    level = (
        -below / high + 0.16 * torch.tanh(rill.value) - 0.10 * spur.abs() + 0.03 * s.grain.strands
    )
    level = level + (s.shore - 0.05 - top) / high  # height above the foot, about 0..1
    line = span(s.land.snow, 0.86, 0.02)
    snow = smoothstep(line - 0.05, line + 0.06, level)
    bare = rock * (1 + 0.07 * s.grain.fine + 0.06 * s.grain.strands - 0.10 * rill.value)[:, None]
    white = rgb(s.v, 0.93, 0.95, 1.0)
    colour = lit(s, mix(bare, white, snow[:, None]), facing)
    alpha = coverage(-below / torch.sqrt(1 + slope * slope), s.pixel)
    canvas.paint("ridges", alpha, far(s, colour, 0.48))
    # Mist gathers at the foot.
    foot = smoothstep(0.20, 0.0, s.shore - s.v) * span(s.land.haze, 0.05, 0.55)
    canvas.tint(foot * canvas.mask("ridges"), s.air)


def hill_top(s: View, u: Tensor, row: int) -> Tensor:
    """The silhouette of the foothills (row 0) or of the meadows before them (row 1)."""
    high = span(s.land.hill_height, 0.06, 0.25)
    share, seed = ((1.0, 4), (0.52, 9))[row]
    return s.shore - share * high * (0.25 + 0.75 * swells(u - s.land.hill_phase, seed)) - 0.012


def paint_hills(canvas: Canvas, s: View, row: int) -> None:
    """One row of hills in the colours of the season."""
    step = 0.004
    top = hill_top(s, s.u, row)
    slope = (hill_top(s, s.u + step, row) - top) / step
    below = s.v - top
    grass = ramp(s.land.season, _GRASS)
    dark = rgb(s.v, 0.62, 0.70, 0.66) if row == 0 else rgb(s.v, 1.0, 1.0, 1.0)
    tuft = (0.09, 0.05)[row] * s.grain.fine + 0.06 * s.grain.strands
    facing = torch.tanh(2.2 * slope) * torch.exp(-below / 0.10)
    shade = 1 + tuft - 1.2 * below.clamp(0, 0.25)
    colour = lit(s, grass * dark * shade[:, None], facing, 0.62)
    canvas.paint("hills", coverage(-below, s.pixel), far(s, colour, (0.26, 0.12)[row]))


def bank_line(s: View) -> Tensor:
    """The near edge of the water, [N, 1, W]."""
    x = TURN * (s.u - s.land.ground_phase)
    wave = 0.016 * torch.sin(x + 1) + 0.010 * torch.sin(2 * x) + 0.006 * torch.sin(5 * x + 2)
    return s.bank + wave


def paint_ground(canvas: Canvas, s: View) -> None:
    """The near bank: grass that grows coarser towards the eye, then rocks on it."""
    line = bank_line(s)
    below = s.v - line
    close = smoothstep(0.0, 0.35, below)
    value = span(s.land.ground_lightness, 0.42, 1.18)
    colour = ramp(s.land.ground_hue, _GROUND) * value[:, None]
    winter = smoothstep(0.80, 1.0, s.land.season)
    colour = mix(
        colour, 0.15 + 0.80 * value[:, None] * rgb(s.v, 0.86, 0.89, 0.95), 0.55 * winter[:, None]
    )
    blades = (0.03 + 0.10 * close) * s.grain.strands + 0.08 * s.grain.fine
    depth = (s.v - s.bank).clamp(min=-0.05)
    cells = torch.full_like(s.bank, 3.5), torch.full_like(s.bank, 4.0)
    size = canvas.image.shape[-1]
    y = 0.6 * torch.log1p(6 * (depth + 0.05))
    step = 3.6 / (1.3 + 6 * depth) / size
    roll = 0.13 * torch.tanh(sample(_PATCHES, s.land.ground_phase, y, step, cells, size).value)
    rim = 1 + 0.22 * torch.exp(-below / 0.012) - 0.75 * below.clamp(min=0)
    albedo = colour * ((1 + blades + roll) * rim)[:, None]
    edge = coverage(-below - 0.003 * s.grain.strands, s.pixel + 0.002)
    canvas.paint("ground", edge, lit(s, albedo, torch.zeros_like(s.sun_side), 0.72))
    for row in range(2):
        _paint_rocks(canvas, s, row)


def _paint_rocks(canvas: Canvas, s: View, row: int) -> None:
    x = (s.u - s.land.ground_phase + 0.5 * row / _ROCK_CELLS) * _ROCK_CELLS
    cell, place = torch.remainder(torch.floor(x), _ROCK_CELLS), x - torch.floor(x)
    pick = torch.frac(cell * 0.618 + 0.31 * row)
    grown = smoothstep(0.0, 0.30, s.land.rocks * 1.15 - 0.95 * pick + 0.16)
    radius = 0.020 + 0.030 * torch.frac(pick * 7.3) + 0.012 * row
    radius = radius * grown * (0.7 + 0.5 * s.land.rocks)
    middle = (place - 0.5 - 0.30 * (torch.frac(pick * 3.7) - 0.5)) / _ROCK_CELLS
    foot = s.bank + 0.045 + (0.02 + 0.10 * row + 0.05 * torch.frac(pick * 5.1)) * (1 - s.bank) / 0.3
    up = (foot - s.v) / 0.72
    bump = 0.10 * torch.sin(middle * 170 + 20 * pick) * radius
    apart = torch.sqrt(middle * middle + up * up + 1e-9) - radius - bump
    shape = torch.maximum(apart, -up - 0.45 * radius) + (radius < 0.004)
    shadow = torch.exp(
        -(((middle + 0.4 * radius * s.sun_side) / (1.3 * radius + 1e-4)) ** 2)
        - ((up + 0.5 * radius) / (0.4 * radius + 1e-4)) ** 2
    )
    canvas.shade(1 - 0.38 * shadow * canvas.mask("ground") * (radius > 0.004))
    facing = torch.tanh(1.5 * middle / (radius + 1e-4))
    stone = 0.5 * ramp(s.land.ridge_hue, _ROCK) + rgb(s.v, 0.26, 0.25, 0.24)
    tone = 0.80 + 0.34 * (up / (radius + 1e-4)).clamp(-1, 1) + 0.10 * s.grain.fine
    canvas.paint("ground", coverage(shape, s.pixel), lit(s, stone * tone[:, None], facing))
