"""The house rules that no linter knows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("engine", "ops", "models")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
SOURCES = [*MODULES, ROOT / "run_workflow.py"]
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]
MOST_LINES = {"models": 450}
LONGEST_FUNCTION = 60
TEXTS = (".py", ".md", ".yaml", ".toml", ".j2", ".txt")


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    cap = MOST_LINES.get(path.relative_to(ROOT).parts[0], 400)
    assert text.count("\n") <= cap
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"


def tracked() -> list[Path]:
    """Every text file of the project."""
    found = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip("not a git checkout")
    names = found.stdout.split("\0")
    return [ROOT / n for n in names if n.endswith(TEXTS) and (ROOT / n).is_file()]


def test_nothing_names_the_machine_it_was_written_on() -> None:
    foreign = re.compile(
        "|".join(("/ro" + "ot/", "/wo" + "rk/", r"\.\./sha" + "red", "/ho" + "me/[a-z]"))
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked()
        for line in path.read_text(encoding="utf-8").splitlines()
        if foreign.search(line)
    ]
    assert not found


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert not [path for path in SOURCES if path.stem in empty]


#: Rooms whose tests are those of the room that uses them.
TESTED_THROUGH = {
    "ops/given.py": "ops/test_features.py",
    "models/calibration.py": "models/test_direction_library.py",
    "engine/blame.py": "engine/test_worker.py",
    "engine/calling.py": "engine/test_worker.py",
    "engine/coalesce.py": "engine/test_graph.py",
    "engine/commands.py": "test_cli.py",
    "engine/dag.py": "engine/test_items.py",
    "engine/destinations.py": "engine/test_plan.py",
    "engine/errors.py": "engine/test_graph.py",
    "engine/examine.py": "engine/test_plan.py",
    "engine/explain.py": "test_cli_run.py",
    "engine/flags.py": "test_cli.py",
    "engine/forecast.py": "test_cli_run.py",
    "engine/glance.py": "engine/test_plan.py",
    "engine/holes.py": "engine/test_graph.py",
    "engine/jobs.py": "engine/test_worker.py",
    "engine/keys.py": "engine/test_plan.py",
    "engine/fitting.py": "engine/test_worker.py",
    "engine/lanes.py": "engine/test_placement.py",
    "engine/limits.py": "engine/test_runner.py",
    "engine/lineage.py": "engine/test_plan.py",
    "engine/notes.py": "engine/test_runner.py",
    "engine/op.py": "engine/test_oplist.py",
    "engine/outputs.py": "engine/test_runner.py",
    "engine/reading.py": "engine/test_spec_parse.py",
    "engine/readiness.py": "engine/test_plan.py",
    "engine/records.py": "engine/test_store.py",
    "engine/registry.py": "engine/test_own_ops.py",
    "engine/samples.py": "engine/test_runner.py",
    "engine/sizing.py": "engine/test_plan.py",
    "engine/stragglers.py": "engine/test_dispatch.py",
    "engine/writes.py": "engine/test_pools.py",
    "engine/scope.py": "engine/test_graph.py",
    "engine/segments.py": "engine/test_plan.py",
    "engine/session.py": "test_cli_run.py",
    "engine/spec.py": "engine/test_spec_parse.py",
    "engine/states.py": "engine/test_plan.py",
    "engine/status.py": "engine/test_report.py",
    "engine/step_parse.py": "engine/test_spec_parse.py",
    "engine/story.py": "engine/test_report.py",
    "engine/supply.py": "engine/test_worker.py",
    "engine/surroundings.py": "engine/test_graph.py",
    "engine/survey.py": "engine/test_plan.py",
    "engine/task.py": "engine/test_dispatch.py",
    "engine/thumbnails.py": "engine/test_worker.py",
    "engine/values.py": "engine/test_codecs.py",
    "models/alphas.py": "models/test_blend.py",
    "models/canvas.py": "models/test_blend.py",
    "models/collage.py": "ops/test_local.py",
    "models/edits.py": "models/test_blend.py",
    "models/backbone.py": "models/test_companions.py",
    "models/codes.py": "models/test_directions.py",
    "models/encoder.py": "models/test_companions.py",
    "models/errors.py": "models/test_library.py",
    "models/noise.py": "models/test_layers.py",
    "models/pose.py": "ops/test_pose.py",
    "models/perceptual.py": "models/test_inversion.py",
    "models/rearranging.py": "ops/test_spatial.py",
    "models/reference.py": "models/test_stylegan2.py",
    "engine/watching.py": "test_cli_run.py",
}
PARTS_OF_ONE = ("models/scenes/", "models/training/")


def place_of_test(path: Path) -> Path:
    """Where a room is tested: in the file that mirrors it, or that of the room that uses it."""
    room = path.relative_to(ROOT)
    for part in PARTS_OF_ONE:
        if str(room).startswith(part):
            room = Path(part.rstrip("/") + ".py")
    mirrored = room.parent / f"test_{room.stem}.py"
    return ROOT / "tests" / TESTED_THROUGH.get(str(room), mirrored)


def test_every_room_has_its_test() -> None:
    rooms = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]
    assert not [IDS[MODULES.index(path)] for path in rooms if not place_of_test(path).exists()]


@pytest.mark.parametrize(
    "command", [["--help"], ["ops"], ["validate", "workflows/quickstart.yaml"]]
)
def test_looking_imports_no_torch(command: list[str]) -> None:
    code = (
        "import sys, run_workflow\n"
        f"code = run_workflow.main({command!r})\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'PIL', 'distributed', 'dask', 'fsspec'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'{code} {sorted(heavy)}' if code or heavy else 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def test_models_import_no_sklearn_before_they_fit_something() -> None:
    code = (
        "import sys, models.components, models.dci, models.disentanglement, models.scorer\n"
        "early = {'sklearn', 'scipy'} & set(sys.modules)\n"
        "from models.linear import separate; import torch\n"
        "separate(torch.eye(2).double(), torch.tensor([1.0, -1.0]), 'svm')\n"
        "sys.exit(str(early) if early or 'sklearn' not in sys.modules else 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def load_generator_script() -> dict[str, object]:
    """The functions of docs/make.py."""
    space: dict[str, object] = {"__name__": "docs_make", "__file__": str(ROOT / "docs" / "make.py")}
    exec(compile((ROOT / "docs/make.py").read_text(), "docs/make.py", "exec"), space)
    return space


@pytest.mark.parametrize(
    "page", ["architecture.md", "cli.md", "codes.md", "models.md", "ops.md", "soat.md"]
)
def test_generated_pages_are_current(page: str) -> None:
    make = load_generator_script()["PAGES"][page]  # type: ignore[index]
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == make(), "run `make docs`"


def test_every_op_says_where_it_comes_from() -> None:
    from run_workflow import build_ops

    for name, spec in build_ops().items():
        assert "Shapes:" in spec.doc, name
        assert "Source:" in spec.doc, name
