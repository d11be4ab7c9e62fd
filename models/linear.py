"""Linear directions in code space that go with a label, calibrated on items they never saw.

There are two kinds. Movers ("regression", "mean_difference") are how codes differ when the label
does: they stay where codes lie, so pictures follow. Readers ("ridge", "logistic", "svm") are the
normals of the label's level sets: they tell it best, but may leave the region where codes lie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import ModelError

Method = Literal["regression", "mean_difference", "ridge", "logistic", "svm"]
#: Shares of the mean variance tried as the ridge penalty; the held-out error decides.
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """A unit direction and what moving along it means.

    Shapes: direction float64 [D].  Units: `sigma` is the move that changes the label by one
    standard deviation, `offset` the projection where the label has its mean; `accuracy` the share
    of held-out items put on the right side of the label's median (both sides weigh the same),
    `correlation` that of reading and label.
    """

    direction: Tensor
    sigma: float
    offset: float
    accuracy: float
    correlation: float


def fit_readout(
    codes: Tensor,
    labels: Tensor,
    method: Method,
    *,
    others: Tensor | None = None,
    held_out: float = 0.25,
    quantile: float = 0.3,
    seed: int = 0,
) -> Readout:
    """The direction in code space along which a label changes, checked on items it never saw.

    "regression" explains the codes by the label, and by the `others` that are to stay as they are;
    "ridge" the label by the codes. The rest compare the label's lowest and highest `quantile` (all
    items where it is yes or no).

    Shapes: codes [N, D], labels [N], others [N, K].
    Raises: ModelError if there are too few items or the labels do not vary.
    Source: Shen et al. 2020, arXiv:2005.09635 (svm); the others are textbook estimators.
    """
    x, y = codes.double(), labels.double()
    if len(x) < 8 or not bool(torch.isfinite(y).all()) or float(y.std()) < 1e-9:
        raise ModelError(f"{len(x)} codes: at least 8 with finite, varying labels are needed")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    cut = max(4, int(len(x) * (1 - held_out)))
    x, y = x[order], y[order]
    if method == "regression":
        held = None if others is None else others.double()[order][:cut]
        weight = explain(x[:cut], y[:cut], held)
    else:
        weight = _estimate(x[:cut], y[:cut], method, quantile)
    norm = weight.norm()
    if float(norm) < 1e-12:
        raise ModelError("the label has no linear trace in these codes")
    direction = _signed(weight / norm, x[:cut], y[:cut])
    return _calibrated(direction, x, y, cut)


def _signed(direction: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The direction pointing to where the label grows."""
    covariance = ((x - x.mean(0)) @ direction) @ (y - y.mean())
    return direction if float(covariance) >= 0 else -direction


def _calibrated(direction: Tensor, x: Tensor, y: Tensor, cut: int) -> Readout:
    """What moving along `direction` does to the label, measured on the items after `cut`."""
    place = x @ direction
    fit, mean = place[:cut] - place[:cut].mean(), y[:cut].mean()
    slope = (fit @ (y[:cut] - mean)) / (fit @ fit).clamp(min=1e-18)
    sigma = float(y[:cut].std() / slope.clamp(min=1e-9))
    offset = float(place[:cut].mean())
    test, truth = place[cut:] - offset, y[cut:]
    if len(truth) < 2:
        test, truth = place - offset, y
    kinds = _kinds(y)
    middle = y[:cut].median() if len(kinds) > 2 else kinds.mean()
    # The reading crosses zero at the mean label, so the median label has a reading of its own.
    bound = (middle - mean) / slope.clamp(min=1e-9)
    right = (test > bound) == (truth > middle)
    sides = [right[truth > middle], right[truth <= middle]]
    accuracy = sum(float(side.double().mean()) for side in sides if len(side)) / max(
        1, sum(len(side) > 0 for side in sides)
    )
    a, b = test - test.mean(), truth - truth.mean()
    correlation = float((a @ b) / (a.norm() * b.norm()).clamp(min=1e-12))
    return Readout(direction, sigma, offset, accuracy, correlation)


