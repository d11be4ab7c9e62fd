"""What cannot be learned from, followed or asked for is refused, in words that name the fix."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Network, Scalar, Scores, split
from models.directions import StoredDirection, save_direction
from models.readings import draw_codes
from models.stylegan2 import Generator
from ops.directions import edit
from ops.flows import edit_flow, fit_flow
from ops.learning import learn_direction
from ops.samplers import learn_sampler

COUNT = 120
NAMES = ("smile", "age")


@pytest.fixture(scope="module")
def codes(model: Network, generator: Generator) -> list[Latent]:
    return list(split(Latent(draw_codes(generator, COUNT, 2), "w", model.family)))


@pytest.fixture(scope="module")
def scores(codes: list[Latent]) -> list[Scores]:
    table = torch.cat([code.data[:, :2] for code in codes])
    return list(split(Scores(table, NAMES)))


def numbers(*values: object) -> list[Scalar]:
    return [Scalar((value,)) for value in values]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0] * COUNT, "at least 8 with finite, varying labels are needed"),
        ([None, *[1.0] * (COUNT - 1)], r"1 of 120 labels are missing .*leave those items out"),
        ([float("nan"), *[1.0] * (COUNT - 1)], "1 of 120 labels are missing or not a number"),
        ([1.0, 0.0], "2 labels for 120 codes: gather both over the same axis"),
        (["yes"] * COUNT, "labels must be numbers or truth values"),
    ],
    ids=["constant", "missing", "nan", "fewer", "texts"],
)
def test_labels_that_say_nothing(
    labels: list[object], message: str, codes: list[Latent], model: Network
) -> None:
    with pytest.raises(OpError, match=message):
        learn_direction(codes, model, labels=numbers(*labels), attribute="smile")


def test_a_scorer_that_gives_no_number(
    codes: list[Latent], scores: list[Scores], model: Network
) -> None:
    broken = [Scores(torch.full((1, 2), float("nan")), NAMES), *scores[1:]]
    with pytest.raises(OpError, match="1 of 120 labels are missing or not a number"):
        learn_direction(codes, model, scores=broken, attribute="smile")
    with pytest.raises(OpError, match="do not vary or are not finite: smile, age"):
        fit_flow(codes, broken, model, steps=1)
    with pytest.raises(OpError, match="finite, varying labels"):
        learn_sampler(codes, broken, model, attribute="smile", steps=1)


def test_a_direction_of_another_model_space_or_size(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    def stored(**changes: object) -> str:
        plain = StoredDirection(torch.eye(16)[0], 1.0, 0.0, "x", "w", model.family)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        save_direction(replace(plain, **changes), path)  # type: ignore[arg-type]
        return str(path)

    one = Latent(w.data[:1], "w", w.family)
    z = Latent(torch.zeros(1, 16), "z", w.family)
    foreign = stored(family="f" * 64)
    with pytest.raises(OpError, match=r"generator ffffffffffff, .*: import or learn it"):
        edit(one, model, direction=foreign)
    with pytest.raises(OpError, match="map it to w first"):
        edit(z, model, direction=stored())
    rows = torch.nn.functional.normalize(torch.ones(18, 16).flatten(), dim=0).reshape(18, 16)
    with pytest.raises(OpError, match=r"18 x 16 numbers in w_plus, where .* has 8 x 16: import"):
        edit(one, model, direction=stored(data=rows, space="w_plus"))
    with pytest.raises(OpError, match=r"7 numbers in w, where .* has 16: import or learn"):
        edit(one, model, direction=stored(data=torch.eye(7)[0]))


def test_a_condition_that_is_the_target(model: Network, w: Latent, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "x", "w", model.family), path)
    with pytest.raises(OpError, match="direction 'x' has no part free of 'x'"):
        edit(w, model, direction=str(path), condition=[str(path)])


def test_a_flow_that_does_not_know_an_attribute(
    codes: list[Latent], scores: list[Scores], model: Network
) -> None:
    with pytest.raises(OpError, match="no attribute 'smyle', did you mean 'smile'"):
        fit_flow(codes, scores, model, attributes=["smyle"], steps=1)
    flow = fit_flow(codes, scores, model, steps=0).model
    with pytest.raises(OpError, match="no attribute 'ages', did you mean 'age'"):
        edit_flow(codes[0], model, flow, scores[0], attribute="ages")
