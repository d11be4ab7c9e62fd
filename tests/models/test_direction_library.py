"""A library of directions: what comes in, what is refused, what goes out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import save_generator
from models.companions import features
from models.direction_library import Library, Wish, as_line, open_library, take_in, write_out
from models.directions import StoredDirection, load_direction, save_direction
from models.errors import ModelError
from models.linear import fit_readout
from models.loading import save_network
from models.moves import move
from models.perceptual import FeatureNet, FeatureNetConfig
from models.pool import network
from models.readings import draw_codes, read_codes
from models.stylegan2 import Generator

UNIT = torch.eye(8)[2]


@pytest.fixture
def library(tmp_path: Path, make_generator: Callable[[], Generator]) -> Library:
    path = tmp_path / "model" / "generator.safetensors"
    path.parent.mkdir()
    save_generator(make_generator(), path)
    torch.manual_seed(1)
    seen = FeatureNetConfig(("smile", "age"), ("face",), ("nose",), (8, 8, 8, 8, 8))
    save_network(
        FeatureNet(seen), path.with_name("features.safetensors"), "features", seen.to_json()
    )
    return open_library(str(path))


def stored(folder: Path, family: str, **more: object) -> Path:
    path = folder / "smile.safetensors"
    made = StoredDirection(UNIT, 1.5, 0.2, "smile", "w", family, card='{"method": "svm"}')
    save_direction(replace(made, **more), path)  # type: ignore[arg-type]
    return path


def test_what_a_workflow_wrote_is_added_as_it_is(library: Library, tmp_path: Path) -> None:
    assert library.names == ()
    take_in(library, stored(tmp_path, library.model.digest), Wish(name="grin"))
    assert library.names == ("grin",)
    found = library.get("grin")
    assert (found.name, found.sigma, found.offset) == ("grin", 1.5, pytest.approx(0.2))
    assert as_line(found) == {
        "name": "grin",
        "space": "w",
        "rows": [],
        "sigma": 1.5,
        "method": "svm",
    }


def test_a_name_is_not_taken_twice(library: Library, tmp_path: Path) -> None:
    file = stored(tmp_path, library.model.digest)
    take_in(library, file, Wish())
    with pytest.raises(ModelError, match="'smile' is in the library already"):
        take_in(library, file, Wish())
    take_in(library, file, Wish(overwrite=True))
    with pytest.raises(ModelError, match="must be a plain file name"):
        take_in(library, file, Wish(name="../smile"))
    with pytest.raises(ModelError, match=r"'grin' is not in the library of 'generator' \(smile\)"):
        library.get("grin")


def test_a_direction_of_another_model_is_refused_or_measured_anew(
    library: Library, tmp_path: Path
) -> None:
    generator, net = network(library.model.path), features(library.features)
    w = draw_codes(generator, 300, 3)
    read = fit_readout(w, read_codes(generator, net, w, "w")[:, 0], "regression")
    file = stored(tmp_path, "somebody", data=read.direction.float(), sigma=3 * read.sigma)
    with pytest.raises(ModelError, match="made for the generator somebody, not for 'generator'"):
        take_in(library, file, Wish())
    assert library.names == ()
    found = take_in(library, file, Wish(recalibrate=True))
    card = json.loads(found.card)
    assert (card["made_for"], card["calibrated_by"]) == ("somebody", "smile")
    assert (found.family, found.sigma != 3 * read.sigma) == (library.model.digest, True)
    with pytest.raises(ModelError, match="no attribute 'smiel', did you mean 'smile'"):
        take_in(library, file, Wish(recalibrate=True, calibrate="smiel", name="x"))


@pytest.mark.parametrize(("shape", "space"), [((9,), "w"), ((7, 8), "w_plus"), ((5,), "style")])
def test_codes_of_other_sizes_do_not_fit(
    library: Library, tmp_path: Path, shape: tuple[int, ...], space: str
) -> None:
    data = torch.ones(shape) / torch.ones(shape).norm()
    file = stored(tmp_path, library.model.digest, data=data, space=space)
    with pytest.raises(ModelError, match="does not fit this model"):
        take_in(library, file, Wish())


def test_a_unit_that_leads_nowhere_near_codes_is_refused(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="strength 1 is a step of 1e\\+30, where codes lie"):
        take_in(library, stored(tmp_path, library.model.digest, sigma=1e30), Wish())
    assert library.names == ()


def test_a_folder_that_is_not_there_is_told(library: Library, tmp_path: Path) -> None:
    take_in(library, stored(tmp_path, library.model.digest), Wish())
    for name in ("a.npy", "a.safetensors"):
        with pytest.raises(ModelError, match=r"there is no folder .*nowhere"):
            write_out(library, "smile", tmp_path / "nowhere" / name)


def test_a_near_name_is_offered(library: Library, tmp_path: Path) -> None:
    take_in(library, stored(tmp_path, library.model.digest), Wish())
    with pytest.raises(ModelError, match="did you mean 'smile'"):
        library.get("smlie")


def test_an_array_gets_the_spread_of_codes_as_its_unit(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "boundary.npy"
    np.save(path, 3 * UNIT[None].numpy())
    found = take_in(library, path, Wish(licence="MIT", rows=(1, 2)))
    generator = network(library.model.path)
    w = generator.mapping(torch.randn(4000, 8, generator=torch.Generator().manual_seed(1)))
    assert found.sigma == pytest.approx(float(w[:, 2].std()), rel=0.1)
    assert found.offset == pytest.approx(float(w[:, 2].mean()), abs=0.1 * found.sigma)
    assert torch.allclose(library.get("boundary").data, UNIT)
    assert found.rows == (1, 2)
    card = json.loads(found.card)
    assert (card["file"], card["licence"], card["norm"]) == ("boundary.npy", "MIT", 3.0)
    assert len(card["data"]) == 64


def test_an_array_with_rows_of_its_own_moves_each_by_its_own(
    library: Library, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    found = take_in(library, tmp_path / "rows.npy", Wish())
    generator = network(library.model.path)
    w = torch.zeros(1, 8, 8)
    moved, space = move(generator, w, "w_plus", [(found, 1.0)])
    assert space == "w_plus"
    expected = torch.from_numpy(rows / np.linalg.norm(rows)) * found.sigma
    assert torch.allclose(moved[0], expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".npy", ".pt"])
def test_what_goes_out_is_one_step_and_comes_back(
    library: Library, tmp_path: Path, suffix: str
) -> None:
    take_in(library, stored(tmp_path, library.model.digest), Wish())
    target = tmp_path / f"out{suffix}"
    write_out(library, "smile", target)
    array = np.load(target) if suffix == ".npy" else torch.load(target, weights_only=True).numpy()
    assert np.allclose(array, 1.5 * np.broadcast_to(UNIT.numpy(), (8, 8)))
    assert json.loads((tmp_path / "out.json").read_text())["method"] == "svm"
    back = take_in(library, target, Wish(name="again"))
    assert torch.allclose(back.data, UNIT)
    with pytest.raises(ModelError, match=r"must be \.safetensors, \.npy or \.pt"):
        write_out(library, "smile", tmp_path / "smile.txt")


def test_a_library_file_goes_out_whole(library: Library, tmp_path: Path) -> None:
    take_in(library, stored(tmp_path, library.model.digest, rows=(1,)), Wish())
    write_out(library, "smile", tmp_path / "copy.safetensors")
    copy = load_direction(tmp_path / "copy.safetensors")
    assert (copy.rows, copy.sigma, copy.card) == ((1,), 1.5, '{"method": "svm"}')
    write_out(library, "smile", tmp_path / "copy.npy")
    assert np.count_nonzero(np.load(tmp_path / "copy.npy").any(1)) == 1
