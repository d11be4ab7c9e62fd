"""Linear directions in code space that go with a label, calibrated on items they never saw.

There are two kinds. Movers ("regression", "mean_difference", "pair_difference") are how codes
differ when the label does: they stay where codes lie, so pictures follow. Readers ("ridge",
"logistic", "svm") are the normals of the label's level sets: they tell it best, but may leave the
region where codes lie.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from models.errors import ModelError

Method = Literal["regression", "mean_difference", "pair_difference", "ridge", "logistic", "svm"]
Plane = Literal["logistic", "svm"]
#: Shares of the mean variance tried as the ridge penalty; the held-out error decides.
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Strata of equal size per co-attribute that is balanced, by how many there are (Cochran 1968).
_STRATA = {1: 5, 2: 3}
#: Items needed at least, and the deviation below which nothing varies.
_FEWEST, _STILL = 8, 1e-9
#: Methods that give the direction a label is read along, not the one codes move along.
_READERS = ("ridge", "logistic", "svm")
#: Of the middle deviation, up to which a number of the codes hardly ever changes.
_RARELY = 1e-3
#: Random pairs of items that "pair_difference" compares.
_PAIRS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """A unit direction and what moving along it means.

    Shapes: direction float64 [D].  Units: `sigma` is the move that changes the label by one
    standard deviation, `offset` the projection where the label has its mean; `accuracy` the share
    of held-out items put on the right side of the label's median (both sides weigh the same),
    `correlation` that of reading and label; `chance` the probability that guessing would put as
    many held-out items on the right side (a sign test).
    """

    direction: Tensor
    sigma: float
    offset: float
    accuracy: float
    correlation: float
    chance: float


def fit_readout(  # noqa: PLR0913 (what can be said of a fit is said here)
    codes: Tensor,
    labels: Tensor,
    method: Method,
    *,
    others: Tensor | None = None,
    balance: Tensor | None = None,
    held_out: float = 0.25,
    quantile: float = 0.3,
    gap: float = 0.2,
    numbers: int = 0,
    seed: int = 0,
) -> Readout:
    """The direction in code space along which a label changes, checked on items it never saw.

    "regression" explains the codes by the label, and by the `others` that are to stay as they are;
    "ridge" the label by the codes. "pair_difference" is the mean of (code - code') / (label -
    label') over random pairs whose labels differ by at least `gap` deviations: it converges to the
    regression without others. The rest compare the label's lowest and highest `quantile` (all items
    where it is yes or no). With `balance` items are weighed so that low and high labels are equally
    frequent in every stratum of the co-attributes. The direction uses only the `numbers` entries
    that go with the label best (0: all).

    Shapes: codes [N, D], labels [N], others and balance [N, K].
    Raises: ModelError if there are too few items, the labels do not vary, or nothing is left to
    compare after balancing.
    Source: Shen et al. 2020, arXiv:2005.09635 (svm); Cochran 1968 (strata); the others are textbook
    estimators.
    """
    x, y = codes.double(), labels.double()
    _check_varying(x, y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    cut = max(4, int(len(x) * (1 - held_out)))
    x, y = x[order], y[order]
    cells = None if balance is None else _cells(balance.double()[order])[:cut]
    if method == "regression":
        held = None if others is None else others.double()[order][:cut]
        weight = explain(x[:cut], y[:cut], held, _weights(*_halves(y[:cut]), cells))
    elif method == "pair_difference":
        share = _weights(*_halves(y[:cut]), cells)
        weight = compare_pairs(x[:cut], y[:cut], gap, seed, share)
    else:
        weight = estimate(x[:cut], y[:cut], method, quantile, cells)
    if 0 < numbers < len(weight):
        weight = strongest(weight, x[:cut], numbers, reads=method in _READERS)
    return calibrated(weight, x, y, cut)


def strongest(weight: Tensor, x: Tensor, count: int, *, reads: bool) -> Tensor:
    """A weight vector [D] with only the `count` entries that go with the label best.

    A mover's entry is told in deviations of its number in x [N, D]; a reader's says what one
    deviation of that number does to the label (`reads`). Numbers that hardly ever change are left
    out.
    """
    spread = x.std(0)
    varies = spread > _STILL + _RARELY * spread.median()
    unit = spread if reads else 1 / spread.clamp(min=_STILL)
    kept = torch.where(varies, (weight * unit).abs(), 0).topk(count).indices
    return torch.zeros_like(weight).index_copy(0, kept, weight[kept])


def _check_varying(x: Tensor, y: Tensor) -> None:
    """Raise ModelError unless there are items enough, and labels and codes that differ."""
    if len(x) < _FEWEST:
        raise ModelError(f"{len(x)} items: at least {_FEWEST} are needed")
    check_labels(y)
    if float(x.std(0).max()) < _STILL:
        raise ModelError(f"all {len(x)} codes are the same: nothing in them goes with the labels")


def check_labels(y: Tensor) -> None:
    """Raise ModelError unless labels [N], two at least, are finite and differ."""
    if broken := int((~torch.isfinite(y)).sum()):
        raise ModelError(f"{broken} of {len(y)} labels are not finite: leave those items out")
    spread = float(y.std())
    if spread < _STILL:
        raise ModelError(f"all {len(y)} labels are {float(y[0]):g}: they must vary")
    if not math.isfinite(spread):
        raise ModelError(f"labels reach {float(y.abs().max()):.3g}, too far to measure: scale them")


def calibrated(weight: Tensor, x: Tensor, y: Tensor, cut: int) -> Readout:
    """The direction of a weight vector [D], calibrated on items to `cut`, judged on those after.

    With too few after it, all items are judged. Raises: ModelError if the weights vanish.
    """
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
    chance = sign_test(int(right.sum()), len(right))
    return Readout(direction, sigma, offset, accuracy, correlation, chance)


def sign_test(right: int, trials: int) -> float:
    """The probability of at least `right` heads in so many throws of a fair coin."""
    ways = sum(math.comb(trials, k) for k in range(right, trials + 1))
    return ways / (1 << trials)


def _cells(others: Tensor) -> Tensor:
    """Which combination of strata of co-attributes [N, K] each item is in, [N]."""
    count = _STRATA.get(others.shape[1], 2)
    parts = []
    for column in others.T:
        inner = torch.linspace(0, 1, count + 1, dtype=column.dtype)[1:-1]
        bounds = column.mean()[None] if len(_kinds(column)) == 2 else column.quantile(inner)
        parts.append(torch.bucketize(column.contiguous(), bounds))
    return cast(Tensor, torch.unique(torch.stack(parts, 1), dim=0, return_inverse=True)[1])


def _halves(y: Tensor) -> tuple[Tensor, Tensor]:
    """Which items are low and which are high, all of them."""
    high = y > (y.median() if len(_kinds(y)) > 2 else y.mean())
    return ~high, high


def _weights(low: Tensor, high: Tensor, cells: Tensor | None) -> Tensor:
    """What each item weighs, [N], mean 1: nothing if it is neither low nor high.

    In every cell low and high weigh the same; a cell that has only one of them weighs nothing.
    """
    used = (low | high).double()
    if cells is None:
        return used * len(used) / used.sum().clamp(min=1)
    count = int(cells.max()) + 1
    sides = [torch.zeros(count).double().index_add(0, cells, side.double()) for side in (low, high)]
    both = (sides[0] > 0) & (sides[1] > 0)
    half = torch.where(both, (sides[0] + sides[1]) / 2, 0)
    share = sum(
        side.double() * (half / total.clamp(min=1))[cells]
        for side, total in zip((low, high), sides, strict=True)
    )
    left = int((cast(Tensor, share) > 0).sum())
    if left < 8:
        raise ModelError(
            f"balancing leaves {left} of {len(used)} items: too few strata of the "
            "co-attributes have both low and high labels; balance by fewer, or bring more codes"
        )
    return cast(Tensor, share) * len(used) / cast(Tensor, share).sum()


def estimate(
    x: Tensor, y: Tensor, method: Method, quantile: float, cells: Tensor | None = None
) -> Tensor:
    """The weight vector [D] of "ridge" or of a method that compares two classes.

    Shapes: x [N, D], y [N], cells [N] as co-attributes divide the items.  Units: those of codes.
    """
    mean, scale = x.mean(0), x.std(0).clamp(min=1e-9)
    z = (x - mean) / scale
    if method == "ridge":
        return ridge(z, y, _weights(*_halves(y), cells)) / scale
    low, high = extremes(y, quantile)
    if not bool(low.any() and high.any()):
        return x[0] * 0
    share = _weights(low, high, cells)
    if method == "mean_difference":
        up, down = share * high, share * low
        return (up @ x) / up.sum() - (down @ x) / down.sum()
    kept = share > 0
    signs = torch.where(high[kept], 1.0, -1.0).double()
    plane: Plane = "svm" if method == "svm" else "logistic"
    return separate(z[kept], signs, plane, share=share[kept]) / scale


def extremes(y: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Which items [N] are clearly low and clearly high; all of them where there are two labels."""
    kinds = _kinds(y)
    if len(kinds) == 2:
        return y == kinds[0], y == kinds[1]
    return y <= y.quantile(quantile), y >= y.quantile(1 - quantile)


