"""Samplers of a category, beside rejection."""

import pytest
import torch

from models.config import GeneratorConfig
from models.errors import ModelError
from models.readings import draw_codes
from models.sampler import (
    Category,
    Sampler,
    Steering,
    draw_learned,
    draw_rejecting,
    fit_classifier,
    learn_sampler,
    pack,
    unpack,
    variety,
)
from models.stylegan2 import Generator

CATEGORY = Category(("a", "b"), (1.0, -0.5))
NUMBERS = list(range(200))


def toy() -> Generator:
    """A generator whose w says something of z."""
    torch.manual_seed(3)
    config = GeneratorConfig(32, (4,) * 4, z_dim=24, w_dim=24, mapping_layers=1)
    return Generator(config).requires_grad_(False)


GENERATOR = toy()
W = draw_codes(GENERATOR, 3000, 1)
NORMALS = torch.randn(24, 2, generator=torch.Generator().manual_seed(4))
LABELS = W @ NORMALS + 0.1 * torch.randn(3000, 2, generator=torch.Generator().manual_seed(5))
GUIDE = fit_classifier(W[:1500], LABELS[:1500])
JUDGE = fit_classifier(W[1500:], LABELS[1500:])
QUICK = Steering(steps=200, batch=64, hidden=32)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return learn_sampler(GENERATOR, GUIDE, CATEGORY, QUICK)


def accepted(judge: object, w: torch.Tensor) -> float:
    return float(judge.accepts(w, CATEGORY).float().mean())  # type: ignore[attr-defined]


def test_nearly_all_codes_are_of_the_category_and_a_second_classifier_agrees(
    sampler: Sampler,
) -> None:
    drawn = draw_learned(GENERATOR, sampler, NUMBERS)
    own, second = accepted(GUIDE, drawn), accepted(JUDGE, drawn)
    assert accepted(GUIDE, W) < 0.25
    assert own > 0.9
    assert abs(own - second) < 0.1


def test_codes_are_nearly_as_various_as_those_of_rejection(sampler: Sampler) -> None:
    exact = draw_rejecting(GENERATOR, GUIDE, CATEGORY, NUMBERS)
    assert accepted(GUIDE, exact) == 1
    assert variety(draw_learned(GENERATOR, sampler, NUMBERS)) > 0.7 * variety(exact)


def test_without_diversity_codes_are_more_alike() -> None:
    greedy = Steering(steps=200, batch=64, hidden=32, diversity=0, learning_rate=0.03)
    held = Steering(steps=200, batch=64, hidden=32, diversity=50, learning_rate=0.03)
    found = [
        variety(draw_learned(GENERATOR, learn_sampler(GENERATOR, GUIDE, CATEGORY, one), NUMBERS))
        for one in (greedy, held)
    ]
    assert found[0] < found[1]


def test_each_code_follows_from_its_number_alone(sampler: Sampler) -> None:
    again = learn_sampler(GENERATOR, GUIDE, CATEGORY, QUICK)
    whole = draw_learned(GENERATOR, sampler, NUMBERS[:5])
    assert torch.equal(whole, draw_learned(GENERATOR, again, NUMBERS[:5]))
    alone = draw_learned(GENERATOR, sampler, NUMBERS[3:4])
    torch.testing.assert_close(whole[3:4], alone, atol=1e-5, rtol=1e-5)
    three = draw_rejecting(GENERATOR, GUIDE, CATEGORY, [7, 8, 9])
    assert torch.equal(three[1:2], draw_rejecting(GENERATOR, GUIDE, CATEGORY, [8]))


def test_packed_sampler_is_the_same_and_nothing_else_is_one(sampler: Sampler) -> None:
    packed = pack(sampler, GUIDE, CATEGORY, "base", {"codes": 3})
    back, classifier, category = unpack(packed)
    assert category == CATEGORY
    assert torch.equal(classifier.accepts(W, category), GUIDE.accepts(W, CATEGORY))
    assert torch.equal(
        draw_learned(GENERATOR, back, [1, 2]), draw_learned(GENERATOR, sampler, [1, 2])
    )
    with pytest.raises(ModelError, match="a sampler is damaged"):
        unpack(packed[:-9])


def test_an_empty_category_is_told() -> None:
    with pytest.raises(ModelError, match=r"is in the category a \+9, b \+9: ask for less"):
        draw_rejecting(GENERATOR, GUIDE, Category(("a", "b"), (9.0, 9.0)), [1])
