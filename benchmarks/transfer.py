"""Claim: attribute transfer changes less elsewhere than older methods that bring as much of it.

Pairs of drawn portraits whose heads are turned up to 20 degrees apart. A code's factors are known,
and so is its scene: where a part truly is (the masks of the renderer), and what a perfect transfer
looks like (the generator's picture of the target's factors with the part's taken from the
reference). Every method, with and without bringing the reference to the target's pose, is swept
from weak to strong. One JSON line per point of a curve: `accuracy` is the share of the way to the
perfect picture inside the mask (of the squared error in CIELAB), `outside` the root mean square
change beyond the mask, in levels of 0..255; `edge` how steep the picture is where the mask fades
out, over the perfect one: a paste that can be seen is well above 1. Then, at equal accuracy, one
line per method with its squared error over that of transfer as published.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models.runtime import import_torch  # noqa: E402  (found once the root is on the path)

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

from models import companions, load_generator  # noqa: E402  (torch comes first)
from models.alphas import constant, from_mask, up_to, within  # noqa: E402
from models.blend import Branch, draw_blend  # noqa: E402
from models.canvas import fixed_field  # noqa: E402
from models.collage import draw_collage  # noqa: E402
from models.directions import load_direction  # noqa: E402
from models.library import locate  # noqa: E402
from models.masks import confined, feathered, grown  # noqa: E402
from models.metrics import lab  # noqa: E402
from models.parts import channel_shares, contributions  # noqa: E402
from models.perceptual import score_attributes  # noqa: E402
from models.pose import pose_layers, turn, with_layers  # noqa: E402
from models.scenes.canvas import Scene  # noqa: E402
from models.scenes.portraits import render  # noqa: E402
from models.training.domains import domain, projection  # noqa: E402

#: What is transferred, and the factors that make it up.
PARTS = {
    "mouth": ("smile", "mouth_open", "lip_colour"),
    "eyes": ("eye_size", "eye_colour", "gaze"),
    "hair": (
        *("hair_lightness", "hair_warmth", "hair_length", "hair_volume", "fringe", "parting"),
    ),
}
#: The renderer turns heads by up to 0.58 radians both ways.
HALF_TURN = math.degrees(0.58)
ALIGNMENTS = ("none", "style", "directions")
STRENGTHS = (0.4, 0.7, 1.0)
#: Leak budgets of Collins et al.; theirs for portraits are 30 to 50.
BUDGETS = (3.0, 10.0, 30.0, 100.0)
FEATHER_PX, BATCH = 4, 10
#: How far outside the mask a protected transfer may change pixels: as the op does, less, none.
MARGINS_PX = (5, 2, 0)
PUBLISHED = "transfer to 32.conv1", "style"


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """A batch of one part: codes w, the perfect picture and where the part truly is.

    Shapes: target, reference [N, D], ideal [N, 3, R, R] in CIELAB, mask [N, 1, R, R].
    """

    target: "Tensor"
    reference: "Tensor"
    ideal: "Tensor"
    mask: "Tensor"


@dataclass(slots=True)
class Curve:
    """One method's figures, per strength and pair.

    Errors inside (to the perfect picture) and outside, and the steepness of the mask's edge.
    """

    strengths: list[float]
    inside: list[list[float]]
    outside: list[list[float]]
    edge: list[list[float]]


class Bench:
    """The networks, the scenes behind codes, and how figures are told."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.generator = load_generator(asked.model, asked.device).requires_grad_(False)
        self.net = companions.features(asked.model, asked.device)
        folder = locate(asked.model, "generator").parent / "directions"
        self.turning = [load_direction(folder / f"{name}.safetensors") for name in ("yaw", "pitch")]
        self.subject = domain("portraits")
        self.basis = projection(len(self.subject.factors), self.generator.config.z_dim)
        self.random = torch.Generator().manual_seed(asked.seed)

    def tell(self, figure: str, **values: object) -> None:
        """One line of JSON."""
        line = {"benchmark": f"transfer.{figure}", "model": self.asked.model, **values}
        print(json.dumps(line), flush=True)

    def column(self, factor: str) -> int:
        """The place of a factor."""
        return self.subject.factors.index(factor)

    def factors(self, count: int) -> "Tensor":
        """Random factors, 0..1."""
        return torch.rand(count, len(self.subject.factors), generator=self.random)

    def w_of(self, factors: "Tensor", rest: "Tensor") -> "Tensor":
        """Codes w of factors; `rest` [N, Z] fills what of z no factor is read from."""
        amounts = torch.special.ndtri(factors.clamp(0.005, 0.995))
        rest = rest - rest @ self.basis.T @ self.basis
        left = (rest.shape[1] - amounts.square().sum(1, keepdim=True)).clamp(min=1).sqrt()
        z = amounts @ self.basis + rest * left / rest.norm(dim=1, keepdim=True)
        return self.generator.mapping(z.to(self.asked.device))

    def styles(self, w: "Tensor") -> "Tensor":
        """Style vectors of codes."""
        return self.generator.styles(self.generator.broadcast(w))

    def scene(self, factors: "Tensor") -> Scene:
        """What codes of these factors stand for, with the generator's own fixed noise."""
        fields = []
        for side in self.subject.sides:
            module = self.generator.convs[f"b{side}_conv0"]
            field = module.get_buffer("noise_const").reshape(1, 1, side, side).cpu()
            fields.append(field.expand(len(factors), -1, -1, -1))
        return render(factors, fields[0], fields[1], self.generator.resolution)

    def mask(self, factors: "Tensor", part: str) -> "Tensor":
        """Where a part is, [N, 1, R, R]."""
        number = self.subject.parts.index(part)
        return self.scene(factors).masks[:, number : number + 1].to(self.asked.device)


