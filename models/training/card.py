"""`python -m models.training.card portraits`: the sample sheet and the figures of the model card.

Reads the shipped weights only; rewrites docs/images/NAME.jpg and the marked part of
docs/models.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

from models.runtime import import_torch

torch = import_torch()

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from models.companions import load_encoder  # noqa: E402
from models.library import BUILTIN  # noqa: E402
from models.loading import load_generator  # noqa: E402
from models.mapping import truncate  # noqa: E402
from models.stylegan2 import Generator  # noqa: E402
from models.training.domains import Domain, domain, projection  # noqa: E402
from models.training.encoder import invert_renders  # noqa: E402
from models.training.generator import draw_pairs  # noqa: E402
from models.training.records import save_sheet  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
_SWEPT = ("yaw", "smile", "hair_lightness", "hair_length")
_COLUMNS = 10


def main() -> None:
    """Draw the sheet and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m models.training.card", description=__doc__)
    parser.add_argument("domain")
    options = parser.parse_args()
    subject = domain(options.domain)
    name = f"{subject.name}-{subject.generator.resolution}"
    with torch.no_grad():
        rows = sheet_rows(name, subject)
    rows = [F.interpolate(row, scale_factor=0.75, mode="bicubic", antialias=True) for row in rows]
    (DOCS / "images").mkdir(parents=True, exist_ok=True)
    save_sheet(DOCS / "images" / f"{name}.jpg", rows, quality=80)
    facts = json.loads((BUILTIN / name / "model.json").read_text())
    page = DOCS / "models.md"
    page.write_text(replace_between(page.read_text(), name, figures(facts)))


def sheet_rows(name: str, subject: Domain) -> list[Tensor]:
    """Samples, truncated samples, renders beside what was made of them, sweeps, inversions."""
    generator = load_generator(name)
    random = torch.Generator().manual_seed(11)
    z = torch.randn(_COLUMNS, generator.config.z_dim, generator=random)
    w = generator.mapping(z)
    calm = truncate(w, generator.w_avg, 0.6)
    rows = [generator.synthesize(generator.broadcast(code)) for code in (w, calm)]
    pair_z, noise, scene = draw_pairs(generator, subject, _COLUMNS, 128, random, subject.render)
    rows += [scene.image, generator(pair_z, noise=noise)]
    rows += [sweep(generator, subject, factor, z[9]) for factor in _SWEPT]
    rows += list(invert_renders(load_encoder(name), generator, subject, _COLUMNS))
    return rows


def sweep(generator: Generator, subject: Domain, factor: str, z: Tensor) -> Tensor:
    """One person while one factor goes from its 2nd to its 98th percentile, [C, 3, H, W]."""
    basis = projection(len(subject.factors), generator.config.z_dim)
    row = basis[subject.factors.index(factor)]
    z = z * (z.square().mean() + 1e-8).rsqrt()
    amounts = torch.linspace(-2.05, 2.05, _COLUMNS)[:, None]
    moved = z - (z @ row) * row + amounts * row
    return cast(Tensor, generator(moved))


def figures(facts: dict[str, Any]) -> str:
    """The measured part of the card as Markdown."""
    made, seer, encoder = facts["generator"], facts["features"], facts["encoder"]
    lines = [
        "| network | trained on | minutes | seed | held out |",
        "|---|---|---|---|---|",
        _row("generator", made, f"{made['held_out_psnr_db']} dB PSNR against the renders"),
        _row("features", seer, f"mean R² of the attributes {_mean(seer['held_out_r2'])}"),
        _row("encoder", encoder, f"{encoder['held_out_psnr_db']} dB PSNR of inverted renders"),
        "",
        "R² of the feature network on held-out renders, by attribute:",
        "",
        ", ".join(f"{key} {value:.2f}" for key, value in seer["held_out_r2"].items()) + ".",
    ]
    return "\n".join(lines)


def _row(name: str, facts: dict[str, Any], held_out: str) -> str:
    amount = f"{facts['pictures']:,} pictures in {facts['steps']:,} steps"
    return f"| {name} | {amount} | {facts['minutes']} | {facts['seed']} | {held_out} |"


def _mean(values: dict[str, float]) -> str:
    return f"{sum(values.values()) / len(values):.2f}"


def replace_between(page: str, name: str, text: str) -> str:
    """`page` with `text` between the comments that mark the part of `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{text}\n{end}{tail}"


if __name__ == "__main__":
    main()
