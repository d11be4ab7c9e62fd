"""Principal components of codes, found in W or at a layer of the generator (GANSpace).

Everything is exact and in double precision: covariances or Gram matrices in place of incremental
estimates, so that neither the order of the codes nor the size of the blocks leaves a trace.
Source: Härkönen et al. 2020, arXiv:2004.02546.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.codes import draw, number
from models.errors import ModelError
from models.stylegan2 import Generator

_BLOCK = 500
#: Numbers of activations that are held at once, 1 GiB of them.
_MOST = 1 << 28
#: Components with less than this share of the first one's variance are rounding.
_LEAST = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Orthonormal axes by falling variance, each with its largest entry positive.

    Shapes: mean [M], axes [K, M], variances [K], all float64. `total` is the sum of all variances,
    also of axes that were left out.
    """

    mean: Tensor
    axes: Tensor
    variances: Tensor
    total: float

    @property
    def shares(self) -> Tensor:
        """How much of the whole variance lies along each axis, [K]."""
        return self.variances / self.total


@dataclass(frozen=True, slots=True, eq=False)
class CodeComponents:
    """What moving codes w along each component needs.

    Shapes: directions float64 [K, D], unit length, largest entry positive; sigmas [K], the standard
    deviation of codes along each; offsets [K], where their mean lies; shares [K], of the variance
    where the components were found.
    """

    directions: Tensor
    sigmas: Tensor
    offsets: Tensor
    shares: Tensor


def principal(data: Tensor, most: int | None = None) -> Components:
    """The principal components of items [N, M], at most `most` of them.

    Raises: ModelError with fewer than two items, or if they do not vary.
    """
    if len(data) < 2:
        raise ModelError(f"{len(data)} codes: components need two at least")
    x = data.double()
    mean = x.mean(0)
    return _axes(x - mean, mean, most)


def _axes(centred: Tensor, mean: Tensor, most: int | None) -> Components:
    """The components of centred items, by whichever of the two square matrices is smaller."""
    count, width = centred.shape
    dual = count < width
    square = centred @ centred.T if dual else centred.T @ centred
    return _solve(square / (count - 1), centred if dual else None, mean, most)


def _solve(square: Tensor, items: Tensor | None, mean: Tensor, most: int | None) -> Components:
    """The axes of a covariance, or of a Gram matrix of `items`, over N - 1."""
    values, vectors = torch.linalg.eigh(square)
    values, vectors = values.flip(0), vectors.flip(1)
    total = float(values.clamp(min=0).sum())
    kept = values > values[0] * _LEAST
    if total <= 0 or not bool(kept.any()):
        raise ModelError("these codes do not vary: they have no components")
    count = int(kept.sum()) if most is None else min(most, int(kept.sum()))
    axes = vectors[:, :count].T
    if items is not None:
        axes = F.normalize(axes @ items.double(), dim=1)
    return Components(mean, turned(axes), values[:count], total)


def turned(axes: Tensor) -> Tensor:
    """Axes [K, M], each with the sign that makes its largest entry positive."""
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return axes * torch.where(largest < 0, -1.0, 1.0).to(axes)


@lru_cache(maxsize=4)
def code_components(generator: Generator, count: int, seed: int) -> CodeComponents:
    """The components of `count` drawn codes w."""
    width = generator.config.w_dim
    total, square = torch.zeros(width).double(), torch.zeros(width, width).double()
    for w in _blocks(generator, count, seed):
        near = (w - generator.w_avg).double().cpu()  # about the mean, to lose no digits
        total += near.sum(0)
        square += near.T @ near
    shift = total / count
    covariance = (square - count * torch.outer(shift, shift)) / (count - 1)
    found = _solve(covariance, None, generator.w_avg.double().cpu() + shift, None)
    return CodeComponents(found.axes, found.variances.sqrt(), found.axes @ found.mean, found.shares)


@lru_cache(maxsize=4)
def layer_components(
    generator: Generator, layer: str, count: int, seed: int, most: int
) -> CodeComponents:
    """The components of features after a layer, carried back to w by regression.

    The features of `count` codes give at most `most` components; as many fresh codes say which
    w goes with them: the least squares solution of A M = w - mean, A the coordinates in standard
    deviations.
    Raises: ModelError for an unknown layer, one that makes no features, or one too large to hold.
    """
    place = generator.layer(layer)
    if place.kind == "rgb":
        raise ModelError(f"layer {layer} makes a picture: components need a convolution's features")
    width = place.out_channels * place.resolution**2
    if count * width > _MOST:
        raise ModelError(
            f"layer {layer}: {count} codes of {width} features are too many to hold, at most "
            f"{_MOST // width} are allowed"
        )

    def features(w: Tensor) -> Tensor:
        styles = generator.styles(generator.broadcast(w))
        parts = torch.split(styles, 8)
        run = [generator.run(part, stop=place.index + 1).features.float() for part in parts]
        return torch.cat([one.flatten(1) for one in run]).cpu()

    with torch.no_grad():
        acts = torch.cat([features(w) for w in _blocks(generator, count, seed)])
        mean = acts.mean(0, dtype=torch.float64)
        acts -= mean.float()
        found = _axes_in_parts(acts, mean, most)
        del acts
        fresh = number(seed, "regression")
        return _carried_back(generator, found, features, count, fresh)


def _axes_in_parts(centred: Tensor, mean: Tensor, most: int) -> Components:
    """The components of float32 items [N, M] with N below M, widened a part at a time."""
    count = len(centred)
    if count >= centred.shape[1]:
        return _axes(centred.double(), mean, most)
    gram = torch.zeros(count, count, dtype=torch.float64)
    for part in torch.split(centred, 4096, dim=1):
        wide = part.double()
        gram += wide @ wide.T
    return _solve(gram / (count - 1), centred, mean, most)


def _carried_back(
    generator: Generator,
    found: Components,
    features: Callable[[Tensor], Tensor],
    count: int,
    seed: int,
) -> CodeComponents:
    """The codes that go with feature components, by regression over fresh codes."""
    codes, coordinates = [], []
    for w in _blocks(generator, count, seed):
        codes.append(w.double().cpu())
        coordinates.append((features(w).double() - found.mean) @ found.axes.T)
    w = torch.cat(codes)
    mean = w.mean(0)
    a = torch.cat(coordinates) / found.variances.sqrt()
    slopes = torch.linalg.lstsq(a - a.mean(0), w - mean).solution
    directions = turned(F.normalize(slopes, dim=1))
    return CodeComponents(
        directions, ((w - mean) @ directions.T).std(0), directions @ mean, found.shares
    )


def _blocks(generator: Generator, count: int, seed: int) -> Iterator[Tensor]:
    """Codes w drawn in blocks: more of them keep the earlier ones. Classes take turns."""
    config, device = generator.config, generator.w_avg.device
    for start in range(0, count, _BLOCK):
        z = draw(number(seed, start), _BLOCK, config.z_dim)[: count - start].to(device)
        c = None
        if config.c_dim:
            classes = torch.arange(start, start + len(z), device=device) % config.c_dim
            c = F.one_hot(classes, config.c_dim).float()
        with torch.no_grad():
            yield generator.mapping(z, c)