def draw_batches(bench: Bench, part: str) -> Iterator[Pairs]:
    """Random pairs, the second person's head turned up to 20 degrees away from the first's."""
    reach = bench.asked.degrees / HALF_TURN / 2
    yaw, width = bench.column("yaw"), bench.generator.config.z_dim
    swapped = [bench.column(name) for name in PARTS[part]]
    for start in range(0, bench.asked.pairs, BATCH):
        count = min(BATCH, bench.asked.pairs - start)
        own, other = bench.factors(count), bench.factors(count)
        turned = (2 * torch.rand(count, generator=bench.random) - 1) * reach
        own[:, yaw] = reach + own[:, yaw] * (1 - 2 * reach)
        other[:, yaw] = own[:, yaw] + turned
        rests = torch.randn(2, count, width, generator=bench.random)
        wanted = own.clone()
        wanted[:, swapped] = other[:, swapped]
        held = torch.maximum(bench.mask(own, part), bench.mask(wanted, part))
        ideal = bench.styles(bench.w_of(wanted, rests[0]))
        yield Pairs(
            bench.w_of(own, rests[0]),
            bench.w_of(other, rests[1]),
            lab(bench.generator.synthesize_styles(ideal)),
            feathered(grown(held, 2), FEATHER_PX),
        )


def align(bench: Bench, pairs: Pairs, how: str) -> "Tensor":
    """The reference's styles, brought to the target's pose."""
    own, other = bench.styles(pairs.target), bench.styles(pairs.reference)
    if how == "style":
        return with_layers(own, other, pose_layers(bench.generator, 4))
    if how == "directions":
        turned = turn(
            *(bench.generator, bench.net, pairs.reference, "w", pairs.target, "w"),
            bench.turning,
            steps=1,
        )
        return bench.styles(turned.data)
    return other


Draw = Callable[["Tensor", "Tensor", "Tensor", float], "Tensor"]


@dataclass(frozen=True, slots=True)
class Method:
    """How a part comes from a reference into a target: own, other, mask, strength -> picture."""

    draw: Draw
    strengths: Sequence[float] = STRENGTHS
    alignments: Sequence[str] = ALIGNMENTS
    margins_px: Sequence[int] = ()  # also with what lies so far outside the mask restored


def methods(bench: Bench, part: str) -> dict[str, Method]:
    """All methods by name."""
    generator = bench.generator
    field = fixed_field(generator)

    def transfer(first: str = "", last: str = "") -> Draw:
        begin = generator.layer(first).index if first else 0
        end = generator.layer(last).index if last else len(generator.layers) - 1

        def draw(own: "Tensor", other: "Tensor", mask: "Tensor", strength: float) -> "Tensor":
            over = up_to(within(constant(strength), from_mask(mask)), end, begin)
            below, above = Branch(generator, own, field), Branch(generator, other, field, over)
            return draw_blend([below, above])

        return draw

    def collage(level: int) -> Draw:
        def draw(own: "Tensor", other: "Tensor", mask: "Tensor", strength: float) -> "Tensor":
            both = Branch(generator, own, field), Branch(generator, other, field)
            return draw_collage(*both, mask, {level: strength})

        return draw

    mine = catalogue(bench, part)

    def channels(own: "Tensor", other: "Tensor", _mask: "Tensor", budget: float) -> "Tensor":
        # A tenth of the budget in the first four layers, as there.
        budgets = [budget / 10 if layer.index < 4 else budget for layer in generator.layers]
        shares = channel_shares(generator, mine, "sequential", 0.1, budgets)
        return generator.synthesize_styles(torch.lerp(own, other, shares.expand_as(own)))

    return {
        "transfer to 32.conv1": Method(transfer(last="32.conv1"), alignments=("style",)),
        "transfer": Method(transfer(), margins_px=MARGINS_PX),
        "transfer from 8.rgb": Method(transfer("8.rgb"), alignments=("directions",)),
        "transfer from 16.conv0": Method(
            transfer("16.conv0"), alignments=("style",), margins_px=MARGINS_PX
        ),
        "collage at 16": Method(collage(16)),
        "collage at 32": Method(collage(32)),
        "style channels": Method(channels, BUDGETS, ("none", "directions")),
    }


