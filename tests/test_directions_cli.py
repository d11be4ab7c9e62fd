"""The commands that look after a model's directions."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from run_workflow import check_models, main

UMASK = os.umask(0)
os.umask(UMASK)


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


def test_one_broken_file_hides_no_other(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Path(model).parent / "directions"
    for name in ("age", "smile"):
        file = str(tmp_path / f"{name}.safetensors")
        assert main(["directions", "export", name, file]) == 0
        assert ask("add", file, model=model) == 0
        assert (library / f"{name}.safetensors").stat().st_mode & 0o777 == 0o666 & ~UMASK
    (library / "age.safetensors").write_bytes((library / "age.safetensors").read_bytes()[:500])
    capsys.readouterr()
    assert ask("list", model=model) == 2
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["smile"]
    assert "age.safetensors: not a direction file" in told.err
    monkeypatch.setattr("models.library.BUILTIN", library.parents[1])
    found = {(one.verdict, one.text.split(": ")[0]) for one in check_models()}
    assert ("ok", "directions") in found
    assert ("bad", str(library / "age.safetensors")) in found
    monkeypatch.setattr("models.library.BUILTIN", tmp_path / "none")
    assert [one.verdict for one in check_models()] == ["bad"]


def test_a_library_that_takes_nothing_says_so(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "smile.safetensors")
    assert main(["directions", "export", "smile", file]) == 0
    (Path(model).parent / "directions").write_text("no folder")
    capsys.readouterr()
    assert ask("add", file, model=model) == 2
    assert "directions/smile.safetensors: cannot be written" in capsys.readouterr().err


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
