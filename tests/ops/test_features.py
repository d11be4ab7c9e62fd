"""Several codes in one picture: exactness, places, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from engine.errors import ItemError, OpError
from engine.op import Seed
from engine.values import Latent, Mask, Network, split, take
from models import GeneratorConfig, file_digest, save_generator
from models.stylegan2 import Generator
from ops.codes import to_style
from ops.features import interpolate_features, transfer_attribute, translate
from ops.synthesis import synthesize

GOLDEN = Path(__file__).parents[1] / "golden"
BOX = (0.25, 0.5, 0.4, 0.3)


def small(folder: Path, resolution: int, architecture: str = "skip", seed: int = 3) -> Network:
    """A random generator of any size with few channels, in a file."""
    torch.manual_seed(seed)
    blocks = resolution.bit_length() - 2
    config = GeneratorConfig(
        resolution, (8,) * blocks, z_dim=8, w_dim=8, mapping_layers=1, architecture=architecture
    )
    generator = Generator(config).requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    path = folder / f"{architecture}-{resolution}-{seed}.safetensors"
    save_generator(generator, path)
    digest = file_digest(path)
    return Network("random", str(path), digest, digest, resolution, config.num_rows)


def codes(network: Network, count: int) -> list[Latent]:
    generator = models.network(network.path)
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(8))
    return list(split(Latent(generator.mapping(z), "w", network.family)))


@pytest.fixture(scope="module", params=["skip", "resnet"])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    return small(tmp_path_factory.mktemp("nets"), 64, request.param)


@pytest.fixture(scope="module")
def pair(net: Network) -> list[Latent]:
    return codes(net, 2)


def plain(latent: Latent, network: Network) -> torch.Tensor:
    return synthesize(latent, network).data


def mask_of(size: int, top: int, left: int, bottom: int, right: int) -> Mask:
    data = torch.zeros(1, 1, size, size)
    data[..., top:bottom, left:right] = 1
    return Mask(data)


# --- interpolation ----------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "which"), [(0.0, 0), (1.0, 1), ([1.0, 0.0], 0), ([0.0, 1.0], 1)])
def test_all_of_one_code_is_its_picture(
    net: Network, pair: list[Latent], alpha: float | list[float], which: int
) -> None:
    drawn = interpolate_features(pair, net, alpha=alpha)
    assert torch.equal(drawn.image.data, plain(pair[which], net))
    assert drawn.leak_max.data == (None,)


@pytest.mark.parametrize("alpha", [0.37, "horizontal", "vertical", [0.2, 0.8]])
@pytest.mark.parametrize("ramp", ["places", "cells"])
def test_a_code_with_itself_is_its_picture(
    net: Network, pair: list[Latent], alpha: float, ramp: str
) -> None:
    drawn = interpolate_features([pair[0], pair[0]], net, alpha=alpha, ramp=ramp)  # type: ignore[arg-type]
    assert torch.equal(drawn.image.data, plain(pair[0], net))


def test_three_codes_alike_are_one_and_shares_need_not_add_up_to_one(
    net: Network, pair: list[Latent]
) -> None:
    a, b = pair
    assert torch.equal(
        interpolate_features([a, a, a], net, alpha="vertical").image.data, plain(a, net)
    )
    half = interpolate_features([a, b], net, alpha=0.5).image.data
    assert torch.equal(interpolate_features([a, b], net, alpha=[0.3, 0.3]).image.data, half)


def test_the_same_codes_the_other_way_round(net: Network, pair: list[Latent]) -> None:
    one = interpolate_features(pair, net, alpha=0.25).image.data
    assert torch.equal(one, interpolate_features(pair[::-1], net, alpha=0.75).image.data)


def test_a_hard_edge_far_away_leaves_a_code_alone(net: Network, pair: list[Latent]) -> None:
    drawn = interpolate_features(pair, net, plateau=0.5, layers="32..").image.data
    mixed = interpolate_features(pair, net, alpha=1.0, layers="32..").image.data
    own = plain(pair[0], net)
    torch.testing.assert_close(drawn[..., :24], own[..., :24], atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn[..., 40:], mixed[..., 40:], atol=1e-5, rtol=0)


def test_the_reference_is_reproduced() -> None:
    path = GOLDEN / "soat-256.pt"
    network = Network("soat", str(path), "d", "f", 256, 14)
    stored = np.load(GOLDEN / "soat-256.npz")
    both = list(split(Latent(torch.from_numpy(stored["w_plus"]), "w_plus", "f")))
    for axis in ("horizontal", "vertical"):
        found = interpolate_features(both, network, alpha=axis, ramp="cells")  # type: ignore[arg-type]
        expected = torch.from_numpy(stored[f"blend_{axis}"]).clamp(-1, 1)
        torch.testing.assert_close(found.image.data[..., ::4, ::4], expected, atol=1e-3, rtol=0)


def test_layers_take_over_what_the_styles_of_those_layers_are(
    net: Network, pair: list[Latent]
) -> None:
    generator = models.network(net.path)
    a, b = (to_style(code, net) for code in pair)
    start = generator.layer("16.conv0").style.start
    mixed = Latent(torch.cat([a.data[:, :start], b.data[:, start:]], 1), "style", net.family)
    drawn = interpolate_features([a, b], net, alpha=1.0, layers="16..64").image.data
    assert torch.equal(drawn, plain(mixed, net))


def test_a_protected_blend_leaves_the_rest_alone(net: Network, pair: list[Latent]) -> None:
    settings = {"box": BOX, "feather": 0.05, "margin": 0.05}
    free = interpolate_features(pair, net, **settings)  # type: ignore[arg-type]
    held = interpolate_features(pair, net, protect=True, **settings)  # type: ignore[arg-type]
    assert free.leak_max.data[0] > 1  # type: ignore[operator]
    assert held.leak_max.data == held.leak_mean.data == (0.0,)
    middle = (..., slice(36, 46), slice(22, 36))
    assert torch.equal(held.image.data[middle], free.image.data[middle])
    own = plain(pair[0], net)
    assert torch.equal(held.image.data[..., :20, :], own[..., :20, :])
    assert not torch.equal(held.image.data[middle], own[middle])


@pytest.mark.parametrize("resolution", [256, 512])
def test_large_generators_blend_as_small_ones(tmp_path: Path, resolution: int) -> None:
    network = small(tmp_path, resolution)
    a, b = codes(network, 2)
    drawn = interpolate_features([a, b], network, box=(0.3, 0.3, 0.2, 0.2), layers="64..")
    reach, leak = drawn.predicted_reach_px.data[0], drawn.leak_max.data[0]
    assert drawn.image.data.shape == (1, 3, resolution, resolution)
    assert reach == 4 * (resolution // 64) - 3 + resolution // 64 - 1
    assert leak > 0  # type: ignore[operator]
    own = plain(a, network)
    edge = int(0.3 * resolution) - int(reach) - 1  # type: ignore[arg-type]
    assert torch.equal(drawn.image.data[..., :edge], own[..., :edge])


def test_settings_that_contradict_each_other_are_refused(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    cases = [
        ([a], {}, "two codes or more"),
        ([a, b, b], {"alpha": 0.5}, "give a list of 3"),
        ([a, b, b], {"ramp": "cells"}, "for two codes"),
        ([a, b, b], {"box": BOX}, "chooses between two"),
        ([a, b], {"alpha": [0.1, 0.2, 0.3]}, "3 shares for 2 codes"),
        ([a, b], {"alpha": [0.0, 0.0]}, "not all 0"),
        ([a, b], {"protect": True}, "needs a mask or a box"),
        ([a, b], {"layers": "16.conv2"}, "did you mean '16.conv"),
        ([a, b], {"layers": "32..8"}, "comes after"),
        ([a, b], {"box": (0.5, 0.5, 0.6, 0.1)}, "sticks out"),
        ([a, b], {"box": (0.5, 0.5, 0.0, 0.1)}, "is empty"),
        ([a, b], {"box": (float("nan"), 0.5, 0.1, 0.1)}, "finite"),
    ]
    for given, settings, message in cases:
        with pytest.raises(OpError, match=message):
            interpolate_features(given, net, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(1, 1, 64, 64), "empty"),
        (torch.full((1, 1, 64, 64), float("nan")), "not finite"),
        (torch.full((1, 1, 64, 64), 255.0), "must be 0 to 1"),
        (torch.ones(1, 1, 64, 32), "their shapes differ"),
    ],
)
def test_masks_of_no_use_set_their_item_aside(
    net: Network, pair: list[Latent], data: torch.Tensor, message: str
) -> None:
    with pytest.raises(ItemError, match=message) as caught:
        interpolate_features(pair, net, Mask(data))
    assert caught.value.reason == "bad_input"


def test_codes_of_two_models_are_refused(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    with pytest.raises(OpError, match="belongs to the generator other"):
        interpolate_features([a, replace(b, family="other")], net)


def test_a_mask_and_a_box_are_too_much(net: Network, pair: list[Latent]) -> None:
    with pytest.raises(OpError, match="one of them"):
        interpolate_features(pair, net, mask_of(64, 0, 0, 9, 9), box=BOX)


# --- transfer ---------------------------------------------------------------------------------


def test_a_transfer_of_nothing_is_the_target(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    own = plain(a, net)
    assert torch.equal(transfer_attribute(a, b, net, box=BOX, strength=0.0).image.data, own)
    same = transfer_attribute(a, a, net, box=BOX)
    assert torch.equal(same.image.data, own)
    assert same.leak_max.data == (0.0,)


def test_everything_without_alignment_is_the_reference(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    drawn = transfer_attribute(a, b, net, align="none", last="64").image.data
    assert torch.equal(drawn, plain(b, net))
    full = mask_of(64, 0, 0, 64, 64)
    drawn = transfer_attribute(a, b, net, full, align="none", last=64, feather=0.0).image.data
    assert torch.equal(drawn, plain(b, net))


def test_everything_with_alignment_is_the_reference_in_the_targets_pose(
    net: Network, pair: list[Latent]
) -> None:
    a, b = (to_style(code, net) for code in pair)
    cut = models.network(net.path).layers[3].style.stop
    posed = Latent(torch.cat([a.data[:, :cut], b.data[:, cut:]], 1), "style", net.family)
    drawn = transfer_attribute(a, b, net, last=64).image.data
    assert torch.equal(drawn, plain(posed, net))


def test_alignment_by_rows_keeps_more_of_the_target(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    rows = models.network(net.path).num_rows
    mixed = b.data[:, None].repeat(1, rows, 1)
    mixed[:, :4] = a.data[:, None]
    drawn = transfer_attribute(a, b, net, align="rows", last=64).image.data
    assert torch.equal(drawn, plain(Latent(mixed, "w_plus", net.family), net))
    with pytest.raises(OpError, match="has no rows"):
        transfer_attribute(to_style(a, net), b, net, align="rows")


def test_the_reach_that_is_predicted_is_kept(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    own = plain(a, net)
    names = [layer.name for layer in models.network(net.path).layers]
    for pose in range(2, len(names) - 1):
        drawn = transfer_attribute(
            a, b, net, mask_of(64, 26, 25, 37, 36), pose_layers=pose, last=64, feather=0.0
        )
        changed = (drawn.image.data != own).any(1)[0]
        rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
        reach = int(drawn.predicted_reach_px.data[0])  # type: ignore[arg-type]
        assert max(26 - int(rows[0]), int(rows[-1]) - 36) <= reach
        assert max(25 - int(columns[0]), int(columns[-1]) - 35) <= reach


def test_what_is_protected_is_the_picture_synthesize_draws(
    net: Network, pair: list[Latent]
) -> None:
    targets = Latent(torch.cat([code.data for code in pair]), "w", net.family)
    others = Latent(targets.data.flip(0), "w", net.family)
    masks = Mask(torch.cat([mask_of(64, 10, 10, 20, 24).data, mask_of(64, 40, 30, 50, 60).data]))
    free = transfer_attribute(targets, others, net, masks, last=64, align="none")
    held = transfer_attribute(
        targets, others, net, masks, last=64, align="none", protect=True, margin=0.08
    )
    assert min(free.leak_max.data) > 1  # type: ignore[type-var, operator]
    assert held.leak_max.data == (0.0, 0.0)
    own = plain(targets, net)
    outside = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    outside[0, :, 3:27, 3:31] = False
    outside[1, :, 33:57, 23:] = False
    outside = outside.expand_as(own)
    assert torch.equal(held.image.data[outside], own[outside])


def test_a_batch_equals_its_singles(net: Network, pair: list[Latent]) -> None:
    targets = Latent(torch.cat([code.data for code in pair]), "w", net.family)
    others = Latent(targets.data.flip(0), "w", net.family)
    masks = Mask(torch.cat([mask_of(64, 10, 10, 20, 24).data, mask_of(64, 0, 30, 64, 60).data]))
    together = transfer_attribute(targets, others, net, masks, noise="seeded", seed=Seed((3, 4)))
    for i, seed in enumerate((3, 4)):
        alone = transfer_attribute(
            *(take(value, i, i + 1) for value in (targets, others)),
            net,
            take(masks, i, i + 1),
            noise="seeded",
            seed=Seed((seed,)),
        )
        one = together.image.data[i : i + 1]
        torch.testing.assert_close(alone.image.data, one, atol=1e-5, rtol=0)
        assert alone.leak_max.data[0] == pytest.approx(together.leak_max.data[i], abs=0.01)


def test_transfer_says_what_is_wrong(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    with pytest.raises(OpError, match="leaves nothing to blend"):
        transfer_attribute(a, b, net, box=BOX, pose_layers=4, last="8.conv0")
    with pytest.raises(OpError, match="belongs to the generator other"):
        transfer_attribute(a, replace(b, family="other"), net, box=BOX)
    both = Latent(torch.cat([a.data, b.data]), "w", net.family)
    masks = torch.cat([mask_of(64, 1, 1, 5, 5).data, torch.zeros(1, 1, 64, 64)])
    with pytest.raises(ItemError, match="empty") as caught:
        transfer_attribute(both, both, net, Mask(masks))
    assert caught.value.item == 1


@pytest.mark.parametrize("align", ["none", "style"])
@pytest.mark.parametrize(("last", "index"), [("32.conv1", 9), ("256", 99)])
def test_a_soft_box_can_be_that_of_the_release(align: str, last: str, index: int) -> None:
    network = Network("soat", str(GOLDEN / "soat-256.pt"), "d", "f", 256, 14)
    stored = np.load(GOLDEN / "soat-256.npz")
    both = split(Latent(torch.from_numpy(stored["w_plus"]), "w_plus", "f"))
    made = transfer_attribute(
        *both, network, box=(60, 80, 90, 70), edge="soat", align=align, last=last
    )  # type: ignore[arg-type]
    name = f"bbox_60_80_90_70_blend{index}_{'pose' if align == 'style' else 'nopose'}"
    expected = torch.from_numpy(stored[name]).clamp(-1, 1)
    torch.testing.assert_close(made.image.data[..., ::4, ::4], expected, atol=1e-3, rtol=0)


def test_the_box_of_the_release_is_a_box(net: Network, pair: list[Latent]) -> None:
    a, b = pair
    with pytest.raises(OpError, match="needs a box"):
        transfer_attribute(a, b, net, edge="soat")
    for settings in ({"align": "rows", "box": BOX}, {"mask": mask_of(64, 1, 1, 9, 9)}):
        with pytest.raises(OpError, match="is for a box"):
            transfer_attribute(a, b, net, edge="soat", **settings)  # type: ignore[arg-type]


# --- translation ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(net: Network, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The same generator with other convolutions, its mapping and affines kept."""
    from models import load_generator

    generator = load_generator(net.path)
    torch.manual_seed(11)
    for name, parameter in generator.named_parameters():
        if "mapper" not in name and "affine" not in name:
            parameter.add_(0.2 * torch.randn_like(parameter))
    path = tmp_path_factory.mktemp("tuned") / "tuned.safetensors"
    save_generator(generator, path)
    return replace(net, name="tuned", path=str(path), digest=file_digest(path))


