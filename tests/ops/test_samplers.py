"""Samplers of a category, as ops."""

from dataclasses import replace

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Network, Scalar, Scores, split
from models.readings import draw_codes
from models.stylegan2 import Generator
from ops.samplers import LearnedSampler, learn_sampler, sample_category

COUNT = 600
Given = tuple[list[Latent], list[Scores]]


@pytest.fixture(scope="module")
def given(model: Network, generator: Generator) -> Given:
    w = draw_codes(generator, COUNT, 2)
    normal = torch.randn(16, 2, generator=torch.Generator().manual_seed(1))
    codes = list(split(Latent(w, "w", model.family)))
    return codes, list(split(Scores(w @ normal, ("smile", "age"))))


@pytest.fixture(scope="module")
def learned(given: Given, model: Network) -> LearnedSampler:
    return learn_sampler(*given, model, attribute="smile", steps=150, batch=64)


def test_most_codes_are_of_the_category_and_not_alike(learned: LearnedSampler) -> None:
    assert learned.accepted.data[0] > 0.9  # type: ignore[operator]
    assert learned.base.data[0] < 0.3  # type: ignore[operator]
    assert learned.exact.data[0] > 0.8  # type: ignore[operator]
    assert learned.variety.data[0] > 0.7  # type: ignore[operator]


def test_both_ways_of_drawing_know_the_category(
    given: Given, learned: LearnedSampler, model: Network
) -> None:
    from models.sampler import unpack

    _, classifier, category = unpack(learned.model.delta)
    index = Scalar(tuple(range(40)))
    quick = sample_category(index, model, learned.model)
    exact = sample_category(index, model, learned.model, method="rejection")
    assert quick.data.shape == exact.data.shape == (40, 16)
    assert bool(classifier.accepts(exact.data, category).all())
    assert float(classifier.accepts(quick.data, category).float().mean()) > 0.9
    other = sample_category(index, model, learned.model, seed=1)
    assert not torch.equal(other.data, quick.data)


def test_what_cannot_be_learned_is_told(given: Given, model: Network) -> None:
    codes, scores = given
    with pytest.raises(OpError, match="599 scores for 600 codes"):
        learn_sampler(codes, scores[1:], model, attribute="smile")
    with pytest.raises(OpError, match="no attribute 'smil', did you mean 'smile'"):
        learn_sampler(codes, scores, model, attribute="smil")
    with pytest.raises(OpError, match="1 bounds for 2 attributes"):
        learn_sampler(codes, scores, model, attribute=["smile", "age"], bound=[1])
    with pytest.raises(OpError, match="ask for less"):
        learn_sampler(codes, scores, model, attribute="smile", bound=30)
    still = [Scores(torch.ones(1, 2), ("smile", "age"))] * COUNT
    with pytest.raises(OpError, match="labels are 1: they must vary"):
        learn_sampler(codes, still, model, attribute="smile")


def test_a_sampler_is_needed_and_of_the_same_generator(
    learned: LearnedSampler, model: Network
) -> None:
    with pytest.raises(OpError, match="no sampler is given"):
        sample_category(Scalar((0,)), model, model)
    with pytest.raises(OpError, match="learned for another generator"):
        sample_category(Scalar((0,)), model, replace(learned.model, family="f" * 64))
