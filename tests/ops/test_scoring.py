"""Scorers of one's own, as ops."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError, SpecError
from engine.graph import load_graph
from engine.values import Image, Latent, Network, Scalar, split
from models import describe, fetch
from models.calibration import recalibrated
from models.directions import StoredDirection
from models.errors import ModelError
from models.scorer import Panel, Scorer, look, pack, unpack
from ops.codes import sample_codes
from ops.directions import score_attributes
from ops.given import reader_of
from ops.learning import calibrate_direction, learn_direction
from ops.scoring import score_with, train_scorer
from ops.synthesis import synthesize
from run_workflow import build_ops, surroundings

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
        ((IMAGES, companions, texts), r"positive '': must be one of the labels \(a, b\)$"),
        (
            (IMAGES, companions, [Scalar((1,))] * 40),
            "scorer 'x': all 40 labels are 1: they must vary",
        ),
        ((IMAGES, model, labels), "no feature network"),
    ):
        with pytest.raises(OpError, match=message):
            train_scorer(*given, name="x")  # type: ignore[arg-type]
    with pytest.raises(OpError, match=r"must be one of the labels \(a, b\), did you mean 'a'\?"):
        train_scorer(IMAGES, companions, texts, name="x", positive="aa")


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


def written(model: Network, path: Path, name: str = "light") -> str:
    """The file of a scorer of light pictures."""
    labels = [Scalar((float(light),)) for light in LIGHT]
    path.write_bytes(train_scorer(IMAGES, model, labels, name=name).model.delta)
    return str(path)


def test_scorers_in_files_are_read_beside_the_attributes(
    companions: Network, tmp_path: Path
) -> None:
    path = written(companions, tmp_path / "a.safetensors")
    alone = score_with(Image(PICTURES), companions, _carried(companions, path))
    plain = score_attributes(Image(PICTURES), companions)
    both = score_attributes(Image(PICTURES), companions, scorers=[path])
    assert both.names == ("smile", "age", "light")
    assert torch.equal(both.data[:, :2], plain.data)
    assert torch.equal(both.data[:, 2:], alone.data)


def _carried(model: Network, path: str) -> Network:
    return replace(model, delta=Path(path).read_bytes())


def test_a_direction_is_learned_and_measured_with_a_scorer_of_ones_own(
    companions: Network, tmp_path: Path
) -> None:
    path = written(companions, tmp_path / "a.safetensors")
    codes = sample_codes(Scalar(tuple(range(120))), companions, seed=3)
    scores = score_attributes(synthesize(codes, companions), companions, scorers=[path])
    learned = learn_direction(
        list(split(codes)), companions, scores=list(split(scores)), attribute="light", hold=[]
    ).direction
    done = calibrate_direction(learned, companions, count=16, scorers=[path]).direction

    def reading(strength: float) -> float:
        step = strength * done.sigma[0] * done.data
        moved = Latent(codes.data[:16] + step, "w", codes.family)
        drawn = synthesize(moved, companions)
        return float(score_attributes(drawn, companions, scorers=[path]).data[:, 2].mean())

    assert reading(1) - reading(-1) > scores.data[:, 2].std()
    with pytest.raises(OpError, match=r"no attribute 'light' \(there are smile, age\)"):
        calibrate_direction(learned, companions)


def test_a_unit_is_not_measured_with_readings_that_are_no_numbers(companions: Network) -> None:
    net = reader_of(companions)
    width = look(net, PICTURES[:1]).shape[1]
    broken = Scorer("light", "eyes", True, torch.full((width,), math.nan).double(), 0.0)
    step = StoredDirection(torch.eye(16)[0], 1.0, 0.0, "smile", "w", companions.family)
    for attribute in ("smile", "light"):
        with pytest.raises(ModelError, match="readings of light are not all numbers"):
            recalibrated(fetch(companions), Panel(net, (broken,)), step, attribute, 8)


def test_scorers_that_do_not_go_with_a_model(companions: Network, tmp_path: Path) -> None:
    path = written(companions, tmp_path / "a.safetensors")
    for paths, message in (
        ([path, written(companions, tmp_path / "b.safetensors")], "'light' is read twice"),
        ([written(companions, tmp_path / "c.safetensors", "age")], "'age' is read twice"),
        ([companions.path], "of kind .*, not a scorer"),
        ([str(tmp_path / "none.safetensors")], "cannot be read: No such file"),
    ):
        with pytest.raises(OpError, match=message):
            score_attributes(IMAGES[0], companions, scorers=paths)
    foreign = replace(unpack(Path(path).read_bytes()), eyes="others")
    Path(path).write_bytes(pack(foreign, ""))
    with pytest.raises(OpError, match="'light' was trained with another feature network"):
        score_attributes(IMAGES[0], companions, scorers=[path])


WORKFLOW = """version: 1
models: {{m: {{file: {model}}}}}
sources: {{code: {{samples: {{count: 2, seed: 1}}}}}}
steps:
  picture: {{op: synthesize, in: {{latent: code}}}}
  scores: {{op: score_attributes, in: {{image: picture}}, with: {{scorers: ['{scorer}']}}}}
outputs: [{{from: scores, to: scores.csv}}]
"""


def test_scorers_are_judged_before_a_run(companions: Network, tmp_path: Path) -> None:
    def check(scorer: str) -> None:
        text = WORKFLOW.format(model=companions.path, scorer=scorer)
        load_graph(text, surroundings(build_ops()))

    path = written(companions, tmp_path / "a.safetensors")
    check(path)
    library = Path(companions.path).parent / "scorers"
    library.mkdir()
    try:
        Path(path).rename(library / "light.safetensors")
        check("light")
        with pytest.raises(SpecError, match=r"neither in the scorers of .*did you mean 'light'"):
            check("lihgt")
    finally:
        (library / "light.safetensors").rename(path)
        library.rmdir()
    with pytest.raises(SpecError, match=r"of kind .*, not scorer"):
        check(companions.path)
    foreign = replace(unpack(Path(path).read_bytes()), eyes="others")
    Path(path).write_bytes(pack(foreign, ""))
    with pytest.raises(
        SpecError, match=r"'a\.safetensors' was trained with another feature network"
    ):
        check(path)
