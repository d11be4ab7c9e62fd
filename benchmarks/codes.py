"""Claim: what is found in codes without labels, and channel by channel, is what it is said to be.

On portraits-128, whose codes stand for known factors and whose feature network reads them off
pictures. "learn": what it costs to draw and score codes and to learn a direction from them.
"component": which factors each principal component of w carries. "channels": per part, how many
style channels are local to it, and how much of what its first ones change lies inside the part.
"dci": disentanglement, completeness and informativeness of z, w and styles. "embedding": which
pictures embed, by the recipe of that name. One JSON line per figure.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models.runtime import import_torch  # noqa: E402  (found once the root is on the path)

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

from models import companions  # noqa: E402  (torch comes first, with the allocator tuned)
from models.channels import channel_name, locality, overlaps, regions, slopes  # noqa: E402
from models.components import code_components  # noqa: E402
from models.dci import disentanglement  # noqa: E402
from models.linear import fit_readout  # noqa: E402
from models.pool import network  # noqa: E402
from models.priors import style_gaussian  # noqa: E402
from models.readings import draw_codes, read_codes  # noqa: E402
from models.training.domains import PORTRAITS, factors_of, projection  # noqa: E402

MODEL = "portraits-128"
LAYERS = ("8.conv1", "16.conv0", "16.conv1", "32.conv0", "32.conv1", "64.conv0")
#: Cells per side on which slopes and parts are compared.
GRID = 32
#: How far a channel is moved, in its standard deviations.
MOVED = 6.0


def tell(figure: str, **values: Any) -> None:
    """Print one figure."""
    print(json.dumps({"benchmark": f"codes.{figure}", "model": MODEL, **values}), flush=True)


def drawn(count: int, seed: int) -> tuple["Tensor", "Tensor", "Tensor"]:
    """Codes z and w [N, D] and their true factors [N, K]."""
    generator = network(MODEL)
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.config.z_dim, generator=random)
    basis = projection(len(PORTRAITS.factors), generator.config.z_dim)
    with torch.no_grad():
        return z, generator.mapping(z), factors_of(z, basis)


def learn(asked: argparse.Namespace) -> None:
    """Codes drawn, pictures scored, and a direction learned."""
    generator, net = network(MODEL), companions.features(MODEL)
    begun, used = time.perf_counter(), time.process_time()
    w = draw_codes(generator, asked.count, 1)
    read = read_codes(generator, net, w, "w")
    scored, scored_cpu = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    k = net.attributes.index("smile")
    rest = [column for column in range(read.shape[1]) if column != k]
    found = fit_readout(w, read[:, k], "regression", others=read[:, rest])
    fitted = time.perf_counter() - begun
    tell(
        "learn",
        codes=asked.count,
        threads=torch.get_num_threads(),
        seconds_scored=round(scored, 2),
        cpu_seconds_scored=round(scored_cpu, 2),
        seconds_fitted=round(fitted, 2),
        accuracy=round(found.accuracy, 4),
    )


def correlations(a: "Tensor", b: "Tensor") -> "Tensor":
    """The correlation of each column of a [N, K] with each of b [N, M], [K, M]."""
    x, y = ((t - t.mean(0)) / t.std(0).clamp(min=1e-9) for t in (a.double(), b.double()))
    return x.T @ y / (len(a) - 1)


def components(asked: argparse.Namespace) -> None:
    """Which factors the first components of w carry: as they are, and as the pictures read."""
    generator, net = network(MODEL), companions.features(MODEL)
    found = code_components(generator, 10_000, 0)
    _, w, factors = drawn(20_000, 4)
    true = correlations(w.double() @ found.directions[:20].T, factors)
    read = read_codes(generator, net, w[: asked.pictures], "w")
    seen = correlations(w[: asked.pictures].double() @ found.directions[:20].T, read)
    for number, (by_truth, by_sight) in enumerate(zip(true, seen, strict=True)):
        tell(
            "component",
            component=number,
            share=round(float(found.shares[number]), 4),
            codes=len(w),
            pictures=asked.pictures,
            true=_largest(by_truth, PORTRAITS.factors),
            seen=_largest(by_sight, net.attributes),
        )


def _largest(row: "Tensor", names: tuple[str, ...], count: int = 3) -> dict[str, float]:
    """The names that correlate most, with their correlations."""
    order = row.abs().argsort(descending=True)[:count].tolist()
    return {names[k]: round(float(row[k]), 3) for k in order}


def channels(asked: argparse.Namespace) -> None:
    """How local the channels of each part are."""
    generator, net = network(MODEL), companions.features(MODEL)
    w = torch.lerp(generator.w_avg, draw_codes(generator, asked.traced, 5), 0.8)
    with torch.no_grad():
        styles = generator.styles(generator.broadcast(w))
        pictures = generator.synthesize_styles(styles)
        masks = [regions(net, picture[None].clamp(-1, 1), GRID) for picture in pictures]
    places = [generator.layer(name).style for name in LAYERS]
    begun = time.perf_counter()
    scores = torch.stack(
        [
            torch.cat([overlaps(slopes(generator, one[None], name, GRID), mask) for name in LAYERS])
            for one, mask in zip(styles, masks, strict=True)
        ]
    )
    seconds = time.perf_counter() - begun
    told, mean = locality(scores), scores.mean(0)
    numbers = torch.cat([torch.arange(place.start, place.stop) for place in places])
    for part, name in enumerate(net.config.parts):
        mine = (told.local & (told.part == part)).nonzero().flatten()
        first = mine[mean[mine, part].argsort(descending=True)][: asked.ranks]
        where = torch.stack([mask[part] for mask in masks]).float()
        inside = [_inside(styles, int(numbers[i]), where) for i in first.tolist()]
        tell(
            "channels",
            part=name,
            traced=len(numbers),
            pictures=asked.traced,
            local=len(mine),
            area=round(float(where.mean()), 4),
            first=[channel_name(generator, int(numbers[i])) for i in first.tolist()],
            won=[round(float(told.share[i]), 3) for i in first.tolist()],
            inside=[round(value, 3) for value in inside],
            seconds=round(seconds, 1),
        )


def _inside(styles: "Tensor", channel: int, where: "Tensor") -> float:
    """The share of a channel's squared change that lies in a part [N, h, w], over pictures."""
    generator = network(MODEL)
    moved = styles.clone()
    moved[:, channel] += MOVED * style_gaussian(generator).spread[channel].clamp(min=0).sqrt()
    with torch.no_grad():
        change = generator.synthesize_styles(moved) - generator.synthesize_styles(styles)
    cells = torch.nn.functional.adaptive_avg_pool2d(change.square().mean(1, keepdim=True), GRID)
    energy = cells[:, 0]
    return float((energy * where).sum() / energy.sum().clamp(min=1e-12))


