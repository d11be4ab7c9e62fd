"""Networks found by name."""

from pathlib import Path

import pytest

from models import library
from models.errors import ModelError
from models.library import builtin_names, library_names, locate


@pytest.fixture(autouse=True)
def _two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kinds in {"portraits-9": ("generator", "encoder"), "views-9": ("generator",)}.items():
        (tmp_path / name).mkdir()
        for kind in kinds:
            (tmp_path / name / f"{kind}.safetensors").touch()
    monkeypatch.setattr(library, "BUILTIN", tmp_path)


def test_names_and_files_are_found(tmp_path: Path) -> None:
    assert builtin_names() == ("portraits-9", "views-9")
    encoder = tmp_path / "portraits-9" / "encoder.safetensors"
    assert locate("portraits-9", "encoder") == encoder
    assert locate(encoder, "encoder") == encoder


def test_what_lies_beside_a_model_is_listed(tmp_path: Path) -> None:
    weights = tmp_path / "portraits-9" / "generator.safetensors"
    assert library_names(weights, "directions") == ()
    (weights.parent / "directions").mkdir()
    for name in ("yaw", "age"):
        (weights.parent / "directions" / f"{name}.safetensors").touch()
    assert library_names(weights, "directions") == ("age", "yaw")


def test_refusals_help(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'portraits-9'"):
        locate("potraits-9", "generator")
    with pytest.raises(ModelError, match="has no encoder; it has generator"):
        locate("views-9", "encoder")
    with pytest.raises(ModelError, match="no such weight file"):
        locate("mine.pt", "generator")
    with pytest.raises(ModelError, match="a folder"):
        locate(tmp_path, "generator")
