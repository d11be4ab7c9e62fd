"""Claim: our planes, components and trees find what scikit-learn's find, and it costs little.

Codes w of portraits-128 with their true factors. Both solve the same problem on the same numbers,
with one thread, in turns, and the least time of two counts. scikit-learn is no dependency: where it
cannot be imported the script says so and ends.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from models.runtime import import_torch

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

import torch.nn.functional as F  # noqa: E402  (torch comes first, with the allocator tuned)

from benchmarks.directions import labelled, others  # noqa: E402
from models.components import principal  # noqa: E402
from models.dci import boosted_importance, scores_of  # noqa: E402
from models.linear import calibrated, explain, extremes, separate, squared_hinge  # noqa: E402
from models.training.domains import PORTRAITS  # noqa: E402

NAMES = ("smile", "glasses", "yaw")
TOLD = ("smile", "glasses", "yaw", "beard", "hair_lightness")
LABELS = (1_000, 10_000)
#: The share of lowest and highest labels compared, and the weight of the penalty: our defaults.
QUANTILE, PENALTY = 0.3, 1e-2
JUDGED, TRUTH, CODES, KEPT = 10_000, 40_000, 20_000, 20
TREES, DEPTH, RATE = 100, 3, 0.1
Answers = dict[str, Any]


def tell(figure: str, **values: Any) -> None:
    """Print one figure."""
    print(json.dumps({"benchmark": f"sklearn.{figure}", **values}), flush=True)


def in_turns(solvers: dict[str, Callable[[], Any]]) -> tuple[Answers, dict[str, float]]:
    """What each solver answers, and its least time of two turns."""
    answers: Answers = {}
    least: dict[str, float] = {}
    for _ in range(2):
        for name, solve in solvers.items():
            began = time.perf_counter()
            answers[name] = solve()
            seconds = time.perf_counter() - began
            least[name] = min(seconds, least.get(name, seconds))
    return answers, least


def planes() -> None:
    """Normals of planes between the lowest and the highest labels, and how well they read."""
    w, factors = labelled(TRUTH, 1)
    columns = {name: PORTRAITS.factors.index(name) for name in NAMES}
    true = {
        name: F.normalize(explain(w.double(), factors[:, k].double(), others(factors, k)), dim=0)
        for name, k in columns.items()
    }
    test, truth = labelled(JUDGED, 3)
    w, factors = labelled(max(LABELS), 2)
    for count in LABELS:
        for method in ("svm", "logistic"):
            found: dict[str, list[tuple[float, ...]]] = {}
            for name, k in columns.items():
                x, y = w[:count].double(), factors[:count, k].double()
                normals, seconds = normals_of(x, y, method)
                every = torch.cat([x, test.double()]), torch.cat([y, truth[:, k].double()])
                for way, normal in normals.items():
                    read = calibrated(normal, *every, count)
                    near = float(read.direction @ true[name])
                    same = float(F.cosine_similarity(normal, normals["ours"], dim=0))
                    found.setdefault(way, []).append((read.accuracy, near, same, seconds[way]))
            for way, rows in found.items():
                accuracy, near, same, spent = (sum(x) / len(x) for x in zip(*rows, strict=True))
                tell(
                    "planes",
                    method=method,
                    labels=count,
                    way=way,
                    accuracy=round(accuracy, 4),
                    cosine=round(near, 4),
                    cosine_to_ours=round(same, 5),
                    seconds=round(spent, 4),
                )


def normals_of(x: "Tensor", y: "Tensor", method: str) -> tuple[Answers, dict[str, float]]:
    """The normal [D] that each way finds, from the same standardised codes, and its seconds.

    sklearn weighs the sum of losses by C where we weigh their mean against the penalty: the same
    problem has C = 1 / (penalty N). LinearSVC also shrinks the intercept, the less the larger its
    scale, and stops early: both are set so that it solves the same problem.
    """
    scale = x.std(0)
    low, high = extremes(y, QUANTILE)
    z = ((x - x.mean(0)) / scale)[low | high]
    signs = torch.where(high[low | high], 1.0, -1.0).double()
    rows, classes = z.numpy(), signs.numpy()
    loss = F.softplus if method == "logistic" else squared_hinge

    def theirs(**settings: Any) -> "Tensor":
        if method == "svm":
            model = importlib.import_module("sklearn.svm").LinearSVC(**settings)
        else:
            linear = importlib.import_module("sklearn.linear_model")
            model = linear.LogisticRegression(**settings)
        return torch.from_numpy(model.fit(rows, classes).coef_[0])

    same = {"C": 1 / (PENALTY * len(z)), "class_weight": "balanced", "tol": 1e-6}
    if method == "svm":
        same["intercept_scaling"] = 100.0
    answers, least = in_turns(
        {
            "ours": lambda: separate(z, signs, loss, PENALTY),
            "the same problem": lambda: theirs(**same),
            "as it comes": lambda: theirs(max_iter=10_000),
        }
    )
    return {way: normal / scale for way, normal in answers.items()}, least


def components() -> None:
    """The first components: how far their span, and each of them, is from the exact one."""
    data = labelled(CODES, 4)[0].double()
    rows = data.numpy()
    decomposition = importlib.import_module("sklearn.decomposition")

    def theirs(kind: str, **settings: Any) -> "Tensor":
        model = getattr(decomposition, kind)(KEPT, **settings).fit(rows)
        return torch.from_numpy(model.components_.copy())

    answers, least = in_turns(
        {
            "ours": lambda: principal(data, KEPT).axes,
            "PCA, covariance_eigh": lambda: theirs("PCA", svd_solver="covariance_eigh"),
            "PCA, full": lambda: theirs("PCA", svd_solver="full"),
            "PCA, randomized": lambda: theirs("PCA", svd_solver="randomized", random_state=0),
            "IncrementalPCA": lambda: theirs("IncrementalPCA", batch_size=1000),
        }
    )
    exact = torch.linalg.svd(data - data.mean(0), full_matrices=False).Vh[:KEPT]
    for way, axes in answers.items():
        outside = axes - (axes @ exact.T) @ exact
        beside = axes - (axes * exact).sum(1, keepdim=True) * exact
        tell(
            "components",
            way=way,
            codes=CODES,
            components=KEPT,
            span_degrees=degrees(float(torch.linalg.matrix_norm(outside, 2))),
            axis_degrees=degrees(float(beside.norm(dim=1).max())),
            seconds=round(least[way], 3),
        )


def degrees(sine: float) -> float:
    """The angle of a sine, to three digits."""
    angle = torch.tensor(sine).double().clamp(max=1).asin().rad2deg()
    return float(f"{float(angle):.3g}")


def trees(codes: int, share: float) -> None:
    """DCI by our boosted trees and by sklearn's, of the same codes and the same halves of them."""
    w, factors = labelled(codes, 5)
    scores = factors[:, [PORTRAITS.factors.index(name) for name in TOLD]]
    answers, least = in_turns(
        {
            "ours": lambda: dci(w.double(), scores, share, our_trees),
            "GradientBoostingClassifier": lambda: dci(w.double(), scores, share, their_trees),
        }
    )
    for way, (apart, whole, right) in answers.items():
        tell(
            "trees",
            way=way,
            codes=codes,
            share=share,
            attributes=len(TOLD),
            disentanglement=round(apart, 4),
            completeness=round(whole, 4),
            informativeness=round(right, 4),
            seconds=round(least[way], 2),
        )


