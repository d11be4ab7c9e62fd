"""What a run wrote is read, and nothing else."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.codecs import encode
from engine.values import Latent
from models.code_files import read_value


def test_a_code_is_read_as_it_was_written(tmp_path: Path) -> None:
    data = torch.arange(12.0).reshape(1, 3, 4)
    path = tmp_path / "x.safetensors"
    path.write_bytes(encode(Latent(data, "w_plus", "f")))
    fields, tensors = read_value(path, "Latent")
    assert fields == {"space": "w_plus", "family": "f"}
    assert torch.equal(tensors["data"], data)
    with pytest.raises(ValueError, match="it holds Latent"):
        read_value(path, "Direction")


def test_other_files_hold_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"data": torch.zeros(1, 2)}, path)
    with pytest.raises(ValueError, match="it holds something else"):
        read_value(path, "Latent")
