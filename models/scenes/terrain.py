"""Painting the land: ridges with snow, foothills and meadows, the near bank with its rocks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Canvas
from models.scenes.fields import along, over
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.view import View, far, lit, rgb

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
_ROCK_CELLS = 8


def rise(line: Tensor) -> Tensor:
    """A random line turned into heights: never negative, about 1 on average."""
    return F.softplus(1.4 * line + 1.2) / 1.4


def paint_ridges(canvas: Canvas, s: View) -> None:
    """Two ranges, the far one fading into the air; snow lies where they are high."""
    high = span(s.land.ridge_height, 0.06, 0.18)
    rough = span(s.land.ridge_roughness, 0.3, 1.0)
    rock = ramp(s.land.ridge_hue, _ROCK)
    white = rgb(s.v, 0.93, 0.95, 1.0)

    line = 0.6 * along(s.field(1), 0.30, s.size) + 0.35 * along(
        s.field(2), 0.35, s.size, sharp=True
    )
    behind = s.shore - 0.04 - 1.05 * high * rise(line)
    snowy = smoothstep(-0.3, 0.5, (behind - s.v) / high + 2.2 * s.land.snow)
    pale = lit(s, mix(rock, 0.92 * white, 0.8 * snowy[:, None]), 0 * s.sun_side)
    canvas.paint("ridges", coverage(behind - s.v, s.pixel), far(s, pale, 1.0))

    line = 0.62 * along(s.field(1), 0.45, s.size, sharp=True)
    line = line + rough * 0.42 * along(s.field(2), 0.45, s.size, sharp=True)
    line = line + rough * 0.16 * along(s.field(3), 0.48, s.size, sharp=True)
    tall = high * rise(line)
    top = s.shore - 0.02 - tall
    slope = rightwards(top) / s.pixel
    below = s.v - top
    rock_faces = over(s.field(2), s.size, sharp=True) + 0.6 * over(s.field(3), s.size, sharp=True)
    facing = torch.tanh(0.7 * slope - rightwards(rock_faces) / s.pixel / 22)
    level = (tall - below) / high + 0.16 * rock_faces + 0.03 * s.grain.strands
    start = span(s.land.snow, 2.3, 0.1)
    snow = smoothstep(start - 0.10, start + 0.10, level)
    bare = rock * (1 + 0.07 * s.grain.fine + 0.06 * s.grain.strands)[:, None]
    colour = lit(s, mix(bare, white, snow[:, None]), facing)
    alpha = coverage(-below / torch.sqrt(1 + slope * slope), s.pixel)
    canvas.paint("ridges", alpha, far(s, colour, 0.45))
    # Mist gathers at the foot.
    foot = smoothstep(0.16, 0.0, s.shore - s.v) * span(s.land.haze, 0.05, 0.55)
    canvas.tint(foot * canvas.mask("ridges"), s.air)


def paint_hills(canvas: Canvas, s: View) -> None:
    """Foothills, and meadows before them, in the colours of the season."""
    grass = ramp(s.land.season, _GRASS)
    for row in range(2):
        height = (0.55, 0.60)[row]
        line = (0.8, 0.6)[row] * along(s.field(1 + row), height, s.size)
        high = span(s.land.hill_height, 0.02, 0.10) * (1.0, 0.35)[row]
        top = s.shore - 0.008 - high * rise(line)
        below = s.v - top
        dark = (rgb(s.v, 0.60, 0.70, 0.68), rgb(s.v, 1.0, 1.0, 1.0))[row]
        tuft = (0.09, 0.05)[row] * s.grain.fine + 0.06 * s.grain.strands
        shade = 1 + tuft - 1.2 * below.clamp(0, 0.25)
        facing = torch.tanh(1.8 * rightwards(top) / s.pixel) * (1 - 6 * below).clamp(0, 1)
        colour = lit(s, grass * dark * shade[:, None], facing, 0.62)
        canvas.paint("hills", coverage(-below, s.pixel), far(s, colour, (0.26, 0.12)[row]))


def rightwards(x: Tensor) -> Tensor:
    """By how much x [N, H, W] grows per pixel to the right."""
    wide = F.pad(x, (1, 1), mode="replicate")
    return 0.5 * (wide[..., 2:] - wide[..., :-2])


def paint_ground(canvas: Canvas, s: View) -> None:
    """The near bank: grass that grows coarser towards the eye, then rocks on it."""
    line = s.bank + 0.016 * along(s.field(1), 0.80, s.size)
    line = line + 0.006 * along(s.field(2), 0.80, s.size)
    below = s.v - line
    close = smoothstep(0.0, 0.35, below)
    value = span(s.land.ground_lightness, 0.42, 1.18)
    colour = ramp(s.land.ground_hue, _GROUND) * value[:, None]
    winter = smoothstep(0.80, 1.0, s.land.season)
    colour = mix(
        colour, 0.15 + 0.80 * value[:, None] * rgb(s.v, 0.86, 0.89, 0.95), 0.55 * winter[:, None]
    )
    blades = (0.03 + 0.10 * close) * s.grain.strands + 0.08 * s.grain.fine
    roll = 0.14 * torch.tanh(0.7 * over(s.field(2), s.size) + 0.5 * over(s.field(3), s.size))
    rim = 1 + 0.22 * torch.exp(-below / 0.012) - 0.75 * below.clamp(min=0)
    albedo = colour * ((1 + blades + roll) * rim)[:, None]
    edge = coverage(-below - 0.003 * s.grain.strands, s.pixel + 0.002)
    canvas.paint("ground", edge, lit(s, albedo, 0 * s.sun_side, 0.72))
    _paint_rocks(canvas, s)


def _paint_rocks(canvas: Canvas, s: View) -> None:
    """A boulder in every cell of the foreground whose noise is high enough."""
    field, finer = s.field(1), s.field(2)
    count = field.shape[-1]
    x, y = s.u[0, 0] * count, s.v[0, :, 0] * count
    column, line = x.floor().long(), y.floor().long()
    here = field[:, line][:, :, column]
    jitter = torch.tanh(finer[:, 2 * line][:, :, 2 * column])
    size = smoothstep(0.0, 0.6, here - span(s.land.rocks, 0.6, -0.9)) * (s.v > s.bank + 0.02)
    radius = size * (0.60 + 0.15 * jitter) / count * span(s.land.rocks, 0.58, 0.75)
    across = (x - column - 0.5) / count - 0.22 * jitter / count
    lift = 0.16 * torch.tanh(finer[:, 2 * line + 1][:, :, 2 * column + 1])
    up = ((line + 0.70 - y).view(1, -1, 1) + lift) / count / 0.75
    bump = 0.16 * over(s.field(3), s.size) * radius
    apart = torch.sqrt(across * across + up * up + 1e-9) - radius - bump
    shape = torch.maximum(apart, -up - 0.40 * radius) + (radius < 0.006)
    reach = 1.2 * radius + 1e-4
    shadow = torch.exp(
        -(((across + 0.3 * radius * s.sun_side) / reach) ** 2)
        - ((up + 0.45 * radius) / (0.35 * reach)) ** 2
    )
    canvas.shade(1 - 0.40 * shadow * canvas.mask("ground") * (radius > 0.006))
    stone = 0.5 * ramp(s.land.ridge_hue, _ROCK) + rgb(s.v, 0.26, 0.25, 0.24)
    tone = 0.80 + 0.34 * (up / reach).clamp(-1, 1) + 0.10 * s.grain.fine
    colour = lit(s, stone * tone[:, None], (1.3 * across / reach).clamp(-1, 1))
    canvas.paint("ground", coverage(shape, s.pixel) * canvas.mask("ground"), colour)
