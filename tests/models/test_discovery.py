"""Directions that a recogniser can name."""

import math
from dataclasses import replace

import pytest
import torch

from models.config import GeneratorConfig
from models.discovery import Search, discover, pack, unpack
from models.errors import ModelError
from models.stylegan2 import Generator

SEARCH = Search(count=4, steps=150, batch=24, px=16, learning_rate=0.01, seed=1)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(7)
    config = GeneratorConfig(32, (12, 8, 8, 6), z_dim=8, w_dim=8, mapping_layers=2)
    return Generator(config).requires_grad_(False)


def test_most_moves_are_named_and_directions_are_at_right_angles(generator: Generator) -> None:
    found = discover(generator, SEARCH)
    assert found.accuracy > 3 / SEARCH.count
    assert 1 < found.information <= math.log2(SEARCH.count)
    square = found.directions @ found.directions.T
    torch.testing.assert_close(square, torch.eye(4), atol=1e-5, rtol=0)
    assert (found.each.diff() <= 0).all()
    largest = found.directions.gather(1, found.directions.abs().argmax(1)[:, None])
    assert (largest > 0).all()


def test_nothing_learned_names_nothing(generator: Generator) -> None:
    found = discover(generator, replace(SEARCH, steps=0))
    assert found.accuracy < 0.5
    assert found.information < 0.2


def test_a_search_is_reproducible_and_leaves_the_seed_alone(generator: Generator) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    a, b = (discover(generator, replace(SEARCH, steps=3)) for _ in "ab")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert pack(a, "x", {}) == pack(b, "x", {})
    back = unpack(pack(a, "x", {"seed": 1}))
    assert torch.equal(back.directions, a.directions)
    assert back.accuracy == a.accuracy
    with pytest.raises(ModelError, match="a set of directions is damaged"):
        unpack(pack(a, "x", {})[:-5])


def test_what_cannot_be_sought_is_told(generator: Generator) -> None:
    for wrong, message in (
        (replace(SEARCH, count=1), "at least two directions"),
        (replace(SEARCH, count=9), "at most 8 directions"),
        (replace(SEARCH, px=48), "px 48: this generator's pictures grow through 4, 8, 16, 32 px"),
    ):
        with pytest.raises(ModelError, match=message):
            discover(generator, wrong)