def protected(margin_px: int) -> str:
    """What is added to a method's name when pixels beyond a margin are restored."""
    return f", protected beyond {margin_px} px" if margin_px else ", protected to the mask"


def catalogue(bench: Bench, part: str) -> "Tensor":
    """Each style channel's share of energy that lies in a part, by the true masks, [S]."""
    count = 32
    factors = bench.factors(count)
    rest = torch.randn(count, bench.generator.config.z_dim, generator=bench.random)
    held = bench.mask(factors, part)
    members = torch.cat([held, 1 - held], 1)
    return contributions(bench.generator, bench.styles(bench.w_of(factors, rest)), members)[0]


def sweep(bench: Bench, part: str) -> dict[tuple[str, str], Curve]:
    """All methods at all strengths on all pairs; strength 0 is the untouched target."""
    known = methods(bench, part)
    curves: dict[tuple[str, str], Curve] = {}
    for name, method in known.items():
        grid = [0.0, *method.strengths]
        for how in method.alignments:
            for form in ("", *map(protected, method.margins_px)):
                curves[name + form, how] = Curve(grid, *([[] for _ in grid] for _ in range(3)))
    for pairs in draw_batches(bench, part):
        own = bench.styles(pairs.target)
        plain = bench.generator.synthesize_styles(own).clamp(-1, 1)
        others = {how: align(bench, pairs, how) for how in ALIGNMENTS}
        fading = ((pairs.mask > 0) & (pairs.mask < 1)).float()
        scored = Scored(lab(plain), pairs.ideal, pairs.mask, (pairs.mask == 0).float(), fading)
        for name, method in known.items():
            for how in method.alignments:
                for k, strength in enumerate([0.0, *method.strengths]):
                    drawn = method.draw(own, others[how], pairs.mask, strength) if k else plain
                    drawn = drawn.clamp(-1, 1)
                    scored.note(curves[name, how], k, drawn)
                    for margin in method.margins_px:
                        held = confined(plain, drawn, pairs.mask, margin, protect=True)
                        scored.note(curves[name + protected(margin), how], k, held.image)
    return curves


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What pictures are held against: before and perfect in CIELAB, the mask and what lies beyond.

    Shapes: before, ideal [N, 3, R, R]; mask, beyond, fading [N, 1, R, R].
    """

    before: "Tensor"
    ideal: "Tensor"
    mask: "Tensor"
    beyond: "Tensor"
    fading: "Tensor"

    def note(self, curve: Curve, k: int, drawn: "Tensor") -> None:
        """Add the errors of pictures to point k of a curve."""
        made = lab(drawn)
        curve.inside[k] += error(made, self.ideal, self.mask)
        curve.outside[k] += error(made, self.before, self.beyond)
        steep, usual = (steepness(picture, self.fading) for picture in (made, self.ideal))
        curve.edge[k] += [a / max(b, 1e-6) for a, b in zip(steep, usual, strict=True)]


def error(a: "Tensor", b: "Tensor", weight: "Tensor") -> list[float]:
    """Mean squared difference under a weight, of CIELAB with L stretched to 0..255, per pair."""
    stretch = a.new_tensor([2.55, 1.0, 1.0]).reshape(1, 3, 1, 1)
    squared = ((a - b) * stretch).square().mean(1, keepdim=True) * weight
    found: list[float] = (squared.flatten(1).sum(1) / weight.flatten(1).sum(1)).tolist()
    return found


def steepness(picture: "Tensor", weight: "Tensor") -> list[float]:
    """Mean difference of neighbouring pixels of a picture in CIELAB under a weight, per item."""
    across, down = (torch.zeros_like(weight) for _ in range(2))
    across[..., 1:] = picture.diff(dim=3).norm(dim=1, keepdim=True)
    down[..., 1:, :] = picture.diff(dim=2).norm(dim=1, keepdim=True)
    found: list[float] = ((across + down) * weight).flatten(1).sum(1).tolist()
    return found


def accuracies(curve: Curve) -> list[float]:
    """The share of the way to the perfect picture, at each strength."""
    means = [math.fsum(errors) / len(errors) for errors in curve.inside]
    return [1 - mean / means[0] for mean in means]


def at_accuracy(curve: Curve, wanted: float) -> tuple[list[float], list[float]] | None:
    """Each pair's error outside and edge at the strength that brings so much on average, if any."""
    reached = accuracies(curve)
    for k in range(1, len(reached)):
        low, high = reached[k - 1], reached[k]
        if low <= wanted <= high:
            share = (wanted - low) / (high - low) if high > low else 0.0
            outside, edge = (
                [a + share * (b - a) for a, b in zip(figure[k - 1], figure[k], strict=True)]
                for figure in (curve.outside, curve.edge)
            )
            return outside, edge
    return None


