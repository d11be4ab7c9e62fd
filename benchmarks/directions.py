"""Claim: directions are found from few labels, edits are quick, and conditions keep what they name.

On portraits-128, whose codes stand for known factors: the true direction of a factor is how codes
change with it while all others stay, from 40,000 codes. One JSON line per figure.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.runtime import import_torch

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

from models import companions  # noqa: E402  (torch comes first, with the allocator tuned)
from models.directions import StoredDirection, load_direction  # noqa: E402
from models.entanglement import examine, judge_by  # noqa: E402
from models.flow import Fitting, FlowConfig, fit_flow  # noqa: E402
from models.library import locate  # noqa: E402
from models.linear import Method, Readout, explain, fit_readout  # noqa: E402
from models.moves import move  # noqa: E402
from models.pool import network  # noqa: E402
from models.readings import draw_codes  # noqa: E402
from models.training.domains import PORTRAITS, factors_of, projection  # noqa: E402

METHODS: tuple[Method, ...] = (
    "regression",
    "mean_difference",
    "pair_difference",
    "ridge",
    "logistic",
    "svm",
)
NAMES = ("smile", "yaw", "hair_lightness", "glasses", "beard", "skin_tone")
MODEL = "portraits-128"


def tell(figure: str, **values: Any) -> None:
    """Print one figure."""
    print(json.dumps({"benchmark": f"directions.{figure}", **values}), flush=True)


def labelled(count: int, seed: int) -> tuple["Tensor", "Tensor"]:
    """Codes w [N, D] and their true factors [N, K]."""
    generator = network(MODEL)
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.config.z_dim, generator=random)
    basis = projection(len(PORTRAITS.factors), generator.config.z_dim).float()
    with torch.no_grad():
        return generator.mapping(z), factors_of(z, basis)


def others(factors: "Tensor", column: int) -> "Tensor":
    """All factors but one."""
    return factors[:, [k for k in range(factors.shape[1]) if k != column]]


def cosines(counts: list[int]) -> None:
    """How near learned directions are to the true ones, by method and number of labels."""
    w, factors = labelled(40_000, 1)
    x, y = w.double(), factors.double()
    true = {}
    for name in NAMES:
        k = PORTRAITS.factors.index(name)
        slope = explain(x, y[:, k], others(y, k))
        true[name] = slope / slope.norm()
    w, factors = labelled(max(counts), 2)
    for count in counts:
        for method in METHODS:
            found = []
            began = time.perf_counter()
            for name in NAMES:
                k = PORTRAITS.factors.index(name)
                held = others(factors[:count], k) if method == "regression" else None
                fit = fit_readout(w[:count], factors[:count, k], method, others=held)
                found.append(float(fit.direction @ true[name]))
            seconds = (time.perf_counter() - began) / len(NAMES)
            tell(
                "cosine",
                method=method,
                labels=count,
                mean=round(sum(found) / len(found), 4),
                least=round(min(found), 4),
                seconds_each=round(seconds, 2),
            )


def speed() -> None:
    """Edits of 100,000 codes, with a condition, per second."""
    folder = locate(MODEL, "generator").parent / "directions"
    smile, age = (load_direction(folder / f"{name}.safetensors") for name in ("smile", "age"))
    w, generator = draw_codes(network(MODEL), 1000, 3).repeat(100, 1), network(MODEL)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        move(generator, w, "w", [(smile, 1.0)], conditions=[age])
        times.append(time.perf_counter() - began)
    tell("edits", codes=len(w), per_second=round(len(w) / min(times)))


def conditions(count: int) -> None:
    """What edits drag along, without and with the conditions that the page suggests."""
    generator, net = network(MODEL), companions.features(MODEL)
    folder = locate(MODEL, "generator").parent / "directions"
    used = [load_direction(folder / f"{name}.safetensors") for name in (*NAMES, "age")]
    told = examine(generator, judge_by(generator, net), draw_codes(generator, count, 77), used, 2.0)
    for i, name in enumerate(told.names):
        held = [told.names.index(other) for other in told.suggested[i]]
        share = [float(abs(told.kept[i, j] / told.kept[i, i])) for j in held]
        tell(
            "conditions",
            direction=name,
            reached_at_2=round(float(told.change[i, i]), 3),
            leak=round(float(told.leak[i]), 4),
            leak_with=round(float(told.leak_kept[i]), 4),
            held=told.suggested[i],
            held_before=[round(float(abs(told.change[i, j] / told.change[i, i])), 3) for j in held],
            held_after=[round(x, 3) for x in share],
        )


def success(count: int) -> None:
    """How often an edit of 2 deviations brings a code across, and what a condition still lets by.

    Across: from one side of the middle of the attribute's range to the side that is meant, up and
    down. (Not of its median: most faces have no glasses, and their median lies among these.) The
    condition is the attribute that the edit, left alone, moves most; its leak is the mean move of
    that over the mean move of what is meant, in deviations.
    """
    generator, net = network(MODEL), companions.features(MODEL)
    folder = locate(MODEL, "generator").parent / "directions"
    judge = judge_by(generator, net)
    w = draw_codes(generator, count, 78)
    before = judge.read(w, "w")
    middle = before.quantile(before.new_tensor([0.02, 0.98]), dim=0).mean(0)
    for name in (*NAMES, "age"):
        k = judge.attributes.index(name)
        used = load_direction(folder / f"{name}.safetensors")

        def moved(*held: StoredDirection, used: StoredDirection = used) -> list["Tensor"]:
            ends = [move(generator, w, "w", [(used, x)], conditions=held)[0] for x in (2.0, -2.0)]
            return [judge.read(end, "w") for end in ends]

        up, down = moved()
        change = (up - down).mean(0) / judge.scale
        other = max((i for i in range(len(change)) if i != k), key=lambda i: abs(float(change[i])))
        held = load_direction(folder / f"{judge.attributes[other]}.safetensors")
        kept_up, kept_down = moved(held)
        kept = (kept_up - kept_down).mean(0) / judge.scale
        low, high = before[:, k] < middle[k], before[:, k] > middle[k]
        across = [
            (end[low, k] > middle[k], back[high, k] < middle[k])
            for end, back in ((up, down), (kept_up, kept_down))
        ]
        alone, with_it = (float(torch.cat(each).float().mean()) for each in across)
        tell(
            "success",
            direction=name,
            codes=count,
            across=round(alone, 4),
            across_with=round(with_it, 4),
            condition=judge.attributes[other],
            leak=round(abs(float(change[other] / change[k])), 4),
            leak_with=round(abs(float(kept[other] / kept[k])), 4),
        )


def flows(codes: int, count: int, steps: int) -> None:
    """What a step of one deviation drags along: by a flow, and straight, from the same labels."""
    generator, net = network(MODEL), companions.features(MODEL)
    judge = judge_by(generator, net)
    w, factors = labelled(codes, 5)
    config = FlowConfig("x", PORTRAITS.factors, w.shape[1])
    began = time.perf_counter()
    flow, gain = fit_flow(config, w, factors, Fitting(steps=steps))
    tell("flow", codes=codes, gain=round(gain, 3), seconds=round(time.perf_counter() - began, 1))
    test, has = labelled(count, 6)
    before = judge.read(test, "w")
    for name in NAMES:
        k = PORTRAITS.factors.index(name)
        goal = has.clone()
        goal[:, k] += factors[:, k].std()
        fit: Readout = fit_readout(w, factors[:, k], "regression", others=others(factors, k))
        step = StoredDirection(fit.direction.float(), fit.sigma, fit.offset, name, "w", "x")
        with torch.no_grad():
            ends = {
                "flow": flow.decode(flow.encode(test, has), goal),
                "straight": move(generator, test, "w", [(step, 1.0)])[0],
            }
        column = judge.attributes.index(name)
        rest = torch.arange(len(judge.attributes)) != column
        for way, end in ends.items():
            change = (judge.read(end, "w") - before) / judge.scale
            reached = float(change[:, column].mean())
            leak = float(change[:, rest].abs().mean()) / max(abs(reached), 1e-6)
            tell("edit", way=way, attribute=name, reached=round(reached, 3), leak=round(leak, 4))


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--edited", type=int, default=400, help="codes whose edits are counted")
    parser.add_argument("--flow-codes", type=int, default=10_000)
    parser.add_argument("--flow-steps", type=int, default=2000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    speed()
    cosines(asked.counts)
    conditions(asked.pictures)
    success(asked.edited)
    flows(asked.flow_codes, asked.pictures, asked.flow_steps)


if __name__ == "__main__":
    main()