def _kinds(y: Tensor) -> Tensor:
    """The different values of a label, in order."""
    return torch.tensor(sorted(set(y.tolist())), dtype=y.dtype)


def compare_pairs(x: Tensor, y: Tensor, gap: float, seed: int, share: Tensor) -> Tensor:
    """The mean of (code - code') / (label - label') over random pairs of items, [D].

    Pairs whose labels are nearer than `gap` deviations are left out: without that the mean does not
    converge, because the ratio has no variance.
    Shapes: x [N, D], y [N], share [N], how often each item is drawn.
    Raises: ModelError if no pair is left.
    """
    random = torch.Generator().manual_seed(seed)
    i, j = (torch.multinomial(share, _PAIRS, True, generator=random) for _ in range(2))
    apart = y[i] - y[j]
    kept = apart.abs() >= max(gap, 1e-6) * float(y.std())
    if not bool(kept.any()):
        raise ModelError(f"no two labels differ by {gap:g} deviations: lower gap")
    part = torch.where(kept, 1 / torch.where(kept, apart, 1), 0) / kept.sum()
    per_item = torch.zeros_like(y).index_add(0, i, part).index_add(0, j, -part)
    return per_item @ x


def explain(x: Tensor, y: Tensor, others: Tensor | None, share: Tensor | None = None) -> Tensor:
    """How codes [N, D] change with a label [N] while the others [N, K] stay: least squares, [D].

    `share` [N] is what each item weighs.
    """
    part = (torch.ones_like(y) if share is None else share) / len(y)
    labels = y[:, None] if others is None else torch.cat([y[:, None], others], dim=1)
    labels = (labels - part @ labels) / labels.std(0).clamp(min=1e-9)
    # A little ridge, for labels that say nearly the same.
    gram = labels.T @ (part[:, None] * labels)
    gram = gram + 1e-2 * torch.eye(labels.shape[1], dtype=x.dtype)
    solved = torch.linalg.solve(gram, labels.T @ (part[:, None] * (x - part @ x)))
    return cast(Tensor, solved[0])


