"""Directions on disk, and the algebra of moving along them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import GeneratorConfig, ModelError
from models.directions import StoredDirection, load_direction, move, save_direction
from models.stylegan2 import Generator

GENERATOR = Generator(GeneratorConfig(16, (8, 8, 8), z_dim=12, w_dim=12, mapping_layers=1))


def direction(seed: int, *shape: int, sigma: float = 2.0, offset: float = 0.5) -> StoredDirection:
    data = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return StoredDirection(data / data.norm(), sigma, offset, f"d{seed}", "w", "f")


def score(data: torch.Tensor, d: StoredDirection) -> torch.Tensor:
    return (data.double() @ d.data.double() - d.offset) / d.sigma


A, B = direction(1, 12), direction(2, 12, sigma=0.7)
W = torch.randn(3, 12, generator=torch.Generator().manual_seed(9))


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
    ],
)
def test_a_direction_that_means_nothing_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.safetensors"
    save_direction(replace(A, **change), path)
    with pytest.raises(ModelError, match=message):
        load_direction(path)


def test_a_file_of_another_project_is_sent_to_import(tmp_path: Path) -> None:
    path = tmp_path / "smile.npy"
    np.save(path, A.data.numpy())
    with pytest.raises(ModelError, match=r"come in by `run_workflow\.py directions import`"):
        load_direction(path)


def test_strength_is_the_change_of_the_score() -> None:
    moved, space = move(GENERATOR, W, "w", [(A, 1.5)])
    assert space == "w"
    assert torch.allclose(moved - W, (1.5 * 2.0 * A.data).expand(3, -1), atol=1e-6)
    assert torch.allclose(score(moved, A) - score(W, A), torch.tensor(1.5).double(), atol=1e-5)


def test_no_strength_changes_no_bit() -> None:
    moved, _ = move(GENERATOR, W, "w", [(A, 0.0), (B, 0.0)], conditions=[direction(3, 12)])
    assert torch.equal(moved, W)


def test_several_targets_are_met_at_once_and_conditions_kept() -> None:
    keep = direction(3, 12)
    moved, _ = move(GENERATOR, W, "w", [(A, 1.0), (B, -2.0)], conditions=[keep])
    for d, change in ((A, 1.0), (B, -2.0), (keep, 0.0)):
        wanted = torch.full((3,), change, dtype=torch.float64)
        assert torch.allclose(score(moved, d) - score(W, d), wanted, atol=1e-5)


def test_set_to_reaches_the_score_from_anywhere_and_again_does_nothing() -> None:
    there, _ = move(GENERATOR, W, "w", [(A, 0.8)], absolute=True)
    assert torch.allclose(score(there, A), torch.tensor(0.8).double(), atol=1e-5)
    again, _ = move(GENERATOR, there, "w", [(A, 0.8)], absolute=True)
    assert torch.allclose(again, there, atol=1e-5)


def test_condition_on_itself_is_refused() -> None:
    with pytest.raises(ModelError, match="'d1' has no part free of 'd1'"):
        move(GENERATOR, W, "w", [(A, 1.0)], conditions=[A])


def test_collinear_conditions_are_one() -> None:
    twin = StoredDirection(-A.data, 1.0, 0.0, "twin", "w", "f")
    once, _ = move(GENERATOR, W, "w", [(B, 1.0)], conditions=[A])
    twice, _ = move(GENERATOR, W, "w", [(B, 1.0)], conditions=[A, twin])
    assert torch.allclose(once, twice, atol=1e-5)


def test_rows_confine_the_move_and_other_rows_keep_every_bit() -> None:
    moved, space = move(GENERATOR, W, "w", [(A, 1.0)], rows=[1, 2])
    assert space == "w_plus"
    assert torch.equal(moved[:, 3:], W[:, None].expand(-1, 3, -1))
    assert torch.allclose(moved[:, 1] - W, (2.0 * A.data).expand(3, -1), atol=1e-6)


def test_w_plus_moves_every_row_as_w_would() -> None:
    wide = W[:, None] + 0.1 * torch.randn(3, 6, 12)
    moved, _ = move(GENERATOR, wide, "w_plus", [(A, 1.5)])
    assert torch.allclose(moved - wide, (3.0 * A.data).expand(3, 6, -1), atol=1e-5)
    there, _ = move(GENERATOR, wide, "w_plus", [(A, 0.2)], absolute=True)
    assert torch.allclose(score(there, A).mean(1), torch.tensor(0.2).double(), atol=1e-5)


def test_style_codes_move_as_their_w_would() -> None:
    styles = GENERATOR.styles(GENERATOR.broadcast(W))
    moved, space = move(GENERATOR, styles, "style", [(A, 1.5)])
    expected = GENERATOR.styles(GENERATOR.broadcast(W + 3.0 * A.data))
    assert space == "style"
    assert torch.allclose(moved, expected, atol=1e-5)


def test_style_direction_takes_a_code_to_style() -> None:
    one = torch.zeros(GENERATOR.styles(GENERATOR.broadcast(W)).shape[1])
    one[7] = 1
    channel = StoredDirection(one, 3.0, 0.0, "channel", "style", "f")
    moved, space = move(GENERATOR, W, "w", [(channel, 2.0)])
    changed = moved - GENERATOR.styles(GENERATOR.broadcast(W))
    assert space == "style"
    assert torch.allclose(changed[:, 7], torch.tensor(6.0), atol=1e-5)
    assert changed.count_nonzero() <= 3 + 3 * 1e-6
    with pytest.raises(ModelError, match="do not mix in one edit"):
        move(GENERATOR, W, "w", [(channel, 2.0), (A, 1.0)])


def test_z_has_no_directions() -> None:
    with pytest.raises(ModelError, match="map it to w first"):
        move(GENERATOR, W, "z", [(A, 1.0)])
