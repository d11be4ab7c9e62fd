"""Drawn landscapes: lakes before mountains, made of known factors, without a left or right edge.

Source: own.  Layers are painted back to front.  Each repeats after one width of the picture and is
moved by a phase, so all columns have the same statistics; noise fields draw fine texture only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes import sky, terrain, trees, water
from models.scenes.canvas import Canvas, Grain, Scene, grain_from_noise
from models.scenes.view import CIRCULAR, FACTORS, View, behold

__all__ = ["CIRCULAR", "FACTORS", "LANDMARKS", "PARTS", "VISIBLE", "render", "render_grain"]

PARTS: tuple[str, ...] = (
    "sky", "sun", "clouds", "ridges", "hills", "trees", "water", "ground",
)  # fmt: skip
LANDMARKS: tuple[str, ...] = ("left_horizon", "right_horizon")
VISIBLE: dict[str, tuple[float, float]] = {}


def render(factors: Tensor, noise_64: Tensor, noise_128: Tensor, size_px: int) -> Scene:
    """Landscapes of the given factors; the noise fields draw foliage, grass, grain and ripples.

    Shapes: factors [N, K] in 0..1 in the order of FACTORS; noise_64 [N, 1, 64, 64] and
    noise_128 [N, 1, 128, 128] standard normal.  Source: own.
    """
    return render_grain(factors, grain_from_noise(noise_64, noise_128, size_px))


def render_grain(factors: Tensor, grain: Grain) -> Scene:
    """Landscapes with texture fields made beforehand: the part of `render` worth compiling."""
    view = behold(factors, grain)
    canvas = Canvas(sky.backdrop(view), PARTS)
    sky.paint_sun(canvas, view)
    sky.paint_clouds(canvas, view)
    terrain.paint_ridges(canvas, view)
    terrain.paint_hills(canvas, view, 0)
    terrain.paint_hills(canvas, view, 1)
    for row in trees.ROWS:
        trees.paint_trees(canvas, view, row)
    water.paint_water(canvas, view)
    terrain.paint_ground(canvas, view)
    image = canvas.image.clamp(0, 1) * 2 - 1
    return Scene(image, factors, canvas.masks(), _landmarks(view))


def _landmarks(s: View) -> Tensor:
    """Where the water's far edge meets the left and right edge of the picture, [N, 2, 2]."""
    x = s.shore.new_tensor([0.0, 1.0]).view(1, 2, 1).expand(len(s.shore), -1, -1)
    return torch.cat([x, s.shore.expand(-1, 2, -1)], 2)
