"""How usual a code is for its generator: Gaussian priors, read off the networks themselves.

Every distance is a mean over the numbers of a code, so that the generator's own codes lie at about
one in each of them, and weights mean the same whatever the space and the size of the model.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.codes import Space, draw, spread
from models.errors import ModelError
from models.layers import LEAK
from models.stylegan2 import Generator

Prior = Literal["none", "distance", "w_gaussian", "style_gaussian"]
#: Distances [N] of codes, given as they are and as style vectors.
Distance = Callable[[Tensor, Tensor], Tensor]

_SAMPLES = 10_000
#: Least variance of a whitened axis, as a share of the mean variance: mapped codes fill only part
#: of W, and what they never do must not outweigh everything they do.
_LEAST = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Gaussian:
    """A mean [D] with a covariance [D, D], or with variances [D] where numbers count as free."""

    mean: Tensor
    spread: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class CodeScale:
    """Mean and spread of a generator's codes, shaped to broadcast over one space."""

    mean: Tensor
    std: Tensor


def sample_w(generator: Generator, count: int = _SAMPLES, seed: int = 0) -> Tensor:
    """Codes w [count, D] of a fixed sample, of every class in turn where there are classes."""
    config = generator.config
    device = generator.w_avg.device
    c = None
    if config.c_dim:
        classes = torch.arange(count, device=device) % config.c_dim
        c = F.one_hot(classes, config.c_dim).float()
    with torch.no_grad():
        return generator.mapping(draw(seed, count, config.z_dim).to(device), c)


def unfold(w: Tensor) -> Tensor:
    """Codes w before the bend of the mapping network's last layer, up to a factor.

    Source: Wulff and Torralba 2020, arXiv:2009.06529.
    """
    return F.leaky_relu(w, 1 / LEAK)


_known: "weakref.WeakKeyDictionary[Generator, tuple[Gaussian, Gaussian]]" = (
    weakref.WeakKeyDictionary()
)


def _moments(generator: Generator) -> tuple[Gaussian, Gaussian]:
    """Means and covariances of w, and of w unfolded; sampled once per live generator."""
    found = _known.get(generator)
    if found is None or found[0].mean.device != generator.w_avg.device:
        w = sample_w(generator)
        found = _known[generator] = (_fit(w), _fit(unfold(w)))
    return found


def _fit(x: Tensor) -> Gaussian:
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.t() @ centred / (len(x) - 1))


def w_gaussian(generator: Generator) -> Gaussian:
    """The Gaussian of unfolded w: mean and covariance."""
    return _moments(generator)[1]


def style_gaussian(generator: Generator) -> Gaussian:
    """The Gaussian of style vectors: mean and variances, each number on its own.

    Styles are S = A w + b, so the mean is A mean(w) + b and the variances the diagonal of
    A cov(w) A^T: 2 S numbers, no sample of styles.
    Source: Chong et al. 2021, arXiv:2111.01619 (there from 10,000 sampled styles).
    """
    w = _moments(generator)[0]
    with torch.no_grad():
        mean = generator.styles(spread(w.mean[None], generator.num_rows))[0]
        width = generator.config.w_dim
        # The columns of A are the styles of unit codes, less b.
        units = torch.cat([torch.eye(width), torch.zeros(1, width)]).to(w.mean)
        drawn = generator.styles(spread(units, generator.num_rows))
        matrix = drawn[:-1] - drawn[-1:]
        return Gaussian(mean, (matrix * (w.spread @ matrix)).sum(0))


def code_scale(generator: Generator, space: Space) -> CodeScale:
    """Mean code and spread of the codes of a generator, number by number."""
    if space == "style":
        mean = generator.styles(generator.broadcast(generator.w_avg[None]))
        return CodeScale(mean, _deviation(style_gaussian(generator).spread)[None])
    mean, std = generator.w_avg[None], _deviation(_moments(generator)[0].spread.diagonal())[None]
    return CodeScale(mean, std) if space == "w" else CodeScale(mean[:, None], std[:, None])


def _deviation(variance: Tensor) -> Tensor:
    return variance.clamp(min=1e-8).sqrt()


def distance_from(generator: Generator, prior: Prior, space: Space) -> Distance:
    """The distance of a prior, about one for the generator's own codes.

    "distance": squared deviations from the mean code in the code's own space. "w_gaussian":
    (v - mean)^T cov^-1 (v - mean) of v, w unfolded, row by row in w_plus. "style_gaussian":
    squared deviations of the styles.
    Raises: ModelError for w_gaussian in the style space, from which no w can be had back.
    """
    if prior == "none":
        return lambda code, styles: code.new_zeros(len(code))
    if prior == "distance":
        scale = code_scale(generator, space)
        return lambda code, styles: _mean_square((code - scale.mean) / scale.std)
    if prior == "style_gaussian":
        gaussian = style_gaussian(generator)
        std = _deviation(gaussian.spread)
        return lambda code, styles: _mean_square((styles - gaussian.mean) / std)
    if space not in ("w", "w_plus"):
        raise ModelError(f"prior w_gaussian needs space w or w_plus, not {space}")
    gaussian = w_gaussian(generator)
    whiten = _whitening(gaussian.spread)
    return lambda code, styles: _mean_square((unfold(code) - gaussian.mean) @ whiten)


def _whitening(covariance: Tensor) -> Tensor:
    """The matrix [D, D] after which squares sum to the Mahalanobis distance."""
    variances, axes = torch.linalg.eigh(covariance.double())
    least = variances.mean().clamp(min=1e-12) * _LEAST
    whiten: Tensor = axes / variances.clamp(min=least).sqrt()
    return whiten.to(covariance.dtype)


def _mean_square(x: Tensor) -> Tensor:
    return x.square().flatten(1).mean(1)
