"""A direction from a handful of codes with an attribute and a handful without it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.errors import ModelError
from models.linear import Method, Readout, calibrated, estimate, sign_test

#: What is tried, the simplest first: of equals the first is taken.
METHODS: tuple[Method, ...] = ("mean_difference", "ridge", "logistic", "svm")
_FEWEST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The method that was chosen, its direction, and how all methods did.

    accuracy: the share of codes put on the right side by a direction that had not seen them.
    dependency: what `measure` said of each method that was accurate enough to be asked about.
    """

    method: Method
    readout: Readout
    accuracy: dict[Method, float]
    dependency: dict[Method, float]


def choose(
    codes: Tensor,
    labels: Tensor,
    *,
    folds: int = 5,
    seed: int = 0,
    measure: Callable[[Readout], float] | None = None,
) -> Choice:
    """The direction between codes with (label 1) and without (0) an attribute.

    Every method is cross-validated. Of those within one standard error of the best, that with the
    smallest `measure` (what else the direction changes) is taken, or the most accurate without it.
    Shapes: codes [N, D], labels [N] of 0 and 1.
    Raises: ModelError if there are fewer than 3 codes of a kind, or labels of more than two values.
    Source: own; exemplar sets of 10 to 30 pictures after Wu et al. 2021, arXiv:2011.12799.
    """
    x, y = codes.double(), labels.double()
    with_it = y == y.max()
    counts = int(with_it.sum()), int((~with_it).sum())
    if len(set(y.tolist())) != 2:
        raise ModelError("exemplars have two labels: with the attribute (1) and without it (0)")
    if min(counts) < _FEWEST:
        raise ModelError(f"{counts[0]} codes with and {counts[1]} without: at least {_FEWEST} each")
    accuracy = {method: cross_validate(x, with_it, method, folds, seed) for method in METHODS}
    best = max(accuracy.values())
    # One error more each way, for all right does not mean that none can be wrong.
    rate = (best * len(y) + 1) / (len(y) + 2)
    error = (rate * (1 - rate) / len(y)) ** 0.5
    fitted = {
        method: calibrated(estimate(x, y, method, 0.5), x, y, len(x))
        for method in METHODS
        if accuracy[method] >= best - error
    }
    told = {m: measure(readout) for m, readout in fitted.items()} if measure else {}
    chosen = min(fitted, key=lambda m: (told.get(m, 0.0), -accuracy[m]))
    right = round(accuracy[chosen] * len(y))
    readout = replace(fitted[chosen], accuracy=accuracy[chosen], chance=sign_test(right, len(y)))
    return Choice(chosen, readout, accuracy, told)


def cross_validate(x: Tensor, with_it: Tensor, method: Method, folds: int, seed: int) -> float:
    """The share of codes told right by directions fitted without them, both kinds in every fold.

    The border lies half way between the mean projections of the two kinds.
    Shapes: x [N, D], with_it [N] truth values.
    """
    random = torch.Generator().manual_seed(seed)
    fold = torch.empty(len(x), dtype=torch.long)
    for kind in (with_it, ~with_it):
        members = kind.nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=random)]
        fold[members] = torch.arange(len(members)) % min(folds, len(members))
    right = 0
    for k in range(int(fold.max()) + 1):
        train = fold != k
        weight = estimate(x[train], with_it[train].double(), method, 0.5)
        place = x @ weight
        ends = [place[train & kind].mean() for kind in (with_it, ~with_it)]
        said = (place[~train] > (ends[0] + ends[1]) / 2) == bool(ends[0] > ends[1])
        right += int((said == with_it[~train]).sum())
    return right / len(x)


def mean_gap(codes: Tensor, labels: Sequence[float] | Tensor, direction: Tensor) -> float:
    """How far apart the two kinds lie along a direction [D], on average."""
    y = torch.as_tensor(labels).double()
    place = codes.double() @ direction
    return float(place[y == y.max()].mean() - place[y != y.max()].mean())
