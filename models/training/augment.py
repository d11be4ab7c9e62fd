"""Renders made to look like photographs of all kinds, so that networks trained on them cope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Scene


@dataclass(frozen=True, slots=True)
class Dice:
    """Random numbers of one batch, all from one generator, on one device."""

    random: torch.Generator
    items: int
    device: torch.device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers in low..high, [N, *shape]."""
        drawn = torch.rand(self.items, *shape, generator=self.random)
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, [N, *shape]."""
        return torch.randn(self.items, *shape, generator=self.random).to(self.device)

    def happens(self, chance: float) -> Tensor:
        """1 with the given chance, else 0, [N, 1, 1, 1]."""
        return (self.uniform(0, 1, 1, 1, 1) < chance).float()


def move(scene: Scene, dice: Dice, chance: float = 0.5) -> Scene:
    """Shift by up to 4% and scale by up to 8%: alignment is never exact."""
    moved = dice.happens(chance)[:, 0, 0]
    scale = 1 + moved * dice.uniform(-0.08, 0.08, 1)
    shift = moved * dice.uniform(-0.08, 0.08, 2)
    theta = torch.zeros(dice.items, 2, 3, device=dice.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale[:, 0]
    theta[:, :, 2] = shift
    both = torch.cat([scene.image, scene.masks], 1)
    grid = F.affine_grid(theta, list(both.shape), align_corners=False)
    both = F.grid_sample(both, grid, padding_mode="border", align_corners=False)
    landmarks = ((scene.landmarks * 2 - 1 - shift[:, None]) / scale[:, None] + 1) / 2
    return Scene(both[:, :3], scene.factors, both[:, 3:], landmarks)


def clutter(image: Tensor, background: Tensor, dice: Dice, chance: float) -> tuple[Tensor, Tensor]:
    """Put a random pattern behind some of the sitters; also says behind which, [N]."""
    hit = dice.happens(chance)
    side = (image.shape[-2], image.shape[-1])
    pattern = dice.uniform(-0.8, 0.8, 3, 1, 1).expand(-1, -1, *side)
    for cells in (3, 9, 27):
        patch = dice.normal(3, cells, cells) * 0.25
        pattern = pattern + F.interpolate(patch, side, mode="bilinear", align_corners=False)
    alpha = hit * background
    return image + alpha * (pattern.clamp(-1, 1) - image), hit[:, 0, 0, 0]


def develop(image: Tensor, dice: Dice, chance: float = 0.6) -> Tensor:
    """Another camera: exposure, contrast, white balance, saturation, blur and sensor noise."""
    hit = dice.happens(chance)
    light = (image * 0.5 + 0.5).clamp(1e-4, 1)
    light = light ** (1 + hit * dice.uniform(-0.22, 0.28, 1, 1, 1))
    light = light * (1 + hit * dice.uniform(-0.10, 0.10, 3, 1, 1))
    grey = light.mean(1, keepdim=True)
    light = grey + (light - grey) * (1 + hit * dice.uniform(-0.30, 0.25, 1, 1, 1))
    light = 0.5 + (light - 0.5) * (1 + hit * dice.uniform(-0.15, 0.15, 1, 1, 1))
    soft = F.avg_pool2d(F.avg_pool2d(light, 3, 1, 1), 3, 1, 1)
    light = light + hit * dice.uniform(-0.5, 1.0, 1, 1, 1) * (soft - light)
    noise = dice.normal(*image.shape[1:]) * dice.uniform(0, 0.035, 1, 1, 1)
    return ((light + hit * noise) * 2 - 1).clamp(-1, 1)