def ridge(z: Tensor, y: Tensor, share: Tensor | None = None) -> Tensor:
    """Least squares with the penalty that predicts the last fifth of the items best.

    Shapes: z [N, D] standardised, y [N], share [N] (what each item weighs) -> [D].
    """
    part = torch.ones_like(y) if share is None else share
    root = (part / part.mean()).sqrt()
    centred = root * (y - (part @ y) / part.sum())
    z = root[:, None] * (z - (part @ z) / part.sum())
    cut = max(2, int(len(z) * 0.8))
    solve = _shrunk(z[:cut], centred[:cut])
    errors = [float((z[cut:] @ solve(p) - centred[cut:]).square().mean()) for p in _PENALTIES]
    return _shrunk(z, centred)(_PENALTIES[errors.index(min(errors))])


def _shrunk(z: Tensor, y: Tensor) -> Callable[[float], Tensor]:
    """The weights [D] of least squares under a penalty, in shares of the mean variance of z [N, D].

    They are found in the space of items or of numbers, whichever is smaller.
    """
    level = z.square().mean()
    if len(z) < z.shape[1]:
        values, vectors = torch.linalg.eigh(z @ z.T / len(z))
        target, back = vectors.T @ y / len(z), z.T @ vectors
    else:
        values, vectors = torch.linalg.eigh(z.T @ z / len(z))
        target, back = vectors.T @ (z.T @ y) / len(z), vectors
    return lambda penalty: back @ (target / (values.clamp(min=0) + penalty * level))


def separate(
    z: Tensor, signs: Tensor, plane: Plane, penalty: float = 1e-2, share: Tensor | None = None
) -> Tensor:
    """The normal [D] of the plane between two classes, by scikit-learn.

    Both classes weigh the same; `penalty` is the weight of half the squared normal beside the mean
    loss, which is the squared hinge of an "svm" or a "logistic" regression's.

    Shapes: z [N, D] standardised, signs [N] of -1 and 1, share [N] (what each item weighs).
    Raises: ModelError if codes are not finite, or the search for the plane does not end.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if not bool(torch.isfinite(z).all()):
        raise ModelError("some codes are not finite: leave those items out")
    if len(z) < z.shape[1]:  # the normal lies in the span of the items
        axes, places = torch.linalg.qr(z.T)
        return cast(Tensor, axes @ separate(places.T, signs, plane, penalty, share))
    up = (signs > 0).to(z.dtype)
    down = 1 - up
    if share is not None:
        up, down = up * share, down * share
    part = 0.5 * (up / up.sum() + down / down.sum())
    told: dict[str, Any] = {"C": 1 / penalty, "tol": 1e-6, "max_iter": 10_000}
    # LinearSVC shrinks the intercept too, the less the larger its scale.
    model = (
        LogisticRegression(**told)
        if plane == "logistic"
        else LinearSVC(dual=False, intercept_scaling=100.0, **told)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model.fit(z.numpy(), signs.numpy(), sample_weight=part.numpy())
    except ConvergenceWarning as warning:
        reason = str(warning).partition("\n")[0]
        raise ModelError(f"no plane was found between the classes: {reason}") from warning
    return torch.from_numpy(model.coef_[0]).to(z)
