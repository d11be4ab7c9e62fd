"""Pickles are read, never run."""

import argparse
import collections
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import ModelError
from models.stored import StoredTensor
from models.unpickle import ModuleRecord, read_pickled


class Runs:
    """Pickles to a call of `function(*args)`."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def write(path: Path, value: object) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize(
    "attack",
    [
        lambda target: Runs(os.system, f"touch {target}"),
        lambda target: Runs(eval, f"open({str(target)!r}, 'w')"),
        lambda target: Runs(exec, f"open({str(target)!r}, 'w')"),
        lambda target: Runs(open, str(target), "w"),
        lambda target: Runs(getattr, Runs(__import__, "os"), "system"),
        lambda target: Runs(torch.load, str(target)),
    ],
)
@pytest.mark.parametrize("place", ["bare", "in a dict", "in torch's archive"])
def test_no_function_is_ever_called(attack: Any, place: str, tmp_path: Path) -> None:
    target, path = tmp_path / "harm", tmp_path / "network.pkl"
    value = attack(target)
    if place == "in torch's archive":
        torch.save({"g_ema": value}, path)
    else:
        write(path, {"G_ema": value} if place == "in a dict" else value)
    with pytest.raises(ModelError, match=r"network\.pkl: the pickle names .* not allowed"):
        read_pickled(path)
    assert not target.exists()


def test_a_storage_inside_a_pickle_runs_nothing_either(tmp_path: Path) -> None:
    target = tmp_path / "harm"
    inner = pickle.dumps(Runs(os.system, f"touch {target}"))
    outer = Runs(torch.storage._load_from_bytes, inner)
    path = write(tmp_path / "network.pkl", {"G_ema": outer})
    with pytest.raises(ModelError, match=r"names posix\.system|names nt\.system"):
        read_pickled(path)
    assert not target.exists()


def test_embedded_source_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "harm"
    # A pickle that calls torch_utils.persistence._reconstruct_persistent_obj(meta), by hand.
    meta = {
        "type": "class",
        "class_name": "Generator",
        "module_src": f"open({str(target)!r}, 'w')",
        "state": {"z_dim": 4, "_modules": {}, "_parameters": {}},
    }
    body = pickle.dumps(meta, protocol=2)[2:-1]
    name = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
    path = tmp_path / "network.pkl"
    path.write_bytes(b"\x80\x02" + name + body + b"\x85R.")
    found = read_pickled(path)
    assert isinstance(found, ModuleRecord)
    assert (found.class_name, found.attributes["z_dim"]) == ("Generator", 4)
    assert not target.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torchs_formats_give_back_the_numbers(zipped: bool, tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    values = {
        "whole": base,
        "view": base.t()[1:],
        "half": torch.tensor([0.5, -2.0]).half(),
        "whole numbers": torch.tensor([1, 2, 3]),
        "single": torch.tensor(5.0),
    }
    path = tmp_path / "weights.pt"
    torch.save(collections.OrderedDict(values), path, _use_new_zipfile_serialization=zipped)
    found = read_pickled(path)
    assert isinstance(found, dict)
    for name, tensor in values.items():
        assert isinstance(found[name], StoredTensor)
        assert found[name].shape == tuple(tensor.shape)
        assert found[name].values() == tensor.flatten().tolist()


def test_a_training_checkpoint_with_its_arguments_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "train.pt"
    state = torch.nn.Linear(2, 2).state_dict()
    torch.save({"g_ema": state, "args": argparse.Namespace(lr=0.1)}, path)
    found = read_pickled(path)
    assert isinstance(found, dict)
    assert found["args"] == {"lr": 0.1}
    assert set(found["g_ema"]) == {"weight", "bias"}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(zipped: bool, kept: float, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"x": torch.randn(50, 50)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ModelError, match=r"weights\.pt"):
        read_pickled(path)


def test_a_view_outside_its_storage_is_refused(tmp_path: Path) -> None:
    storage = io.BytesIO()
    torch.save(
        torch.zeros(4)._typed_storage(),
        storage,
        _use_new_zipfile_serialization=False,
    )
    inner = Runs(torch.storage._load_from_bytes, storage.getvalue())
    rebuild = torch._utils._rebuild_tensor_v2
    path = write(tmp_path / "network.pkl", Runs(rebuild, inner, 2, (3,), (1,), False, None))
    with pytest.raises(ModelError, match="needs 5 elements, its storage has 4"):
        read_pickled(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.pt"
    path.write_bytes(struct.pack("<Q", 7) * 20)
    with pytest.raises(ModelError, match="not a checkpoint"):
        read_pickled(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_pickled(tmp_path / "absent.pt")


def test_tensorflow_pickles_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(b"cdnnlib.tflib.network\nNetwork\n)R.")
    with pytest.raises(ModelError, match="convert it to PyTorch"):
        read_pickled(path)
