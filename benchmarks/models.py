"""Claim: what ships is worth using: pictures as varied as the renders, attributes that obey.

Measures the models of a domain on seeds that no training draws from, prints one JSON line per
figure and keeps all of them in `quality.json` beside the weights, where the model card finds them.
`--only` measures some sections again and leaves the others; sections for which a domain does not
ship the networks yet are skipped, and say so. Distances and R² are told without units, spreads of
noise in levels of 0..255, moves in standard deviations of the attribute over the model's pictures.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models.runtime import import_torch  # noqa: E402  (found once the root is on the path)

torch = import_torch()

from models import companions, load_generator  # noqa: E402  (torch comes first)
from models.codes import to_styles  # noqa: E402
from models.directions import StoredDirection, load_direction  # noqa: E402
from models.disentanglement import path_lengths, separability, trimmed_mean  # noqa: E402
from models.distributions import (  # noqa: E402
    auc,
    frechet_distance,
    ks_against_clipped_uniform,
    ks_distance,
    r_squared,
)
from models.encoder import encode  # noqa: E402
from models.inversion import Recipe, descend  # noqa: E402
from models.library import BUILTIN  # noqa: E402
from models.metrics import psnr  # noqa: E402
from models.moves import move  # noqa: E402
from models.perceptual import Look, look, perceptual_distance  # noqa: E402
from models.readings import dependency  # noqa: E402
from models.training import features  # noqa: E402
from models.training.domains import domain, factors_of, projection  # noqa: E402
from models.training.generator import draw_pairs  # noqa: E402
from models.training.loop import draw_scene  # noqa: E402
from models.training.measured import NEEDS, files_of, missing, save_figures  # noqa: E402
from models.tuning import Tuning, tune  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

Figures = dict[str, Any]
SEED = 20_260_000  # far from every seed that trains, validates or draws a sheet
BATCH = 32
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
#: A factor that turns from unseen to fully seen within this span is a yes or no.
ABRUPT = 0.1
#: Readings that fall back by less than this many deviations have reached their end, not turned.
STEADY = 0.05
#: Levels by which renders vary with noise: in a texture at least, on an outline at most.
TEXTURED, STILL = 1.0, 0.5
#: Renders whose noise maps are sought, where a domain lays its pictures out by noise.
LAYOUTS = 8
#: How near to a value that many pictures share a reading still counts as that value.
MARGIN = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Pictures as the feature network saw them.

    Shapes: codes [N, D], the w of generated pictures or the factors of renders; apart [M], the
    perceptual distance between strangers.
    """

    codes: "Tensor"
    look: Look
    apart: "Tensor"