def _estimate(x: Tensor, y: Tensor, method: Method, quantile: float) -> Tensor:
    """The weight vector [D] of one method, in the units of the codes."""
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-9)
    z = (x - mean) / scale
    if method == "ridge":
        return ridge(z, y) / scale
    low, high = _extremes(y, quantile)
    z, signs = z[low | high], torch.where(high[low | high], 1.0, -1.0).double()
    if method == "mean_difference":
        return (x[high].mean(0) - x[low].mean(0)) if bool(low.any() and high.any()) else x[0] * 0
    loss = F.softplus if method == "logistic" else _squared_hinge
    return separate(z, signs, loss) / scale


def _extremes(y: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Which items are clearly low and clearly high."""
    kinds = _kinds(y)
    if len(kinds) == 2:
        return y == kinds[0], y == kinds[1]
    return y <= y.quantile(quantile), y >= y.quantile(1 - quantile)


def _kinds(y: Tensor) -> Tensor:
    """The different values of a label, in order."""
    return torch.tensor(sorted(set(y.tolist())), dtype=y.dtype)


def _squared_hinge(negative_margin: Tensor) -> Tensor:
    return (1 + negative_margin).clamp(min=0).square()


def explain(x: Tensor, y: Tensor, others: Tensor | None) -> Tensor:
    """How codes [N, D] change with a label [N] while the others [N, K] stay: least squares, [D]."""
    labels = y[:, None] if others is None else torch.cat([y[:, None], others], dim=1)
    labels = (labels - labels.mean(0)) / labels.std(0).clamp(min=1e-9)
    # A little ridge, for labels that say nearly the same.
    gram = labels.T @ labels / len(labels) + 1e-2 * torch.eye(labels.shape[1], dtype=x.dtype)
    solved = torch.linalg.solve(gram, labels.T @ (x - x.mean(0)) / len(x))
    return cast(Tensor, solved[0])


def ridge(z: Tensor, y: Tensor) -> Tensor:
    """Least squares with the penalty that predicts the last fifth of the items best.

    Shapes: z [N, D] standardised, y [N] -> [D].
    """
    centred = y - y.mean()
    cut = max(2, int(len(z) * 0.8))
    errors = []
    values, vectors = torch.linalg.eigh(z[:cut].T @ z[:cut] / cut)
    target = vectors.T @ (z[:cut].T @ centred[:cut]) / cut
    level = values.mean()
    for penalty in _PENALTIES:
        weight = vectors @ (target / (values.clamp(min=0) + penalty * level))
        errors.append(float((z[cut:] @ weight - centred[cut:]).square().mean()))
    best = _PENALTIES[errors.index(min(errors))]
    gram = z.T @ z / len(z)
    eye = torch.eye(len(gram), dtype=z.dtype)
    solved = torch.linalg.solve(gram + best * gram.diagonal().mean() * eye, z.T @ centred / len(z))
    return cast(Tensor, solved)


def separate(
    z: Tensor, signs: Tensor, loss: Callable[[Tensor], Tensor], penalty: float = 1e-2
) -> Tensor:
    """The normal [D] of the plane between two classes, by full-batch L-BFGS.

    Shapes: z [N, D] standardised, signs [N] of -1 and 1. Both classes weigh the same.
    """
    up = (signs > 0).to(z.dtype)
    share = 0.5 * (up / up.sum() + (1 - up) / (1 - up).sum())
    weight = torch.zeros(z.shape[1], dtype=z.dtype, requires_grad=True)
    bias = torch.zeros((), dtype=z.dtype, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def objective() -> float:
        search.zero_grad()
        value = share @ loss(-signs * (z @ weight + bias)) + penalty / 2 * weight.square().sum()
        torch.autograd.backward([value])
        return float(value.detach())

    cast(Any, search).step(objective)
    return weight.detach()
