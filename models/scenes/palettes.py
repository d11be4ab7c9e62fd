"""Plausible colours of people and things, each from one or two numbers in 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Colour = tuple[float, float, float]

_SKIN: tuple[Colour, ...] = (
    (0.33, 0.205, 0.15), (0.46, 0.30, 0.215), (0.62, 0.43, 0.32),
    (0.78, 0.59, 0.46), (0.91, 0.74, 0.63), (0.97, 0.85, 0.78),
)  # fmt: skip
_HAIR_ASH: tuple[Colour, ...] = (
    (0.045, 0.050, 0.065), (0.17, 0.145, 0.13), (0.37, 0.32, 0.28),
    (0.66, 0.61, 0.54), (0.90, 0.88, 0.86),
)  # fmt: skip
_HAIR_WARM: tuple[Colour, ...] = (
    (0.13, 0.045, 0.025), (0.27, 0.13, 0.07), (0.52, 0.25, 0.11),
    (0.77, 0.52, 0.25), (0.95, 0.81, 0.52),
)  # fmt: skip
_IRIS: tuple[Colour, ...] = (
    (0.16, 0.085, 0.04), (0.40, 0.23, 0.09), (0.34, 0.42, 0.20),
    (0.22, 0.47, 0.50), (0.28, 0.52, 0.83),
)  # fmt: skip
_LIPS: tuple[Colour, ...] = ((0.82, 0.56, 0.50), (0.84, 0.32, 0.36), (0.66, 0.02, 0.11))


def ramp(t: Tensor, anchors: Sequence[Colour]) -> Tensor:
    """Piecewise linear colour along `anchors`.  Shapes: t [N, 1, 1] -> [N, 3, 1, 1]."""
    table = t.new_tensor(anchors)  # [A, 3]
    place = torch.arange(len(anchors), device=t.device, dtype=t.dtype)
    weight = (1 - (t.reshape(-1, 1) * (len(anchors) - 1) - place).abs()).clamp(min=0)  # [N, A]
    return (weight @ table)[:, :, None, None]


def skin(tone: Tensor) -> Tensor:
    """From deep brown (0) to pale (1)."""
    return ramp(tone, _SKIN)


def hair(lightness: Tensor, warmth: Tensor) -> Tensor:
    """From black (0) to blond or white (1), from ash (0) to red and gold (1)."""
    ash, warm = ramp(lightness, _HAIR_ASH), ramp(lightness, _HAIR_WARM)
    return ash + (warm - ash) * warmth[:, None]


def iris(colour: Tensor) -> Tensor:
    """Dark brown, hazel, green, teal, blue."""
    return ramp(colour, _IRIS)


def lips(colour: Tensor, skin_colour: Tensor) -> Tensor:
    """From a pale rose near the skin's own tint (0) to deep red lipstick (1)."""
    painted = 0.45 + 0.55 * colour[:, None]
    natural = skin_colour * skin_colour.new_tensor([0.86, 0.62, 0.62]).view(1, 3, 1, 1)
    return natural + (ramp(colour, _LIPS) - natural) * painted


def hsv(hue: Tensor, saturation: float, value: Tensor) -> Tensor:
    """Colour from hue, saturation and value.  Shapes: hue, value [N, 1, 1] -> [N, 3, 1, 1]."""
    offset = hue.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)
    k = (offset + hue[:, None] * 6) % 6
    chroma = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] * (1 - saturation * chroma)
