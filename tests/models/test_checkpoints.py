"""Any weight file as one plain description."""

import pickle
import shutil
from pathlib import Path

import pytest

from models.checkpoints import read_checkpoint
from models.errors import ModelError


@pytest.mark.parametrize("name", ["rosinality-64.pt", "nvlabs-stylegan2-64.pkl"])
def test_the_content_tells_the_format_not_the_suffix(
    name: str, golden: Path, tmp_path: Path
) -> None:
    disguised = tmp_path / "network.bin"
    shutil.copy(golden / name, disguised)
    plain, found = read_checkpoint(golden / name), read_checkpoint(disguised)
    assert (found.format, found.config) == (plain.format, plain.config)
    assert set(found.tensors) == set(plain.tensors)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "holds a list"),
        ({"weights": 3}, r"no generator in it \(found weights\)"),
        ({"G_ema": {}}, 'no generator "G_ema"'),
        ({"g_ema": {"style.1.weight": 1}}, "conv1.conv.weight is missing"),
    ],
)
def test_pickles_without_a_generator_are_refused(
    value: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "thing.pkl"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(ModelError, match=message) as caught:
        read_checkpoint(path)
    assert "thing.pkl" in str(caught.value)


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(tmp_path)
