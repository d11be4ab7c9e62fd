"""Codes with two parents: what is drawn and how it is painted, inherited apart; and their children.

Source: what Artbreeder offers its users, with style mixing of Karras et al. 2019, arXiv:1812.04948.
"""

import torch
from torch import Tensor

from models.codes import draw, row_resolutions
from models.errors import ModelError
from models.priors import sample_w
from models.stylegan2 import Generator

#: How far the codes that children vary towards are drawn to the mean: plain ones.
_PLAIN = 0.7
_SAMPLES = 1000
#: Pixels from which a row is of how things are painted rather than of what is there.
_FINE = 64


def cross(
    generator: Generator,
    parents: tuple[Tensor, Tensor],
    content: float,
    style: float,
    crossover: int | None = None,
) -> Tensor:
    """Rows before `crossover` blended by one share, those from it on by the other.

    Without a crossover it is the first of the generator's fine rows, or the middle one where there
    are none. A share of 0 or 1 gives a parent's rows bit for bit.
    Shapes: parents w_plus [N, L, D] each -> [N, L, D].  Units: shares of the second parent, 0..1.
    Raises: ModelError for a row beyond the last.
    """
    rows = generator.num_rows
    fine = (row for row, side in enumerate(row_resolutions(generator.config)) if side >= _FINE)
    first = next(fine, rows // 2) if crossover is None else crossover
    if not 0 <= first <= rows:
        raise ModelError(f"crossover {first}: this generator has {rows} rows")
    share = torch.tensor([content if row < first else style for row in range(rows)])
    return torch.lerp(*parents, share.to(parents[0])[:, None])


def vary(generator: Generator, data: Tensor, seeds: list[int], amount: float) -> Tensor:
    """Codes moved by a share of the way to codes of pictures nobody has seen, one per seed.

    Shapes: data w_plus [N, L, D], N seeds.  Units: amount 0 (as they are, bit for bit) .. 1.
    """
    if amount == 0:
        return data
    z = torch.cat([draw(seed, 1, generator.config.z_dim) for seed in seeds]).to(data)
    with torch.no_grad():
        new = torch.lerp(generator.w_avg, generator.mapping(z), _PLAIN)
    return torch.lerp(data, new[:, None].expand_as(data), amount)


def usual_distance(generator: Generator) -> float:
    """How far the generator's own codes w lie from the mean code, on average."""
    return float((sample_w(generator, _SAMPLES) - generator.w_avg).norm(dim=1).mean())


def distances(generator: Generator, data: Tensor) -> Tensor:
    """How far rows of codes lie from the mean code: the root of the mean square of rows, [N].

    Shapes: data w_plus [N, L, D].  Units: 1 is what the generator's own codes have.
    """
    apart = (data - generator.w_avg).square().sum(2).mean(1).sqrt()
    return apart / usual_distance(generator)


def within(generator: Generator, data: Tensor, most: float) -> Tensor:
    """Codes that lie farther from the mean code than `most` drawn towards it, to that distance.

    Shapes: data w_plus [N, L, D].  Units: as `distances`.
    """
    apart = distances(generator, data)
    share = torch.where(apart > most, most / apart.clamp(min=1e-12), 1)[:, None, None]
    drawn = torch.lerp(generator.w_avg.expand_as(data), data, share.to(data))
    return torch.where(share < 1, drawn, data)
