"""engine/packages.py: a missing package is told before the run, where a step's settings need it."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.surroundings import is_installed
from tests.engine.language import assert_complaint, complaints

ROOT = Path(__file__).parents[2]
HEAD = "sources: {photo: {glob: '*.jpg'}, row: {table: rows.csv}}\nsteps:\n"
MESSAGE = "search needs no_such_package, not installed here: pip install rare; or by: file"

#: Runs the command line as on a machine that lacks dlib; whatever it imports is told at the end.
WITHOUT_DLIB = """
import sys
from importlib.machinery import PathFinder


class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name == "dlib" else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from run_workflow import main

code = main(sys.argv[1:])
print(sorted({"torch", "dlib", "face_recognition_models"} & set(sys.modules)))
sys.exit(code)
"""
FACES = """
version: 1
name: faces
sources: {photo: {glob: "*.jpg"}}
steps:
  face: {op: align_face, in: {image: photo, name: photo.name}, with: {SETTINGS}}
outputs: [{from: face, to: "{photo.stem}.png"}]
"""


@pytest.mark.parametrize(
    "settings",
    [
        "",
        ", with: {by: rare}",
        ", with: {marks: null}",
        ", with: {by: '${matrix.b}'}, matrix: {b: [file, rare]}",
    ],
)
def test_a_missing_package_is_told_at_the_step(settings: str) -> None:
    text = f"{HEAD}  s: {{op: @@search, in: {{image: photo}}{settings}}}\n"
    assert_complaint(text, f"step 's': {MESSAGE}")


@pytest.mark.parametrize(
    "settings",
    [
        "with: {by: file}",
        "with: {marks: marks.json}",
        "with: {by: '${matrix.b}', marks: '${matrix.m}'}, matrix: {b: [rare], m: [a.csv, b.csv]}",
        "pair: cross, with: {by: '${row.id}'}",
    ],
)
def test_settings_that_do_without_it_need_nothing(settings: str) -> None:
    assert not complaints(f"{HEAD}  s: {{op: search, in: {{image: photo}}, {settings}}}\n")


def test_every_step_that_lacks_something_is_named() -> None:
    steps = "  a: {op: search, in: {image: photo}}\n  b: {op: search, in: {image: a}}\n"
    assert len(complaints(HEAD + steps)) == 2


def test_looking_for_a_package_does_not_import_it() -> None:
    assert is_installed("antigravity")
    assert not is_installed("no_such_package")
    assert "antigravity" not in sys.modules


def without_dlib(folder: Path, command: str, settings: str = "size: 64") -> tuple[int, str, str]:
    (folder / "faces.yaml").write_text(FACES.replace("SETTINGS", settings))
    (folder / "one.jpg").touch()
    (folder / "marks.json").write_text("{}")
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_DLIB, command, str(folder / "faces.yaml")],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr


@pytest.mark.parametrize("command", ["validate", "run", "plan"])
def test_without_dlib_faces_are_refused_before_anything_is_imported(
    tmp_path: Path, command: str
) -> None:
    code, imported, errors = without_dlib(tmp_path, command)
    assert (code, imported) == (2, "[]")
    assert "faces.yaml:6:14: step 'face': align_face needs dlib, not installed here" in errors
    assert "pip install 'latentloom[faces]'; or name a file of landmarks in `landmarks`" in errors
    assert not (tmp_path / "out").exists()


def test_with_landmarks_from_a_file_nothing_is_missing(tmp_path: Path) -> None:
    code, imported, errors = without_dlib(tmp_path, "validate", "landmarks: marks.json")
    assert (code, imported) == (0, "[]"), errors
