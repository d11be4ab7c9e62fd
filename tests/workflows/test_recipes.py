"""Every recipe plans, and runs in small from the command line as it ships."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "workflows").glob("*.yaml"))

#: What makes a recipe small; every other param keeps its default.
SMALL = {
    "align_only": ("size=32",),
    "direction_sheet": ("count=1", "attributes=[smile]", "strengths=[-1, 1]"),
    "interpolation": ("count=1", "steps=[0, 1]"),
    "learn_directions": ("count=100", "attributes=[smile]"),
    "quickstart": ("steps=2", "attributes=[smile]", "strengths=[1]"),
    "sample_sheet": ("count=2",),
    "style_mixing": (),
}


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


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_runs_as_planned(recipe: Path, tmp_path: Path) -> None:
    told = {}
    for verb, more in (("plan", ()), ("run", ("--workers", "1", "-q"))):
        limit = () if recipe.stem == "learn_directions" else ("--limit", "2")
        line = command(verb, recipe, tmp_path, *limit, *more)
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=110, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        told[verb] = json.loads(done.stdout)
    steps = told["run"]["steps"]
    assert {name: s["items"] for name, s in steps.items()} == {
        name: s["items"] for name, s in told["plan"]["steps"].items() if name in steps
    }
    assert all(s["quarantined"] == 0 for s in steps.values())
    assert told["run"]["outputs"] == len(
        [p for p in (tmp_path / "out").rglob("*.*") if ".run" not in p.parts]
    )
    assert (tmp_path / "out" / ".run" / "report.html").stat().st_size > 5_000