class Bench:
    """The networks of a model, what has been drawn so far, and how figures are told."""

    def __init__(self, name: str, asked: argparse.Namespace) -> None:
        self.asked, self.subject = asked, domain(name)
        self.model = f"{name}-{self.subject.generator.resolution}"
        self.folder = BUILTIN / self.model
        self.generator = load_generator(self.model).requires_grad_(requires_grad=False)
        eager = self.subject.render
        self.render = eager if asked.eager else torch.compile(eager, dynamic=False)

    @cached_property
    def net(self) -> companions.FeatureNet:
        """The feature network."""
        return companions.load_features(self.model).requires_grad_(requires_grad=False)

    def tell(self, figure: str, **values: Any) -> None:
        """Print one line."""
        line = {"benchmark": f"models.{figure}", "model": self.model, **values}
        print(json.dumps(line), flush=True)

    def random(self, purpose: int) -> "torch.Generator":
        """A stream of random numbers of its own for each purpose."""
        return torch.Generator().manual_seed(SEED + purpose)

    def batches(self) -> Iterator[int]:
        """How many pictures to draw at a time, until there are as many as asked for."""
        yield from (BATCH for _ in range(-(-self.asked.count // BATCH)))

    def noise(self, items: int, random: "torch.Generator") -> list["Tensor"]:
        """Fresh noise inputs."""
        sides = [layer.resolution for layer in self.generator.layers if layer.noise is not None]
        return [torch.randn(items, 1, side, side, generator=random) for side in sides]

    def draw(self, styles: "Tensor", noise: Any = "const") -> "Tensor":
        """The pictures of styles, in half the precision, which moves attributes by 0.001."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.generator.synthesize_styles(styles, noise).float().clamp(-1, 1)

    def seen(self, drawn: Iterator[tuple["Tensor", "Tensor"]]) -> Seen:
        """What the feature network sees in batches of (codes, pictures)."""
        codes, looks, apart = [], [], []
        for code, picture in drawn:
            image = picture.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                looks.append(look(self.net, image))
            codes.append(code)
            if len(apart) * BATCH < self.asked.pairs:
                apart.append(perceptual_distance(self.net, image, image.roll(1, 0)))
        columns = ([getattr(x, n) for x in looks] for n in ("attributes", "summary", "means"))
        return Seen(torch.cat(codes), Look(*map(torch.cat, columns)), torch.cat(apart))

    @cached_property
    def samples(self) -> Seen:
        """Pictures of random codes, with fresh noise each."""

        def drawn() -> Iterator[tuple["Tensor", "Tensor"]]:
            random = self.random(1)
            for items in self.batches():
                z = torch.randn(items, self.generator.config.z_dim, generator=random)
                w = self.generator.mapping(z)
                styles = self.generator.styles(self.generator.broadcast(w))
                yield w, self.draw(styles, self.noise(items, random))

        return self.seen(drawn())

    def some_renders(self, purpose: int) -> Seen:
        """Renders of uniform factors."""

        def drawn() -> Iterator[tuple["Tensor", "Tensor"]]:
            random, device = self.random(purpose), torch.device("cpu")
            for items in self.batches():
                scene = features.draw(self.subject, items, random, device, self.render)
                yield self.subject.visible_factors(scene.factors), scene.image

        return self.seen(drawn())

    @cached_property
    def renders(self) -> Seen:
        """The renders that others are compared with."""
        return self.some_renders(2)

    @property
    def spans(self) -> tuple["Tensor", "Tensor"]:
        """From where to where each factor can be seen, [K] and [K]."""
        each = [self.subject.visible.get(name, (0.0, 1.0)) for name in self.subject.factors]
        low, high = torch.tensor(each).T
        return low, high


def by_name(names: tuple[str, ...], values: "Tensor", digits: int = 4) -> dict[str, float]:
    """Figures per factor."""
    return {name: round(float(v), digits) for name, v in zip(names, values, strict=True)}


def speed(bench: Bench) -> Figures:
    """Pictures per second: renders, generated pictures, readings."""
    random, device = bench.random(3), torch.device("cpu")

    def rendered() -> None:
        features.draw(bench.subject, BATCH, random, device, bench.render)

    styles = bench.generator.styles(
        bench.generator.broadcast(bench.generator.w_avg.expand(BATCH, -1))
    )
    rates = {
        "renders_per_s": rate(rendered),
        "pictures_per_s": rate(lambda: bench.generator.synthesize_styles(styles)),
        "pictures_per_s_bfloat16": rate(lambda: bench.draw(styles)),
    }
    if not missing(bench.folder, "reading"):
        image = bench.draw(styles)
        rates["readings_per_s"] = rate(lambda: look(bench.net, image))
    return {"compiled": not bench.asked.eager, **rates}


def rate(work: Callable[[], object], turns: int = 8) -> float:
    """Pictures per second of a batch: the fastest of some turns, after one to warm up."""
    best = float("inf")
    for turn in range(turns + 1):
        began = time.perf_counter()
        work()
        if turn:
            best = min(best, time.perf_counter() - began)
    return round(BATCH / best, 1)


def reading(bench: Bench) -> Figures:
    """How well attributes of held-out renders are read."""
    truth, read = bench.renders.codes, bench.renders.look.attributes
    names, (low, high) = bench.subject.factors, bench.spans
    yes = torch.where(low > 0, truth > 0, truth > 0.5)
    explained, area = r_squared(read, truth), auc(read, yes)
    binary = high - low < ABRUPT
    known = ks_against_clipped_uniform(read, low, high, MARGIN)
    worst = {"r2_mean": explained[~binary].mean(), "r2_least": explained[~binary].min()}
    if bool(binary.any()):
        worst["binary_auc_least"] = area[binary].min()
    return {
        "renders": len(read),
        **{key: round(float(value), 4) for key, value in worst.items()},
        "binary": [name for name, is_so in zip(names, binary, strict=True) if is_so],
        "r2": by_name(names, explained),
        "auc": by_name(names, area),
        "ks_known": by_name(names, known),
    }


def samples(bench: Bench) -> Figures:
    """Whether generated pictures are spread as renders are."""
    made, true, again = bench.samples, bench.renders, bench.some_renders(4)
    names = bench.subject.factors
    ks = ks_distance(made.look.attributes, true.look.attributes)
    known = ks_against_clipped_uniform(made.look.attributes, *bench.spans, MARGIN)
    figures: Figures = {
        "pictures": len(made.codes),
        "ks_worst": round(float(ks.max()), 4),
        "ks_mean": round(float(ks.mean()), 4),
        "ks_known_worst": round(float(known.max()), 4),
    }
    for space in ("summary", "means"):
        a, b, c = (getattr(seen.look, space) for seen in (made, true, again))
        distance, floor = frechet_distance(a, b), frechet_distance(c, b)
        figures[f"frechet_{space}"] = {
            "generated": round(distance, 5),
            "floor": round(floor, 5),
            "ratio": round(distance / max(floor, 1e-12), 2),
        }
    return figures | {
        "strangers": round(float(made.apart.mean()), 4),
        "strangers_renders": round(float(true.apart.mean()), 4),
        "variety": round(float(made.apart.mean() / true.apart.mean()), 4),
        "ks": by_name(names, ks),
        "ks_known": by_name(names, known),
    }


def directions(bench: Bench) -> Figures:
    """What every direction of w does to its attribute, and to the others, at two deviations."""
    return moves(bench, "directions")


def channels(bench: Bench) -> Figures:
    """The same for every direction that is a few style channels."""
    return moves(bench, "channels")


def moves(bench: Bench, kind: str) -> Figures:
    """What all directions of one kind do, each and together."""
    random, width = bench.random(5), bench.generator.config.z_dim
    w = bench.generator.mapping(torch.randn(bench.asked.codes, width, generator=random))
    many = bench.generator.mapping(torch.randn(1024, width, generator=random))
    deviation = scores(bench, many, "w").std(0).clamp(min=1e-6)
    each = {}
    for path in files_of(bench.folder, kind):
        each[path.stem] = one_direction(bench, load_direction(path), w, deviation)
        shown = {k: v for k, v in each[path.stem].items() if k != "moves"}
        bench.tell(kind, direction=path.stem, **shown)
    moved = [one["moved"] for one in each.values()]
    dependency = [one["dependency"] for one in each.values()]
    return {
        "codes": len(w),
        "directions": len(each),
        "monotone": sum(one["monotone"] for one in each.values()),
        "moved_least": min(moved),
        "moved_mean": round(sum(moved) / len(moved), 4),
        "dependency_mean": round(sum(dependency) / len(dependency), 4),
        "dependency_worst": max(dependency),
        "each": each,
    }


def scores(bench: Bench, codes: "Tensor", space: Any) -> "Tensor":
    """The attributes of the pictures of codes, [N, K]."""
    parts = torch.split(to_styles(bench.generator, codes, space), BATCH)
    return bench.seen((part, bench.draw(part)) for part in parts).look.attributes


def one_direction(
    bench: Bench, direction: StoredDirection, w: "Tensor", deviation: "Tensor"
) -> Figures:
    """One direction: its curve, and the change of everything at both ends."""
    name = json.loads(direction.card)["attribute"]
    column = bench.net.attributes.index(name)
    moved = [move(bench.generator, w, "w", [(direction, strength)]) for strength in STRENGTHS]
    read = torch.stack([scores(bench, *codes) for codes in moved])
    curve = (read[:, :, column].mean(1) - read[2, :, column].mean()) / deviation[column]
    ends = [dependency(read[2], read[k], deviation, column).mean for k in (0, -1)]
    leak = sum(ends) / 2
    own = float((read[[0, -1]] - read[2])[:, :, column].abs().mean() / deviation[column])
    rising = (read[:, :, column].diff(dim=0) >= -STEADY * deviation[column]).all(0)
    changes = (read[-1] - read[0]).mean(0) / deviation
    others = {n: v for n, v in by_name(bench.net.attributes, changes, 3).items() if n != name}
    return {
        "curve": [round(float(value), 3) for value in curve],
        "monotone": bool((curve.diff() > -STEADY).all()),
        "monotone_share": round(float(rising.float().mean()), 3),
        "moved": round(float(curve[-1] - curve[0]), 3),
        "dependency": round(leak, 4),
        "dependency_per_move": round(leak / max(own, 1e-6), 4),
        "leaks_most": sorted(others, key=lambda other: -abs(others[other]))[:3],
        "moves": others | {name: round(float(changes[column]), 3)},
    }


def inversion(bench: Bench) -> Figures:
    """How near encoder and descent come to held-out renders and to generated pictures."""
    encoder = companions.load_encoder(bench.model)
    random, device = bench.random(6), torch.device("cpu")
    count = bench.asked.inversions
    scene = features.draw(bench.subject, count, random, device, bench.subject.render)
    z = torch.randn(max(1, count // 2), bench.generator.config.z_dim, generator=random)
    targets = {"renders": scene.image, "generated": bench.generator(z).clamp(-1, 1)}
    figures: Figures = {"steps": bench.asked.steps}
    for kind, target in targets.items():
        began = time.perf_counter()
        start = encode(encoder, target)
        read = time.perf_counter() - began
        drawn = bench.generator.synthesize(start).clamp(-1, 1)
        began = time.perf_counter()
        found = descend(bench.generator, bench.net, target, start, Recipe(steps=bench.asked.steps))
        taken = time.perf_counter() - began
        figures[kind] = {
            "pictures": len(target),
            "encoder_db": round(float(psnr(drawn, target).mean()), 2),
            "hybrid_db": round(float(psnr(found.picture, target).mean()), 2),
            "hybrid_least_db": round(float(psnr(found.picture, target).min()), 2),
            "encoder_s": round(read / len(target), 4),
            "hybrid_s": round(taken / len(target), 2),
        }
        if kind == "renders" and bench.subject.layout_noise:
            figures["layout"] = layout_found(bench, target[:LAYOUTS], found.data[:LAYOUTS])
    return figures


def layout_found(bench: Bench, target: "Tensor", codes: "Tensor") -> Figures:
    """How near pictures come once their noise maps are sought too, from the codes w_plus found."""
    styles = to_styles(bench.generator, codes, "w_plus")
    tuning = Tuning(steps=bench.asked.steps, what="noise", locality=0.0, stop_psnr=math.inf)
    began = time.perf_counter()
    each = [
        tune(bench.generator, bench.net, style[None], picture[None], tuning).after
        for style, picture in zip(styles, target, strict=True)
    ]
    return {
        "pictures": len(each),
        "tuned_db": round(sum(each) / len(each), 2),
        "tuned_s": round((time.perf_counter() - began) / len(each), 2),
    }


def noise(bench: Bench) -> Figures:
    """Where noise changes pictures: in textures, not on outlines; and where it changes renders."""
    subject, random, draws = bench.subject, bench.random(7), bench.asked.draws
    z, fixed, scene = draw_pairs(
        bench.generator, subject, bench.asked.noisy, 128, random, subject.render
    )
    sides = [layer.resolution for layer in bench.generator.layers if layer.noise is not None]
    basis = projection(len(subject.factors), bench.generator.config.z_dim)
    factors = factors_of(z, basis)
    styles = bench.generator.styles(bench.generator.broadcast(bench.generator.mapping(z)))
    made, true = [], []
    for i in range(len(z)):
        fresh = [
            field[i : i + 1].expand(draws, -1, -1, -1)
            if side in subject.layout_sides  # where things stand is kept
            else torch.randn(draws, 1, side, side, generator=random)
            for side, field in zip(sides, fixed, strict=True)
        ]
        made.append(spread_of(bench.draw(styles[i : i + 1].expand(draws, -1), fresh)))
        # Laid out as in every other section: a compiled renderer minds strides.
        shown = [fresh[sides.index(side)].contiguous() for side in subject.sides]
        many = factors[i : i + 1].repeat(draws, 1)
        true.append(spread_of(draw_scene(many, shown, 128, bench.render).image))
    return noise_figures(subject.parts, scene.masks, torch.stack(made), torch.stack(true))


def spread_of(pictures: "Tensor") -> "Tensor":
    """How far each pixel [H, W] varies over draws [N, 3, H, W], in levels of 0..255."""
    return pictures.std(0).mean(0) * 127.5


def noise_figures(
    parts: tuple[str, ...], masks: "Tensor", made: "Tensor", true: "Tensor"
) -> Figures:
    """Spreads by part and on outlines, with those of the renders beside them."""
    places = {part: masks[:, k] > 0.98 for k, part in enumerate(parts)}
    each = {}
    for part, place in places.items():
        if int(place.sum()) >= 100:
            each[part] = {
                "generated": round(float(made[place].mean()), 3),
                "renders": round(float(true[place].mean()), 3),
            }
    textured = {part for part, spread in each.items() if spread["renders"] >= TEXTURED}
    inside = torch.stack([places[part] for part in parts if part in textured]).any(0)
    # Hair ends in strands, which noise draws: only what keeps its place in renders is an outline.
    line = (masks.amax(1) < 0.7) & (true < STILL)
    together = torch.stack([made.flatten(), true.flatten()])
    return {
        "pictures": len(made),
        "textured": sorted(textured),
        "in_textures": round(float(made[inside].mean()), 3),
        "in_textures_renders": round(float(true[inside].mean()), 3),
        "on_outlines": round(float(made[line].mean()), 3),
        "on_outlines_renders": round(float(true[line].mean()), 3),
        "correlation_with_renders": round(float(torch.corrcoef(together)[0, 1]), 4),
        "parts": each,
    }


def path_length(bench: Bench) -> Figures:
    """Perceptual path length at the ends of straight paths in W."""
    random, generator = bench.random(8), bench.generator
    lengths = []

    def distance(a: "Tensor", b: "Tensor") -> "Tensor":
        return perceptual_distance(bench.net, a, b)

    for _ in range(-(-bench.asked.paths // BATCH)):
        z = torch.randn(2 * BATCH, generator.config.z_dim, generator=random)
        start, end = generator.mapping(z).chunk(2)
        fields = bench.noise(BATCH, random)

        def draw(w: "Tensor", fields: list["Tensor"] = fields) -> "Tensor":
            return generator.synthesize(generator.broadcast(w), fields)

        lengths.append(path_lengths(draw, distance, start, end))
    found = torch.cat(lengths)
    return {
        "paths": len(found),
        "ppl_w_end": round(trimmed_mean(found), 3),
        "median": round(float(found.median()), 3),
    }


def separation(bench: Bench) -> Figures:
    """How well planes in W tell attributes."""
    found = separability(bench.samples.codes, bench.samples.look.attributes)
    names = bench.subject.factors
    return {
        "pictures": len(bench.samples.codes),
        "score_w": round(found.score, 3),
        "entropies": by_name(names, found.entropies),
    }


SECTIONS: dict[str, Callable[[Bench], Figures]] = {
    "speed": speed,
    "reading": reading,
    "samples": samples,
    "directions": directions,
    "channels": channels,
    "inversion": inversion,
    "noise": noise,
    "path_length": path_length,
    "separability": separation,
}


def measure(bench: Bench, section: str) -> None:
    """Run one section, tell its figures and keep them."""
    lacking = missing(bench.folder, section)
    if lacking:
        bench.tell(section, skipped=f"no {', '.join(lacking)} yet")
        return
    began = time.perf_counter()
    with torch.no_grad():
        figures = SECTIONS[section](bench)
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
    }
    figures |= {"seconds": round(time.perf_counter() - began, 1), "machine": machine}
    bench.tell(section, **{k: v for k, v in figures.items() if k != "each"})
    if not bench.asked.dry:
        save_figures(bench.folder, section, figures)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = ("portraits", "landscapes")
    parser.add_argument(
        "domains", nargs="*", default=names, metavar="DOMAIN", help=" or ".join(names)
    )
    parser.add_argument("--only", nargs="+", choices=list(NEEDS), default=list(NEEDS))
    parser.add_argument("--count", type=int, default=10_000, help="generated pictures, and renders")
    parser.add_argument("--pairs", type=int, default=2_000, help="pairs of strangers")
    parser.add_argument("--codes", type=int, default=64, help="codes moved by every direction")
    parser.add_argument(
        "--inversions", type=int, default=32, help="renders; half as many generated"
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--noisy", type=int, default=16, help="pictures drawn with many noises")
    parser.add_argument("--draws", type=int, default=32, help="noises for each of them")
    parser.add_argument("--paths", type=int, default=2_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eager", action="store_true", help="do not compile the renderer")
    parser.add_argument("--dry", action="store_true", help="print only, leave quality.json")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for name in asked.domains:
        bench = Bench(name, asked)
        for section in asked.only:
            measure(bench, section)


if __name__ == "__main__":
    main()
