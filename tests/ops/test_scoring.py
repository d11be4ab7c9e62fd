"""Scorers of one's own, as ops."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError
from engine.values import Image, Network, Scalar, split
from models import describe, fetch
from models.errors import ModelError
from models.scorer import pack, unpack
from ops.scoring import score_with, train_scorer

PICTURES = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.2
LIGHT = torch.arange(40) % 2 == 1
PICTURES[LIGHT] += 0.5
IMAGES = list(split(Image(PICTURES.clamp(-1, 1))))


def test_folders_numbers_and_two_sets_say_the_same(companions: Network) -> None:
    with_it = [image for image, light in zip(IMAGES, LIGHT, strict=True) if light]
    without = [image for image, light in zip(IMAGES, LIGHT, strict=True) if not light]
    texts = [Scalar(("light" if light else "dark",)) for light in LIGHT]
    numbers = [Scalar((bool(light),)) for light in LIGHT]
    trained = [
        train_scorer(IMAGES, companions, texts, name="light", positive="light"),
        train_scorer(IMAGES, companions, numbers, name="light"),
        train_scorer(with_it, companions, without=without, name="light"),
    ]
    assert trained[0].model.delta == trained[1].model.delta
    for found in trained:
        scores = score_with(Image(PICTURES), companions, found.model)
        assert scores.names == ("light",)
        assert torch.equal(scores.data[:, 0] > 0.5, LIGHT)
        assert found.accuracy.data[0] > 0.9  # type: ignore[operator]


def test_what_cannot_be_learned_is_told(companions: Network, model: Network) -> None:
    labels = [Scalar((float(light),)) for light in LIGHT]
    texts = [Scalar(("a",)), *[Scalar(("b",))] * 39]
    for given, message in (
        ((IMAGES, companions), "either `labels` or `without`"),
        ((IMAGES, companions, labels[1:]), "39 labels for 40 pictures"),
        ((IMAGES, companions, [Scalar((None,)), *labels[1:]]), "1 of 40 labels are missing"),
        ((IMAGES, companions, texts), r"positive '': must be one of the labels \(a, b\)"),
        (
            (IMAGES, companions, [Scalar((1,))] * 40),
            "scorer 'x': all 40 labels are 1: they must vary",
        ),
        ((IMAGES, model, labels), "no feature network"),
    ):
        with pytest.raises(OpError, match=message):
            train_scorer(*given, name="x")  # type: ignore[arg-type]


def test_a_scorer_needs_its_own_eyes(companions: Network) -> None:
    with pytest.raises(OpError, match="no scorer is given"):
        score_with(IMAGES[0], companions, companions)
    labels = [Scalar((float(light),)) for light in LIGHT]
    found = train_scorer(IMAGES, companions, labels, name="light").model
    foreign = replace(unpack(found.delta), eyes="others")
    with pytest.raises(OpError, match="trained with another feature network"):
        score_with(IMAGES[0], companions, replace(found, delta=pack(foreign, "")))


def test_the_file_of_a_scorer_is_a_model(companions: Network, tmp_path: Path) -> None:
    labels = [Scalar((float(light),)) for light in LIGHT]
    found = train_scorer(IMAGES, companions, labels, name="light").model
    path = tmp_path / "light.safetensors"
    path.write_bytes(found.delta)
    (tmp_path / "generator.safetensors").write_bytes(Path(companions.path).read_bytes())
    told = describe(path)
    assert (told.digest, told.delta) == (found.digest, str(path))
    assert told.path == str(tmp_path / "generator.safetensors")
    with pytest.raises(ModelError, match="holds a network of kind scorer, not a weight delta"):
        fetch(found)
