"""The ops on checkpoints as other projects save them, at the sizes these usually have."""

from pathlib import Path

import pytest
import torch

import models
from engine.values import Image, Latent, Network, split
from models import GeneratorConfig, file_digest
from models.config import layer_table
from models.deltas import Delta, pack
from models.rosinality import _names
from models.stylegan2 import Generator
from ops.features import interpolate_features, transfer_attribute, translate
from ops.finetuning import finetune
from ops.given import carrying
from ops.inversion import invert
from ops.local import collage, edit_locally
from ops.masks import segment_parts
from ops.panorama import weave_panorama
from ops.pose import align_pose
from ops.spatial import pad_features, resize_features, sample_shifts, shift_features
from ops.synthesis import synthesize
from ops.tuning import tune_generator

GOLDEN = Path(__file__).parents[1] / "golden"
MIDDLE = (0.5, 0.5, 0.125, 0.125)


def network_of(path: Path) -> Network:
    digest, config = file_digest(path), models.network(str(path)).config
    return Network("theirs", str(path), digest, digest, config.resolution, config.num_rows)


def rosinality(folder: Path, resolution: int) -> Network:
    """A random generator with the fewest channels, saved as rosinality's training does."""
    torch.manual_seed(resolution)
    blocks = resolution.bit_length() - 2
    config = GeneratorConfig(resolution, (4,) * blocks, z_dim=8, w_dim=8, mapping_layers=2)
    state = Generator(config).state_dict()
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps) / 16
    theirs = {name: state[ours].clone() for ours, name in _names(config).items()}
    for layer in layer_table(config):
        name = _names(config)[f"{layer.key}.weight"].removesuffix(".weight")
        theirs[f"{name}.weight"] = theirs[f"{name}.weight"].reshape(
            1, -1, *state[f"{layer.key}.weight"].shape[-3:]
        )
        if layer.noise is not None:
            theirs[name.removesuffix(".conv") + ".noise.weight"].fill_(0.3)
        if layer.kind == "conv0":
            theirs[f"{name}.blur.kernel"] = kernel
        if layer.kind == "rgb" and layer.resolution > 4:
            theirs[name.removesuffix(".conv") + ".upsample.kernel"] = kernel
    path = folder / f"{resolution}.pt"
    torch.save({"g_ema": theirs, "latent_avg": torch.randn(8)}, path)
    return network_of(path)


@pytest.fixture(scope="module", params=["256", "512", "1024", "nvlabs 64"])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Network:
    if request.param == "nvlabs 64":
        return network_of(GOLDEN / "nvlabs-stylegan2-64.pkl")
    return rosinality(tmp_path_factory.mktemp("theirs"), int(request.param))


