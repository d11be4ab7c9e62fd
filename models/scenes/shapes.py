"""Antialiased two-dimensional shapes as signed distances: negative inside, in scene units.

Every function broadcasts: positions are [N, H, W], shape parameters [N, 1, 1] or numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

Field = Tensor | float


def coverage(distance: Tensor, pixel: Field) -> Tensor:
    """How much of each pixel lies inside, 0..1, for an edge as soft as one pixel.

    Units: distance and pixel (the width of one pixel) in scene units.
    """
    return (0.5 - distance / pixel).clamp(0, 1)


def smoothstep(low: Field, high: Field, value: Tensor) -> Tensor:
    """A ramp from 0 at `low` to 1 at `high` with flat ends."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Field, b: Field, t: Tensor) -> Tensor:
    """Linear interpolation: `a` at t = 0, `b` at t = 1."""
    return a + (b - a) * t


def ellipse(x: Tensor, y: Tensor, radius_x: Field, radius_y: Field) -> Tensor:
    """Distance to an ellipse at the origin, exact on its outline, first order around it."""
    u, v = x / radius_x, y / radius_y
    reach = torch.sqrt(u * u + v * v + 1e-9)
    slope = torch.sqrt((u / radius_x) ** 2 + (v / radius_y) ** 2 + 1e-9)
    return reach * (reach - 1) / slope


def rounded_box(x: Tensor, y: Tensor, half_x: Field, half_y: Field, radius: Field) -> Tensor:
    """Distance to a box at the origin whose corners are rounded by `radius`."""
    dx, dy = x.abs() - half_x + radius, y.abs() - half_y + radius
    outside = torch.sqrt(dx.clamp(min=0) ** 2 + dy.clamp(min=0) ** 2 + 1e-12)
    return outside + torch.maximum(dx, dy).clamp(max=0) - radius


def segment(x: Tensor, y: Tensor, end_x: Field, end_y: Field) -> Tensor:
    """Distance to the line from the origin to (end_x, end_y); subtract a radius for a stroke."""
    t = ((x * end_x + y * end_y) / (end_x * end_x + end_y * end_y)).clamp(0, 1)
    return torch.sqrt((x - t * end_x) ** 2 + (y - t * end_y) ** 2 + 1e-12)


def smooth_union(a: Tensor, b: Tensor, blend: float) -> Tensor:
    """Union of two distances whose seam is rounded over `blend`."""
    t = (0.5 + 0.5 * (b - a) / blend).clamp(0, 1)
    return mix(b, a, t) - blend * t * (1 - t)


def gaussian(x: Tensor, y: Tensor, sigma_x: Field, sigma_y: Field) -> Tensor:
    """A soft spot of height 1 at the origin."""
    return torch.exp(-0.5 * ((x / sigma_x) ** 2 + (y / sigma_y) ** 2))