def dci(asked: argparse.Namespace) -> None:
    """DCI of one set of codes in three spaces, over all attributes that are read."""
    generator, net = network(MODEL), companions.features(MODEL)
    z, w, _ = drawn(asked.pictures, 6)
    read = read_codes(generator, net, w, "w")
    with torch.no_grad():
        styles = generator.styles(generator.broadcast(w))
    for space, codes in (("z", z), ("w", w), ("style", styles)):
        begun = time.perf_counter()
        found = disentanglement(codes, read, share=asked.share)
        tell(
            "dci",
            space=space,
            numbers=codes.shape[1],
            attributes=read.shape[1],
            codes=len(codes),
            share=asked.share,
            **{name: round(value, 4) for name, value in asdict(found).items()},
            seconds=round(time.perf_counter() - begun, 1),
        )


def embedding(asked: argparse.Namespace) -> None:
    """Which pictures embed: the means of what the recipe writes, by kind of picture."""
    from run_workflow import run

    measures = ("psnr", "ssim", "perceptual", "distance")
    told: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        params: dict[str, Any] = {"steps": asked.steps, "spaces": ["w", "w_plus"]}
        if asked.kinds:
            params["kinds"] = asked.kinds
        flags = {"out": out, "cache": Path(folder, "cache")}
        result = run(ROOT / "workflows" / "embedding.yaml", params, **flags)
        if result.exit_code:
            sys.exit(result.message or "items were set aside")
        for measure in measures:
            with (out / f"{measure}.csv").open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    told[row["kind"], row["space"]][measure].append(float(row[measure]))
    for (kind, space), values in told.items():
        means = {name: round(sum(each) / len(each), 3) for name, each in values.items()}
        count = len(values["psnr"])
        tell("embedding", kind=kind, space=space, pictures=count, steps=asked.steps, **means)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "learn": learn,
    "components": components,
    "channels": channels,
    "dci": dci,
    "embedding": embedding,
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--count", type=int, default=10_000, help="codes to learn from")
    parser.add_argument("--pictures", type=int, default=2000, help="that attributes are read from")
    parser.add_argument("--share", type=float, default=0.05, help="of codes at each end, for DCI")
    parser.add_argument(
        "--traced", type=int, default=8, help="pictures that channels are traced in"
    )
    parser.add_argument("--ranks", type=int, default=3, help="channels per part")
    parser.add_argument("--steps", type=int, default=200, help="of descent per embedded picture")
    parser.add_argument("--kinds", nargs="*", default=[], help="of pictures to embed; none: all")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    for part in asked.parts:
        PARTS[part](asked)


if __name__ == "__main__":
    # Workers of the recipe are processes, and import this file too.
    main()
