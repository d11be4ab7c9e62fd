"""What a renderer paints on, and what it hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Scene:
    """Rendered pictures and the truth about them.

    Shapes: image [N, 3, H, W] in -1..1; factors [N, K] in 0..1; masks [N, P, H, W] that sum to 1,
    in the order of the renderer's PARTS; landmarks [N, M, 2] as (x, y) in 0..1 of the width.
    """

    image: Tensor
    factors: Tensor
    masks: Tensor
    landmarks: Tensor


@dataclass(frozen=True, slots=True)
class Grain:
    """Noise of one batch, about unit variance: what makes two renders of the same factors differ.

    Shapes: strands, fine [N, H, W], texture in the size of the picture; fields [N, S, S] each, the
    coarser noise as it was drawn, the coarsest first.
    """

    strands: Tensor
    fine: Tensor
    fields: tuple[Tensor, ...] = ()

    def part(self, items: slice) -> Grain:
        """The noise of some items."""
        fields = tuple(field[items] for field in self.fields)
        return Grain(self.strands[items], self.fine[items], fields)


def grain_from_noise(noise_64: Tensor, noise_128: Tensor, size_px: int) -> Grain:
    """Strands and fine grain at `size_px` from the noise that a generator gets at 64 and 128 px.

    Drawing texture from the generator's own noise inputs keeps its noise strengths alive when it is
    fitted to the render.  Shapes: noise_64 [N, 1, 64, 64], noise_128 [N, 1, 128, 128].
    """
    kernel = noise_64.new_tensor([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]).view(1, 1, 7, 1)
    strands = F.conv2d(noise_64, kernel / kernel.square().sum().sqrt(), padding=(3, 0))
    return Grain(_at_size(strands, size_px), _at_size(noise_128, size_px))


def grain_of(noise: Sequence[Tensor], size_px: int) -> Grain:
    """The grain of noise inputs [N, 1, S, S], coarsest first; the last two give the texture."""
    texture = grain_from_noise(noise[-2], noise[-1], size_px)
    return Grain(texture.strands, texture.fine, tuple(field[:, 0] for field in noise[:-2]))


def _at_size(field: Tensor, size_px: int) -> Tensor:
    if field.shape[-1] == size_px:
        return field[:, 0]
    size = (size_px, size_px)
    return F.interpolate(field, size, mode="bilinear", align_corners=False, antialias=True)[:, 0]


class Canvas:
    """Pictures built back to front, with a mask per part kept up to date.

    Every stroke hides what lies behind it, in the picture and in the masks alike, so the masks
    always sum to one.
    """

    def __init__(self, background: Tensor, parts: tuple[str, ...]) -> None:
        self.image = background
        self._parts = parts
        nothing = torch.zeros_like(background[:, 0])
        self._masks = dict.fromkeys(parts, nothing)
        self._masks[parts[0]] = torch.ones_like(nothing)

    def paint(self, part: str, alpha: Tensor, colour: Tensor) -> None:
        """Lay `colour` [N, 3, H or 1, W or 1] over everything, as opaque as `alpha` [N, H, W]."""
        self.tint(alpha, colour)
        self._masks = {name: mask * (1 - alpha) for name, mask in self._masks.items()}
        self._masks[part] = self._masks[part] + alpha

    def tint(self, alpha: Tensor, colour: Tensor) -> None:
        """Change colour without claiming the pixels: shadows, blush, reflections."""
        alpha = alpha[:, None]
        self.image = self.image + alpha * (colour - self.image)

    def shade(self, amount: Tensor) -> None:
        """Multiply the picture by `amount` [N, H, W]."""
        self.image = self.image * amount[:, None]

    def mask(self, part: str) -> Tensor:
        """The pixels of one part that are still visible, [N, H, W]."""
        return self._masks[part]

    def masks(self) -> Tensor:
        """All masks in the order of the parts, [N, P, H, W]."""
        return torch.stack([self._masks[part] for part in self._parts], 1)
