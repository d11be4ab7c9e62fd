"""The algebra of moving along directions."""

import json
from dataclasses import replace

import pytest
import torch

from models import GeneratorConfig, ModelError
from models.directions import StoredDirection
from models.moves import freedom, move
from models.stylegan2 import Generator

GENERATOR = Generator(GeneratorConfig(16, (8, 8, 8), z_dim=12, w_dim=12, mapping_layers=1))


def direction(seed: int, *shape: int, sigma: float = 2.0, offset: float = 0.5) -> StoredDirection:
    data = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return StoredDirection(data / data.norm(), sigma, offset, f"d{seed}", "w", "f")


def score(data: torch.Tensor, d: StoredDirection) -> torch.Tensor:
    return (data.double() @ d.data.double() - d.offset) / d.sigma


A, B = direction(1, 12), direction(2, 12, sigma=0.7)
W = torch.randn(3, 12, generator=torch.Generator().manual_seed(9))


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


def told(one: StoredDirection, reads: str, **moves: float) -> StoredDirection:
    return replace(one, card=json.dumps({"calibrated_by": reads, "moves": moves}))


def test_conditions_stay_as_pictures_were_measured() -> None:
    smile = told(A, "smile", smile=1.0, age=0.3)
    age = told(B, "age", smile=-0.2, age=1.0)
    moved, _ = move(GENERATOR, W, "w", [(smile, 1.0)], conditions=[age])
    shares = torch.linalg.solve(torch.tensor([[1, -0.2], [0.3, 1]]), torch.tensor([1.0, 0]))
    change = shares[0] * A.sigma * A.data + shares[1] * B.sigma * B.data
    assert torch.allclose(moved - W, change.expand(3, -1), atol=1e-5)
    assert freedom(GENERATOR, "w", [smile], [age]) == [1.0]  # they pull each other apart
    twice, _ = move(GENERATOR, W, "w", [(smile, 1.0)], conditions=[age, age])
    assert torch.allclose(twice, moved, atol=1e-5)


def test_what_was_measured_of_all_rows_is_not_said_of_some() -> None:
    smile, age = told(A, "smile", age=0.3), told(B, "age", smile=-0.2)
    some, _ = move(GENERATOR, W, "w", [(smile, 1.0)], conditions=[age], rows=[1, 2])
    plain, _ = move(GENERATOR, W, "w", [(A, 1.0)], conditions=[B], rows=[1, 2])
    assert torch.equal(some, plain)


def test_directions_that_pictures_cannot_tell_apart_are_refused() -> None:
    one, same = told(A, "smile", smile=1.0, age=1.0), told(B, "age", smile=1.0, age=1.0)
    with pytest.raises(ModelError, match="'d1' has no part free of 'd2'"):
        move(GENERATOR, W, "w", [(one, 1.0)], conditions=[same])


def test_conditions_whose_measures_contradict_each_other_are_refused() -> None:
    third = direction(3, 12)
    target = told(A, "age", smile=0.3)
    one, other = told(B, "smile", smile=1.0), told(third, "smile", smile=1.0)
    move(GENERATOR, W, "w", [(target, 1.0)], conditions=[one, other])
    half, twice = told(B, "smile", smile=0.5, age=0), told(third, "smile", smile=2.001, age=0)
    with pytest.raises(ModelError, match="times as far as the strengths say; leave out"):
        move(GENERATOR, W, "w", [(target, 1.0)], conditions=[half, twice])
