"""Painting the sky: its gradient, the sun and its glow, and clouds with lit edges."""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes.canvas import Canvas
from models.scenes.head import span
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.view import View, rgb, wrapped
from models.scenes.waves import field, sample

_BILLOWS = field(11, 24, 26)


def backdrop(s: View) -> Tensor:
    """The clear sky, from the air at the horizon to the zenith, [N, 3, H, W]."""
    height = ((s.shore - s.v) / s.shore).clamp(0, 1)
    low = smoothstep(0.8, 0.1, s.land.time_of_day)
    rise = 1 - torch.exp(-height * span(s.land.haze, 4.2, 1.5))
    rise = rise / (1 - 0.5 * torch.exp(-3 * height)).clamp(min=0.6)
    sky = mix(s.air, s.zenith, rise.clamp(0, 1)[:, None])
    dx, dy = wrapped(s.u - s.sun_x), s.v - s.sun_y
    apart = torch.sqrt(dx * dx + dy * dy + 1e-6)
    halo = 0.55 * torch.exp(-apart / 0.10) + (0.12 + 0.25 * low) * torch.exp(-apart / 0.30)
    stars = smoothstep(2.3, 3.2, s.grain.fine) * smoothstep(0.16, 0.02, s.land.time_of_day)
    sky = sky + (0.8 * stars * smoothstep(0.2, 0.7, height))[:, None]
    return mix(sky, s.glow, halo.clamp(0, 1)[:, None])


def paint_sun(canvas: Canvas, s: View) -> None:
    """A disc, larger and redder when it is low."""
    radius = span(s.land.time_of_day, 0.052, 0.034)
    dx, dy = wrapped(s.u - s.sun_x), s.v - s.sun_y
    apart = torch.sqrt(dx * dx + dy * dy + 1e-9)
    colour = mix(s.glow, rgb(s.v, 1.0, 0.98, 0.90), span(s.land.time_of_day, 0.35, 0.9)[:, None])
    canvas.paint("sun", coverage(apart - radius, s.pixel), colour)


def paint_clouds(canvas: Canvas, s: View) -> None:
    """Billows that shrink towards the horizon, white above and grey below, burning at sunset."""
    size = canvas.image.shape[-1]
    height = ((s.shore - s.v) / s.shore).clamp(min=0)
    y = 0.74 * torch.log1p(2.6 * height)
    step = 1.92 / (1 + 2.6 * height) / s.shore / size
    cells = span(s.land.cloud_size, 5.0, 1.4), span(s.land.cloud_size, 9.0, 3.2)
    puff = sample(_BILLOWS, s.land.cloud_phase, y, step, cells, size)
    wisp = 0.09 * s.grain.strands + 0.08 * s.grain.fine
    density = puff.value + wisp + 0.35 * (1 - height)
    start = span(s.land.cloud_cover, 1.25, -0.80)
    alpha = smoothstep(start, start + 0.75, density) * smoothstep(0.0, 0.10, height)
    core = smoothstep(start + 0.1, start + 2.2, density)
    upper = torch.tanh(puff.slope_y / 30.0)
    side = torch.tanh(-puff.slope_x / 18.0) * s.sun_side
    low = smoothstep(0.85, 0.15, s.land.time_of_day)
    light = 0.66 - 0.34 * upper * (1 - 0.5 * low) + 0.30 * side * low - 0.30 * core
    light = light + 0.25 * s.near_sun * low
    shade = 0.55 * s.ambient + 0.30 * s.zenith + 0.20 * s.air
    bright = (0.25 * s.ambient + 0.85 * s.sunlight + 0.06).clamp(max=1.0)
    colour = mix(shade, bright, light.clamp(0, 1)[:, None])
    colour = mix(s.air, colour, (0.35 + 0.65 * smoothstep(0.0, 0.4, height))[:, None])
    canvas.paint("clouds", 0.94 * alpha, colour)
