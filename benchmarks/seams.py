"""Claim: panoramas on one canvas have no seams, and mixing features keeps the detail of pictures.

Strips of random codes, drawn on one exact canvas, woven of spans as published, and cross-faded from
pictures of single codes, all with the same noise at the same place. `seams`: the seam ratio where
the published weave has its stitches (the jump there over the median jump elsewhere) and the local
one (over the jumps of 4 columns on each side). Doublings leave a faint grid in all pictures, on
which the stitches lie too, so both are told beside their mean and range over the like columns: 16,
32, ... px away, where no method has a stitch. `over_like` 1 is no seam. `profile`: how rich in
detail strips are from one code's middle (0) to the next (1), over the median. `detail`: what is
left of the parents' fine detail about halfway between two codes (variance of the Laplacian). One
JSON line per figure.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models.runtime import import_torch  # noqa: E402  (found once the root is on the path)

if TYPE_CHECKING:
    from torch import Tensor

    from models.canvas import NoiseField
    from models.stylegan2 import Generator

torch = import_torch()

from models import load_generator  # noqa: E402  (torch comes first)
from models.blend import Branch, draw_blend  # noqa: E402
from models.canvas import noise_field  # noqa: E402
from models.codes import draw, number  # noqa: E402
from models.panorama import Panorama, smoothed, weave_spans  # noqa: E402
from models.seams import high_band, measure_seams  # noqa: E402

FORMS = ("exact canvas", "soat", "cross-fade of pictures", "cross-fade, noise of their own")
_BINS, GRID = 8, 16


def styles_of(generator: "Generator", seed: int, count: int, smooth: float) -> "Tensor":
    """Codes of a strip, drawn as the recipe draws them."""
    z = torch.cat([draw(number(seed, k), 1, generator.config.z_dim) for k in range(count)])
    w = torch.lerp(generator.w_avg, generator.mapping(z), 0.8)
    return generator.styles(generator.broadcast(smoothed(w, smooth, generator.w_avg[None])))


def faded(strip: Panorama, fields: "list[NoiseField]") -> tuple["Tensor", "list[Tensor]"]:
    """Pictures of single codes, as wide as the strip, cross-faded; and one period of each."""
    side, count = strip.generator.resolution, strip.columns
    place = (torch.arange(side * count) + 0.5) / side
    total, parents = torch.zeros(1, 3, *strip.size_px), []
    for k, field in enumerate(fields):
        alone = draw_blend([Branch(strip.generator, strip.styles[k : k + 1], field)], strip.canvas)
        share = (1 - (place.clamp(0.5, count - 0.5) - k - 0.5).abs()).clamp(0, 1)
        total += share * alone
        # Where the code is in the strip, but for those at its ends.
        start = min(max(k, 1), count - 2) * side
        parents.append(alone[..., start : start + side].clamp(-1, 1))
    return total, parents


def strips(
    generator: "Generator", asked: argparse.Namespace, seed: int
) -> tuple[dict[str, "Tensor"], "list[Tensor]"]:
    """One strip in every form, and what its codes draw alone."""
    styles = styles_of(generator, seed, asked.codes, asked.smooth)
    field = noise_field(generator, asked.noise, (seed,))
    strip = Panorama(generator, styles, 1, asked.codes, field)
    exact = torch.cat([tile for _, tile in strip.tiles()], 3)
    together, parents = faded(strip, [field] * asked.codes)
    own = [
        noise_field(generator, asked.noise, (number(seed, "own", k),)) for k in range(asked.codes)
    ]
    apart, _ = faded(strip, own)
    woven = torch.cat(list(weave_spans(generator, styles, field)), 3)
    made = (exact, woven, together, apart)
    return dict(zip(FORMS, (one.clamp(-1, 1) for one in made), strict=True)), parents


def phases(pictures: "Tensor", side: int, phase: int) -> tuple[float, float]:
    """Seam ratio and local ratio at one place of every period but the outer ones."""
    columns = range(side + phase, pictures.shape[3] - side, side)
    found = measure_seams(pictures, columns)
    return float(found.ratio.mean()), float(found.local.mean())


def tell(asked: argparse.Namespace, figure: str, **values: object) -> None:
    """One line of JSON."""
    about = {"model": asked.model, "strips": asked.strips, "codes": asked.codes}
    about |= {"noise": asked.noise, "smooth": asked.smooth}
    print(json.dumps({"benchmark": f"seams.{figure}", **about, **values}), flush=True)


def report(asked: argparse.Namespace, form: str, pictures: "Tensor", side: int) -> None:
    """Seams of one form, beside what chance does, and its profile."""
    joint = side // 2
    ratio, local = phases(pictures, side, joint)
    like = torch.tensor(
        [phases(pictures, side, p) for p in range(joint % GRID, side, GRID) if p != joint]
    )
    steps = measure_seams(pictures, range(side + joint, pictures.shape[3] - side, side)).step
    tell(
        asked,
        "seams",
        form=form,
        joints=len(pictures) * (asked.codes - 2),
        ratio=round(ratio, 3),
        over_like=round(ratio / float(like[:, 0].mean()), 3),
        ratio_of_like=[round(float(x), 3) for x in (like[:, 0].min(), like[:, 0].max())],
        local=round(local, 3),
        local_over_like=round(local / float(like[:, 1].mean()), 3),
        local_of_like=[round(float(x), 3) for x in (like[:, 1].min(), like[:, 1].max())],
        step_deviations=round(float(steps.mean()), 3),
    )
    jumps = (pictures - pictures.roll(1, 3)).abs().mean((1, 2))
    richness = (jumps / jumps.median(1, keepdim=True).values)[:, side + joint : -side - joint]
    bins = richness.reshape(len(pictures), -1, _BINS, side // _BINS).mean((0, 1, 3))
    tell(asked, "profile", form=form, jumps=[round(float(x), 3) for x in bins])


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="landscapes-128")
    parser.add_argument("--strips", type=int, default=32)
    parser.add_argument("--codes", type=int, default=8)
    parser.add_argument("--noise", choices=["seeded", "const", "none"], default="seeded")
    parser.add_argument("--smooth", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=1000)
    asked = parser.parse_args()
    begun = time.perf_counter()
    with torch.no_grad():
        generator = load_generator(asked.model).requires_grad_(False)
        side = generator.resolution
        made: dict[str, list[Tensor]] = {form: [] for form in FORMS}
        kept: dict[str, list[float]] = {form: [] for form in FORMS}
        for k in range(asked.strips):
            drawn, parents = strips(generator, asked, asked.seed + k)
            for form, picture in drawn.items():
                made[form].append(picture)
                kept[form].append(float(high_band(picture, parents, side, 0.75, 1.25)))
        for form in FORMS:
            report(asked, form, torch.cat(made[form]), side)
            detail = torch.tensor(kept[form])
            tell(
                asked,
                "detail",
                form=form,
                kept=round(float(detail.mean()), 3),
                deviation=round(float(detail.std()), 3),
            )
    tell(asked, "time", seconds=round(time.perf_counter() - begun, 1))


if __name__ == "__main__":
    main()
