"""The noise inputs of a generator, per item: fixed, seeded, or in between for chosen layers."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from models.codes import draw, number
from models.stylegan2 import Generator


def fixed_noise(generator: Generator) -> list[Tensor]:
    """The learned network's own noise, one [r, r] per convolution in the order of the walk."""
    return [t for name, t in generator.named_buffers() if name.endswith("noise_const")]


def seeded_noise(generator: Generator, seeds: Sequence[int]) -> list[Tensor]:
    """Fresh noise for each item, one [N, 1, r, r] per convolution.

    An item's noise depends on its own seed and the layer alone, never on its batch.
    """
    noise = []
    for fixed, name in zip(fixed_noise(generator), _names(generator), strict=True):
        fields = [draw(number(seed, name), 1, 1, *fixed.shape) for seed in seeds]
        noise.append(torch.cat(fields).to(fixed))
    return noise


def varied_noise(
    generator: Generator,
    seeds: Sequence[int],
    rows: Collection[int],
    strength: float,
    *,
    others: bool = True,
) -> list[Tensor]:
    """Fixed noise turned towards fresh noise in the convolutions driven by `rows`.

    The mixture keeps unit variance: sqrt(1 - strength^2) fixed + strength fresh. All `others` keep
    the fixed noise, or have none.
    """
    layers = [layer for layer in generator.layers if layer.noise is not None]
    mixed = []
    for layer, fixed, fresh in zip(
        layers, fixed_noise(generator), seeded_noise(generator, seeds), strict=True
    ):
        keep = (1 - strength**2) ** 0.5
        varied = keep * fixed + strength * fresh
        still = fixed.expand_as(fresh) if others else torch.zeros_like(fresh)
        mixed.append(varied if layer.row in rows else still)
    return mixed


def _names(generator: Generator) -> list[str]:
    return [layer.name for layer in generator.layers if layer.noise is not None]
