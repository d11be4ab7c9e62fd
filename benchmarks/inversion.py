"""Claim: a Gaussian prior on styles buys editable codes at little cost in fidelity.

Four questions, one JSON line per figure. "gaussianity": how far S, W and v (w unfolded) are from
Gaussian, channel by channel. "priors": held-out renders inverted under each prior and weight: how
near the pictures come, how much of what an edit does to the model's own codes ("own") it still
does to the attribute it means, and how far it moves the others by comparison. "batch": do items
that are drawn together agree with single ones. "tuning": photos (or renders) before and after
pivotal tuning, by rank.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.runtime import import_torch

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

from models import companions, load_generator  # noqa: E402  (torch comes first)
from models.directions import load_direction  # noqa: E402
from models.distributions import ks_against_normal  # noqa: E402
from models.encoder import encode  # noqa: E402
from models.inversion import Recipe, descend, start_code  # noqa: E402
from models.library import locate  # noqa: E402
from models.metrics import psnr  # noqa: E402
from models.moves import move  # noqa: E402
from models.perceptual import score_attributes  # noqa: E402
from models.priors import Prior, distance_from, sample_w, unfold  # noqa: E402
from models.readings import dependency, read_codes, spreads  # noqa: E402
from models.scenes.portraits import render  # noqa: E402
from models.training.domains import domain, factors_of, projection  # noqa: E402
from models.tuning import Tuning, tune  # noqa: E402

PRIORS: tuple[Prior, ...] = ("none", "w_gaussian", "style_gaussian")


class Bench:
    """The networks, the targets and how figures are told."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        device = asked.device
        self.generator = load_generator(asked.model, device)
        self.net = companions.features(asked.model, device)
        self.encoder = companions.encoder(asked.model, device)
        folder = locate(asked.model, "generator").parent / "directions"
        self.directions = [load_direction(folder / f"{n}.safetensors") for n in asked.attributes]
        self.target = renders(self, asked.count, asked.seed).to(device)
        # What one standard deviation of each attribute is, over the model's own pictures.
        self.unit = spreads(self.generator, self.net, seed=3)

    def tell(self, figure: str, **values: object) -> None:
        """One line of JSON."""
        line = {"benchmark": f"inversion.{figure}", "model": self.asked.model, **values}
        print(json.dumps(line | {"threads": torch.get_num_threads()}), flush=True)

    def scores(self, codes: "Tensor") -> "Tensor":
        """What the feature network reads in the pictures of w_plus codes, [N, K]."""
        return read_codes(self.generator, self.net, codes, "w_plus")

    def starts(self, target: "Tensor") -> "Tensor":
        """The encoder's codes."""
        with torch.no_grad():
            return encode(self.encoder, target)


def renders(bench: Bench, count: int, seed: int) -> "Tensor":
    """Renders that no training has seen: their seed is not one of its."""
    subject = domain("portraits")
    draw = torch.Generator().manual_seed(seed)
    basis = projection(len(subject.factors), bench.generator.config.z_dim)
    factors = factors_of(torch.randn(count, bench.generator.config.z_dim, generator=draw), basis)
    coarse, fine = (torch.randn(count, 1, side, side, generator=draw) for side in (64, 128))
    return render(factors, coarse, fine, bench.generator.resolution).image


def gaussianity(bench: Bench) -> None:
    """Which space is Gaussian, over 10,000 codes."""
    w = sample_w(bench.generator, bench.asked.samples, seed=1)
    with torch.no_grad():
        styles = torch.cat(
            [bench.generator.styles(bench.generator.broadcast(p)) for p in torch.split(w, 2000)]
        )
    for name, x in (("W", w), ("v", unfold(w)), ("S", styles)):
        distance, z = ks_against_normal(x), (x - x.mean(0)) / x.std(0).clamp(min=1e-8)
        bench.tell(
            "gaussianity",
            space=name,
            samples=len(x),
            channels=x.shape[1],
            ks_mean=round(float(distance.mean()), 4),
            ks_worst=round(float(distance.max()), 4),
            share_not_rejected_at_1_percent=round(
                float((distance < 1.63 / math.sqrt(len(x))).double().mean()), 4
            ),
            skew=round(float(z.pow(3).mean(0).abs().mean()), 4),
            excess_kurtosis=round(float((z.pow(4).mean(0) - 3).abs().mean()), 4),
        )


def edit_quality(bench: Bench, codes: "Tensor") -> dict[str, float]:
    """What edits of one deviation do, over all directions.

    `attribute_change`: to the attribute they mean, in its deviations. `others_moved`: to all
    others, the attribute dependency. `dependency`: the second over the first.
    """
    before = bench.scores(codes)
    rows = []
    for direction in bench.directions:
        with torch.no_grad():
            moved, _ = move(bench.generator, codes, "w_plus", [(direction, 1.0)])
        column = bench.net.attributes.index(direction.name)
        seen = dependency(before, bench.scores(moved), bench.unit, column)
        rows.append((seen.reached, seen.mean))
    wanted, others = (sum(side) / len(rows) for side in zip(*rows, strict=True))
    return {
        "attribute_change": round(wanted, 4),
        "others_moved": round(others, 4),
        "dependency": round(others / max(1e-6, abs(wanted)), 4),
    }