Learner = Callable[["Tensor", "Tensor", "Tensor"], tuple["Tensor", "Tensor"]]


def dci(
    codes: "Tensor", scores: "Tensor", share: float, learn: Learner
) -> tuple[float, float, float]:
    """Disentanglement, completeness and informativeness, the trees learned by `learn`."""
    ends, columns, right = int(len(codes) * share), [], []
    for score in scores.T:
        order = score.argsort()
        used = torch.cat([order[:ends], order[-ends:]])
        label = torch.arange(2 * ends) >= ends
        mixed = torch.randperm(2 * ends, generator=torch.Generator().manual_seed(0))
        first, rest = mixed[:ends], mixed[ends:]
        importance, told = learn(codes[used[first]], label[first], codes[used[rest]])
        columns.append(importance)
        right.append(float((told == label[rest]).double().mean()))
    apart, whole = scores_of(torch.stack(columns, 1))
    return apart, whole, sum(right) / len(right)


def our_trees(x: "Tensor", label: "Tensor", test: "Tensor") -> tuple["Tensor", "Tensor"]:
    """Importances, and what the test codes are taken for."""
    importance, decide = boosted_importance(x, label, trees=TREES, depth=DEPTH, rate=RATE)
    return importance, decide(test)


def their_trees(x: "Tensor", label: "Tensor", test: "Tensor") -> tuple["Tensor", "Tensor"]:
    """The same by scikit-learn."""
    ensemble = importlib.import_module("sklearn.ensemble")
    model = ensemble.GradientBoostingClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, random_state=0
    )
    model.fit(x.numpy(), label.numpy())
    importance = torch.from_numpy(model.feature_importances_).clamp(min=0)  # some are -1e-16
    return importance, torch.from_numpy(model.predict(test.numpy()))


def main() -> None:
    """Compare, if there is something to compare with."""
    if find_spec("sklearn") is None:
        tell("skipped", reason="scikit-learn cannot be imported")
        return
    torch.set_num_threads(1)
    importlib.import_module("threadpoolctl").threadpool_limits(1)
    tell("version", scikit_learn=importlib.import_module("sklearn").__version__)
    planes()
    components()
    trees(1000, 0.02)
    trees(1000, 0.25)


if __name__ == "__main__":
    main()
