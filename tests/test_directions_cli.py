"""The commands that look after a model's directions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from run_workflow import main


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A copy of the portraits, with a library of its own."""
    source = Path(__file__).parents[1] / "models" / "builtin" / "portraits-128"
    folder = tmp_path / "portraits"
    folder.mkdir()
    shutil.copy(source / "generator.safetensors", folder)
    return str(folder / "generator.safetensors")


def ask(*words: str, model: str) -> int:
    return main(["directions", *words, "--model", model])


def test_list_and_show_tell_of_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["directions", "list", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    names = [line["name"] for line in lines]
    assert "smile" in names
    assert all(line["sigma"] > 0 for line in lines)
    assert main(["directions", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(names)
    assert main(["directions", "show", "smile"]) == 0
    assert json.loads(capsys.readouterr().out)["attribute"] == "smile"


def test_a_direction_goes_from_one_library_into_another(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask("list", model=model) == 0
    assert "portraits/directions holds no directions" in capsys.readouterr().out
    for suffix, verb in ((".npy", "import"), (".safetensors", "add")):
        file = str(tmp_path / f"out{suffix}")
        assert main(["directions", "export", "smile", file]) == 0
        assert ask(verb, file, "--name", f"{verb}ed", model=model) == 0
    capsys.readouterr()
    assert ask("list", "--json", model=model) == 0
    assert [line["name"] for line in json.loads(capsys.readouterr().out)] == ["added", "imported"]


def test_what_cannot_be_is_told_on_one_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "small.npy", np.ones((18, 7)))
    small = str(tmp_path / "small.npy")
    for words, message in (
        (("show", "smile"), "'smile' is not in the library of 'generator' (none)"),
        (("import", small), "does not fit this model"),
        (("import", small, "--rows", "a"), "must be numbers, such as 0,1,2"),
        (("add", small), "other formats come by `import`"),
    ):
        assert ask(*words, model=model) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
