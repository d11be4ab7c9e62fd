"""Drawn landscapes: lakes before mountains, made of known factors, without a left or right edge.

Source: own.  Layers are painted back to front.  What stands at a place follows from the noise
fields near it and from factors that hold everywhere, as in a convolutional network: so a generator
can learn it, all columns have the same statistics, and a panorama never repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.scenes import sky, terrain, trees, water
from models.scenes.canvas import Canvas, Grain, Scene, grain_of
from models.scenes.view import FACTORS, View, behold

__all__ = ["FACTORS", "LANDMARKS", "PARTS", "VISIBLE", "render", "render_grain"]

PARTS: tuple[str, ...] = (
    "sky", "sun", "clouds", "ridges", "hills", "trees", "water", "ground",
)  # fmt: skip
LANDMARKS: tuple[str, ...] = ("left_horizon", "right_horizon")
VISIBLE: dict[str, tuple[float, float]] = {}


def render(factors: Tensor, noise: Sequence[Tensor], size_px: int) -> Scene:
    """Landscapes of the given factors, laid out and textured by noise.

    Shapes: factors [N, K] in 0..1 in the order of FACTORS; noise, standard normal, [N, 1, S, S] for
    S = 4, 8, 16, 32, 64, 128.  Source: own.
    """
    return render_grain(factors, grain_of(noise, size_px))


def render_grain(factors: Tensor, grain: Grain) -> Scene:
    """Landscapes with texture fields made beforehand: the part of `render` worth compiling."""
    view = behold(factors, grain)
    canvas = Canvas(sky.backdrop(view), PARTS)
    sky.paint_sun(canvas, view)
    sky.paint_clouds(canvas, view)
    terrain.paint_ridges(canvas, view)
    terrain.paint_hills(canvas, view)
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
