"""A folder with everything wrong in it: each photo works or is quarantined with its reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from photo_zoo import FATES, fill_zoo

#: Whole commands, on machines that may be busy.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "workflows" / "photos"
FACELESS = ROOT / "workflows" / "photos-without-faces"

WORKFLOW = """
version: 1
name: zoo
sources: {photo: {glob: "zoo/*"}}
steps:
  face: {op: align_face, in: {image: photo}, with: {face: refuse_many, size: 64}}
outputs: [{from: face.image, to: "faces/{photo.rel}{photo.ext}.png"}]
"""


def run(folder: Path, *flags: str) -> tuple[int, dict[str, object], str]:
    command = [sys.executable, str(ROOT / "run_workflow.py"), "run", "zoo.yaml", "--json"]
    command += ["-o", "out", "--cache", "cache", "--workers", "2", *flags]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=550, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    return done.returncode, json.loads(lines[0]), done.stderr


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo with spaces ü")
    (folder / "zoo").mkdir()
    fill_zoo(folder / "zoo", PHOTOS / "grace_hopper.jpg", FACELESS / "coffee.jpg")
    (folder / "zoo.yaml").write_text(WORKFLOW)
    return folder


def test_every_photo_works_or_says_why(zoo: Path) -> None:
    code, told, _ = run(zoo)
    assert code == 3
    fates = dict(FATES)
    good = sorted(name for name, fate in fates.items() if fate == "done")
    counts = told["steps"]["face"]  # type: ignore[index]
    assert counts["items"] == len(fates)
    assert (counts["done"], counts["quarantined"]) == (len(good), len(fates) - len(good))
    assert sorted(p.name for p in (zoo / "out" / "faces").iterdir()) == [f"{n}.png" for n in good]
    assert told["outputs"] == len(good)
    report = (zoo / "out" / ".run" / "report.html").read_text()
    for name, fate in fates.items():
        if fate != "done":
            assert Path(name).stem in report, f"{name} is not in the report"
            assert fate in report


def test_a_repeat_remembers_and_computes_nothing(zoo: Path) -> None:
    run(zoo)
    code, told, _ = run(zoo)
    counts = told["steps"]["face"]  # type: ignore[index]
    assert code == 3
    assert counts["done"] == 0
    assert counts["quarantined"] == sum(fate != "done" for fate in FATES.values())
    assert not [p for p in zoo.rglob("*") if "tmp" in p.name]
