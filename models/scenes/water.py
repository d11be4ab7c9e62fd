"""Painting water: the picture above it, mirrored and broken up by ripples."""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes.canvas import Canvas
from models.scenes.head import span
from models.scenes.shapes import coverage, mix, smoothstep
from models.scenes.view import View, rgb


def paint_water(canvas: Canvas, s: View) -> None:
    """A lake from the shore downwards; the near bank is painted over it later."""
    deep = (s.v - s.shore).clamp(min=0)
    close = smoothstep(0.0, 0.22, deep)
    rough = s.land.ripple
    swell = s.waves * (0.3 + 0.7 * close) * span(rough, 0.004, 0.075)
    mirror = _rows(canvas.image, 2 * s.shore - s.v + swell - 0.05 * rough * deep)
    body = 0.30 * s.zenith + rgb(s.v, 0.02, 0.09, 0.10) * (s.ambient + 0.3 * s.sunlight)
    # What stands far above the shore is left out: a mirror reaches too far to be learned.
    mirror = mix(mirror, 0.4 * s.air + 0.6 * s.zenith, smoothstep(0.05, 0.17, deep)[:, None])
    clear = (0.16 + 0.30 * close) * (0.75 + 0.5 * rough)
    colour = mix(0.93 * mirror, body, clear[:, None])
    glint = smoothstep(0.7, 2.4, s.waves) * rough
    colour = mix(colour, s.air, (0.50 * glint)[:, None])
    sparkle = glint * s.near_sun**3 * smoothstep(0.9, 0.2, s.land.time_of_day)
    colour = mix(colour, s.glow, sparkle[:, None])
    trough = smoothstep(0.5, 2.2, -s.waves) * rough
    colour = colour * (1 - 0.22 * trough - 0.30 * torch.exp(-deep / 0.006))[:, None]
    canvas.paint("water", coverage(s.shore - s.v, s.pixel), colour)


def _rows(image: Tensor, height: Tensor) -> Tensor:
    """`image` [N, 3, H, W] read in each column at the given heights [N, H, W] in 0..1."""
    rows = image.shape[-2]
    place = (height * rows - 0.5).clamp(0, rows - 1)
    above = place.floor().clamp(max=rows - 2)
    share = (place - above)[:, None]
    index = above.long()[:, None].expand(-1, 3, -1, -1)
    return mix(torch.gather(image, 2, index), torch.gather(image, 2, index + 1), share)
