"""Directions from a handful of examples with an attribute and a handful without."""

import pytest
import torch

from models.errors import ModelError
from models.exemplars import METHODS, choose, cross_validate, mean_gap


def examples(
    each: int = 15, apart: float = 3.0, width: int = 32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of which coordinate 0 tells the kind."""
    codes = torch.randn(2 * each, width, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(2 * each) % 2
    codes[:, 0] += apart * labels
    return codes, labels.float()


def test_few_examples_give_the_axis_and_an_honest_accuracy() -> None:
    codes, labels = examples()
    found = choose(codes, labels)
    assert found.method in METHODS
    assert float(found.readout.direction[0]) > 0.7
    assert found.readout.accuracy == found.accuracy[found.method] > 0.75
    assert found.readout.chance < 0.01
    assert mean_gap(codes, labels, found.readout.direction) == pytest.approx(3, abs=1.5)


def test_what_a_method_has_seen_does_not_count_for_it() -> None:
    codes, labels = examples(apart=0.0)
    fresh = [cross_validate(codes.double(), labels > 0, m, 5, 0) for m in METHODS]
    assert all(0.2 < share < 0.8 for share in fresh), fresh


def test_of_equally_good_methods_the_one_that_changes_least_is_taken() -> None:
    codes, labels = examples(apart=9.0, width=4)
    asked: list[torch.Tensor] = []

    def measure(readout: object) -> float:
        asked.append(readout.direction)  # type: ignore[attr-defined]
        return float(-len(asked))

    found = choose(codes, labels, measure=measure)
    assert len(asked) == len(METHODS)  # all are right about everything
    assert found.method == METHODS[-1]
    assert choose(codes, labels).method == METHODS[0]


def test_the_same_seed_chooses_the_same() -> None:
    codes, labels = examples()
    assert torch.equal(
        choose(codes, labels).readout.direction, choose(codes, labels).readout.direction
    )


def test_too_few_and_too_many_kinds_are_refused() -> None:
    codes, labels = examples()
    with pytest.raises(ModelError, match="15 codes with and 2 without: at least 3 each"):
        choose(codes[[*range(1, 30, 2), 0, 2]], labels[[*range(1, 30, 2), 0, 2]])
    with pytest.raises(ModelError, match="two labels"):
        choose(codes, torch.arange(30))
