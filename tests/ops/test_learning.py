"""Learning directions from labelled codes, as ops."""

import json
from dataclasses import replace

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Network, Scalar, Scores, split
from ops.codes import sample_codes, to_style
from ops.directions import score_attributes
from ops.learning import calibrate_direction, learn_direction
from ops.synthesis import synthesize


@pytest.fixture
def codes(model: Network) -> list[Latent]:
    data = torch.randn(200, 16, generator=torch.Generator().manual_seed(2))
    return list(split(Latent(data, "w", model.family)))


def test_scores_and_labels_say_the_same(model: Network, codes: list[Latent]) -> None:
    labels = [Scalar((float(c.data[0, 0]),)) for c in codes]
    scores = [Scores(c.data[:, :1], ("a",)) for c in codes]
    by_label = learn_direction(codes, model, labels, attribute="a").direction
    by_score = learn_direction(codes, model, scores=scores, attribute="a").direction
    assert torch.equal(by_label.data, by_score.data)
    with pytest.raises(OpError, match=r"no attribute 'aa', did you mean 'a'\? \(there are a\)"):
        learn_direction(codes, model, scores=scores, attribute="aa")


def test_other_scores_are_held(model: Network, codes: list[Latent]) -> None:
    both = [Scores(c.data[:, :2] + c.data[:, 1:2], ("mixed", "second")) for c in codes]
    free = [Scores(score.data[:, :1], ("mixed",)) for score in both]
    held = learn_direction(codes, model, scores=both, attribute="mixed").direction
    loose = learn_direction(codes, model, scores=free, attribute="mixed").direction
    assert held.data[0, 1].abs() < 0.2 < loose.data[0, 1]


def test_style_and_w_plus_codes_keep_their_shape(model: Network) -> None:
    data = torch.randn(40, 8, 16)
    codes = list(split(Latent(data, "w_plus", model.family)))
    labels = [Scalar((float(c.data[0, 2, 1]),)) for c in codes]
    assert learn_direction(codes, model, labels, attribute="x").direction.data.shape == (1, 8, 16)


def test_a_direction_may_use_few_channels(model: Network, codes: list[Latent]) -> None:
    styles = [to_style(code, model) for code in codes]
    labels = [Scalar((float(style.data[0, 5]),)) for style in styles]
    found = learn_direction(styles, model, labels, attribute="x", channels=1)
    assert found.direction.data[0].nonzero().flatten().tolist() == [5]
    assert json.loads(found.direction.card)["channels"] == 1
    with pytest.raises(OpError, match="codes w have none; `to_style`"):
        learn_direction(codes, model, labels, attribute="x", channels=1)


@pytest.mark.parametrize("labels", [None, "both", "text"])
def test_labels_must_be_one_kind_of_numbers(
    model: Network, codes: list[Latent], labels: str | None
) -> None:
    texts = [Scalar(("yes",))] * len(codes)
    scores = [Scores(c.data, tuple(map(str, range(16)))) for c in codes]
    with pytest.raises(OpError, match=r"one of `labels`, `scores` and `without`|must be numbers"):
        learn_direction(
            codes,
            model,
            texts if labels else None,
            scores if labels == "both" else None,
            attribute="1",
        )


def test_too_few_codes_name_the_attribute(model: Network, codes: list[Latent]) -> None:
    with pytest.raises(OpError, match="attribute 'x': 3 items: at least 8"):
        learn_direction(codes[:3], model, [Scalar((1.0,))] * 3, attribute="x")


def test_calibration_makes_strength_one_a_deviation_of_the_attribute(
    companions: Network,
) -> None:
    codes = sample_codes(Scalar(tuple(range(160))), companions, seed=1)
    scores = score_attributes(synthesize(codes, companions), companions)
    learned = learn_direction(
        list(split(codes)), companions, scores=list(split(scores)), attribute="smile"
    ).direction
    off = replace(learned, sigma=learned.sigma * 2.5)
    done = calibrate_direction(off, companions, count=24)
    assert done.effect.data[0] == pytest.approx(1, abs=0.35)
    assert torch.equal(done.direction.data, learned.data)
    assert json.loads(done.direction.card)["moves"].keys() == {"smile", "age"}
    with pytest.raises(OpError, match="no attribute 'smiel', did you mean 'smile'"):
        calibrate_direction(off, companions, attribute="smiel")


