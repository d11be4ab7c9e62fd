"""Flows as ops: fitted, edited with, drawn from."""

from dataclasses import replace

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Network, Scalar, Scores, split
from models import ModelError
from models.pool import fetch
from ops.flows import edit_flow, fit_flow, sample_flow

NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def codes(model: Network) -> Latent:
    data = torch.randn(300, 16, generator=torch.Generator().manual_seed(2))
    return Latent(data, "w", model.family)


def scores_of(codes: Latent) -> Scores:
    return Scores(codes.data[..., :3].reshape(len(codes.data), -1, 3)[:, 0] * 2 + 1, NAMES)


@pytest.fixture(scope="module")
def flow(model: Network, codes: Latent) -> Network:
    parts = list(split(codes)), list(split(scores_of(codes)))
    return fit_flow(*parts, model, attributes=["two", "one"], steps=50, hidden=16).model


def test_an_attribute_moves_by_strength_and_others_stay(
    model: Network, flow: Network, w: Latent
) -> None:
    done = edit_flow(w, model, flow, scores_of(w), attribute="one", strength=1.5)
    moved = (done.latent.data - w.data)[:, :2]
    assert torch.allclose(moved[:, 0], torch.tensor(1.5), atol=0.25)
    assert moved[:, 1].abs().max() < 0.25
    assert done.scores.names == ("two", "one")
    assert torch.equal(done.scores.data[:, 0], scores_of(w).data[:, 1])
    back = edit_flow(done.latent, model, flow, done.scores, attribute="one", strength=-1.5)
    assert torch.allclose(back.latent.data, w.data, atol=1e-3)


def test_no_change_changes_no_bit(model: Network, flow: Network, w: Latent) -> None:
    done = edit_flow(w, model, flow, scores_of(w), attribute=["one", "two"], strength=0.0)
    assert torch.equal(done.latent.data, w.data)


def test_set_to_ends_at_one_reading(model: Network, flow: Network, w: Latent) -> None:
    done = edit_flow(w, model, flow, scores_of(w), attribute="two", strength=0.5, mode="set_to")
    assert done.scores.data[:, 0].std() < 1e-6
    assert torch.allclose(done.latent.data[:, 1], done.latent.data[:1, 1].expand(5), atol=0.3)


def test_other_rows_keep_every_bit(model: Network, flow: Network, w: Latent) -> None:
    wide = Latent(w.data[:, None] + 0.1 * torch.randn(5, 8, 16), "w_plus", w.family)
    done = edit_flow(wide, model, flow, scores_of(w), attribute="one", rows=[2, 3]).latent
    changed = (done.data != wide.data).any(2)
    assert changed[:, 2:4].all()
    assert not changed[:, [0, 1, 4, 5, 6, 7]].any()
    narrow = edit_flow(w, model, flow, scores_of(w), attribute="one", rows=[2, 3]).latent
    assert narrow.space == "w_plus"
    assert torch.equal(narrow.data[:, 0], w.data)


def test_a_batch_is_its_singles(model: Network, flow: Network, w: Latent) -> None:
    whole = edit_flow(w, model, flow, scores_of(w), attribute="one").latent.data
    single = [
        edit_flow(code, model, flow, scores_of(code), attribute="one").latent.data
        for code in split(w)
    ]
    assert torch.allclose(whole, torch.cat(single), atol=1e-5)


def test_pictures_are_read_where_no_scores_are_wired(companions: Network, w: Latent) -> None:
    codes = Latent(torch.randn(120, 16), "w", companions.family)
    scores = Scores(codes.data[:, :2], ("smile", "age"))
    fitted = fit_flow(list(split(codes)), list(split(scores)), companions, steps=0).model
    code = replace(w, family=companions.family)
    done = edit_flow(code, companions, fitted, attribute="smile")
    assert done.scores.names == ("smile", "age")
    assert (done.latent.data - code.data).abs().max() > 0.1


def test_drawn_codes_have_what_was_ordered(model: Network, flow: Network) -> None:
    index = Scalar(tuple(range(200)))
    done = sample_flow(index, model, flow, attribute="one", value=1.0)
    assert float(done.latent.data[:, 0].mean()) == pytest.approx(1.0, abs=0.15)
    assert float(done.latent.data[:, 1].std()) == pytest.approx(1.0, abs=0.2)
    again = sample_flow(Scalar((7,)), model, flow, attribute="one", value=1.0)
    assert torch.allclose(done.latent.data[7:8], again.latent.data, atol=1e-5)


def test_what_cannot_be_fitted_or_followed_is_told(
    model: Network, flow: Network, codes: Latent, w: Latent
) -> None:
    parts = list(split(codes)), list(split(scores_of(codes)))
    with pytest.raises(OpError, match=r"no attribute 'onne', did you mean 'one'\? \(there are two"):
        edit_flow(w, model, flow, scores_of(w), attribute="onne")
    with pytest.raises(OpError, match="no attribute 'tow', did you mean 'two'"):
        fit_flow(*parts, model, attributes=["tow"])
    with pytest.raises(OpError, match="299 scores for 300 codes"):
        fit_flow(parts[0], parts[1][1:], model)
    with pytest.raises(OpError, match="no flow is given: write `models:"):
        edit_flow(w, model, model, scores_of(w), attribute="one")
    with pytest.raises(OpError, match="belongs to the generator other"):
        edit_flow(replace(w, family="other"), model, flow, scores_of(w), attribute="one")
    with pytest.raises(OpError, match="not in style"):
        edit_flow(replace(w, space="style"), model, flow, scores_of(w), attribute="one")
    with pytest.raises(OpError, match="fit_flow: 20 codes: at least"):
        fit_flow(parts[0][:20], parts[1][:20], model)


def test_a_flow_is_no_generator(flow: Network) -> None:
    with pytest.raises(ModelError, match="kind flow, not a weight delta"):
        fetch(flow)
