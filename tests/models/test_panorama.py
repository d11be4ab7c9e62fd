"""Panoramas: one canvas in any tiles, prefixes and rings, and what was published first."""

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models import ModelError, load_generator
from models.blend import HALO, reach_px
from models.canvas import Region, noise_field
from models.config import GeneratorConfig
from models.panorama import (
    Panorama,
    draw_span,
    moved,
    smoothed,
    weave_spans,
)
from models.stylegan2 import Generator

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def small(architecture: str = "skip") -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(
        32, (8, 8, 6, 4), z_dim=8, w_dim=8, mapping_layers=1, architecture=architecture
    )
    generator = Generator(config).requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    return generator


@pytest.fixture(params=["skip", "resnet"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return small(request.param)


def codes(generator: Generator, items: int, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    shape = (generator.num_rows, generator.config.w_dim)
    # Each on its own: more items keep the earlier ones to the bit.
    return torch.cat(
        [generator.styles(torch.randn(1, *shape, generator=draw)) for _ in range(items)]
    )


def strip(generator: Generator, items: int, **more: object) -> Panorama:
    noise = noise_field(generator, "seeded", [7])
    given = Panorama(generator, codes(generator, items), 1, items, noise)
    return replace(given, **more)  # type: ignore[arg-type]


def whole(panorama: Panorama) -> Tensor:
    return panorama.draw(panorama.canvas.whole)


def assembled(panorama: Panorama, tile_px: int) -> Tensor:
    picture = torch.full((1, 3, *panorama.size_px), math.nan)
    for at, drawn in panorama.tiles(tile_px):
        assert picture[:, :, at.top : at.bottom, at.left : at.right].isnan().all()
        picture[:, :, at.top : at.bottom, at.left : at.right] = drawn
    return picture


def near(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


# --- one canvas -------------------------------------------------------------------------------


def test_one_code_is_the_plain_picture(generator: Generator) -> None:
    alone = strip(generator, 1, noise=noise_field(generator, "const"))
    assert torch.equal(whole(alone), generator.synthesize_styles(alone.styles))


@pytest.mark.parametrize("tile_px", [8, 16, 24, 40, 64, 1024])
@pytest.mark.parametrize("closed", [False, True])
def test_tiles_of_any_size_are_the_whole(generator: Generator, tile_px: int, closed: bool) -> None:
    given = strip(generator, 5, closed_x=closed)
    near(assembled(given, tile_px), whole(given))


@pytest.mark.parametrize("transition", [0.0, 0.3, 0.5, 1.0])
def test_codes_take_turns_as_wide_as_asked(transition: float) -> None:
    """Shares are 1 on the plateaus, fall in a straight line, and add up to one."""
    net = small()
    given = strip(net, 4, transition=transition)
    layer = net.layers[-1]
    window = Region(0, 0, 32, 128)
    total = torch.zeros(128)
    for k in range(4):
        share = given._weight(0, k)(layer, window)[0, 0, 0]
        total += share
        middle = (torch.arange(128) + 0.5) / 32
        away = (middle.clamp(0.5, 3.5) - k - 0.5).abs()
        assert (share[away <= (1 - transition) / 2 - 1e-6] == 1).all()
        assert (share[away >= (1 + transition) / 2] == 0).all()
        if transition:
            mixed = (away > (1 - transition) / 2) & (away < (1 + transition) / 2)
            expected = 0.5 + (0.5 - away[mixed]) / transition
            torch.testing.assert_close(share[mixed], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(total, torch.ones(128), atol=1e-6, rtol=0)


def test_a_hard_edge_leaves_the_middles_to_their_codes() -> None:
    """Far from an edge, a code's picture is that of a strip of it alone."""
    net = small()
    given = strip(net, 2, transition=0.0, noise=noise_field(net, "none"))
    alone = replace(given, styles=given.styles[:1].repeat(2, 1))
    unseen = 32 - reach_px(net, net.layers[0])
    near(whole(given)[..., :unseen], whole(alone)[..., :unseen])
    assert not torch.allclose(whole(given)[..., 31], whole(alone)[..., 31], atol=1e-2)


def test_appending_a_code_changes_nothing_further_left(generator: Generator) -> None:
    """Where neither the new code nor the old end is seen, tiles are the same to the bit."""
    four, five = strip(generator, 4), strip(generator, 5)
    assert torch.equal(five.styles[:4], four.styles)
    cell = generator.resolution // 4
    untouched = (4 * 4 - 2 - (HALO + 1)) * cell
    before, after = dict(four.tiles(16)), dict(five.tiles(16))
    same = [at for at in before if at.right <= untouched]
    assert len(same) == 2 * 5
    for at in same:
        assert torch.equal(before[at], after[at])
    near(whole(five)[..., :untouched], whole(four)[..., :untouched])


@pytest.mark.parametrize("noise", ["const", "none"])
def test_a_ring_of_rolled_codes_is_the_rolled_ring(generator: Generator, noise: str) -> None:
    given = strip(generator, 4, closed_x=True, noise=noise_field(generator, noise))  # type: ignore[arg-type]
    turned = replace(given, styles=given.styles.roll(-1, 0))
    here, there = assembled(given, 32), assembled(turned, 32)
    assert torch.equal(there, here.roll(-32, 3))
    near(whole(turned), here.roll(-32, 3))


def test_a_ring_of_equal_codes_repeats_itself(generator: Generator) -> None:
    """A strip of the same codes has a period only where no border is: closed, and to the bit."""
    same = codes(generator, 1).repeat(3, 1)
    noise = noise_field(generator, "const")
    ring = assembled(strip(generator, 3, styles=same, noise=noise, closed_x=True), 32)
    assert torch.equal(ring, ring.roll(32, 3))
    open_strip = whole(strip(generator, 3, styles=same, noise=noise))
    assert not torch.allclose(open_strip[..., 32:], open_strip[..., :-32], atol=1e-2)


def test_the_ends_of_a_ring_meet(generator: Generator) -> None:
    """A tile across the joint is what lies on both sides of it, noise and all."""
    given = strip(generator, 3, closed_x=True)
    picture = whole(given)
    across = given.draw(Region(0, 10, 4, 4))
    near(across, torch.cat([picture[..., 80:], picture[..., :16]], 3))


def transposed(generator: Generator) -> Generator:
    """The generator whose pictures are the others', mirrored in the diagonal."""
    other = Generator(generator.config).requires_grad_(False)
    turned = {
        name: value.transpose(-1, -2) if value.dim() == 4 or name.endswith("noise_const") else value
        for name, value in generator.state_dict().items()
    }
    other.load_state_dict(turned)
    return other


@pytest.mark.parametrize("closed", [False, True])
def test_upright_is_lying_in_the_mirror_of_the_diagonal(generator: Generator, closed: bool) -> None:
    lying = strip(generator, 4, noise=noise_field(generator, "const"), closed_x=closed)
    mirror = transposed(generator)
    upright = Panorama(mirror, lying.styles, 4, 1, noise_field(mirror, "const"), closed_y=closed)
    assert upright.size_px == (128, 32)
    near(assembled(upright, 24), assembled(lying, 24).transpose(2, 3))


@pytest.mark.parametrize("closed", [False, True])
def test_a_grid_in_tiles_is_the_whole(generator: Generator, closed: bool) -> None:
    given = strip(generator, 6, rows=2, columns=3, closed_x=closed, closed_y=closed)
    assert given.size_px == (64, 96)
    for tile_px in (24, 32):
        near(assembled(given, tile_px), whole(given))


def test_a_grid_of_equal_rows_is_as_wide_as_its_strip() -> None:
    """The middle of a grid in which every row has the same codes does not depend on the row."""
    net = small()
    noise = noise_field(net, "none")
    row = codes(net, 3)
    picture = whole(Panorama(net, row.repeat(5, 1), 5, 3, noise, closed_y=True))
    near(picture, picture.roll(32, 2))


def test_a_torus_rolls_both_ways(generator: Generator) -> None:
    noise = noise_field(generator, "const")
    given = strip(generator, 6, rows=2, columns=3, closed_x=True, closed_y=True, noise=noise)
    styles = given.styles.reshape(2, 3, -1).roll((-1, -1), (0, 1)).reshape(6, -1)
    turned = assembled(replace(given, styles=styles), 32)
    assert torch.equal(turned, assembled(given, 32).roll((-32, -32), (2, 3)))


def test_a_tile_knows_only_the_codes_that_show_in_it() -> None:
    net = small()
    long = Panorama(net, codes(net, 2).repeat(500, 1), 1, 1000, closed_x=True)
    assert len(long.branches(Region(0, 2000, 4, 4))) <= 5
    assert len(long.branches(Region(0, 0, 4, 4))) <= 5


def test_a_far_place_is_drawn_as_a_near_one() -> None:
    """Positions lose nothing with distance: equal neighbours give equal bits, however far."""
    net = small()
    noise = noise_field(net, "const")
    long = Panorama(net, codes(net, 4).repeat(10_000, 1), 1, 40_000, noise, closed_x=True)
    assert torch.equal(long.draw(Region(0, 16, 4, 8)), long.draw(Region(0, 159_008, 4, 8)))


def test_a_strip_costs_little_more_than_two_pictures_for_each() -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(64, (32, 32, 32, 16, 8), w_dim=8, mapping_layers=1)
    net = Generator(config).requires_grad_(False)
    styles = codes(net, 16)
    with FlopCounterMode(display=False) as plain:
        net.synthesize_styles(styles[:1])
    with FlopCounterMode(display=False) as spent:
        list(Panorama(net, styles, 1, 16, closed_x=True).tiles())
    assert spent.get_total_flops() / plain.get_total_flops() / 16 < 2.35


SCRIPT = """
import pathlib, torch
torch.set_num_threads(1)
from models.config import GeneratorConfig
from models.canvas import noise_field
from models.panorama import Panorama
from models.stylegan2 import Generator
torch.manual_seed(0)
net = Generator(GeneratorConfig(64, (16, 16, 16, 16, 16), mapping_layers=1)).requires_grad_(False)
def drawn(count):
    styles = net.styles(torch.randn(count, net.num_rows, 512))
    strip = Panorama(net, styles, 1, count, noise_field(net, "seeded", [1]))
    with torch.no_grad():
        for _ in strip.tiles(256):
            pass
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
first = drawn(8)
print(drawn(64) - first)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
def test_memory_does_not_grow_with_length() -> None:
    """What 64 codes take beyond 8 is less than 8 MB: the features of all would be 16 MB a layer."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < (8 << 10)


# --- codes along a strip ----------------------------------------------------------------------


def test_smoothing_is_that_of_the_published_panoramas() -> None:
    z = torch.randn(5, 64, generator=torch.Generator().manual_seed(90))
    weights = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)
    weights /= weights.sum()
    around = np.concatenate([z[-3:].numpy(), z.numpy(), z[:3].numpy()]).astype(np.float64)
    expected = sum(w * around[i : i + 5] for i, w in enumerate(weights))
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(smoothed(z, 0.7).numpy(), expected, atol=1e-5)


def test_smoothing_makes_neighbours_alike_and_keeps_the_strength() -> None:
    mean = torch.full((32,), 3.0)
    given = mean + 2 * torch.randn(200, 32, generator=torch.Generator().manual_seed(1))
    made = smoothed(given, 0.7, mean)

    def alike(w: Tensor) -> float:
        about = w - mean
        return float((about * about.roll(1, 0)).mean() / about.square().mean())

    assert abs(alike(given)) < 0.05
    assert alike(made) == pytest.approx(0.6, abs=0.05)
    before, after = ((w - mean).square().mean() for w in (given, made))
    assert float(after) == pytest.approx(float(before), rel=1e-4)
    assert torch.equal(smoothed(given, 0.0, mean), given)
    assert torch.equal(smoothed(given[:1], 0.7, mean), given[:1])


# --- as published -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "noise", "flat"),
    [("span_ab", "const", True), ("merge_ab", "const", False), ("span_ab_no_noise", "none", True)],
)
def test_a_span_is_the_published_one(name: str, noise: str, flat: bool) -> None:
    net = load_generator(str(GOLDEN / "soat-256.pt"))
    stored = np.load(GOLDEN / "soat-256.npz")
    a, b = net.styles(torch.from_numpy(stored["w_plus"])).split(1)
    span = draw_span(net, a, b, noise_field(net, noise), flat)  # type: ignore[arg-type]
    expected = torch.from_numpy(stored[name])
    torch.testing.assert_close(span[..., ::4, ::4], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("noise", ["const", "seeded"])
def test_spans_are_cut_and_joined_as_published(generator: Generator, noise: str) -> None:
    styles = codes(generator, 4)
    field = noise_field(generator, noise, [3])  # type: ignore[arg-type]
    spans = [
        draw_span(generator, a[None], b[None], moved(field, k))
        for k, (a, b) in enumerate(pairwise(styles))
    ]
    expected = [spans[0][..., :48], spans[1][..., 16:48], spans[2][..., 16:]]
    pieces: Sequence[Tensor] = list(weave_spans(generator, styles, field))
    assert torch.equal(torch.cat(pieces, 3), torch.cat(expected, 3))
    assert sum(piece.shape[3] for piece in pieces) == 4 * 32


def test_spans_of_one_code_repeat_its_picture_exactly(generator: Generator) -> None:
    """One of the defects of the published weave: with its own noise, a strip has a period."""
    styles = codes(generator, 1).expand(5, -1)
    _, second, third, _ = weave_spans(generator, styles, noise_field(generator, "const"))
    assert torch.equal(second, third)
    _, second, third, _ = weave_spans(generator, styles, noise_field(generator, "seeded", [3]))
    assert not torch.equal(second, third)


# --- what cannot be ---------------------------------------------------------------------------


def test_what_cannot_be_drawn_is_refused() -> None:
    net = small()
    five = codes(net, 5)
    with pytest.raises(ModelError, match="5 codes do not fill 2 rows of 2"):
        Panorama(net, five, 2, 2)
    with pytest.raises(ModelError, match="0 rows of 5 codes"):
        Panorama(net, five, 0, 5)
    with pytest.raises(ModelError, match="needs two codes"):
        Panorama(net, five[:1], 1, 1, closed_x=True)
    with pytest.raises(ModelError, match=r"transition 1\.5: must be 0 to 1"):
        Panorama(net, five, 1, 5, transition=1.5)
    with pytest.raises(ModelError, match=r"tile 20 px: .* multiples of 8 px, such as 16 or 24"):
        next(Panorama(net, five, 1, 5).tiles(20))
    with pytest.raises(ModelError, match="two codes at least"):
        next(weave_spans(net, five[:1], noise_field(net, "none")))