def test_hold_and_balance_name_scores(model: Network, codes: list[Latent]) -> None:
    data = torch.cat([code.data for code in codes])
    both = torch.stack([data[:, 0] + data[:, 1], data[:, 1]], 1)
    scores = list(split(Scores(both, ("mixed", "second"))))
    held = learn_direction(codes, model, scores=scores, attribute="mixed")
    loose = learn_direction(codes, model, scores=scores, attribute="mixed", hold=[])
    fair = learn_direction(
        codes, model, scores=scores, attribute="mixed", hold=[], balance=["second"]
    )
    second = [float(found.direction.data[0, 1]) for found in (held, fair, loose)]
    assert second == sorted(second)
    assert json.loads(held.direction.card)["held"] == ["second"]
    assert json.loads(fair.direction.card)["balanced_by"] == ["second"]
    with pytest.raises(OpError, match="balance: there is no attribute 'secnd', did you mean"):
        learn_direction(codes, model, scores=scores, attribute="mixed", balance=["secnd"])
    with pytest.raises(OpError, match="hold: 'mixed' is the attribute that is learned"):
        learn_direction(codes, model, scores=scores, attribute="mixed", hold=["mixed"])


def test_every_learned_direction_says_how_sure_it_is(model: Network, codes: list[Latent]) -> None:
    labels = [Scalar((float(c.data[0, 0]),)) for c in codes]
    learned = learn_direction(codes, model, labels, attribute="a", licence="CC0")
    card = json.loads(learned.direction.card)
    assert learned.chance.data[0] < 1e-6  # type: ignore[operator]
    assert (card["model"], card["licence"], card["codes"]) == ("tiny", "CC0", 200)
    other = [Scalar((float(c.data[0, 0]) + 1e-6,)) for c in codes]
    again = learn_direction(codes, model, other, attribute="a")
    assert json.loads(again.direction.card)["data"] != card["data"]


@pytest.mark.parametrize("way", ["labels", "without"])
def test_examples_with_and_without_give_a_direction(
    companions: Network, codes: list[Latent], way: str
) -> None:
    codes = [replace(code, family=companions.family) for code in codes[:24]]
    shifted = [replace(c, data=c.data + 4 * torch.eye(16)[:1]) for c in codes[:12]]
    if way == "without":
        found = learn_direction(
            shifted, companions, without=codes[12:], attribute="hat", method="exemplars"
        )
    else:
        labels = [Scalar((1,))] * 12 + [Scalar((False,))] * 12
        found = learn_direction(
            [*shifted, *codes[12:]], companions, labels, attribute="hat", method="exemplars"
        )
    card = json.loads(found.direction.card)
    assert found.direction.data[0, 0] > 0.7
    assert found.accuracy.data[0] > 0.8  # type: ignore[operator]
    assert 0.2 <= found.control.data[0] <= 0.8  # type: ignore[operator]
    assert card["chosen"] in card["dependency"].keys() <= card["cross_validated"].keys()


def test_labels_that_are_missing_or_too_few_are_named(model: Network, codes: list[Latent]) -> None:
    labels: list[Scalar] = [Scalar((float(c.data[0, 0]),)) for c in codes]
    with pytest.raises(OpError, match="199 labels for 200 codes: gather both"):
        learn_direction(codes, model, labels[1:], attribute="a")
    holes = [Scalar((None,)), Scalar((float("nan"),)), *labels[2:]]
    with pytest.raises(
        OpError, match=r"2 of 200 labels are missing or not a number \(items 0, 1\)"
    ):
        learn_direction(codes, model, holes, attribute="a")
    with pytest.raises(OpError, match="attribute 'a': all 200 labels are 1: they must vary"):
        learn_direction(codes, model, [Scalar((1,))] * 200, attribute="a")


def test_codes_of_another_generator_are_refused(model: Network, codes: list[Latent]) -> None:
    foreign = [replace(code, family="other") for code in codes]
    with pytest.raises(OpError, match="belongs to the generator other"):
        learn_direction(foreign, model, [Scalar((1,))] * 200, attribute="a")
