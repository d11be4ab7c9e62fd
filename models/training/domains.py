"""What can be learned: a renderer, its factors, its parts, and which parts deserve care."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.config import GeneratorConfig
from models.errors import ModelError
from models.scenes import landscapes, portraits
from models.scenes.canvas import Grain, Scene

Render = Callable[[Tensor, Grain], Scene]


@dataclass(frozen=True, slots=True)
class Domain:
    """One kind of picture that a generator is fitted to.

    `care` says by how much an error on a small part outweighs one elsewhere; `visible` from where
    to where a factor changes the picture, if that is not all of 0..1. `sides` are those of the
    noise fields that the renderer reads; where coarse ones lay the picture out, a generator starts
    with the strength `layout_noise` for them. `posed` pictures show one thing before a backdrop
    (the first part), so a network that reads them should not mind where it stands and before what.
    Up to `paired_px` a code and its noise determine the picture well enough to be compared with
    the render while a discriminator judges it.
    """

    name: str
    factors: tuple[str, ...]
    parts: tuple[str, ...]
    landmarks: tuple[str, ...]
    care: Mapping[str, float]
    visible: Mapping[str, tuple[float, float]]
    render: Render
    generator: GeneratorConfig
    sides: tuple[int, ...] = (64, 128)
    layout_noise: float = 0.0
    posed: bool = True
    paired_px: int = 128

    @property
    def layout_sides(self) -> tuple[int, ...]:
        """The sides of the noise fields that lay pictures out; the last two give the texture."""
        return self.sides[:-2]

    def visible_factors(self, factors: Tensor) -> Tensor:
        """What can be seen of factors, 0..1.  Shapes: [N, K] -> [N, K]."""
        spans = factors.new_tensor([self.visible.get(name, (0.0, 1.0)) for name in self.factors])
        return ((factors - spans[:, 0]) / (spans[:, 1] - spans[:, 0])).clamp(0, 1)

    def care_map(self, masks: Tensor) -> Tensor:
        """Weight of each pixel's error, 1 on average.  Shapes: [N, P, H, W] -> [N, 1, H, W]."""
        weights = masks.new_tensor([self.care.get(part, 0.0) for part in self.parts])
        care = torch.einsum("nphw,p->nhw", masks, weights)[:, None]
        side = max(1, masks.shape[-1] // 32) | 1  # outlines matter as much as what they enclose
        care = 1 + torch.nn.functional.max_pool2d(care, side, 1, side // 2)
        return care / care.mean()


PORTRAITS = Domain(
    name="portraits",
    factors=portraits.FACTORS,
    parts=portraits.PARTS,
    landmarks=portraits.LANDMARKS,
    visible=portraits.VISIBLE,
    care={"eyes": 7.0, "mouth": 8.0, "brows": 5.0, "nose": 2.5, "glasses": 5.0, "beard": 0.5},
    render=portraits.render_grain,
    generator=GeneratorConfig(
        resolution=128,
        channels=(192, 192, 160, 128, 64, 32),
        mapping_layers=3,
        mapping_lr=1.0,
    ),
)

LANDSCAPES = Domain(
    name="landscapes",
    factors=landscapes.FACTORS,
    parts=landscapes.PARTS,
    landmarks=landscapes.LANDMARKS,
    visible=landscapes.VISIBLE,
    care={"sun": 4.0, "trees": 2.5, "ridges": 2.0, "hills": 0.5, "clouds": 0.5},
    render=landscapes.render_grain,
    generator=GeneratorConfig(
        resolution=128,
        channels=(192, 192, 160, 128, 64, 32),
        mapping_layers=3,
        mapping_lr=1.0,
    ),
    sides=(4, 8, 16, 32, 64, 128),
    layout_noise=0.3,
    posed=False,
    paired_px=32,
)

_DOMAINS = {domain.name: domain for domain in (PORTRAITS, LANDSCAPES)}


def domain(name: str) -> Domain:
    """The domain called `name`. Raises: ModelError naming those that exist."""
    if name not in _DOMAINS:
        raise ModelError(f"domain {name!r} does not exist; there are {sorted(_DOMAINS)}")
    return _DOMAINS[name]


def projection(factors: int, z_dim: int) -> Tensor:
    """The orthonormal rows [K, D] that read factors from z: a cosine basis, the same everywhere."""
    k = torch.arange(1, factors + 1, dtype=torch.float64)[:, None]
    j = torch.arange(z_dim, dtype=torch.float64) + 0.5
    basis: Tensor = (2 / z_dim) ** 0.5 * torch.cos(torch.pi * k * j / z_dim)
    return basis.float()


def factors_of(z: Tensor, basis: Tensor) -> Tensor:
    """The factors [N, K] in 0..1 that z [N, D] stands for: uniform if z is Gaussian."""
    z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    factors: Tensor = torch.special.ndtr(z @ basis.T)
    return factors
