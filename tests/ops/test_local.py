"""The two baselines: their identities, and what they leak."""

from dataclasses import replace

import pytest
import torch

from engine.errors import ItemError, OpError
from engine.values import Latent, Mask, Network, split, take
from models.stylegan2 import Generator
from ops.local import collage, edit_locally
from ops.synthesis import synthesize

BOX = (0.25, 0.25, 0.5, 0.25)


@pytest.fixture
def pair(w: Latent) -> list[Latent]:
    return list(split(w))[:2]


def test_a_collage_of_nothing_is_the_target(model: Network, pair: list[Latent]) -> None:
    a, b = pair
    plain = synthesize(a, model).data
    assert torch.equal(collage(a, b, model, box=BOX, strengths=[0.0]).image.data, plain)
    same = collage(a, a, model, box=BOX, levels=[4, 16], strengths=[1.0, 0.5])
    assert torch.equal(same.image.data, plain)
    assert same.leak_max.data == (0.0,)


def test_a_collage_at_the_last_level_pastes_pixels(model: Network, pair: list[Latent]) -> None:
    a, b = pair
    mask = Mask(torch.zeros(1, 1, 32, 32))
    mask.data[..., 8:20, 4:30] = 1
    made = collage(a, b, model, mask, levels=[32], feather=0.0)
    expected = torch.where(mask.data > 0, synthesize(b, model).data, synthesize(a, model).data)
    assert torch.equal(made.image.data, expected)
    assert made.leak_max.data == made.leak_mean.data == (0.0,)


def test_a_collage_of_all_features_goes_on_with_the_targets_styles(
    model: Network, pair: list[Latent], generator: Generator
) -> None:
    a, b = pair
    made = collage(a, b, model, box=(0, 0, 1, 1), levels=[8], feather=0.0).image.data
    own, other = (generator.styles(generator.broadcast(code.data)) for code in pair)
    stop = generator.layer("8.rgb").index + 1
    expected = generator.run(own, state=generator.run(other, stop=stop)).skip
    assert expected is not None
    torch.testing.assert_close(made, expected.clamp(-1, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [4, 8, 16, 32])
def test_a_collage_reaches_as_far_as_is_predicted_and_no_farther(
    model: Network, pair: list[Latent], level: int
) -> None:
    """One cell pasted in a corner: the last changed column is the last one within reach."""
    cell = 32 // level
    mask = Mask(torch.zeros(1, 1, 32, 32))
    mask.data[..., :cell, :cell] = 1
    made = collage(*pair, model, mask, levels=[level], feather=0.0)
    changed = (made.image.data != synthesize(pair[0], model).data).any(1)[0]
    reach = int(made.predicted_reach_px.data[0])  # type: ignore[arg-type]
    felt = reach - (cell - 1)  # the mask is a whole cell: nothing is lost by rounding
    for along in (0, 1):
        assert int(changed.any(along).nonzero().max()) == min(31, cell - 1 + felt)
    none = collage(*pair, model, mask, levels=[level], strengths=[0.0])
    assert none.predicted_reach_px.data == (0,)


def test_what_is_protected_stays_as_it_was(companions: Network, pair: list[Latent]) -> None:
    plain = synthesize(pair[0], companions).data
    free = collage(*pair, companions, box=BOX)
    held = collage(*pair, companions, box=BOX, protect=True, margin=0.1)
    assert free.leak_max.data[0] > 1  # type: ignore[operator]
    assert held.leak_max.data == held.leak_mean.data == (0.0,)
    assert torch.equal(held.image.data[..., 24:, :], plain[..., 24:, :])
    assert not torch.equal(held.image.data, plain)
    free_edit, held_edit = (
        edit_locally(
            *pair, companions, parts=["face"], rho=0.0, epsilon=1e9, protect=protect, margin=0.0
        )
        for protect in (False, True)
    )
    assert free_edit.predicted_reach_px.data == (32,)
    outside = (free_edit.mask.data <= 0.5).expand_as(plain)
    assert outside.any()
    assert torch.equal(held_edit.image.data[outside], plain[outside])
    assert held_edit.leak_max.data == (0.0,)
    none = edit_locally(*pair, companions, parts=["face"], rho=1.0)
    assert none.predicted_reach_px.data == (0,)


def test_collages_say_what_is_wrong(model: Network, pair: list[Latent]) -> None:
    a, b = pair
    for settings, message in [
        ({}, "must say what is pasted"),
        ({"box": BOX, "levels": [5]}, "resolution 5: this generator has 4, 8"),
        ({"box": BOX, "levels": [4, 8]}, "1 strengths for 2 levels"),
    ]:
        with pytest.raises(OpError, match=message):
            collage(a, b, model, **settings)  # type: ignore[arg-type]
    with pytest.raises(OpError, match="belongs to the generator other"):
        collage(a, replace(b, family="other"), model, box=BOX)
    with pytest.raises(ItemError, match="empty") as caught:
        collage(a, b, model, Mask(torch.zeros(1, 1, 32, 32)))
    assert caught.value.item == 0


def test_a_batch_equals_its_singles(companions: Network, w: Latent) -> None:
    targets, others = take(w, 0, 2), take(w, 2, 4)
    for make in (
        lambda a, b: collage(a, b, companions, box=BOX).image.data,
        lambda a, b: edit_locally(a, b, companions, parts=["face"]).image.data,
    ):
        together = make(targets, others)
        for i in range(2):
            alone = make(take(targets, i, i + 1), take(others, i, i + 1))
            torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=0)


