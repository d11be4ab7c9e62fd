"""Disentanglement, completeness and informativeness of codes, by boosted trees (DCI).

Source: Eastwood and Williams 2018, "A framework for the quantitative evaluation of disentangled
representations"; the classifiers are those of Wu et al. 2021, arXiv:2011.12799.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.errors import ModelError

_BINS = 16
_LEAST_LEAF = 2


@dataclass(frozen=True, slots=True)
class Disentanglement:
    """Three numbers from 0 to 1: one factor per code number, one code number per factor, accuracy.

    `informativeness` is the mean held-out accuracy of the classifiers.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def boosted_importance(
    train: Tensor,
    labels: Tensor,
    *,
    trees: int = 100,
    depth: int = 3,
    rate: float = 0.1,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Gradient boosting of small trees on two classes: the importance of each number, [D].

    Importances are what the splits on a number gain, of all that splits gain; the second value
    tells which of some codes [N, D] are of the class True.

    Shapes: train [N, D], labels bool [N].
    Raises: ModelError unless both classes are there.
    Source: Friedman 2001 (gradient boosting), with splits at 16 quantiles.
    """
    y = labels.double()
    if not 0 < float(y.mean()) < 1:
        raise ModelError("a classifier needs items of both classes")
    edges = torch.quantile(
        train.double(), torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)[1:-1], dim=0
    )
    below = (train.double()[:, None, :] <= edges).float().flatten(1)
    start = float(torch.logit(y.mean()))
    place = torch.full_like(y, start)
    importance = torch.zeros(train.shape[1], dtype=torch.float64)
    grown = []
    for _ in range(trees):
        chance = place.sigmoid()
        tree = _grow(below, y - chance, chance * (1 - chance), depth)
        place = place + rate * tree.values[tree.leaf]
        gains = torch.zeros_like(importance)
        gains.index_add_(0, tree.split.clamp(min=0) % train.shape[1], tree.gain)
        total = float(gains.sum())
        if total <= 0:
            break  # every leaf is pure: nothing is left to learn
        importance += gains
        grown.append(tree)

    def decide(items: Tensor) -> Tensor:
        told = (items.double()[:, None, :] <= edges).flatten(1)
        logit = torch.full((len(items),), start, dtype=torch.float64)
        for tree in grown:
            logit = logit + rate * tree.values[_descend(tree, told, depth)]
        return logit > 0

    return importance / importance.sum().clamp(min=1e-12), decide


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """A tree of a fixed depth: node n has the children 2n + 1 and 2n + 2.

    Shapes: split [nodes], the column of the test "is below" (-1: none, all go right); gain
    [nodes]; values [leaves]; leaf [N], where the items it was grown on end.
    """

    split: Tensor
    gain: Tensor
    values: Tensor
    leaf: Tensor


def _grow(below: Tensor, slope: Tensor, bend: Tensor, depth: int) -> _Tree:
    """A regression tree of the slopes [N], level after level; leaves take a Newton step."""
    nodes = 2**depth - 1
    split = torch.full((nodes,), -1)
    gain = torch.zeros(nodes, dtype=torch.float64)
    at = torch.zeros(len(slope), dtype=torch.long)
    for level in range(depth):
        first, width = 2**level - 1, 2**level
        inside = torch.nn.functional.one_hot(at - first, width).T.float()
        weighed = torch.cat([inside, inside * slope.float()])
        found = (weighed @ below).double()
        best, test = _best_split(found[:width], found[width:], inside, slope)
        split[first : first + width], gain[first : first + width] = test, best
        mine = split[at]
        goes = (mine >= 0) & below[torch.arange(len(at)), mine.clamp(min=0)].bool()
        at = 2 * at + torch.where(goes, 1, 2)
    leaf = at - nodes
    top = torch.zeros(2**depth, dtype=torch.float64).index_add_(0, leaf, slope)
    under = torch.zeros(2**depth, dtype=torch.float64).index_add_(0, leaf, bend)
    return _Tree(split, gain, top / under.clamp(min=1e-9), leaf)


def _best_split(
    count: Tensor, total: Tensor, inside: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """The gain and the column of the best test of each node; gain 0 and -1 where there is none.

    Shapes: count, total [nodes, tests], of the items below; inside [nodes, N].
    """
    many = inside.double().sum(1, keepdim=True)
    whole = inside.double() @ slope[:, None]
    rest, other = many - count, whole - total
    fits = (count >= _LEAST_LEAF) & (rest >= _LEAST_LEAF)
    apart = total / count.clamp(min=1) - other / rest.clamp(min=1)
    gain = torch.where(fits, count * rest / many.clamp(min=1) * apart.square(), 0.0)
    best, test = gain.max(1)
    none = best <= 1e-9
    return torch.where(none, 0.0, best), torch.where(none, -1, test)


def _descend(tree: _Tree, below: Tensor, depth: int) -> Tensor:
    """The leaf where each item ends."""
    at = torch.zeros(len(below), dtype=torch.long)
    for _ in range(depth):
        mine = tree.split[at]
        goes = (mine >= 0) & below[torch.arange(len(at)), mine.clamp(min=0)]
        at = 2 * at + torch.where(goes, 1, 2)
    leaf: Tensor = at - (2**depth - 1)
    return leaf


def scores_of(importance: Tensor) -> tuple[float, float]:
    """Disentanglement and completeness of an importance matrix [D, K] of numbers by factors.

    A number is disentangled as far as it serves one factor: 1 less the entropy of its row in units
    of ln K, weighed by how much it serves at all. A factor is complete as far as one number serves
    it: 1 less the entropy of its column in units of ln D.
    Raises: ModelError with fewer than two numbers or factors, or if nothing serves anything.
    """
    numbers, factors = importance.shape
    total = float(importance.sum())
    if min(numbers, factors) < 2 or total <= 0:
        raise ModelError(f"importances {numbers} x {factors}: two of each are needed, not all 0")
    rows, columns = importance.sum(1), importance.sum(0)
    by_row = importance / rows.clamp(min=1e-12)[:, None]
    by_column = importance / columns.clamp(min=1e-12)
    row_entropy = torch.special.entr(by_row).sum(1) / math.log(factors)
    column_entropy = torch.special.entr(by_column).sum(0) / math.log(numbers)
    served = columns > 0
    return (
        float((rows / total * (1 - row_entropy)).sum()),
        float((1 - column_entropy)[served].sum() / factors),
    )


def disentanglement(
    codes: Tensor, scores: Tensor, *, share: float = 0.02, trees: int = 100, seed: int = 0
) -> Disentanglement:
    """How far the numbers of codes stand for one attribute each, and the other way round.

    For each attribute the codes with the lowest and highest `share` of its scores are told apart,
    half of them for learning and half for judging.

    Shapes: codes [N, D], scores [N, K].
    Raises: ModelError with fewer than 8 codes at each end, or fewer than two attributes.
    """
    ends = int(len(codes) * share)
    if ends < 8:
        raise ModelError(f"{len(codes)} codes, share {share:g}: {ends} at each end, 8 are needed")
    columns, right = [], []
    for k, score in enumerate(scores.T):
        order = score.argsort(stable=True)
        random = torch.Generator().manual_seed(seed + k)
        low, high = (
            side[torch.randperm(ends, generator=random)] for side in (order[:ends], order[-ends:])
        )
        half = ends // 2
        learn, judge = torch.cat([low[:half], high[:half]]), torch.cat([low[half:], high[half:]])
        importance, decide = boosted_importance(
            codes[learn], torch.arange(2 * half) >= half, trees=trees
        )
        columns.append(importance)
        truth = torch.arange(len(judge)) >= ends - half
        right.append(float((decide(codes[judge]) == truth).double().mean()))
    apart, whole = scores_of(torch.stack(columns, 1))
    return Disentanglement(apart, whole, sum(right) / len(right))