def test_the_ends_of_a_translation_are_the_two_generators(
    net: Network, tuned: Network, pair: list[Latent]
) -> None:
    a = pair[0]
    layers = len(models.network(net.path).layers)
    whole = translate(a, net, tuned, alpha=1.0, swap=0)
    assert torch.equal(translate(a, net, tuned, alpha=0.0).image.data, plain(a, net))
    assert torch.equal(translate(a, net, tuned, swap=layers).image.data, plain(a, net))
    # The learned constant is the source's up to the first layer that is swapped.
    early = translate(a, net, tuned, alpha=1.0, early_alpha=1.0)
    assert torch.equal(early.image.data, plain(a, tuned))
    assert torch.equal(whole.image.data, early.image.data)
    middle = translate(a, net, tuned)
    assert not torch.equal(middle.image.data, plain(a, net))


def test_a_copy_of_the_source_changes_nothing_at_any_alpha(
    net: Network, pair: list[Latent], tmp_path: Path
) -> None:
    path = tmp_path / "copy.safetensors"
    shutil.copy(net.path, path)
    copy = replace(net, name="copy", path=str(path), digest="another")
    assert torch.equal(translate(pair[0], net, copy, alpha=0.4).image.data, plain(pair[0], net))


def test_a_reference_gives_the_targets_layers_a_code_of_their_own(
    net: Network, tuned: Network, pair: list[Latent]
) -> None:
    a, b = pair
    whole = translate(a, net, tuned, reference=b, alpha=1.0, early_alpha=1.0, swap=0)
    assert torch.equal(whole.image.data, plain(b, tuned))
    none = translate(a, net, tuned, reference=b, alpha=0.0)
    assert torch.equal(none.image.data, plain(a, net))
    own = translate(a, net, tuned).image.data
    assert torch.equal(translate(a, net, tuned, reference=a).image.data, own)
    assert not torch.equal(translate(a, net, tuned, reference=b).image.data, own)


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_a_picture_may_turn_from_one_generator_to_the_other(
    net: Network, tuned: Network, pair: list[Latent], axis: str
) -> None:
    late = models.network(net.path).layer("32.conv0").index
    drawn = translate(pair[0], net, tuned, alpha=axis, swap=late).image.data  # type: ignore[arg-type]
    ends = [translate(pair[0], net, tuned, alpha=a, swap=late).image.data for a in (0.0, 1.0)]
    if axis == "vertical":
        drawn, ends = drawn.mT, [end.mT for end in ends]
    # Beyond the ramp, which begins after a quarter, and its reach of 5 px from there.
    assert torch.equal(drawn[..., :10], ends[0][..., :10])
    torch.testing.assert_close(drawn[..., 54:], ends[1][..., 54:], atol=1e-5, rtol=0)
    assert not torch.allclose(drawn[..., 32], ends[0][..., 32], atol=1e-2)


