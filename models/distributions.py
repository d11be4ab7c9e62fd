"""How alike two sets of numbers are spread, and how well numbers that were read match the truth.

Columns are judged one by one unless it says otherwise; arithmetic is in float64.
"""

import torch
from torch import Tensor

from models.errors import ModelError


def ks_distance(a: Tensor, b: Tensor) -> Tensor:
    """The distance of Kolmogorov and Smirnov between two samples, column by column, 0..1.

    Shapes: a [N, K], b [M, K] -> [K].  Raises: ModelError if a sample is empty.
    """
    _need(a, b)
    a, b = a.double().T.contiguous(), b.double().T.contiguous()
    both = torch.cat([a, b], 1)
    below_a, below_b = (_share_up_to(sample, both) for sample in (a, b))
    return (below_a - below_b).abs().amax(1)


def ks_against_clipped_uniform(x: Tensor, low: Tensor, high: Tensor, margin: float = 0.0) -> Tensor:
    """The same between samples and uniform numbers of which only low..high is seen, as 0..1.

    What lies below `low` is seen as 0 and above `high` as 1, so that these two values have
    probabilities of their own. No reading meets them exactly: where there are such, the last
    `margin` of 0..1 at that end is left out.

    Shapes: x [N, K], low, high [K] -> [K].  Raises: ModelError if the sample is empty.
    """
    _need(x)
    ordered = x.double().T.contiguous().sort(1).values
    low, high = low.double()[:, None], high.double()[:, None]
    first, last = torch.where(low > 0, margin, 0.0), torch.where(high < 1, 1 - margin, 1.0)
    points = torch.cat([ordered, first, last], 1)
    rise = low + (high - low) * points
    judged = ((low == 0) | (points >= first)) & ((high == 1) | (points <= last))
    apart = []
    for right, reached in ((True, points >= 0), (False, points > 0)):
        share = torch.searchsorted(ordered, points, right=right) / ordered.shape[1]
        passed = points >= 1 if right else points > 1
        known = torch.where(reached, torch.where(passed, 1.0, rise), 0.0)
        apart.append(torch.where(judged, (share - known).abs(), 0.0).amax(1))
    return torch.maximum(*apart)


def ks_against_normal(x: Tensor) -> Tensor:
    """The same between samples and the normal of their own mean and deviation.

    Fitting brings it below what a given normal would have: it is for comparing samples.
    Shapes: x [N, K] -> [K].  Raises: ModelError if there are fewer than two samples.
    """
    _need(x, least=2)
    x = x.double()
    ordered = ((x - x.mean(0)) / x.std(0).clamp_min(1e-12)).sort(0).values
    normal = torch.special.ndtr(ordered)
    reached = torch.arange(1, len(x) + 1, device=x.device)[:, None] / len(x)
    return torch.maximum((reached - normal).amax(0), (normal - reached).amax(0) + 1 / len(x))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Frechet distance between the Gaussians of two samples of vectors.

    It grows as samples get smaller: compare equal counts only.
    Shapes: a [N, D], b [M, D], N and M at least 2.  Raises: ModelError if there are fewer.
    Source: Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500 (FID).
    """
    _need(a, b, least=2)
    a, b = a.double(), b.double()
    first, second = (_covariance(sample) for sample in (a, b))
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    # The root of first @ second has the trace of the root of this symmetric matrix.
    shared = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    distance = apart + first.trace() + second.trace() - 2 * shared
    return max(0.0, float(distance))


def _covariance(sample: Tensor) -> Tensor:
    centred = sample - sample.mean(0)
    return centred.T @ centred / (len(sample) - 1)


def r_squared(read: Tensor, truth: Tensor) -> Tensor:
    """The share of the truth's variance that readings explain, [K]; 0 for its mean.

    Shapes: read, truth [N, K].
    """
    _need(read, truth, least=2)
    left = (read - truth).double().square().mean(0)
    return 1 - left / truth.double().var(0, correction=0).clamp_min(1e-12)


def auc(read: Tensor, truth: Tensor) -> Tensor:
    """How surely a reading is higher where the truth is yes, [K]: 1 always, 0.5 by chance.

    The area under the receiver operating characteristic; equal readings count half. NaN where the
    truth is always the same.  Shapes: read [N, K], truth bool [N, K].
    """
    _need(read, truth)
    columns = read.double().T.contiguous()
    ordered = columns.sort(1).values
    # The mean rank of a reading, from 1, among all of its column.
    first = torch.searchsorted(ordered, columns, right=False)
    last = torch.searchsorted(ordered, columns, right=True)
    rank = (first + 1 + last).double() / 2
    yes = truth.T.double()
    positives, negatives = yes.sum(1), (1 - yes).sum(1)
    won = (rank * yes).sum(1) - positives * (positives + 1) / 2
    return won / (positives * negatives)


def _share_up_to(sample: Tensor, points: Tensor) -> Tensor:
    """Which share of a sample [K, N] is not above each point [K, M]."""
    found = torch.searchsorted(sample.sort(1).values, points, right=True)
    return found.double() / sample.shape[1]


def _need(*samples: Tensor, least: int = 1) -> None:
    for sample in samples:
        if sample.dim() != 2 or len(sample) < least:
            shape = tuple(sample.shape)
            raise ModelError(f"a sample has shape {shape}: must be [N, K] with N at least {least}")
