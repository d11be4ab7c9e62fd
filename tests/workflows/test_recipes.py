"""Every recipe plans, and runs in small from the command line as it ships."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from run_workflow import run

#: Whole commands, on machines that may be busy.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "workflows").glob("*.yaml"))

#: What makes a recipe small; every other param keeps its default.
SMALL = {
    "align_only": ("size=32",),
    "beautify": ("count=100", "faces=1", "strengths=[1]"),
    "crossbreed": ("mothers=1", "sliders=[0.5]", "children=[1]"),
    "conditional_edits": ("count=1", "strengths=[3]"),
    "direction_sheet": ("count=1", "attributes=[smile]", "strengths=[-1, 1]"),
    "embedding": ("steps=2", "kinds=[photo, covered]"),
    "finetune": ("steps=1", "batch=2", "codes=1"),
    "finetune_category": ("codes=60", "pictures=8", "steps=1", "faces=1"),
    "discover_directions": ("count=2", "steps=1", "faces=1", "numbers=[0]", "strengths=[1]"),
    "disentanglement": ("count=32", "codes=4", "directions=[smile]", "strengths=[2]"),
    "flow_edits": ("count=640", "attributes=[smile, yaw]", "faces=1", "steps=5", "strengths=[1]"),
    "film": ("count=2", "times=[0, 0.5]"),
    "ganspace": ("components=[0]", "strengths=[2]", "at_layer=20"),
    "image2stylegan": ("steps=2", "places=[0.5]", "crossovers=[6]", "amounts=[1]"),
    "interpolate_features": ("count=1",),
    "interpolation": ("count=1", "steps=[0, 0.5, 1]"),
    "learn_channels": ("count=100", "measured=8", "attributes=[smile]", "faces=1", "strengths=[1]"),
    "learn_directions": ("count=100", "measured=8", "attributes=[smile]"),
    "pad_and_resize": ("count=1",),
    "panorama": (),
    "quickstart": ("steps=2", "attributes=[smile]", "strengths=[1]"),
    "sample_category": ("count=40", "faces=1", "steps=5"),
    "sample_sheet": ("count=2",),
    "shifts": ("count=1", "variants=[0]"),
    "stochastic_variation": ("count=1", "draws=2"),
    "style_mixing": ("bands=[fine]", "crossovers=[0, 6]"),
    "transfer_attribute": ("count=1",),
    "translate": ("steps=2", "alphas=[0, 0.5, 1]", "swaps=[0]"),
    "truncation": ("count=1", "psis=[1, 0]"),
    "stylespace": (
        "traced=1",
        "layers=[64.conv1]",
        "parts=[eyes]",
        "ranks=[0]",
        "exemplars=[10, 11]",
        "strengths=[8]",
        "count=16",
        "share=0.5",
        "trees=2",
    ),
    "tune": ("steps=2", "tuning_steps=2", "attributes=[smile]", "strengths=[1]"),
}
#: Recipes that learn, and cannot do so from two pictures.
NEEDS_ALL = (
    "beautify",
    "disentanglement",
    "finetune_category",
    "flow_edits",
    "learn_channels",
    "learn_directions",
    "sample_category",
    "stylespace",
)


def command(verb: str, recipe: Path, folder: Path, *flags: str) -> list[str]:
    params = [flag for given in SMALL[recipe.stem] for flag in ("-p", given)]
    where = ["-o", str(folder / "out"), "--cache", str(folder / "cache"), "--json"]
    return [
        sys.executable,
        str(ROOT / "run_workflow.py"),
        verb,
        str(recipe),
        *params,
        *where,
        *flags,
    ]


def test_every_recipe_has_a_small_form() -> None:
    assert {recipe.stem for recipe in RECIPES} == set(SMALL)


def ask(verb: str, recipe: Path, folder: Path, *flags: str) -> dict[str, Any]:
    limit = () if recipe.stem in NEEDS_ALL else ("--limit", "2")
    line = command(verb, recipe, folder, *limit, *flags)
    done = subprocess.run(
        line, capture_output=True, text=True, timeout=550, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def to_run(plan: dict[str, Any]) -> dict[str, int]:
    return {name: step["to_run"] for name, step in plan["steps"].items()}


def foreseen(plan: dict[str, Any], steps: dict[str, Any]) -> bool:
    """Whether a run did what was planned; skips that are known beforehand are not planned."""
    planned = to_run(plan)
    return planned.keys() == steps.keys() and all(
        planned[name] in (step["done"], step["done"] + step["skipped"])
        for name, step in steps.items()
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_runs_as_planned(recipe: Path, tmp_path: Path) -> None:
    before = ask("plan", recipe, tmp_path)
    told = ask("run", recipe, tmp_path, "--workers", "1", "-q")
    steps = told["steps"]
    computed = {name: s["done"] + s["skipped"] for name, s in steps.items()}
    assert foreseen(before, steps)
    assert {name: s["items"] for name, s in steps.items()} == computed
    assert told["outputs"] == len(
        [p for p in (tmp_path / "out").rglob("*.*") if ".run" not in p.parts]
    )
    assert (tmp_path / "out" / ".run" / "report.html").stat().st_size > 5_000
    after = ask("plan", recipe, tmp_path)
    assert not any(to_run(after).values())
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    for part in (tmp_path / "cache").iterdir():  # what the photos hold is still remembered
        if part.is_dir():
            shutil.rmtree(part)
        elif not part.name.startswith("memo"):
            part.unlink()
    again = ask("plan", recipe, tmp_path)
    assert foreseen(again, steps)


SCORER = """version: 1
sources: {photo: {glob: RATED/*/0*.*}}
steps:
  taste:
    op: train_scorer
    in: {images: photo, labels: photo.dir}
    gather: {over: photo}
    with: {name: taste, positive: liked}
outputs: [{from: taste.model, to: taste.safetensors}]
"""


def test_a_scorer_of_ones_own_gives_a_direction(tmp_path: Path) -> None:
    recipe = tmp_path / "taste.yaml"
    recipe.write_text(SCORER.replace("RATED", str(ROOT / "workflows" / "rated")))
    cache = tmp_path / "cache"
    run(recipe, out=tmp_path / "scorer", cache=cache, workers=1)
    params = {
        "scorers": [str(tmp_path / "scorer" / "taste.safetensors")],
        "attributes": ["taste"],
        "hold": [],
        "count": 100,
    }
    out = tmp_path / "out"
    run(ROOT / "workflows" / "learn_directions.yaml", params, out=out, cache=cache, workers=1)
    with (out / "effect.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["attribute"] == "taste"
    assert 0.8 < float(row["effect"]) < 1.2
    assert (out / "taste.safetensors").is_file()
