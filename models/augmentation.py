"""Random changes that real and generated pictures alike pass before they are judged."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_SPEED = 500_000  # pictures over which the chance may go from 0 to 1
_GREY = (0.2126, 0.7152, 0.0722)


@dataclass(slots=True)
class Chance:
    """How often each change is made, 0..1, raised as the discriminator learns pictures by heart.

    `target` is the mean sign of the scores of real pictures to be held; 0 leaves the chance alone.
    Source: Karras et al. 2020, arXiv:2006.06676 (adaptive discriminator augmentation, r_t).
    """

    value: float = 0.0
    target: float = 0.0

    def learn(self, real: Tensor) -> None:
        """Go a step up or down after the scores [N] of real pictures."""
        if self.target:
            sign = float(real.detach().sign().mean())
            step = (1 if sign > self.target else -1) * len(real) / _SPEED
            self.value = min(max(self.value + step, 0.0), 1.0)


def augment(image: Tensor, chance: float, random: torch.Generator) -> Tensor:
    """Each change with the given chance: mirrored, moved, turned, scaled, brightened, recoloured.

    Differentiable.  Shapes: [N, 3, H, W] in -1..1.  A chance of 0 returns the pictures themselves.
    Source: after Karras et al. 2020, arXiv:2006.06676 (the geometric and colour groups).
    """
    if chance <= 0:
        return image
    return _recolour(_move(image, chance, random), chance, random)


def _pick(like: Tensor, chance: float, random: torch.Generator, scale: float) -> Tensor:
    """Normal numbers [N] of the given scale where the dice say so, else 0."""
    items = len(like)
    drawn = torch.randn(items, generator=random) * scale
    return (drawn * (torch.rand(items, generator=random) < chance)).to(like)


def _move(image: Tensor, chance: float, random: torch.Generator) -> Tensor:
    turn = _pick(image, chance, random, 0.15)
    scale = torch.exp2(_pick(image, chance, random, 0.2))
    across = _pick(image, chance, random, 0.125)
    down = _pick(image, chance, random, 0.125)
    mirrored = 1 - 2 * (torch.rand(len(image), generator=random) < chance / 2).to(image)
    cos, sin = torch.cos(turn) / scale, torch.sin(turn) / scale
    rows = [
        torch.stack([cos * mirrored, -sin, across], 1),
        torch.stack([sin * mirrored, cos, down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def _recolour(image: Tensor, chance: float, random: torch.Generator) -> Tensor:
    light, contrast, colour = (
        _pick(image, chance, random, scale)[:, None, None, None] for scale in (0.2, 0.5, 1.0)
    )
    image = (image + light) * torch.exp2(contrast)
    grey = torch.einsum("nchw,c->nhw", image, image.new_tensor(_GREY))[:, None]
    return grey + (image - grey) * torch.exp2(colour)