def priors(bench: Bench) -> None:
    """Fidelity against edit quality, for each prior and weight, beside the model's own codes."""
    generator, count = bench.generator, len(bench.target)
    yardstick = distance_from(generator, "style_gaussian", "w_plus")

    def apart(codes: "Tensor") -> float:
        with torch.no_grad():
            return round(float(yardstick(codes, generator.styles(codes)).mean()), 4)

    own = generator.broadcast(sample_w(generator, count, seed=2))
    best = edit_quality(bench, own)
    bench.tell("own", codes=count, style_distance=apart(own), **best)
    start = start_code(generator, bench.starts(bench.target), "w_plus")
    for prior in bench.asked.priors:
        for weight in bench.asked.weights if prior != "none" else [0.0]:
            recipe = Recipe(steps=bench.asked.steps, prior=prior, prior_weight=weight)
            begun = time.process_time()
            found = descend(generator, bench.net, bench.target, start, recipe)
            seconds = time.process_time() - begun
            quality = edit_quality(bench, found.data)
            bench.tell(
                "priors",
                prior=prior,
                weight=weight,
                renders=count,
                steps=bench.asked.steps,
                psnr=round(float(psnr(found.picture, bench.target).mean()), 3),
                style_distance=apart(found.data),
                kept=round(quality["attribute_change"] / best["attribute_change"], 4),
                cpu_seconds_per_item=round(seconds / count, 2),
                **quality,
            )


def batch(bench: Bench) -> None:
    """How far items drawn together come from single ones, and what each way costs."""
    start = start_code(bench.generator, bench.starts(bench.target), "w_plus")
    recipe = Recipe(steps=bench.asked.steps)
    found = {}
    for together in (1, len(bench.target)):
        begun = time.perf_counter()
        found[together] = descend(
            bench.generator, bench.net, bench.target, start, recipe, together=together
        )
        bench.tell(
            "batch",
            together=together,
            seconds=round(time.perf_counter() - begun, 2),
            steps_taken=found[together].steps.tolist(),
        )
    apart = (found[1].data - found[len(bench.target)].data).abs().max()
    bench.tell("batch", largest_difference_of_codes=float(apart))


def tuning(bench: Bench) -> None:
    """Fidelity, size, drift, and whether edits do to the tuned picture what they did before."""
    from models.deltas import apply, unpack

    start = bench.starts(bench.target)
    recipe = Recipe(steps=bench.asked.steps, prior_weight=2.0)
    pivots = descend(bench.generator, bench.net, bench.target, start, recipe).data
    for rank in bench.asked.ranks:
        settings = Tuning(steps=bench.asked.tuning_steps, rank=rank)
        rows = []
        for pivot, target in zip(torch.split(pivots, 1), torch.split(bench.target, 1), strict=True):
            begun = time.perf_counter()
            styles = bench.generator.styles(pivot)
            found = tune(bench.generator, bench.net, styles, target, settings)
            seconds = time.perf_counter() - begun
            tuned = apply(bench.generator, unpack(found.packed))
            size = float(len(found.packed))
            likeness = _alike(bench, tuned.synthesize, pivot)
            rows.append((found.before, found.after, found.drift, size, likeness, seconds))
        names = ("untuned_psnr", "psnr", "drift", "bytes", "edit_cosine", "seconds")
        means = [round(sum(column) / len(rows), 4) for column in zip(*rows, strict=True)]
        bench.tell("tuning", rank=rank, items=len(rows), **dict(zip(names, means, strict=True)))


def _alike(bench: Bench, draw: Callable[["Tensor"], "Tensor"], pivot: "Tensor") -> float:
    """The mean cosine of what edits do to the attributes, before and after tuning."""
    cosines = []
    with torch.no_grad():
        for direction in bench.directions:
            moved, _ = move(bench.generator, pivot, "w_plus", [(direction, 1.0)])
            changes = [
                (score_attributes(bench.net, d(moved)) - score_attributes(bench.net, d(pivot)))
                / bench.unit
                for d in (bench.generator.synthesize, draw)
            ]
            cosines.append(float(torch.cosine_similarity(*changes)))
    return sum(cosines) / len(cosines)


PARTS: dict[str, Callable[[Bench], None]] = {
    "gaussianity": gaussianity,
    "priors": priors,
    "batch": batch,
    "tuning": tuning,
}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--model", default="portraits-128")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=200, help="held-out renders")
    parser.add_argument("--samples", type=int, default=10_000, help="codes for gaussianity")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--tuning-steps", type=int, default=200)
    parser.add_argument("--ranks", type=int, nargs="+", default=[4, 16, 0])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.1, 1.0, 10.0])
    known = [*PRIORS, "distance"]
    parser.add_argument("--priors", nargs="+", choices=known, default=list(PRIORS))
    parser.add_argument("--attributes", nargs="+", default=["smile", "yaw", "hair_lightness"])
    parser.add_argument("--seed", type=int, default=987_654)
    asked = parser.parse_args()
    bench = Bench(asked)
    for part in asked.parts:
        PARTS[part](bench)


if __name__ == "__main__":
    main()