def test_where_constants_are_blended_too_all_of_the_picture_may_change(
    net: Network, tuned: Network, pair: list[Latent]
) -> None:
    corner = mask_of(64, 0, 0, 1, 1)
    early, late = (
        translate(pair[0], net, tuned, mask=corner, swap=swap, feather=0.0) for swap in (0, 2)
    )
    assert early.predicted_reach_px.data == (64,)
    assert int(late.predicted_reach_px.data[0] or 0) < 64


def test_a_place_is_translated_alone(net: Network, tuned: Network, pair: list[Latent]) -> None:
    drawn = translate(pair[0], net, tuned, box=BOX, protect=True, swap=0, margin=0.05)
    assert drawn.leak_max.data == (0.0,)
    own = plain(pair[0], net)
    assert torch.equal(drawn.image.data[..., :24, :], own[..., :24, :])
    assert not torch.equal(drawn.image.data, own)


def test_generators_that_read_codes_differently_are_refused(
    net: Network, pair: list[Latent], tmp_path: Path
) -> None:
    other = small(tmp_path, 64, models.network(net.path).config.architecture, seed=4)
    with pytest.raises(OpError, match=r"read codes differently: mapper\.layers\.0\.weight differs"):
        translate(pair[0], net, other)
    with pytest.raises(OpError, match="resolution is 64 and 32"):
        translate(pair[0], net, small(tmp_path, 32, models.network(net.path).config.architecture))
    with pytest.raises(OpError, match="one model"):
        translate(pair[0], net, net)
