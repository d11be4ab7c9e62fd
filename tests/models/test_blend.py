"""The blend: what the reference code answers, exactness, and tiles that are the whole."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import ModelError, load_generator
from models.alphas import along, cells, centers, constant, from_mask, ramp, shares, up_to
from models.blend import Alpha, Branch, Walk, check_branches, draw_blend, reach_px, step
from models.canvas import (
    Canvas,
    NoiseField,
    Region,
    canvas_of,
    fixed_field,
    no_noise,
    seeded_field,
    wrapped,
)
from models.config import GeneratorConfig, Layer
from models.edits import PadMode, Shift, Sides, padded, scaled, shifted
from models.stylegan2 import Generator, LayerState

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


class Soat:
    """The reference's generator, two codes, and what it answered (every fourth pixel)."""

    def __init__(self) -> None:
        self.generator = load_generator(str(GOLDEN / "soat-256.pt"))
        stored = np.load(GOLDEN / "soat-256.npz")
        self.answers = {name: torch.from_numpy(stored[name]) for name in stored}
        styles = self.generator.styles(self.answers["w_plus"])
        self.a, self.b = styles[:1], styles[1:]
        self.noise = fixed_field(self.generator)

    def agrees(self, picture: Tensor, name: str) -> None:
        torch.testing.assert_close(picture[..., ::4, ::4], self.answers[name], atol=1e-3, rtol=0)

    def pair(self, alpha: Alpha, noise: NoiseField | None = None) -> list[Branch]:
        noise = noise or self.noise
        return [
            Branch(self.generator, self.a, noise),
            Branch(self.generator, self.b, noise, alpha),
        ]


@pytest.fixture(scope="module")
def soat() -> Soat:
    return Soat()


# --- what the reference answers ---------------------------------------------------------------


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_two_codes_side_by_side(soat: Soat, axis: str) -> None:
    soat.agrees(draw_blend(soat.pair(cells(axis))), f"blend_{axis}")


