"""Features padded, scaled and shifted: exactness, sizes, and what is refused before the run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import OpError
from engine.op import Seed
from engine.values import Latent, Network, split
from models import describe
from models.masks import grown
from models.rearranging import Softness, touched
from models.stylegan2 import Generator
from ops.spatial import pad_features, resize_features, sample_shifts, shift_features
from ops.synthesis import synthesize
from tests.ops.test_features import codes, small

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def one(w: Latent) -> Latent:
    return next(split(w))


@pytest.fixture
def plain(one: Latent, model: Network) -> torch.Tensor:
    return synthesize(one, model).data


def test_edits_of_nothing_give_the_plain_picture(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    for at in (4, 8, 16, 32):
        for mode in ("replicate", "reflect", "circular"):
            assert torch.equal(pad_features(one, model, at=at, mode=mode).data, plain)  # type: ignore[arg-type]
        assert torch.equal(resize_features(one, model, at=at).data, plain)
        assert torch.equal(resize_features(one, model, at=at, width=32, height=32).data, plain)
    box = (0.25, 0.25, 0.5, 0.5)
    far = (*box, 0.5, 0.5)
    for moves, strength in (([(*box, 0.25, 0.25)], 1.0), ([far], 0.0), ([], 1.0)):
        same = shift_features(one, model, moves=moves, strength=strength)
        assert torch.equal(same.image.data, plain)
        assert same.predicted_reach_px.data == (0,)
        assert same.leak_max.data == (0.0,)


@pytest.mark.parametrize("at", [4, 8, 16, 32])
def test_a_picture_grows_by_whole_cells_on_any_side(model: Network, one: Latent, at: int) -> None:
    cell = 32 // at
    grown = pad_features(one, model, at=at, left=1, right=2, top=3, mode="replicate")
    assert grown.data.shape == (1, 3, 32 + 3 * cell, 32 + 3 * cell)
    same = pad_features(
        one, model, at=at, left=cell, right=2 * cell, top=3 * cell, unit="px", mode="replicate"
    )
    assert torch.equal(grown.data, same.data)
    sized = resize_features(one, model, at=at, width=48 if at > 4 else 56, height=24)
    assert sized.data.shape[2:] == (24, 48 if at > 4 else 56)


def test_padding_the_last_resolution_pads_the_picture(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    grown = pad_features(one, model, at=32, left=4, bottom=7, mode="reflect").data
    assert torch.equal(grown, torch.nn.functional.pad(plain, (4, 0, 0, 7), mode="reflect"))


def test_the_reference_is_reproduced() -> None:
    network = Network("soat", str(GOLDEN / "soat-256.pt"), "d", "f", 256, 14)
    stored = np.load(GOLDEN / "soat-256.npz")
    code = Latent(torch.from_numpy(stored["w_plus"][:1]), "w_plus", "f")
    found = {
        mode: pad_features(code, network, left=4, right=4, mode=mode, noise="none")  # type: ignore[arg-type]
        for mode in ("reflect", "replicate", "circular")
    }
    found["horizontal"] = resize_features(code, network, width=512, noise="none")
    found["vertical"] = resize_features(code, network, height=512, noise="none")
    for name, image in found.items():
        expected = torch.from_numpy(stored[f"spatial_{name}_no_noise"]).clamp(-1, 1)
        torch.testing.assert_close(image.data[..., ::4, ::4], expected, atol=1e-3, rtol=0)


def test_a_batch_equals_its_singles(model: Network, w: Latent) -> None:
    both = Latent(w.data[:2], "w", w.family)
    noise = {"noise": "seeded"}
    for make in (
        lambda x, s: pad_features(x, model, left=3, seed=s, **noise),  # type: ignore[arg-type]
        lambda x, s: resize_features(x, model, width=64, seed=s, **noise),  # type: ignore[arg-type]
        lambda x, s: sample_shifts(x, model, seed=s, **noise).image,  # type: ignore[arg-type]
    ):
        together = make(both, Seed((5, 6))).data
        for i, (code, seed) in enumerate(zip(split(both), (5, 6), strict=True)):
            alone = make(code, Seed((seed,))).data
            torch.testing.assert_close(alone, together[i : i + 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("resolution", [256, 512])
def test_large_generators_take_any_size_of_their_grid(tmp_path: Path, resolution: int) -> None:
    network = small(tmp_path, resolution)
    (code,) = codes(network, 1)
    cell = resolution // 16
    wide = resize_features(code, network, width=3 * resolution + cell, height=5 * cell, at=16)
    assert wide.data.shape == (1, 3, 5 * cell, 3 * resolution + cell)
    assert bool(torch.isfinite(wide.data).all())


def step_across(picture: torch.Tensor, dim: int) -> float:
    """The mean jump from the last column (or row) to the first one."""
    ends = picture.select(dim, -1), picture.select(dim, 0)
    return float((ends[1] - ends[0]).abs().mean())


@pytest.mark.parametrize("noise", ["none", "seeded", "const"])
@pytest.mark.parametrize("closed", ["horizontal", "vertical", "both"])
def test_closed_sides_go_on_at_the_opposite_ones(tmp_path: Path, noise: str, closed: str) -> None:
    network = small(tmp_path, 64)
    (code,) = codes(network, 1)
    given = {"noise": noise, "seed": Seed((3,))}
    for make, settings in (
        (resize_features, {"width": 88, "height": 72}),
        (pad_features, {"left": 3, "top": 1}),
    ):
        ends = make(code, network, closed=closed, **given, **settings).data  # type: ignore[operator]
        plain = make(code, network, **given, **settings).data  # type: ignore[operator]
        assert tuple(ends.shape[2:]) == (72, 88)
        for dim, name in ((3, "horizontal"), (2, "vertical")):
            if closed in (name, "both"):
                assert step_across(ends, dim) < 0.7 * step_across(plain, dim)


def test_a_closed_picture_is_periodic_where_its_features_are(model: Network, one: Latent) -> None:
    twice = pad_features(
        one, model, left=8, at=8, mode="circular", closed="horizontal", noise="const"
    ).data
    assert torch.equal(twice, twice.roll(32, 3))


# --- shifts -----------------------------------------------------------------------------------


def test_a_part_is_copied_and_the_rest_stays(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    """At the last resolution a hard shift is a copy of pixels."""
    moves = [(2.0, 3.0, 8.0, 6.0, 20.0, 21.0)]
    moved = shift_features(one, model, moves=moves, at=32, feather=0.0).image.data
    expected = plain.clone()
    expected[..., 21:27, 20:28] = plain[..., 3:9, 2:10]
    assert torch.equal(moved, expected)
    both = shift_features(one, model, moves=moves, at=32, feather=0.0, swap=True).image.data
    expected[..., 3:9, 2:10] = plain[..., 21:27, 20:28]
    assert torch.equal(both, expected)


def test_a_shift_of_features_reaches_no_farther_than_its_layers(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    made = shift_features(one, model, moves=[(0.0, 0.0, 0.25, 0.25, 0.5, 0.0)], at=16, feather=0.0)
    moved = made.image.data
    changed = (moved != plain).any(1)[0].nonzero()
    assert len(changed)
    reach = 4 * (32 // 32) - 3 + 2  # up to 32 px, and the low-pass of the picture before it
    assert int(changed[:, 1].min()) >= 16 - reach
    assert int(changed[:, 1].max()) <= 23 + reach
    assert int(changed[:, 0].max()) <= 7 + reach
    assert made.predicted_reach_px.data == (reach + 1,)  # a box may begin within a cell


@pytest.mark.parametrize("at", [8, 16, 32])
@pytest.mark.parametrize("swap", [False, True])
def test_nothing_changes_beyond_the_reach_that_is_predicted(
    model: Network, one: Latent, plain: torch.Tensor, at: int, swap: bool
) -> None:
    moves = [(0.0, 0.0, 0.125, 0.125, 0.25, 0.125)]
    made = shift_features(one, model, moves=moves, at=at, feather=0.05, swap=swap)
    laid = touched(32, at, moves, Softness(0.05, swap=swap))
    beyond = grown(laid, int(made.predicted_reach_px.data[0])) == 0  # type: ignore[arg-type]
    changed = (made.image.data != plain).any(1, keepdim=True)
    assert bool(beyond.any())
    assert not bool((changed & beyond).any())
    assert bool((changed & (laid > 0)).any())


def test_what_is_protected_is_the_plain_picture(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    moves = [(0.0, 0.0, 0.25, 0.25, 0.5, 0.0)]
    free = shift_features(one, model, moves=moves, at=8, feather=0.0)
    held = shift_features(one, model, moves=moves, at=8, feather=0.0, protect=True, margin=0.1)
    assert free.leak_max.data[0] > 1  # type: ignore[operator]
    assert held.leak_max.data == held.leak_mean.data == (0.0,)
    assert torch.equal(held.image.data[..., 12:, :], plain[..., 12:, :])
    assert torch.equal(held.image.data[..., :8, 16:24], free.image.data[..., :8, 16:24])


def test_what_is_copied_is_redrawn_much_as_it_was() -> None:
    """By the coarse light and dark of the place, as against what stood there before."""
    info = describe("landscapes-128")
    network = Network(
        "landscapes-128", str(info.path), info.digest, info.digest, info.resolution, info.num_rows
    )
    z = torch.randn(8, 512, generator=torch.Generator().manual_seed(8))
    scenes = Latent(z, "z", network.family)
    moves = [(0.0, 0.375, 0.25, 0.25, 0.5, 0.375)]
    before = synthesize(scenes, network).data
    after = shift_features(scenes, network, moves=moves, at=32, feather=0.0).image.data

    def coarse(picture: torch.Tensor, left: int) -> torch.Tensor:
        part = torch.nn.functional.avg_pool2d(picture[..., 48:80, left : left + 32], 4).flatten(1)
        return torch.nn.functional.normalize(part - part.mean(1, keepdim=True), dim=1)

    source = coarse(before, 0)
    was, now = ((source * coarse(x, 64)).sum(1) for x in (before, after))
    assert float(now.mean()) > 0.8
    assert float(now.mean()) > float(was.mean()) + 0.1


@pytest.mark.parametrize(
    ("swap", "name"),
    [
        (False, "patch_copy_32_64_48_48_to_160_96"),
        (True, "patch_swap_32_64_48_48_and_160_96"),
    ],
)
def test_without_the_small_picture_it_is_the_published_patch(swap: bool, name: str) -> None:
    network = Network("soat", str(GOLDEN / "soat-256.pt"), "d", "f", 256, 14)
    stored = np.load(GOLDEN / "soat-256.npz")
    code = Latent(torch.from_numpy(stored["w_plus"][:1]), "w_plus", "f")
    moves = [(32.0, 64.0, 48.0, 48.0, 160.0, 96.0)]
    made = shift_features(
        code, network, moves=moves, at=16, feather=0.0, swap=swap, picture=False
    ).image.data
    expected = torch.from_numpy(stored[name]).clamp(-1, 1)
    torch.testing.assert_close(made[..., ::4, ::4], expected, atol=1e-3, rtol=0)


def test_fractions_and_pixels_mean_the_same(model: Network, one: Latent) -> None:
    shares = shift_features(one, model, moves=[(0.0, 0.25, 0.5, 0.25, 0.25, 0.5)], at=8)
    pixels = shift_features(one, model, moves=[(0.0, 8.0, 16.0, 8.0, 8.0, 16.0)], at=8)
    assert torch.equal(shares.image.data, pixels.image.data)


def test_variants_differ_repeat_and_can_be_made_again(
    model: Network, one: Latent, plain: torch.Tensor
) -> None:
    made = [sample_shifts(one, model, variant=k, seed=Seed((9,))) for k in range(4)]
    for i, variant in enumerate(made):
        assert not torch.equal(variant.image.data, plain)
        assert all(not torch.equal(variant.image.data, other.image.data) for other in made[:i])
    again = sample_shifts(one, model, variant=2, seed=Seed((9,)))
    assert torch.equal(again.image.data, made[2].image.data)
    moves = [tuple(move) for move in json.loads(str(made[2].moves.data[0]))]
    same = shift_features(one, model, moves=moves, at=8, feather=0.1)
    assert torch.equal(same.image.data, made[2].image.data)


@pytest.mark.parametrize(("axis", "still"), [("horizontal", (1, 5)), ("vertical", (0, 4))])
def test_variants_along_one_axis_stay_on_it(
    model: Network, one: Latent, axis: str, still: tuple[int, int]
) -> None:
    for k in range(5):
        told = sample_shifts(one, model, variant=k, axis=axis).moves.data[0]  # type: ignore[arg-type]
        assert all(move[still[0]] == move[still[1]] for move in json.loads(str(told)))


# --- what is refused --------------------------------------------------------------------------


def test_sizes_that_cannot_be_had_name_those_that_can(model: Network, one: Latent) -> None:
    cases = [
        (pad_features, {"left": 3, "unit": "px"}, "left 3 px: .* multiple of 4 px, such as 4"),
        (pad_features, {"top": 9, "unit": "px"}, "top 9 px: .* such as 8 or 12"),
        (pad_features, {"left": 8}, "reflect can add at most 7 of 4 px"),
        (pad_features, {"left": 9, "mode": "circular"}, "circular can add at most 8"),
        (pad_features, {"at": 12}, "resolution 12: this generator has 4, 8, 16, 32"),
        (resize_features, {"width": 50}, "width 50 px: .* such as 48 or 52"),
        (resize_features, {"height": 2}, "height 2 px: .* such as 4"),
        (shift_features, {"moves": [(0.1, 0.1, 0.2, 0.2, 0.2, 0.1)]}, "right by 3.2 px: .* 2 or 4"),
        (shift_features, {"moves": [(0.5, 0.0, 0.5, 0.5, 0.75, 0.0)]}, "sticks out"),
        (shift_features, {"moves": [(0.0, 0.0, 0.0, 0.5, 0.5, 0.0)]}, "is empty"),
        (shift_features, {"moves": [], "at": []}, "at least one must be named"),
        (sample_shifts, {"size": (0.5, 0.2)}, "the smaller first"),
        (sample_shifts, {"at": 64}, "resolution 64"),
    ]
    for make, settings, message in cases:
        with pytest.raises(OpError, match=message):
            make(one, model, **settings)  # type: ignore[operator]


def test_a_generator_is_asked_for_its_own_codes(
    model: Network, one: Latent, generator: Generator
) -> None:
    stranger = Latent(one.data, "w", "another")
    with pytest.raises(OpError, match="belongs to the generator another"):
        pad_features(stranger, model)
    assert generator.resolution == model.resolution
