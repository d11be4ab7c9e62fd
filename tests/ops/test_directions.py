"""Learning directions from labelled codes, and editing by them, as ops."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError
from engine.values import Direction, Image, Latent, Network, Scalar, Scores, split
from models.directions import StoredDirection, save_direction
from ops.codes import sample_codes
from ops.directions import calibrate_direction, edit, learn_direction, score_attributes
from ops.synthesis import synthesize


@pytest.fixture
def codes(model: Network) -> list[Latent]:
    data = torch.randn(200, 16, generator=torch.Generator().manual_seed(2))
    return list(split(Latent(data, "w", model.family)))


def stored(direction: Direction, path: Path) -> str:
    save_direction(
        StoredDirection(
            direction.data[0],
            float(direction.sigma[0]),
            float(direction.offset[0]),
            direction.name,
            direction.space,
            direction.family,
        ),
        path,
    )
    return str(path)


def test_learned_direction_moves_the_label_by_strength(
    model: Network, codes: list[Latent], w: Latent, tmp_path: Path
) -> None:
    labels = [Scalar((float(c.data[0, 3]) * 2 + 1,)) for c in codes]
    learned = learn_direction(codes, labels, attribute="third", method="ridge")
    assert learned.accuracy.data[0] > 0.95  # type: ignore[operator]
    assert learned.control.data[0] < 0.8  # type: ignore[operator]
    assert json.loads(learned.direction.card)["method"] == "ridge"
    path = stored(learned.direction, tmp_path / "third.safetensors")
    deviation = torch.cat([c.data for c in codes])[:, 3].std()
    moved = edit(w, model, direction=path, strength=2.0).data[:, 3] - w.data[:, 3]
    assert torch.allclose(moved, (2 * deviation).expand(5), rtol=0.05)
    assert torch.equal(edit(w, model, direction=path, strength=0.0).data, w.data)


def test_scores_and_labels_say_the_same(codes: list[Latent]) -> None:
    labels = [Scalar((float(c.data[0, 0]),)) for c in codes]
    scores = [Scores(c.data[:, :1], ("a",)) for c in codes]
    by_label = learn_direction(codes, labels, attribute="a").direction
    by_score = learn_direction(codes, scores=scores, attribute="a").direction
    assert torch.equal(by_label.data, by_score.data)
    with pytest.raises(OpError, match=r"no attribute 'aa', did you mean 'a'\? \(there are a\)"):
        learn_direction(codes, scores=scores, attribute="aa")


def test_other_scores_are_held(codes: list[Latent]) -> None:
    both = [Scores(c.data[:, :2] + c.data[:, 1:2], ("mixed", "second")) for c in codes]
    free = [Scores(score.data[:, :1], ("mixed",)) for score in both]
    held = learn_direction(codes, scores=both, attribute="mixed").direction
    loose = learn_direction(codes, scores=free, attribute="mixed").direction
    assert held.data[0, 1].abs() < 0.2 < loose.data[0, 1]


def test_style_and_w_plus_codes_keep_their_shape(model: Network) -> None:
    data = torch.randn(40, 8, 16)
    codes = list(split(Latent(data, "w_plus", model.family)))
    labels = [Scalar((float(c.data[0, 2, 1]),)) for c in codes]
    assert learn_direction(codes, labels, attribute="x").direction.data.shape == (1, 8, 16)


@pytest.mark.parametrize("labels", [None, "both", "text"])
def test_labels_must_be_one_kind_of_numbers(codes: list[Latent], labels: str | None) -> None:
    texts = [Scalar(("yes",))] * len(codes)
    scores = [Scores(c.data, tuple(map(str, range(16)))) for c in codes]
    with pytest.raises(OpError, match=r"either `labels` or `scores`|must be numbers"):
        learn_direction(
            codes,
            texts if labels else None,
            scores if labels == "both" else None,
            attribute="1",
        )


def test_too_few_codes_name_the_attribute(codes: list[Latent]) -> None:
    with pytest.raises(OpError, match="attribute 'x': 3 codes"):
        learn_direction(codes[:3], [Scalar((1.0,))] * 3, attribute="x")


def test_direction_of_another_generator_is_refused(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    path = tmp_path / "age.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "age", "w", "someone"), path)
    with pytest.raises(OpError, match="'age' was made for the generator someone, not for 'tiny'"):
        edit(w, model, direction=str(path))
    with pytest.raises(OpError, match="belongs to the generator other"):
        edit(replace(w, family="other"), model, direction=str(path))


def test_strengths_must_match_the_directions(model: Network, w: Latent, tmp_path: Path) -> None:
    path = tmp_path / "age.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "age", "w", model.family), path)
    with pytest.raises(OpError, match="3 strengths for 1 directions"):
        edit(w, model, direction=[str(path)], strength=[1.0, 2.0, 3.0])


def test_model_without_a_feature_network_cannot_score(model: Network) -> None:
    with pytest.raises(OpError, match="'tiny' has no feature network"):
        score_attributes(Image(torch.zeros(1, 3, 32, 32)), model)


def test_file_a_workflow_wrote_can_be_edited_with(
    model: Network, codes: list[Latent], w: Latent, tmp_path: Path
) -> None:
    from engine.codecs import encode

    labels = [Scalar((float(c.data[0, 3]),)) for c in codes]
    direction = learn_direction(codes, labels, attribute="third").direction
    path = tmp_path / "third.safetensors"
    path.write_bytes(encode(direction))
    by_file = edit(w, model, direction=str(path)).data
    by_hand = edit(w, model, direction=stored(direction, tmp_path / "same.safetensors")).data
    assert torch.equal(by_file, by_hand)


def test_calibration_makes_strength_one_a_deviation_of_the_attribute(
    companions: Network, tmp_path: Path
) -> None:
    codes = sample_codes(Scalar(tuple(range(160))), companions, seed=1)
    scores = score_attributes(synthesize(codes, companions), companions)
    learned = learn_direction(
        list(split(codes)), scores=list(split(scores)), attribute="smile"
    ).direction
    off = replace(learned, sigma=learned.sigma * 2.5)
    done = calibrate_direction(off, companions, count=24)
    assert done.effect.data[0] == pytest.approx(1, abs=0.35)
    assert torch.equal(done.direction.data, learned.data)
    assert json.loads(done.direction.card)["leaks_most"].keys() == {"age"}
    with pytest.raises(OpError, match="no attribute 'smiel', did you mean 'smile'"):
        calibrate_direction(off, companions, attribute="smiel")