def compare(bench: Bench, part: str, curves: dict[tuple[str, str], Curve]) -> None:
    """Errors outside at equal accuracy inside, beside those of transfer as published."""
    best = {key: max(accuracies(curve)) for key, curve in curves.items()}
    reachable = best[PUBLISHED]
    for share in (0.5, 0.9):
        wanted = share * reachable
        published = at_accuracy(curves[PUBLISHED], wanted)
        assert published is not None
        base = published[0]
        for (name, how), curve in curves.items():
            found = at_accuracy(curve, wanted)
            line = {"part": part, "method": name, "align": how, "accuracy": round(wanted, 4)}
            if found is None:
                bench.tell("equal", **line, reached=False, most=round(best[name, how], 4))
                continue
            outside, edge = found
            mean = math.fsum(outside) / len(outside)
            less = sum(a < b for a, b in zip(base, outside, strict=True)) / len(outside)
            bench.tell(
                "equal",
                **line,
                reached=True,
                outside=round(math.sqrt(mean), 4),
                edge=round(math.fsum(edge) / len(edge), 3),
                outside_over_published=round(mean / (math.fsum(base) / len(base)), 3),
                published_leaks_less=round(less, 3),
            )


def poses(bench: Bench) -> None:
    """How far heads are apart before and after each alignment, and what else it changes."""
    yaw, pitch = (bench.net.attributes.index(name) for name in ("yaw", "pitch"))
    others = [i for i in range(len(bench.net.attributes)) if i not in (yaw, pitch)]
    rows: dict[str, list[list[float]]] = {how: [] for how in ALIGNMENTS}

    def read(styles: "Tensor") -> "Tensor":
        return score_attributes(bench.net, bench.generator.synthesize_styles(styles).clamp(-1, 1))

    for pairs in draw_batches(bench, "mouth"):
        goal, was = read(bench.styles(pairs.target)), read(bench.styles(pairs.reference))
        for how in ALIGNMENTS:
            now = read(align(bench, pairs, how))
            columns = [(now - goal)[:, yaw], (now - goal)[:, pitch], (now - was)[:, others]]
            rows[how] += torch.stack(
                [c.abs().reshape(len(now), -1).mean(1) for c in columns], 1
            ).tolist()
    for how, found in rows.items():
        turned, nodded, moved = (math.fsum(column) / len(found) for column in zip(*found))  # noqa: B905
        bench.tell(
            "pose",
            align=how,
            pairs=len(found),
            yaw_apart_degrees=round(turned * 2 * HALF_TURN, 2),
            pitch_apart_degrees=round(nodded * 2 * math.degrees(0.2), 2),
            others_moved=round(moved, 4),
        )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="portraits-128")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pairs", type=int, default=200)
    parts = ["pose", *PARTS]
    parser.add_argument("--parts", nargs="+", choices=parts, default=["pose", "mouth", "hair"])
    parser.add_argument("--degrees", type=float, default=20.0, help="heads are apart at most")
    parser.add_argument("--seed", type=int, default=20_202)
    asked = parser.parse_args()
    with torch.no_grad():
        bench = Bench(asked)
        if "pose" in asked.parts:
            poses(bench)
        for part in (part for part in asked.parts if part in PARTS):
            begun = time.perf_counter()
            curves = sweep(bench, part)
            for (name, how), curve in curves.items():
                columns = zip(curve.strengths, accuracies(curve), curve.outside, strict=True)
                for strength, accuracy, outside in list(columns)[1:]:
                    bench.tell(
                        "curve",
                        part=part,
                        method=name,
                        align=how,
                        strength=strength,
                        accuracy=round(accuracy, 4),
                        outside=round(math.sqrt(math.fsum(outside) / len(outside)), 4),
                    )
            compare(bench, part, curves)
            bench.tell(
                "time",
                part=part,
                pairs=asked.pairs,
                seconds=round(time.perf_counter() - begun, 1),
                threads=torch.get_num_threads(),
            )


if __name__ == "__main__":
    main()
