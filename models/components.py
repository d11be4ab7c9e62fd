"""Principal components of codes, found in W or at a layer of the generator (GANSpace).

All items count at once, not by incremental estimates, so that neither their order nor the size of
blocks leaves a trace.
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
#: Codes whose features are widened at once; a block has so many several times.
_PART = 50
#: Numbers of activations that are held at once, 1 GiB of them.
_MOST = 1 << 28
#: Components with less than this share of the first one's variance are rounding.
_LEAST = 1e-10
_STILL = "these codes do not vary: they have no components"


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
    """The principal components of items [N, M], at most `most` of them, in double precision.

    Raises: ModelError with fewer than two items, or if they are not finite or do not vary.
    """
    mean = data.mean(0, dtype=torch.float64)
    solver = "covariance_eigh" if len(data) >= data.shape[1] else "full"
    return _components(data - mean, mean, solver, most)


def leading(items: Tensor, most: int) -> Components:
    """The first components of float32 items [N, M], which are overwritten: no copy is made.

    At most `most` of them, and fewer than there are items or numbers. Angles are exact to a
    hundredth of a degree, which is what float32 can tell.
    Raises: ModelError as `principal`.
    """
    columns = torch.split(items, 4096, dim=1)  # torch widens all that it takes the mean of
    mean = torch.cat([part.mean(0, dtype=torch.float64) for part in columns])
    items -= mean.float()
    return _components(items, mean, "arpack", max(1, min(most, *(n - 1 for n in items.shape))))


def _components(centred: Tensor, mean: Tensor, solver: str, most: int | None) -> Components:
    """The components of centred items by scikit-learn; the items are overwritten."""
    from sklearn.decomposition import PCA

    if len(centred) < 2:
        raise ModelError(f"{len(centred)} codes: components need two at least")
    if not bool(torch.isfinite(mean).all()):
        raise ModelError("these codes are not finite: they have no components")
    if not bool(centred.any()):
        raise ModelError(_STILL)
    count = min(centred.shape) if most is None else min(most, *centred.shape)
    found = PCA(count, svd_solver=solver, copy=False, random_state=0).fit(centred.numpy())
    variances, axes = (
        torch.from_numpy(values.astype("float64", order="C"))
        for values in (found.explained_variance_, found.components_)
    )
    total = float(variances[0] / found.explained_variance_ratio_[0])
    return _sorted_out(mean, F.normalize(axes, dim=1), variances, total)


def _sorted_out(mean: Tensor, axes: Tensor, variances: Tensor, total: float) -> Components:
    """Components without those that are rounding, their signs chosen."""
    if total <= 0:
        raise ModelError(_STILL)
    kept = variances > variances[0] * _LEAST
    return Components(mean, turned(axes[kept]), variances[kept], total)


def turned(axes: Tensor) -> Tensor:
    """Axes [K, M], each with the sign that makes its largest entry positive."""
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return axes * torch.where(largest < 0, -1.0, 1.0).to(axes)


@lru_cache(maxsize=4)
def code_components(generator: Generator, count: int, seed: int) -> CodeComponents:
    """The components of `count` drawn codes w, which are summed up, not held.

    scikit-learn holds all items (300,000 codes take 4 GB, a covariance 2 MB); its incremental
    estimate is degrees off.
    """
    width = generator.config.w_dim
    total, square = torch.zeros(width).double(), torch.zeros(width, width).double()
    for w in _blocks(generator, count, seed):
        near = (w - generator.w_avg).double().cpu()  # about the mean, to lose no digits
        total += near.sum(0)
        square += near.T @ near
    shift = total / count
    variances, axes = torch.linalg.eigh(square / count - torch.outer(shift, shift))
    variances = variances.flip(0).clamp(min=0) * count / (count - 1)
    mean = generator.w_avg.double().cpu() + shift
    found = _sorted_out(mean, axes.T.flip(0), variances, float(variances.sum()))
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
        acts = torch.empty(count, width)
        for part, w in zip(torch.split(acts, _PART), _parts(generator, count, seed), strict=True):
            part.copy_(features(w))
        found = leading(acts, most)
        del acts
        fresh = number(seed, "regression")
        return _carried_back(generator, found, features, count, fresh)


def _carried_back(
    generator: Generator,
    found: Components,
    features: Callable[[Tensor], Tensor],
    count: int,
    seed: int,
) -> CodeComponents:
    """The codes that go with feature components, by regression over fresh codes."""
    codes, coordinates = [], []
    for w in _parts(generator, count, seed):
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


def _parts(generator: Generator, count: int, seed: int) -> Iterator[Tensor]:
    """The codes of blocks, fewer at a time."""
    for w in _blocks(generator, count, seed):
        yield from torch.split(w, _PART)
