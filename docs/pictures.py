"""`python docs/pictures.py [NAME ...]`: pictures of docs/soat.md and codes.md, by the recipes.

Runs each recipe as it ships and keeps what it writes as a small WebP in docs/images/PAGE.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

#: What all pictures of a page may weigh together.
BUDGET_BYTES = 400_000
#: Of WebP, in percent.
QUALITY = 66


@dataclass(frozen=True, slots=True)
class Shot:
    """A file that a recipe writes, and how it is shown: at most so wide, so many rows from the top.

    `rows` is a share of its height.
    """

    recipe: str
    file: str
    width_px: int = 1200
    rows: float = 1.0
    params: tuple[tuple[str, object], ...] = ()
    page: str = "soat"


#: A sheet of the first components; features at a layer are left to the recipe.
_COMPONENTS = (("components", [0, 1, 2, 3, 4, 5]), ("at_layer", 40))
_SMILE = (("attributes", ["smile"]),)
#: Two channels of two parts, and as few codes for DCI as there can be: only the sheet is shown.
_CHANNELS = (("parts", ["hair", "clothes"]), ("ranks", [0, 1]), ("count", 64), ("trees", 1))
SHOTS = {
    "interpolate": Shot("interpolate_features", "sheet.png"),
    "pad": Shot("pad_and_resize", "modes.png"),
    "resize": Shot("pad_and_resize", "sharpness.png", 900),
    "shifts": Shot("shifts", "variants.png", 900),
    "panorama": Shot("panorama", "panorama.png", 1536),
    "transfer": Shot("transfer_attribute", "sheet.png"),
    "methods": Shot("transfer_attribute", "methods.png", 900),
    "inversion": Shot("tune", "sheet.png", 1400),
    "translation": Shot("finetune", "sheet.png", 1000),
    "ink": Shot("translate", "sheet.png", 640, rows=0.5),
    "crossover": Shot("style_mixing", "crossover.png", 800, page="codes"),
    "components": Shot("ganspace", "0/components.png", 500, params=_COMPONENTS, page="codes"),
    "style": Shot("image2stylegan", "style.png", 600, page="codes"),
    "direction": Shot("direction_sheet", "smile.png", 600, 0.6, _SMILE, page="codes"),
    "channels": Shot("stylespace", "0/local.png", 400, params=_CHANNELS, page="codes"),
    "curves": Shot("flow_edits", "sheet.png", 600, 0.5, page="codes"),
    "category": Shot("sample_category", "sheet.png", 800, page="codes"),
    "discovered": Shot("discover_directions", "0.png", 400, page="codes"),
    "glasses": Shot("finetune_category", "sheet.png", 800, page="codes"),
    "breeding": Shot("crossbreed", "sliders/0.png", 500, page="codes"),
    "taste": Shot("beautify", "sheet.png", 500, page="codes"),
    "entanglement": Shot("disentanglement", "disentanglement.png", 400, 0.3, page="codes"),
}


def main() -> None:
    """Make the pictures that are named, or all."""
    from run_workflow import run

    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHOTS)}; or all")
    names = flags.parse_args().names or list(SHOTS)
    if unknown := [name for name in names if name not in SHOTS]:
        flags.error(f"no picture {', '.join(unknown)}: known are {', '.join(SHOTS)}")
    made: dict[tuple[object, ...], Path] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            shot = SHOTS[name]
            told = (shot.recipe, repr(shot.params))
            if told not in made:
                out = Path(folder, f"{len(made)}")
                places = {"out": out, "cache": Path(folder, "cache")}
                recipe = ROOT / "workflows" / f"{shot.recipe}.yaml"
                result = run(recipe, dict(shot.params), **places)
                if result.exit_code:
                    sys.exit(f"{shot.recipe}: {result.message or 'items were set aside'}")
                made[told] = out
            keep(made[told] / shot.file, DOCS / "images" / shot.page / f"{name}.webp", shot)
    for page in {shot.page for shot in SHOTS.values()}:
        total = sum(path.stat().st_size for path in (DOCS / "images" / page).glob("*.webp"))
        if total > BUDGET_BYTES:
            sys.exit(f"{page}: pictures of {total:,} bytes, {BUDGET_BYTES:,} are allowed")


def keep(source: Path, target: Path, shot: Shot) -> None:
    """A picture at its size on the page."""
    picture = Image.open(source).convert("RGB")
    picture = picture.crop((0, 0, picture.width, round(picture.height * shot.rows)))
    if picture.width > shot.width_px:
        height = round(picture.height * shot.width_px / picture.width)
        picture = picture.resize((shot.width_px, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target, quality=QUALITY, method=6)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    # Workers are processes, and import this file too.
    main()
