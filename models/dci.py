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


@dataclass(frozen=True, slots=True)
class Disentanglement:
    """Three numbers from 0 to 1: one factor per code number, one code number per factor, accuracy.

    `informativeness` is the mean held-out accuracy of the classifiers.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def boosted_importance(
    train: Tensor, labels: Tensor, *, trees: int = 100, seed: int = 0
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Gradient boosting of small trees on two classes: the importance of each number, [D].

    Importances are what the splits on a number gain, of all that splits gain; the second value
    tells which of some codes [N, D] are of the class True. The seed decides between splits that
    gain the same.

    Shapes: train [N, D], labels bool [N].
    Raises: ModelError unless both classes are there, or if codes are not finite.
    Source: Friedman 2001 (gradient boosting), by scikit-learn.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    if not 0 < int(labels.sum()) < len(labels):
        raise ModelError("a classifier needs items of both classes")
    if not bool(torch.isfinite(train).all()):
        raise ModelError("some codes are not finite: leave those items out")
    model = GradientBoostingClassifier(
        n_estimators=trees, max_depth=3, learning_rate=0.1, random_state=seed % 2**32
    ).fit(train.numpy(), labels.numpy())
    importance = torch.from_numpy(model.feature_importances_).clamp(min=0)  # some are -1e-16

    def decide(items: Tensor) -> Tensor:
        return torch.from_numpy(model.predict(items.numpy()))

    return importance, decide


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
            codes[learn], torch.arange(2 * half) >= half, trees=trees, seed=seed
        )
        columns.append(importance)
        truth = torch.arange(len(judge)) >= ends - half
        right.append(float((decide(codes[judge]) == truth).double().mean()))
    apart, whole = scores_of(torch.stack(columns, 1))
    return Disentanglement(apart, whole, sum(right) / len(right))
