"""The geometry of a posed head and the camera that frames it as aligned photographs are framed.

Head units: the origin lies between the eyes of a frontal face, x to the right, y down, z towards
the viewer; the distance between the eyes is 0.25, which is a quarter of the picture's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.scenes.shapes import mix

_PIVOT_Y = 0.08
EYE_X, EYE_Z = 0.125, 0.20
MOUTH_Y, MOUTH_Z = 0.275, 0.235


@dataclass(frozen=True, slots=True)
class Point:
    """A projected spot of the head, and how much x shrinks there.  Shapes: [N, 1, 1]."""

    x: Tensor
    y: Tensor
    narrow: Tensor


@dataclass(frozen=True, slots=True)
class Pose:
    """Rotation of the head.  Units: radians.  Shapes: yaw, pitch [N, 1, 1]."""

    yaw: Tensor
    pitch: Tensor

    def project(self, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Point:
        """Turn about the vertical axis, then nod, and look at it from far away."""
        sin, cos = torch.sin(self.yaw), torch.cos(self.yaw)
        turned_x, turned_z = x * cos + z * sin, z * cos - x * sin
        nodded_y = (y - _PIVOT_Y) * torch.cos(self.pitch) + turned_z * torch.sin(self.pitch)
        outward = torch.sqrt(torch.as_tensor(x * x + z * z + 1e-6))
        narrow = (turned_z / outward / (z / outward).clamp(min=0.3)).clamp(0.4, 1.15)
        return Point(turned_x, nodded_y + _PIVOT_Y, narrow)


@dataclass(frozen=True, slots=True)
class Camera:
    """The similarity from picture to head units.  Shapes: all [N, 1, 1]."""

    centre_x: Tensor
    centre_y: Tensor
    axis_x: Tensor
    axis_y: Tensor

    @property
    def width(self) -> Tensor:
        """The picture's width in head units."""
        return 2 * torch.sqrt(self.axis_x**2 + self.axis_y**2)

    def to_head(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Head units of a picture position (u, v) in 0..1."""
        s, t = 2 * u - 1, 2 * v - 1
        x = self.centre_x + s * self.axis_x - t * self.axis_y
        return x, self.centre_y + s * self.axis_y + t * self.axis_x

    def to_picture(self, point: Point) -> Tensor:
        """Picture position in 0..1 of a projected point.  Shapes: [N, 2]."""
        x, y = point.x - self.centre_x, point.y - self.centre_y
        norm = 2 * (self.axis_x**2 + self.axis_y**2)
        u = (x * self.axis_x + y * self.axis_y) / norm + 0.5
        v = (y * self.axis_x - x * self.axis_y) / norm + 0.5
        return torch.cat([u.flatten(1), v.flatten(1)], 1)


def frame(pose: Pose) -> Camera:
    """The camera that puts eyes and mouth where FFHQ's alignment of the same head would.

    Source: Karras et al. 2019, arXiv:1812.04948 (the crop of the FFHQ data set).
    """
    left, right = pose.project(-EYE_X, 0.0, EYE_Z), pose.project(EYE_X, 0.0, EYE_Z)
    mouth = pose.project(0.0, MOUTH_Y, MOUTH_Z)
    eyes_x, eyes_y = (left.x + right.x) / 2, (left.y + right.y) / 2
    across_x, across_y = right.x - left.x, right.y - left.y
    down_x, down_y = mouth.x - eyes_x, mouth.y - eyes_y
    axis_x, axis_y = across_x + down_y, across_y - down_x
    length = torch.sqrt(axis_x**2 + axis_y**2)
    across = torch.sqrt(across_x**2 + across_y**2)
    down = torch.sqrt(down_x**2 + down_y**2)
    scale = torch.maximum(across * 2.0, down * 1.8) / length
    return Camera(eyes_x + 0.1 * down_x, eyes_y + 0.1 * down_y, axis_x * scale, axis_y * scale)


def pixel_grid(camera: Camera, size_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixel centres as (u, v) in the picture, [1, H, W], and (x, y) in head units, [N, H, W]."""
    reference = camera.centre_x
    line = (torch.arange(size_px, device=reference.device, dtype=reference.dtype) + 0.5) / size_px
    u, v = line.view(1, 1, -1).expand(1, size_px, -1), line.view(1, -1, 1).expand(1, -1, size_px)
    x, y = camera.to_head(u, v)
    return u, v, x, y


def span(t: Tensor, low: float, high: float) -> Tensor:
    """A factor in 0..1 stretched onto low..high."""
    return mix(low, high, t)
