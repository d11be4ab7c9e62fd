"""What a generator's features are of: kinds of places, and the style channels that draw each.

Source: Collins et al. 2020, arXiv:2004.14367 (Editing in Style), for StyleGAN2 as in Chong et al.
2021, arXiv:2107.06256 (Retrieve in Style): the channels are those of the modulated convolutions,
and the rgb layers are left out.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.codes import draw, number
from models.stylegan2 import Generator

#: Codes a catalogue is made from, and how far they are drawn towards the mean.
SAMPLES, TRUNCATION = 32, 0.7
_ROUNDS = 25
_BATCH = 8


def typical_styles(generator: Generator, count: int = SAMPLES) -> Tensor:
    """Style vectors [count, S] of codes as the generator often sees them, always the same."""
    config = generator.config
    z = torch.cat([draw(number("parts", i), 1, config.z_dim) for i in range(count)])
    device = generator.w_avg.device
    c = torch.zeros(count, config.c_dim, device=device) if config.c_dim else None
    w = torch.lerp(generator.w_avg, generator.mapping(z.to(device), c), TRUNCATION)
    return generator.styles(generator.broadcast(w))


@lru_cache(maxsize=8)
def catalogue(generator: Generator, at: int, count: int) -> Tensor:
    """The kinds of features at a resolution: unit vectors [count, C], the most frequent first.

    By spherical k-means over typical codes; seeded, so that a number always means the same kind.
    """
    styles = typical_styles(generator)
    points = torch.cat([_units(generator, part, at) for part in torch.split(styles, _BATCH)])
    flat = points.permute(0, 2, 3, 1).reshape(-1, points.shape[1])
    centers = _spread_out(flat, count)
    for _ in range(_ROUNDS):
        nearest = (flat @ centers.T).argmax(1)
        sums = torch.zeros_like(centers).index_add_(0, nearest, flat)
        empty = torch.bincount(nearest, minlength=count) == 0
        centers = torch.where(empty[:, None], centers, F.normalize(sums, dim=1))
    sizes = torch.bincount((flat @ centers.T).argmax(1), minlength=count)
    return centers[sizes.argsort(descending=True, stable=True)]


def memberships(generator: Generator, styles: Tensor, at: int, centers: Tensor) -> Tensor:
    """Which kind each place of some codes is of, one-hot: [N, K, at, at]."""
    units = _units(generator, styles, at)
    nearest = torch.einsum("nchw,kc->nkhw", units, centers).argmax(1)
    return F.one_hot(nearest, len(centers)).permute(0, 3, 1, 2).float()


def contributions(generator: Generator, styles: Tensor, members: Tensor) -> Tensor:
    """How much of each style channel's energy lies in each part, [K, S]: 0..1, adding up to 1.

    Shapes: styles [N, S]; members [N, K, h, w], the share of each place in each part. The rgb
    layers get 0.
    """
    total = styles.new_zeros(members.shape[1], styles.shape[1])
    energy = styles.new_zeros(styles.shape[1])
    for part, held in zip(torch.split(styles, _BATCH), torch.split(members, _BATCH), strict=True):
        state = generator.begin(len(part))
        for after in generator.walk(part):
            layer = generator.layers[state.next]
            if layer.kind != "rgb":
                squares = state.features.float().square()
                size = (squares.shape[2], squares.shape[3])
                where = F.interpolate(held, size, mode="area")
                total[:, layer.style] += torch.einsum("nchw,nkhw->kc", squares, where)
                energy[layer.style] += squares.sum((0, 2, 3))
            state = after
    return total / energy.clamp_min(1e-12)


def channel_shares(
    generator: Generator,
    mine: Tensor,
    strategy: Literal["sequential", "simultaneous"],
    rho: float,
    budgets: Sequence[float],
) -> Tensor:
    """How much of each style channel to take from a reference so that one part follows it, [S].

    "sequential": per layer, the channels that serve the part most, as long as each gives it more
    than `rho` and together they leak less than the layer's budget (for 512 channels) elsewhere.
    "simultaneous": every channel by the share it gives the part, times the budget, at most 1.
    Shapes: mine [S], from `contributions`; one budget per layer.
    Source: Collins et al. 2020, as their code chooses channels. There a budget is the same however
    few channels a layer has, so that it would never bind in narrow generators; making it shrink
    with the layer is own, and "simultaneous" is not in that code.
    """
    shares = torch.zeros_like(mine)
    for layer, budget in zip(generator.layers, budgets, strict=True):
        here = mine[layer.style]
        if strategy == "simultaneous":
            shares[layer.style] = (budget * here).clamp(max=1)
            continue
        order = here.argsort(descending=True, stable=True)
        leak = (1 - here[order]).cumsum(0)
        taken = (leak < budget * len(here) / 512) & (here[order] > rho)
        chosen = torch.zeros_like(here)
        chosen[order] = taken.to(here.dtype)
        shares[layer.style] = chosen
    return shares


def _units(generator: Generator, styles: Tensor, at: int) -> Tensor:
    """The features of codes after a resolution's last convolution, each place of length 1."""
    stop = generator.layer(f"{at}.conv1").index + 1
    return F.normalize(generator.run(styles, stop=stop).features.float(), dim=1)


def _spread_out(points: Tensor, count: int) -> Tensor:
    """Points far from each other, to start from: the first, then always the farthest one."""
    mean = F.normalize(points.mean(0, keepdim=True), dim=1)
    chosen = [points[int((points @ mean.T)[:, 0].argmax())]]
    nearest = points @ chosen[0]
    for _ in range(count - 1):
        chosen.append(points[int(nearest.argmin())])
        nearest = torch.maximum(nearest, points @ chosen[-1])
    return torch.stack(chosen)
