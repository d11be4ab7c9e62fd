"""`python -m models.training.card`: the pictures and the figures of the model card.

Reads what ships only: weights, `model.json`, and the `quality.json` that benchmarks/models.py
leaves beside them. Rewrites docs/images/NAME-*.webp and the marked parts of docs/models.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from models.runtime import import_torch

torch = import_torch()

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

from models.companions import load_encoder, load_features  # noqa: E402
from models.directions import load_direction  # noqa: E402
from models.library import BUILTIN  # noqa: E402
from models.loading import load_generator  # noqa: E402
from models.training.domains import Domain, domain  # noqa: E402
from models.training.measured import files_of, load_figures  # noqa: E402
from models.training.sheets import Model, paste, sheets  # noqa: E402
from models.training.tables import fitted, quality  # noqa: E402

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def main() -> None:
    """Draw the sheets and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m models.training.card", description=__doc__)
    parser.add_argument("domains", nargs="*", default=["portraits", "landscapes"], metavar="DOMAIN")
    parser.add_argument("--figures", action="store_true", help="leave the pictures as they are")
    options = parser.parse_args()
    for name in options.domains:
        write_card(domain(name), DOCS, pictures=not options.figures)


def write_card(subject: Domain, docs: Path, *, pictures: bool = True) -> None:
    """Bring the marked parts of a domain in docs/models.md up to date, and its pictures."""
    name = f"{subject.name}-{subject.generator.resolution}"
    page = docs / "models.md"
    text = page.read_text(encoding="utf-8")
    if pictures:
        shown = write_sheets(load_model(subject), name, docs / "images")
        text = replace_between(text, f"{name}, pictures", shown)
    facts = json.loads((BUILTIN / name / "model.json").read_text())
    text = replace_between(text, name, fitted(facts))
    text = replace_between(text, f"{name}, quality", quality(load_figures(BUILTIN / name)))
    page.write_text(text, encoding="utf-8")


def load_model(subject: Domain) -> Model:
    """All that ships for a domain, with the sample photographs where their kind of picture fits."""
    name = f"{subject.name}-{subject.generator.resolution}"
    folder = BUILTIN / name
    has_encoder = (folder / "encoder.safetensors").exists()
    return Model(
        subject,
        load_generator(name).requires_grad_(requires_grad=False),
        load_features(name) if (folder / "features.safetensors").exists() else None,
        load_encoder(name) if has_encoder else None,
        [load_direction(path) for path in files_of(folder, "directions")],
        [load_direction(path) for path in files_of(folder, "channels")],
        sample_photos(subject.generator.resolution) if has_encoder and subject.posed else (),
    )


def sample_photos(size_px: int) -> list[Tensor]:
    """The faces in workflows/photos as the project's own recipe cuts them out, [3, H, W] each.

    None without the packages that find faces.
    """
    if find_spec("dlib") is None:
        print("no photographs: pip install 'latentloom[faces]'", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        recipe = [str(ROOT / "run_workflow.py"), str(ROOT / "workflows" / "align_only.yaml")]
        options = ["-p", f"size={size_px}", "-o", folder, "--cache", f"{folder}/.cache", "-q"]
        command = [sys.executable, *recipe, *options]
        subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 (our own front door)
        paths = sorted(Path(folder).glob("*_0.png"))
        return [_read(path) for path in paths]


def _read(path: Path) -> Tensor:
    pixels: Tensor = torch.from_numpy(np.array(Image.open(path).convert("RGB")))
    return pixels.permute(2, 0, 1).float() / 127.5 - 1


def write_sheets(model: Model, name: str, folder: Path) -> str:
    """Write all sheets as WebP; returns Markdown that shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}-*.webp"):
        old.unlink()
    blocks = []
    for kind, sheet in sheets(model).items():
        path = folder / f"{name}-{kind}.webp"
        paste(sheet).save(path, quality=82, method=6)
        blocks.append(f"{sheet.caption}\n\n![{name}: {kind}](images/{path.name})")
    return "\n\n".join(blocks)


def replace_between(page: str, name: str, text: str) -> str:
    """`page` with `text` between the comments that mark the part of `name`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = page.partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"docs/models.md has no part between {begin} and {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"


if __name__ == "__main__":
    main()
