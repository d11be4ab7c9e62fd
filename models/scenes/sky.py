"""Painting the sky: its gradient, the sun and its glow, and clouds with lit edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Canvas
from models.scenes.fields import over
from models.scenes.head import span
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.view import View, rgb


def backdrop(s: View) -> Tensor:
    """The clear sky, from the air at the horizon to the zenith, [N, 3, H, W]."""
    height = ((s.shore - s.v) / s.shore).clamp(0, 1)
    low = smoothstep(0.8, 0.1, s.land.time_of_day)
    rise = 1 - torch.exp(-height * span(s.land.haze, 4.2, 1.5))
    rise = rise / (1 - 0.5 * torch.exp(-3 * height)).clamp(min=0.6)
    sky = mix(s.air, s.zenith, rise.clamp(0, 1)[:, None])
    stars = smoothstep(2.3, 3.2, s.grain.fine) * smoothstep(0.16, 0.02, s.land.time_of_day)
    sky = sky + (0.8 * stars * smoothstep(0.2, 0.7, height))[:, None]
    band = torch.exp(-(((s.v - s.sun_y) / 0.20) ** 2))
    halo = s.sun_power * torch.exp(-_sun_distance(s) / 0.08)
    around = s.near_sun * band * (0.25 + 0.30 * low) + 0.5 * halo
    return mix(sky, s.glow, around.clamp(0, 1)[:, None])


def _sun_distance(s: View) -> Tensor:
    return torch.sqrt(s.sun_gap**2 + (s.v - s.sun_y) ** 2 + 1e-9)


def paint_sun(canvas: Canvas, s: View) -> None:
    """A disc, larger and redder when it is low."""
    colour = mix(s.glow, rgb(s.v, 1.0, 0.98, 0.90), span(s.land.time_of_day, 0.35, 0.9)[:, None])
    radius = span(s.land.time_of_day, 0.060, 0.045) * s.sun_power
    there = smoothstep(0.3, 0.6, s.sun_power)
    canvas.paint("sun", there * coverage(_sun_distance(s) - radius, s.pixel), colour)


def paint_clouds(canvas: Canvas, s: View) -> None:
    """Billows, white above and grey below, burning at sunset."""
    height = ((s.shore - s.v) / s.shore).clamp(min=0)
    large = span(s.land.cloud_size, 0.45, 1.0)
    puff = large * over(s.field(1), s.size) + (1.25 - large) * over(s.field(2), s.size)
    puff = puff + 0.30 * over(s.field(3), s.size)
    start = span(s.land.cloud_cover, 1.45, -0.75) + 0.35 * (height - 0.5)
    density = puff - start
    alpha = smoothstep(0.0, 0.55, density + 0.07 * s.grain.strands + 0.05 * s.grain.fine)
    alpha = alpha * smoothstep(0.0, 0.16, height)
    upper = torch.tanh(_downwards(puff) / s.pixel / 12.0)
    low = smoothstep(0.85, 0.15, s.land.time_of_day)
    light = 0.74 + 0.34 * upper * (1 - 0.4 * low) - 0.26 * smoothstep(0.2, 2.2, density)
    light = light + 0.30 * s.near_sun * low
    shade = 0.55 * s.ambient + 0.30 * s.zenith + 0.20 * s.air
    bright = (0.25 * s.ambient + 0.85 * s.sunlight + 0.06).clamp(max=1.0)
    colour = mix(shade, bright, light.clamp(0, 1)[:, None])
    colour = mix(s.air, colour, (0.35 + 0.65 * smoothstep(0.0, 0.4, height))[:, None])
    canvas.paint("clouds", 0.95 * alpha, colour)


def _downwards(x: Tensor) -> Tensor:
    """By how much x [N, H, W] grows per pixel towards the bottom."""
    tall = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return 0.5 * (tall[:, 2:] - tall[:, :-2])