def blurred_box(x: int, y: int, w: int, h: int) -> Tensor:
    """The reference's soft box: blurred per axis as wide as half the box."""
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., y : y + h, x : x + w] = 1

    def kernel(size: int) -> Tensor:
        size = size // 2
        size += 1 if size % 2 == 0 else 2
        place = torch.arange(size) - size // 2
        weights = torch.exp(-(place.float() ** 2) / (2 * size**2))
        return weights / weights.sum()

    rows, columns = kernel(h), kernel(w)
    around = (len(columns) // 2, len(columns) // 2, len(rows) // 2, len(rows) // 2)
    wide = F.pad(mask, around, mode="reflect")
    return F.conv2d(F.conv2d(wide, rows[None, None, :, None]), columns[None, None, None, :])


@pytest.mark.parametrize("last", [9, 99])
@pytest.mark.parametrize("pose", [False, True])
def test_a_soft_box(soat: Soat, last: int, pose: bool) -> None:
    mask = blurred_box(60, 80, 90, 70)

    def alpha(layer: Layer, region: Region) -> Tensor | float:
        # The reference blends the first convolution under pose alignment too.
        if layer.index > last or (pose and 0 < layer.index < 4):
            return 0.0
        return F.interpolate(mask, (region.height, region.width), mode="bilinear")

    name = f"bbox_60_80_90_70_blend{last}_{'pose' if pose else 'nopose'}"
    soat.agrees(draw_blend(soat.pair(alpha)), name)


@pytest.mark.parametrize(
    ("name", "noise", "flat"),
    [("span_ab", True, True), ("merge_ab", True, False), ("span_ab_no_noise", False, True)],
)
def test_a_span_of_two_codes(soat: Soat, name: str, noise: bool, flat: bool) -> None:
    field = soat.noise if noise else no_noise
    branches = soat.pair(cells(plateau=0.25 if flat else 0.0, pictures=2), field)
    first = [
        soat.generator.run(style, "const" if noise else "none", stop=1)
        for style in (soat.a, soat.b)
    ]  # the reference joins two constants after their first convolution
    walk = Walk(
        LayerState(1, torch.cat([state.features for state in first], 3)), Region(0, 0, 4, 8)
    )
    while walk.state.next < len(soat.generator.layers):
        walk = step(branches, walk)
    assert walk.state.skip is not None
    soat.agrees(walk.state.skip, name)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padded_features(soat: Soat, mode: str) -> None:
    branch = Branch(soat.generator, soat.a, no_noise)
    edit = padded(Sides(left=4, right=4), mode)  # type: ignore[arg-type]
    soat.agrees(draw_blend([branch], edits={8: edit}), f"spatial_{mode}_no_noise")


@pytest.mark.parametrize(("name", "size"), [("horizontal", (8, 16)), ("vertical", (16, 8))])
def test_scaled_features(soat: Soat, name: str, size: tuple[int, int]) -> None:
    branch = Branch(soat.generator, soat.a, no_noise)
    picture = draw_blend([branch], edits={8: scaled(*size)})
    soat.agrees(picture, f"spatial_{name}_no_noise")


@pytest.mark.parametrize("swap", [False, True])
def test_a_patch_copied_in_features_alone(soat: Soat, swap: bool) -> None:
    def edit(walk: Walk) -> Walk:
        old, new = walk.state.features, walk.state.features.clone()
        new[:, :, 6:9, 10:13] = old[:, :, 4:7, 2:5]
        if swap:
            new[:, :, 4:7, 2:5] = old[:, :, 6:9, 10:13]
        return replace(walk, state=replace(walk.state, features=new))

    name = "patch_swap_32_64_48_48_and_160_96" if swap else "patch_copy_32_64_48_48_to_160_96"
    picture = draw_blend([Branch(soat.generator, soat.a, soat.noise)], edits={16: edit})
    soat.agrees(picture, name)


# --- exactness --------------------------------------------------------------------------------


def small(seed: int = 0, architecture: str = "skip") -> Generator:
    torch.manual_seed(seed)
    config = GeneratorConfig(
        64, (8, 8, 8, 6, 4), z_dim=8, w_dim=8, mapping_layers=1, architecture=architecture
    )
    generator = Generator(config).requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    return generator


def codes(generator: Generator, items: int, seed: int = 1) -> list[Tensor]:
    torch.manual_seed(seed)
    styles = generator.styles(torch.randn(items, generator.num_rows, generator.config.w_dim))
    return [styles[i : i + 1] for i in range(items)]


@pytest.fixture(params=["skip", "resnet"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return small(architecture=request.param)


def pair(generator: Generator, a: Tensor, b: Tensor, alpha: Alpha) -> list[Branch]:
    noise = fixed_field(generator)
    return [Branch(generator, a, noise), Branch(generator, b, noise, alpha)]


def mask(size: int, box: tuple[int, int, int, int]) -> Tensor:
    top, left, bottom, right = box
    found = torch.zeros(1, 1, size, size)
    found[..., top:bottom, left:right] = 1
    return found


def test_one_code_alone_is_the_plain_picture(generator: Generator) -> None:
    (a,) = codes(generator, 1)
    picture = draw_blend([Branch(generator, a, fixed_field(generator))])
    assert torch.equal(picture, generator.synthesize_styles(a))


@pytest.mark.parametrize(("value", "which"), [(0.0, 0), (1.0, 1)])
def test_an_alpha_of_nothing_or_all_is_exact(
    generator: Generator, value: float, which: int
) -> None:
    both = codes(generator, 2)
    picture = draw_blend(pair(generator, *both, constant(value)))
    assert torch.equal(picture, generator.synthesize_styles(both[which]))


@pytest.mark.parametrize(
    "alpha",
    [constant(0.37), ramp(), from_mask(mask(64, (10, 20, 33, 40)))],
    ids=["constant", "ramp", "mask"],
)
def test_a_code_blended_with_itself_is_exact(generator: Generator, alpha: Alpha) -> None:
    (a,) = codes(generator, 1)
    picture = draw_blend(pair(generator, a, a.clone(), alpha))
    assert torch.equal(picture, generator.synthesize_styles(a))


def test_the_other_way_round_with_the_rest_of_the_alpha(generator: Generator) -> None:
    a, b = codes(generator, 2)
    one = draw_blend(pair(generator, a, b, constant(0.25)))
    other = draw_blend(pair(generator, b, a, constant(0.75)))
    assert torch.equal(one, other)


def test_two_equal_generators_blend_exactly_at_any_alpha() -> None:
    one, other = small(0), small(0)
    (a,) = codes(one, 1)
    branches = [
        Branch(one, a, fixed_field(one)),
        Branch(other, a, fixed_field(other), constant(0.4)),
    ]
    assert torch.equal(draw_blend(branches), one.synthesize_styles(a))


def test_computing_a_code_only_where_it_shows_changes_nothing(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = codes(generator, 2)
    for box in [(0, 0, 20, 64), (30, 5, 50, 31), (63, 63, 64, 64), (17, 0, 18, 64)]:
        branches = pair(generator, a, b, from_mask(mask(64, box)))
        monkeypatch.setattr("models.blend.WORTH_CUTTING", 0.0)
        whole = draw_blend(branches)
        monkeypatch.setattr("models.blend.WORTH_CUTTING", 0.999)
        torch.testing.assert_close(draw_blend(branches), whole, atol=2e-5, rtol=0)


def test_a_batch_equals_its_singles(generator: Generator) -> None:
    a, b, c, d = codes(generator, 4)
    masks = torch.cat([mask(64, (10, 10, 40, 30)), mask(64, (30, 20, 60, 64))])
    together = draw_blend(pair(generator, torch.cat([a, b]), torch.cat([c, d]), from_mask(masks)))
    for i, (first, second) in enumerate([(a, c), (b, d)]):
        alone = draw_blend(pair(generator, first, second, from_mask(masks[i : i + 1])))
        torch.testing.assert_close(together[i : i + 1], alone, atol=2e-5, rtol=0)


def test_gradients_reach_every_code() -> None:
    net = small()
    styles = [code.clone().requires_grad_(True) for code in codes(net, 2)]
    with torch.enable_grad():
        draw_blend(pair(net, styles[0], styles[1], ramp())).square().mean().backward()
    for code in styles:
        assert code.grad is not None
        assert code.grad.abs().sum() > 0


@pytest.mark.parametrize("which", [0, 1])
def test_a_mask_of_nothing_or_everything_is_exact(generator: Generator, which: int) -> None:
    both = codes(generator, 2)
    picture = draw_blend(pair(generator, *both, from_mask(torch.full((1, 1, 64, 64), which * 1.0))))
    assert torch.equal(picture, generator.synthesize_styles(both[which]))


def test_a_code_that_shows_nowhere_does_no_harm_even_if_it_is_broken(generator: Generator) -> None:
    (a,) = codes(generator, 1)
    broken = torch.full_like(a, math.inf)
    for alpha in (constant(0.0), from_mask(torch.zeros(1, 1, 64, 64))):
        picture = draw_blend(pair(generator, a, broken, alpha))
        assert torch.equal(picture, generator.synthesize_styles(a))


@pytest.mark.parametrize(
    ("resolution", "conv0"),
    [
        (256, {8: 125, 16: 61, 32: 29, 64: 13, 128: 5, 256: 1}),
        (1024, {8: 509, 16: 253, 1024: 1}),
    ],
)
def test_the_table_of_reaches(resolution: int, conv0: dict[int, int]) -> None:
    blocks = resolution.bit_length() - 2
    net = Generator(GeneratorConfig(resolution, (1,) * blocks, z_dim=1, w_dim=1, mapping_layers=1))
    for side, reach in conv0.items():
        assert reach_px(net, net.layer(f"{side}.conv0")) == reach
        assert reach_px(net, net.layer(f"{side}.conv1")) == 3 * resolution // side - 3
        assert reach_px(net, net.layer(f"{side}.rgb")) == resolution // side - 1
    assert reach_px(net, net.layer("4.conv1")) == 3 * resolution // 4 - 3


@pytest.mark.parametrize("start", range(14))
def test_one_cell_in_a_corner_reaches_as_far_both_ways(start: int) -> None:
    net = small()
    a, b = codes(net, 2)
    layer = net.layers[start]

    def alpha(here: Layer, region: Region) -> Tensor | float:
        if here.index != layer.index:
            return 0.0
        cell = torch.zeros(1, 1, region.height, region.width)
        cell[..., 0, 0] = 1
        return cell

    changed = (draw_blend(pair(net, a, b, alpha)) != net.synthesize_styles(a)).any(1)[0]
    last = 64 // layer.resolution - 1 + reach_px(net, layer)
    for dim in (0, 1):
        assert int(changed.any(dim).nonzero().max()) == last


@pytest.mark.parametrize("start", [4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_a_blend_reaches_as_far_as_the_table_says(start: int) -> None:
    """One cell blended from a layer on changes so many pixels on each side, and no more."""
    net = small()
    a, b = codes(net, 2)
    layer = net.layers[start]
    plain = net.synthesize_styles(a)

    def alpha(here: Layer, region: Region) -> Tensor | float:
        if here.index != layer.index:
            return 0.0
        cell = torch.zeros(1, 1, region.height, region.width)
        cell[..., region.height // 2, region.width // 2] = 1
        return cell

    changed = (draw_blend(pair(net, a, b, alpha)) != plain).any(1)[0]
    columns = changed.any(0).nonzero()[:, 0]
    size = 64 // layer.resolution
    first = 64 // 2
    assert first - columns[0] == reach_px(net, layer)
    assert columns[-1] - (first + size - 1) == min(reach_px(net, layer), 64 - first - size)


# --- canvases and tiles -----------------------------------------------------------------------


def strip(net: Generator, styles: Sequence[Tensor], noise: NoiseField) -> list[Branch]:
    def tent(k: int) -> Callable[[Layer, Region], Tensor]:
        def weight(layer: Layer, region: Region) -> Tensor:
            place = centers(layer, region, "horizontal").clamp(0.5, len(styles) - 0.5)
            return along((1 - (place - k - 0.5).abs()).clamp(0, 1), "horizontal")

        return weight

    alphas = shares([tent(k) for k in range(len(styles))])
    return [Branch(net, s, noise, alpha) for s, alpha in zip(styles, alphas, strict=True)]


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
def test_tiles_are_the_whole(generator: Generator, width: int) -> None:
    branches = strip(generator, codes(generator, 4), seeded_field([7]))
    canvas = Canvas(4, 16)
    whole = draw_blend(branches, canvas)
    tiles = [
        draw_blend(branches, canvas, Region(0, x, 4, min(width, 16 - x)))
        for x in range(0, 16, width)
    ]
    torch.testing.assert_close(torch.cat(tiles, 3), whole, atol=1e-4, rtol=0)


def test_tiles_in_two_directions_are_the_whole(generator: Generator) -> None:
    a, b = codes(generator, 2)
    canvas = Canvas(8, 12)
    branches = pair(generator, a, b, ramp("vertical", 0.5, 1.5))
    whole = draw_blend(branches, canvas)
    for y in range(0, 8, 3):
        for x in range(0, 12, 5):
            tile = Region(y, x, min(3, 8 - y), min(5, 12 - x))
            part = whole[..., 16 * y : 16 * tile.bottom, 16 * x : 16 * tile.right]
            torch.testing.assert_close(draw_blend(branches, canvas, tile), part, atol=1e-4, rtol=0)


def test_on_a_closed_canvas_the_sides_meet(generator: Generator) -> None:
    (a,) = codes(generator, 1)
    canvas = Canvas(4, 8, closed_x=True)
    branch = Branch(generator, a, wrapped(seeded_field([3]), canvas))
    here = draw_blend([branch], canvas)
    turned = draw_blend([branch], canvas, Region(0, 3, 4, 8))
    torch.testing.assert_close(turned, here.roll(-3 * 16, 3), atol=1e-4, rtol=0)


def test_noise_goes_around_a_closed_canvas_at_the_size_it_has_there() -> None:
    plain, layer = seeded_field([5]), small().layer("64.conv1")
    canvas = Canvas(closed_x=True)
    for sized, width in ((None, 64), (lambda side: (side, 3 * side // 2), 96)):
        found = wrapped(plain, canvas, sized)(layer, Region(3, width - 2, 9, 10))
        parts = [plain(layer, Region(3, left, 9, wide)) for left, wide in ((width - 2, 2), (0, 8))]
        assert found is not None
        assert torch.equal(found, torch.cat([part for part in parts if part is not None], 3))


@pytest.mark.parametrize("cells_moved", [1, 3])
def test_a_constant_moved_by_cells_moves_the_picture(
    generator: Generator, cells_moved: int
) -> None:
    """Without borders and noise, one cell at 4 px is a quarter of the picture."""
    (a,) = codes(generator, 1)
    canvas = Canvas(closed_x=True, closed_y=True)
    turned = copy.deepcopy(generator)
    turned.const.copy_(generator.const.roll(cells_moved, -1))
    here = draw_blend([Branch(generator, a, no_noise)], canvas)
    there = draw_blend([Branch(turned, a, no_noise)], canvas)
    torch.testing.assert_close(there, here.roll(16 * cells_moved, 3), atol=1e-5, rtol=0)


def test_seeded_noise_is_the_same_in_every_window_and_has_no_period() -> None:
    layer = small().layers[-2]
    field = seeded_field([5, 6])
    wide = field(layer, Region(-10, -70, 150, 300))
    part = field(layer, Region(17, 3, 40, 90))
    assert wide is not None
    assert part is not None
    assert wide.shape == (2, 1, 150, 300)
    assert torch.equal(wide[..., 27:67, 73:163], part)
    assert not torch.equal(wide[0], wide[1])
    assert abs(float((wide[..., :64] * wide[..., 64:128]).mean())) < 0.05
    assert float(wide.std()) == pytest.approx(1, abs=0.02)


def test_a_size_that_cannot_be_had_names_those_that_can() -> None:
    with pytest.raises(ModelError, match=r"width 100 px: .*96 or 112"):
        canvas_of(small(), 64, 100)
    assert canvas_of(small(), 64, 112) == Canvas(4, 7)


# --- alphas and edits -------------------------------------------------------------------------


def test_a_mask_keeps_its_mass_at_every_layer() -> None:
    net = small()
    alpha = from_mask(mask(64, (5, 9, 6, 10)))
    for layer in net.layers:
        found = alpha(layer, Region(0, 0, layer.resolution, layer.resolution))
        assert isinstance(found, Tensor)
        assert float(found.mean()) == pytest.approx(1 / 64**2, rel=1e-5)


def test_layers_beyond_the_last_one_are_left_alone() -> None:
    net = small()
    a, b = codes(net, 2)
    none = draw_blend(pair(net, a, b, up_to(constant(1.0), last=-1)))
    assert torch.equal(none, net.synthesize_styles(a))
    mixed = torch.cat([b[:, : net.layers[5].style.start], a[:, net.layers[5].style.start :]], 1)
    some = draw_blend(pair(net, a, b, up_to(constant(1.0), last=4)))
    assert torch.equal(some, net.synthesize_styles(mixed))


def test_edits_of_nothing_change_nothing(generator: Generator) -> None:
    (a,) = codes(generator, 1)
    plain = generator.synthesize_styles(a)
    branch = Branch(generator, a, fixed_field(generator))
    none = Shift(0, 0, torch.ones(1, 1, 8, 8))
    clear = Shift(2, 1, torch.zeros(1, 1, 8, 8))
    for edit in (padded(Sides(), "reflect"), scaled(8, 8), shifted([none]), shifted([clear])):
        assert torch.equal(draw_blend([branch], edits={8: edit}), plain)


def test_there_and_back_again_restores_features() -> None:
    net = small()
    (a,) = codes(net, 1)
    all_of_it = torch.ones(1, 1, 8, 8)
    there_and_back = shifted([Shift(3, 2, all_of_it), Shift(-3, -2, all_of_it)])
    picture = draw_blend([Branch(net, a, fixed_field(net))], edits={8: there_and_back})
    assert torch.equal(picture, net.synthesize_styles(a))


def test_what_is_padded_around_repeats_where_the_borders_are_not_felt() -> None:
    net = small()
    (a,) = codes(net, 1)
    around = padded(Sides(left=8, right=8), "circular")
    picture = draw_blend([Branch(net, a, no_noise)], edits={8: around})
    felt = reach_px(net, net.layer("8.conv1")) + 64 // 8
    inner = picture[..., felt:-felt]
    assert picture.shape[3] == 3 * 64
    torch.testing.assert_close(inner[..., 64:], inner[..., :-64], atol=1e-5, rtol=0)
    assert not torch.allclose(picture[..., 64:], picture[..., :-64], atol=1e-2)


def walk_of(features: Tensor) -> Walk:
    return Walk(LayerState(3, features, features[:, :3]), Region(0, 0, *features.shape[2:]))


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular"])
def test_padding_what_is_the_same_everywhere_is_scaling_it(mode: PadMode) -> None:
    same = torch.randn(1, 4, 1, 1).expand(1, 4, 8, 8)
    wide = padded(Sides(left=3, right=2, top=1, bottom=2), mode)(walk_of(same))
    large = scaled(11, 13)(walk_of(same))
    assert torch.equal(wide.state.features, large.state.features)
    assert wide.state.skip is not None
    assert large.state.skip is not None
    assert torch.equal(wide.state.skip, large.state.skip)
    assert wide.region == large.region


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular"])
def test_the_mirror_of_padding_left_is_padding_the_mirror_right(mode: PadMode) -> None:
    features = torch.randn(2, 4, 8, 8)
    left = padded(Sides(left=5), mode)(walk_of(features)).state.features
    right = padded(Sides(right=5), mode)(walk_of(features.flip(3))).state.features
    assert torch.equal(left.flip(3), right)
    assert torch.equal(left[..., 5:], features)


def test_what_is_padded_around_repeats_exactly_on_a_closed_canvas(generator: Generator) -> None:
    (a,) = codes(generator, 1)
    around, closed = padded(Sides(left=8, right=8), "circular"), Canvas(closed_x=True)
    picture = draw_blend([Branch(generator, a, no_noise)], closed, edits={8: around})
    assert picture.shape[3] == 3 * 64
    assert torch.equal(picture, picture.roll(64, 3))
    once = draw_blend([Branch(generator, a, no_noise)], closed)
    torch.testing.assert_close(picture[..., 64:128], once, atol=1e-5, rtol=0)


@pytest.mark.parametrize("at", [4, 8, 16, 64])
def test_features_moved_around_a_closed_canvas_move_the_picture(at: int) -> None:
    net = small()
    (a,) = codes(net, 1)
    canvas = Canvas(closed_x=True, closed_y=True)
    turn = shifted([Shift(-1, -2, torch.ones(1, 1, at, at))])
    plain = draw_blend([Branch(net, a, no_noise)], canvas)
    moved = draw_blend([Branch(net, a, no_noise)], canvas, edits={at: turn})
    cell = 64 // at
    torch.testing.assert_close(moved, plain.roll((cell, 2 * cell), (2, 3)), atol=1e-5, rtol=0)
    nothing = draw_blend([Branch(net, a, no_noise)], canvas, edits={at: padded(Sides(), "reflect")})
    torch.testing.assert_close(nothing, plain, atol=1e-5, rtol=0)


def test_a_mirror_longer_than_the_features_is_refused() -> None:
    net = small()
    (a,) = codes(net, 1)
    branch = Branch(net, a, no_noise)
    with pytest.raises(ModelError, match=r"reflect by 8 cells: .* width of 8 cells, so at most 7"):
        draw_blend([branch], edits={8: padded(Sides(left=8), "reflect")})


def test_codes_that_do_not_go_together_are_refused() -> None:
    net = small()
    other = Generator(replace(net.config, channels=(8, 8, 8, 8, 8)))
    a, b = codes(net, 1)[0], codes(other, 1)[0]
    with pytest.raises(ModelError, match="different shape"):
        check_branches([Branch(net, a, no_noise), Branch(other, b, no_noise)])
