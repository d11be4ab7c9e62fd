"""Directions on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import ModelError
from models.directions import StoredDirection, load_direction, save_direction
from models.entries import check_direction


def direction(seed: int, *shape: int, sigma: float = 2.0, offset: float = 0.5) -> StoredDirection:
    data = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return StoredDirection(data / data.norm(), sigma, offset, f"d{seed}", "w", "f")


A = direction(1, 12)


def test_file_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "smile.safetensors"
    save_direction(A, path)
    back = load_direction(path)
    assert torch.equal(back.data, A.data)
    assert (back.sigma, back.offset, back.name, back.rows) == (2.0, 0.5, "d1", ())


@pytest.mark.parametrize("content", [b"", b"not a file", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.safetensors: not a direction file"):
        load_direction(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": A.data * float("nan")}, "has length nan, must be 1"),
        ({"data": A.data * 0}, "has length 0, must be 1"),
        ({"data": A.data * 7}, "has length 7, must be 1"),
        ({"sigma": 0.0}, "has sigma 0 and"),
        ({"sigma": -2.0}, "has sigma -2 and"),
        ({"sigma": float("nan")}, "has sigma nan and"),
        ({"offset": float("inf")}, "offset inf"),
        ({"card": "{"}, "not a direction file"),
        ({"card": "[]"}, "its card is no JSON object"),
        ({"card": '{"moves": {"age": NaN}}'}, "card has moves of nan for 'age'"),
        ({"card": '{"moves": {"age": 1e300}}'}, "a number of at most 1e\\+06"),
        ({"card": '{"moves": {"age": "far"}}'}, "moves of 'far' for 'age'"),
        ({"card": '{"moves": {"age": {"by": 1}}}'}, "must be a number"),
        ({"card": '{"moves": {"age": null}}'}, "moves of None for 'age'"),
        ({"card": '{"moves": {"age": true}}'}, "moves of True for 'age'"),
        ({"card": '{"moves": ["age"]}'}, "must be a number for each attribute"),
        ({"card": '{"moves": null}'}, "has moves None"),
        ({"card": '{"calibrated_by": ["age"]}'}, "must be the name of an attribute"),
    ],
)
def test_a_direction_that_means_nothing_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.safetensors"
    save_direction(replace(A, **change), path)
    with pytest.raises(ModelError, match=message):
        load_direction(path)
    with pytest.raises(ModelError, match=message):
        check_direction(path, None)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_before_a_run_too(tmp_path: Path, share: float) -> None:
    path = tmp_path / "bad.safetensors"
    save_direction(A, path)
    check_direction(path, None)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"bad\.safetensors: not a direction file.*truncated"):
        check_direction(path, None)


def test_a_file_of_another_project_is_sent_to_import(tmp_path: Path) -> None:
    path = tmp_path / "smile.npy"
    np.save(path, A.data.numpy())
    with pytest.raises(ModelError, match=r"come in by `run_workflow\.py directions import`"):
        load_direction(path)
