"""Directions of other projects: the formats that are found, and what a file cannot do."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import ModelError
from models.imported import read_foreign

AXIS = np.random.default_rng(0).normal(size=512)


def saved(path: Path, value: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, value)
    elif path.suffix == ".npz":
        np.savez(path, **value)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path)
    return path


@pytest.mark.parametrize("shape", [(512,), (1, 512), (18, 512), (1, 18, 512), (1, 1, 512)])
def test_arrays_with_equal_rows_are_one_direction_of_w(tmp_path: Path, shape: Any) -> None:
    array = np.broadcast_to(AXIS, shape)
    found = read_foreign(saved(tmp_path / "smile.npy", array))
    assert np.allclose(found.data.numpy(), AXIS, atol=1e-6)
    assert (found.sigma, found.rows) == (None, ())


def test_arrays_whose_rows_differ_keep_them(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(18, 512)).astype(np.float32)
    assert np.array_equal(read_foreign(saved(tmp_path / "age.npy", array)).data.numpy(), array)


def test_components_of_ganspace(tmp_path: Path) -> None:
    comp = np.random.default_rng(2).normal(size=(5, 1, 512)).astype(np.float32)
    parts = {
        "act_comp": comp,
        "lat_comp": comp,
        "lat_stdev": np.arange(1.0, 6.0),
        "lat_mean": comp[:1],
    }
    path = saved(tmp_path / "pca.npz", parts)
    found = read_foreign(path, component=3)
    assert np.array_equal(found.data.numpy(), comp[3, 0])
    assert found.sigma == 4.0
    with pytest.raises(ModelError, match="no component 5; it has 0 to 4"):
        read_foreign(path, component=5)


def edit(**more: Any) -> dict[str, Any]:
    """An edit as GANSpace's program writes it."""
    return {
        "name": "beard",
        "component_index": 41,
        "act_comp": AXIS[None],
        "lat_comp": AXIS[None],
        "latent_space": "W",
        "lat_stdev": 2.5,
        "edit_type": "latent",
        "edit_start": 3,
        "edit_end": 6,
        "decomposition": {"name": "ipca", "samples": 1000},
        **more,
    }


def test_an_edit_of_ganspace_brings_its_unit_and_rows(tmp_path: Path) -> None:
    found = read_foreign(saved(tmp_path / "beard.pkl", edit()))
    assert np.allclose(found.data.numpy(), AXIS)
    assert (found.sigma, found.rows) == (2.5, (3, 4, 5))
    assert found.told == {"name": "beard", "component_index": 41}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_space": "Z"}, "its directions are in Z"),
        ({"edit_type": "activation"}, "activations of a layer"),
    ],
)
def test_an_edit_that_is_not_of_w_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_foreign(saved(tmp_path / "beard.pkl", edit(**change)))


def test_tensors_alone_and_by_name(tmp_path: Path) -> None:
    row = torch.from_numpy(AXIS).float()
    for value in (row, row.expand(14, 512).clone(), OrderedDict(direction=row), {"any": row}):
        assert torch.equal(read_foreign(saved(tmp_path / "d.pt", value)).data, row)
    eigvec = torch.linalg.qr(torch.randn(512, 512))[0]
    factors = saved(tmp_path / "factor.pt", {"ckpt": "x.pt", "eigvec": eigvec})
    assert torch.equal(read_foreign(factors, component=2).data, eigvec[:, 2])


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".npy"])
def test_nothing_in_a_file_is_run(tmp_path: Path, suffix: str) -> None:
    bomb, path = Bomb(tmp_path / "hit"), tmp_path / f"bomb{suffix}"
    if suffix == ".npy":
        file = io.BytesIO()
        np.save(file, np.array([bomb], dtype=object), allow_pickle=True)
        path.write_bytes(file.getvalue())
    else:
        saved(path, edit(lat_comp=bomb))
    with pytest.raises(ModelError):
        read_foreign(path)
    assert not (tmp_path / "hit").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a.npy", np.zeros((1, 512)), "its numbers are all 0"),
        ("a.npy", np.full((1, 512), np.nan), "512 of its 512 numbers are not finite"),
        ("a.npy", np.full((1, 512), 1e300), "beyond float32"),
        ("a.npy", np.ones((12, 0)), r"shape \[12, 0\] is no direction"),
        ("a.npy", np.float32(3), r"shape \[\] is no direction"),
        ("a.npz", {"lat_comp": AXIS[None], "lat_stdev": np.array(np.nan)}, "lat_stdev is nan"),
        ("a.npz", {"lat_comp": AXIS[None], "lat_stdev": np.array([])}, "no number for component 0"),
        ("a.pkl", edit(edit_start=-3), "from row -3 to 6"),
        ("a.pkl", edit(edit_end=10**12), "must be rows"),
        ("a.npy", np.array(["x"]), "not numbers"),
        ("a.npz", {"lat_mean": AXIS, "lat_stdev": AXIS}, "must be alone, or one of 'lat_comp'"),
        ("a.pkl", [1, 2], "not an array of directions"),
        ("a.txt", None, "must be one of .npy"),
    ],
)
def test_what_is_no_direction_is_told(tmp_path: Path, name: str, value: Any, message: str) -> None:
    path = tmp_path / name
    if value is not None:
        saved(path, value)
    with pytest.raises(ModelError, match=message):
        read_foreign(path)


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    for name, value in (("a.npy", AXIS), ("a.npz", {"lat_comp": AXIS}), ("a.pkl", edit())):
        path = saved(tmp_path / name, value)
        path.write_bytes(path.read_bytes()[:-300])
        with pytest.raises(ModelError, match=name):
            read_foreign(path)


def test_half_precision_of_both_kinds_is_read(tmp_path: Path) -> None:
    row = torch.from_numpy(AXIS)
    for kind in (torch.float16, torch.bfloat16):
        found = read_foreign(saved(tmp_path / "d.pt", row.to(kind))).data
        assert torch.equal(found, row.to(kind).float())


def claims(shape: str) -> bytes:
    """The header of a `.npy` file, and nothing behind it."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.ljust(117).encode() + b"\n"


def test_a_small_file_that_claims_much_costs_nothing(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.pt", "a.pkl"):
        path = tmp_path / name
        if name == "a.npy":
            path.write_bytes(claims("(100000000000, 512)"))
        elif name == "a.npz":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                zeros = bytes(1 << 20)
                with archive.open("lat_comp.npy", "w") as file:
                    file.write(claims("(131073, 512)"))
                    for _ in range(513):
                        file.write(zeros)
        elif name == "a.pt":
            torch.save({"direction": torch.zeros(1).expand(10**6, 10**6)}, path)
        else:  # a dictionary that holds itself
            path.write_bytes(b"\x80\x04}q\x00X\x01\x00\x00\x00ah\x00s.")
        with pytest.raises(ModelError, match=name):
            read_foreign(path)


def test_an_array_stored_by_columns_is_not_misread(tmp_path: Path) -> None:
    array = np.asfortranarray(np.random.default_rng(1).normal(size=(18, 512)))
    with pytest.raises(ModelError, match="stored by columns"):
        read_foreign(saved(tmp_path / "age.pkl", {"direction": array}))
