"""What directions drag along, where it is known: attributes that are linear in codes."""

from dataclasses import replace

import pytest
import torch

from models.config import GeneratorConfig
from models.directions import StoredDirection
from models.entanglement import Judge, examine
from models.errors import ModelError
from models.stylegan2 import Generator

GENERATOR = Generator(GeneratorConfig(16, (8, 8, 8), z_dim=6, w_dim=6, mapping_layers=1))
CODES = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))


def along(name: str, *numbers: float) -> StoredDirection:
    data = torch.tensor([*numbers, *[0.0] * (6 - len(numbers))])
    return StoredDirection(data / data.norm(), 1.0, 0.0, name, "w", "f")


#: Attribute k is coordinate k of the code.
JUDGE = Judge(("one", "two", "three"), lambda data, _: data[:, :3], torch.ones(3))


def test_a_direction_that_drags_another_is_told_to_hold_it() -> None:
    directions = [along("one", 1, 0.6), along("two", 0, 1), along("three", 0, 0, 1)]
    told = examine(GENERATOR, JUDGE, CODES, directions)
    assert told.suggested == (("two",), (), ())
    expected = torch.tensor([[1, 0.6, 0], [0, 1, 0], [0, 0, 1]])
    assert torch.allclose(told.change[1:], expected[1:], atol=1e-5)
    assert torch.allclose(told.change[0], expected[0] / 1.36**0.5, atol=1e-5)
    assert torch.allclose(told.leak, torch.tensor([0.3, 0, 0]), atol=1e-5)
    assert torch.allclose(told.leak_kept, torch.zeros(3), atol=1e-5)
    assert float(told.kept[0, 1]) == pytest.approx(0, abs=1e-5)
    assert torch.allclose(told.cosine.diagonal(), torch.ones(3))
    assert float(told.cosine[0, 1]) == pytest.approx(0.6 / 1.36**0.5, abs=1e-5)


def test_directions_apart_need_no_conditions() -> None:
    directions = [along("one", 1), along("two", 0, 1)]
    told = examine(GENERATOR, JUDGE, CODES, directions)
    assert told.suggested == ((), ())
    assert torch.equal(told.kept, told.change)
    assert torch.equal(told.leak_kept, told.leak)


def test_a_condition_that_would_leave_nothing_is_not_suggested() -> None:
    directions = [along("one", 1, 1), along("two", 0.9, 1)]
    assert examine(GENERATOR, JUDGE, CODES, directions).suggested == ((), ())


def test_rows_that_do_not_meet_have_no_cosine() -> None:
    low, high = replace(along("one", 1), rows=(0, 1)), replace(along("two", 1), rows=(2, 3))
    judge = replace(JUDGE, read=lambda data, _: data.mean(1)[:, :3])
    assert torch.allclose(examine(GENERATOR, judge, CODES, [low, high]).cosine, torch.eye(2))


def test_names_must_be_attributes_and_different() -> None:
    with pytest.raises(ModelError, match="directions four: names must be different and of one"):
        examine(GENERATOR, JUDGE, CODES, [along("four", 1)])
    with pytest.raises(ModelError, match="names must be different"):
        examine(GENERATOR, JUDGE, CODES, [along("one", 1), along("one", 0, 1)])
