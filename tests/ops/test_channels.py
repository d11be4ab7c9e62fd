"""Channels as ops: one number moves, traces name their places, ranks are directions."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models
from engine.errors import OpError, SkipItem
from engine.values import Latent, Mask, Network, Scalar, Scores, split, stack, take
from models import file_digest, save_generator
from models.channels import channel_index
from models.priors import style_gaussian
from models.stylegan2 import Generator
from ops.channels import edit_channels, rank_channels, trace_channels
from ops.codes import sample_codes, to_style
from ops.components import follow_direction


def test_edit_touches_one_number(model: Network, w: Latent, generator: Generator) -> None:
    before = to_style(w, model).data
    after = edit_channels(w, model, channels="8.conv1:3", strength=4.0).data
    place = channel_index(generator, "8.conv1:3")
    deviation = style_gaussian(generator).spread[place].sqrt()
    assert torch.allclose(after[:, place] - before[:, place], 4 * deviation.expand(5), atol=1e-5)
    rest = torch.arange(before.shape[1]) != place
    assert torch.equal(after[:, rest], before[:, rest])
    assert torch.equal(edit_channels(w, model, channels="8.conv1:3", strength=0.0).data, before)


def test_each_channel_has_its_strength_or_its_place(
    model: Network, w: Latent, generator: Generator
) -> None:
    names = ["8.conv1:3", "4.conv1:0"]
    both = edit_channels(w, model, channels=names, strength=[1.0, -2.0])
    once = edit_channels(w, model, channels=names[0], strength=1.0)
    twice = edit_channels(once, model, channels=names[1], strength=-2.0)
    assert torch.equal(both.data, twice.data)
    still = edit_channels(w, model, channels=names, strength=0.0, mode="set_to").data
    places = [channel_index(generator, name) for name in names]
    mean = style_gaussian(generator).mean[places]
    assert torch.equal(still[:, places], mean.expand(5, -1))
    with pytest.raises(OpError, match="3 strengths for 2 channels"):
        edit_channels(w, model, channels=names, strength=[1.0, 2.0, 3.0])
    with pytest.raises(OpError, match=r"channel '8\.conv7:1' is no layer and number"):
        edit_channels(w, model, channels="8.conv7:1")


def test_exemplars_lead_to_what_they_share(model: Network, w: Latent, generator: Generator) -> None:
    name = "16.conv0:5"
    shifted = edit_channels(w, model, channels=name, strength=-8.0)
    found = rank_channels(model, list(split(shifted)))
    assert found.channel.data == (name,)
    assert found.score.data[0] < 0  # type: ignore[operator]
    assert found.share.data == (None,)
    # Strength 1 goes towards the exemplars, here downwards, by one deviation.
    one = take(w, 0, 1)
    by_direction = follow_direction(one, found.direction, model, strength=1.0)
    by_hand = edit_channels(one, model, channels=name, strength=-1.0)
    assert torch.allclose(by_direction.data, by_hand.data, atol=1e-5)
    place = channel_index(generator, name)
    reading = (to_style(one, model).data[0, place] - style_gaussian(generator).mean[place]) * -1
    stored = found.direction
    told = (to_style(one, model).data @ stored.data[0] - stored.offset)[0]
    assert float(told) == pytest.approx(float(reading), abs=1e-5)
    card = json.loads(stored.card)
    assert (card["channel"], card["model"]) == (name, "tiny")


def test_trace_of_a_code_has_a_score_per_channel_and_part(companions: Network, w: Latent) -> None:
    found = trace_channels(take(w, 0, 1), companions, layers="8", grid=8)
    assert found.data.shape == (1, 2 * 16 * 2)
    assert found.names[:3] == ("8.conv0:0 face", "8.conv0:0 rest", "8.conv0:1 face")
    assert bool((found.data >= 0).all())
    several = trace_channels(take(w, 0, 2), companions, layers="8", grid=8)
    assert torch.allclose(several.data[:1], found.data)
    with pytest.raises(OpError, match=r"layers 8\.rgb make colours only"):
        trace_channels(take(w, 0, 1), companions, layers="8.rgb")
    with pytest.raises(OpError, match="layer '9' does not exist"):
        trace_channels(take(w, 0, 1), companions, layers="9")


def test_tracing_needs_a_feature_network(model: Network, w: Latent) -> None:
    with pytest.raises(OpError, match="has no feature network"):
        trace_channels(take(w, 0, 1), model, layers="8")


def test_masks_take_the_place_of_a_feature_network(model: Network, w: Latent) -> None:
    left = torch.zeros(1, 1, 32, 32)
    left[..., :16] = 1
    right, one = 1 - left, take(w, 0, 1)
    right[..., :4, :] = 0
    found = trace_channels(
        one, model, [Mask(left), Mask(right)], names=["left", "right"], layers="8", grid=8
    )
    assert found.names[:3] == ("8.conv0:0 left", "8.conv0:0 right", "8.conv0:0 rest")
    assert found.data.shape == (1, 3 * 2 * 16)
    # The other way round the same places have the same scores, under the other name.
    turned = trace_channels(
        one, model, [Mask(right), Mask(left)], names=["right", "left"], layers="8", grid=8
    )
    by_part = found.data.reshape(-1, 3), turned.data.reshape(-1, 3)[:, [1, 0, 2]]
    assert torch.equal(*by_part)
    hits = by_part[0] * torch.tensor([32, 28, 4]) ** 2
    assert torch.allclose(hits, hits.round(), atol=1e-4)


@pytest.mark.parametrize(
    ("count", "names"), [(1, []), (0, ["left"]), (1, ["rest"]), (2, ["left", "left"])]
)
def test_each_mask_needs_a_name(model: Network, w: Latent, count: int, names: list[str]) -> None:
    masks = [Mask(torch.ones(1, 1, 32, 32))] * count
    with pytest.raises(OpError, match="each mask needs a name of its own"):
        trace_channels(take(w, 0, 1), model, masks or None, names=names, layers="8")


def test_a_channel_planted_in_a_corner_ranks_first_there(model: Network, tmp_path: Path) -> None:
    """Every layer sees each place by itself; one channel of the constant is there in a corner."""
    planted = copy.deepcopy(models.network(model.path))
    with torch.no_grad():
        for name, parameter in planted.named_parameters():
            if parameter.shape[-2:] == (3, 3):
                middle = parameter[..., 1, 1].clone()
                parameter.zero_()
                parameter[..., 1, 1] = middle
            if name.endswith("const"):
                parameter[:, 5] = 0
                parameter[:, 5, :2, :2] = 6
    path = tmp_path / "generator.safetensors"
    save_generator(planted, path)
    digest = file_digest(path)
    place = replace(model, path=str(path), digest=digest, family=digest)
    corner = torch.zeros(1, 1, 32, 32)
    corner[..., :16, :16] = 1
    traces = [
        trace_channels(code, place, [Mask(corner)], names=["corner"], layers="4.conv1", grid=8)
        for code in split(sample_codes(Scalar((0, 1, 2)), place, seed=4))
    ]
    found = rank_channels(place, traces=traces, part="corner")
    assert found.channel.data == ("4.conv1:5",)
    assert found.share.data == (1.0,)


def traced(*rows: tuple[float, ...]) -> list[Scores]:
    """Two layers of traces, each of some pictures: 2 channels and 2 parts."""
    names = ("eye", "hair")
    found = []
    for layer in ("8.conv0", "8.conv1"):
        labels = tuple(f"{layer}:{c} {part}" for c in (0, 1) for part in names)
        found += [Scores(torch.tensor([row]), labels) for row in rows]
    return found


def test_channels_of_a_part_are_ranked_by_their_score(model: Network) -> None:
    traces = traced((0.3, 0.1, 0.0, 0.2), (0.2, 0.1, 0.1, 0.4), (0.1, 0.2, 0.0, 0.3))
    first = rank_channels(model, traces=traces, part="hair")
    second = rank_channels(model, traces=traces, part="hair", rank=1)
    assert (first.channel.data, second.channel.data) == (("8.conv0:1",), ("8.conv1:1",))
    assert first.score.data[0] == pytest.approx(0.3)
    assert first.share.data == (1.0,)
    eye = rank_channels(model, traces=traces, part="eye")
    assert eye.share.data[0] == pytest.approx(2 / 3, abs=1e-3)
    with pytest.raises(SkipItem, match="rank 2: there are 2 channels of hair"):
        rank_channels(model, traces=traces, part="hair", rank=2)
    with pytest.raises(OpError, match="part 'heir' was not traced, did you mean 'hair'"):
        rank_channels(model, traces=traces, part="heir")


def test_exemplars_choose_among_the_channels_of_a_part(model: Network, w: Latent) -> None:
    traces = traced((0.0, 0.1, 0.0, 0.2))
    shifted = edit_channels(w, model, channels=["8.conv1:1", "16.conv0:5"], strength=[6.0, 9.0])
    found = rank_channels(model, list(split(shifted)), traces, part="hair")
    assert found.channel.data == ("8.conv1:1",)


def test_ranking_needs_something_to_go_by(model: Network, w: Latent) -> None:
    with pytest.raises(OpError, match="needs the wire `codes`"):
        rank_channels(model)
    with pytest.raises(OpError, match="belong together"):
        rank_channels(model, list(split(w)), part="hair")
    with pytest.raises(OpError, match="1 exemplars: at least two"):
        rank_channels(model, [take(w, 0, 1)])
    with pytest.raises(OpError, match="not to 'tiny'"):
        rank_channels(model, [replace(take(w, 0, 1), family="other")] * 2)


def test_ranked_directions_stack(model: Network, w: Latent) -> None:
    direction = rank_channels(model, list(split(w))).direction
    moved = follow_direction(w, stack([direction] * 5), model, strength=2.0)
    assert moved.space == "style"