def test_a_local_edit_of_nothing_is_the_target(companions: Network, pair: list[Latent]) -> None:
    a, b = pair
    plain = synthesize(a, companions).data
    for settings in ({"strength": 0.0}, {"rho": 1.0}, {"epsilon": 0.0, "early_epsilon": 0.0}):
        made = edit_locally(a, b, companions, parts=["face"], **settings)  # type: ignore[arg-type]
        assert torch.equal(made.image.data, plain)
    assert torch.equal(edit_locally(a, a, companions, parts=["face"]).image.data, plain)


def test_all_parts_with_no_bound_give_the_reference_but_its_rgb(
    companions: Network, pair: list[Latent], generator: Generator
) -> None:
    a, b = pair
    made = edit_locally(
        a, b, companions, parts=["face", "rest"], epsilon=1e9, early_epsilon=1e9, rho=0.0
    )
    own, other = (generator.styles(generator.broadcast(code.data)) for code in pair)
    for layer in generator.layers:
        if layer.kind == "rgb":
            other[:, layer.style] = own[:, layer.style]
    expected = generator.synthesize_styles(other).clamp(-1, 1)
    torch.testing.assert_close(made.image.data, expected, atol=1e-5, rtol=0)
    assert made.channels.data[0] == sum(x.in_channels for x in generator.layers if x.kind != "rgb")


@pytest.mark.parametrize("strategy", ["sequential", "simultaneous"])
def test_more_leak_allowed_takes_more_channels(
    model: Network, pair: list[Latent], strategy: str
) -> None:
    counts = [
        edit_locally(
            *pair,
            model,
            parts=[0, 1],
            method="clusters",
            clusters=4,
            at=8,
            strategy=strategy,  # type: ignore[arg-type]
            rho=0.0,
            epsilon=epsilon,
            early_epsilon=epsilon,
        ).channels.data[0]
        for epsilon in (0.0, 40.0, 1e9)
    ]
    assert counts[0] == 0
    assert counts[0] <= counts[1] <= counts[2]  # type: ignore[operator]
    assert counts[2] > 0  # type: ignore[operator]


def test_parts_that_are_not_there_are_named(companions: Network, pair: list[Latent]) -> None:
    with pytest.raises(OpError, match="did you mean 'face'"):
        edit_locally(*pair, companions, parts=["fce"])
    with pytest.raises(OpError, match="at least one"):
        edit_locally(*pair, companions, parts=[])
    with pytest.raises(OpError, match="numbered 0 to 3"):
        edit_locally(*pair, companions, parts=[4], method="clusters", clusters=4)