@pytest.fixture(scope="module")
def pair(net: Network) -> list[Latent]:
    generator = models.network(net.path)
    z = torch.randn(2, generator.config.z_dim, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        return list(split(Latent(generator.mapping(z), "w", net.family)))


def plain(latent: Latent, net: Network) -> torch.Tensor:
    return synthesize(latent, net).data


def test_blends_keep_what_lies_beyond_their_reach(net: Network, pair: list[Latent]) -> None:
    own, side = plain(pair[0], net), net.resolution
    drawn = interpolate_features(pair, net, box=MIDDLE, layers="32..")
    reach = int(drawn.predicted_reach_px.data[0] or 0)
    assert 0 < reach < side // 4 + side // 32
    clear = side // 2 - reach - 1
    assert torch.equal(drawn.image.data[..., :clear, :], own[..., :clear, :])
    assert not torch.equal(drawn.image.data, own)
    nothing = interpolate_features(pair, net, alpha=0.0)
    assert torch.equal(nothing.image.data, own)


def test_local_ops_restore_the_rest_when_asked(net: Network, pair: list[Latent]) -> None:
    moved = transfer_attribute(*pair, net, box=MIDDLE, protect=True, margin=0.05)
    own = plain(pair[0], net)
    assert moved.leak_max.data == (0.0,)
    top = net.resolution // 4
    assert torch.equal(moved.image.data[..., :top, :], own[..., :top, :])
    pasted = collage(*pair, net, box=MIDDLE).image.data
    assert pasted.shape == own.shape
    assert not torch.equal(pasted, own)


def test_two_generators_draw_one_picture(net: Network, pair: list[Latent]) -> None:
    key, own = models.network(net.path).layer("32.conv1").key, plain(pair[0], net)
    bias = models.network(net.path).state_dict()[f"{key}.bias"]
    packed = pack(Delta(net.digest, {f"{key}.bias": torch.ones_like(bias).half()}, {}))
    tuned = carrying(net, packed)
    assert torch.equal(translate(pair[0], net, tuned, alpha=0.0).image.data, own)
    whole = translate(pair[0], net, tuned, alpha=1.0, swap=0)
    assert torch.equal(whole.image.data, plain(pair[0], tuned))
    assert not torch.equal(whole.image.data, own)
    held = translate(pair[0], net, tuned, box=MIDDLE, swap=0, protect=True, margin=0.05)
    assert held.leak_max.data == (0.0,)


def test_poses_and_parts(net: Network, pair: list[Latent]) -> None:
    posed = align_pose(*pair, net).latent
    whole = transfer_attribute(*pair, net, last=net.resolution).image.data
    assert torch.equal(plain(posed, net), whole)
    settings = {"method": "clusters", "clusters": 3, "at": 16}
    masks = [segment_parts(net, latent=pair[0], parts=[k], **settings).mask.data for k in range(3)]  # type: ignore[arg-type]
    assert masks[0].shape == (1, 1, net.resolution, net.resolution)
    torch.testing.assert_close(sum(masks), torch.ones_like(masks[0]), atol=1e-5, rtol=0)


def test_pictures_of_other_sizes(net: Network, pair: list[Latent]) -> None:
    own, cell = plain(pair[0], net), net.resolution // 32
    assert torch.equal(pad_features(pair[0], net).data, own)
    wide = pad_features(pair[0], net, left=2, bottom=1, at=32).data
    assert wide.shape == (1, 3, net.resolution + cell, net.resolution + 2 * cell)
    low = resize_features(pair[0], net, height=9 * cell, at=32).data
    assert low.shape == (1, 3, 9 * cell, net.resolution)
    assert bool(torch.isfinite(wide).all() and torch.isfinite(low).all())


def test_pictures_rearranged(net: Network, pair: list[Latent]) -> None:
    own = plain(pair[0], net)
    move = (0.5, 0.5, 0.25, 0.25, 0.25, 0.5)
    drawn = shift_features(pair[0], net, moves=[move], at=32, feather=0.0).image.data
    top = net.resolution // 4
    assert torch.equal(drawn[..., :top, :], own[..., :top, :])
    assert not torch.equal(drawn, own)
    assert sample_shifts(pair[0], net).image.data.shape == own.shape


def test_a_strip_of_one_code_is_its_picture(net: Network, pair: list[Latent]) -> None:
    strip = weave_panorama(pair[:1], net, noise="const").data
    assert torch.equal(strip, plain(pair[0], net))


def test_strips_cost_no_exactness_at_any_size(net: Network, pair: list[Latent]) -> None:
    side = net.resolution
    whole = weave_panorama(pair, net).data
    tiles = weave_panorama(pair, net, tile=side // 2).data
    assert whole.shape == (1, 3, side, 2 * side)
    torch.testing.assert_close(tiles, whole, atol=1e-4, rtol=0)


def test_pictures_become_codes_and_generators_learn(net: Network, pair: list[Latent]) -> None:
    target = Image(plain(pair[0], net).clamp(-1, 1))
    found = [invert(target, net, space="w", method="optimize", steps=n) for n in (1, 4)]
    errors = [float((plain(one.latent, net) - target.data).square().mean()) for one in found]
    assert errors[1] < errors[0]
    tuned = tune_generator(pair[1], target, net, steps=2)
    assert tuned.psnr.data[0] > tuned.before.data[0]
    if net.resolution < 1024:  # a discriminator of that size takes a quarter of a minute
        learned = finetune([target, target], net, steps=1, batch=1).model
        assert plain(pair[0], learned).shape == target.data.shape


def test_channels_of_another_code(net: Network, pair: list[Latent]) -> None:
    drawn = edit_locally(*pair, net, parts=[0], method="clusters", clusters=3, at=16)
    assert drawn.image.data.shape == plain(pair[0], net).shape
    assert bool(torch.isfinite(drawn.image.data).all())
