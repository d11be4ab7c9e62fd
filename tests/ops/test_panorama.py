"""Panoramas as an op: layouts, the codes of a strip, and what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from engine.errors import OpError
from engine.op import Members, Progress, Scratch, Seed
from engine.values import Latent, Network, split
from models.canvas import noise_field
from models.panorama import Panorama, smoothed
from models.stylegan2 import Generator
from ops.codes import to_style, truncate
from ops.panorama import weave_panorama
from ops.synthesis import synthesize


@pytest.fixture(scope="module")
def codes(w: Latent) -> Sequence[Latent]:
    return tuple(split(w))


def test_one_code_is_its_picture(model: Network, codes: Sequence[Latent]) -> None:
    alone = weave_panorama(codes[:1], model, noise="const")
    assert torch.equal(alone.data, synthesize(codes[0], model).data)


def test_a_strip_is_the_canvas_of_its_codes(
    model: Network, codes: Sequence[Latent], generator: Generator, w: Latent
) -> None:
    made = weave_panorama(codes, model, seed=Seed((5,)), closed=True)
    styles = generator.styles(generator.broadcast(w.data))
    field = noise_field(generator, "seeded", [5])
    strip = Panorama(generator, styles, 1, 5, field, closed_x=True)
    whole = strip.draw(strip.canvas.whole).clamp(-1, 1)
    assert made.data.shape == (1, 3, 32, 160)
    torch.testing.assert_close(made.data, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("tile", [8, 40, 64])
def test_tiles_are_no_matter_of_the_picture(
    model: Network, codes: Sequence[Latent], tile: int
) -> None:
    whole = weave_panorama(codes, model, tile=1024)
    made = weave_panorama(codes, model, tile=tile)
    torch.testing.assert_close(made.data, whole.data, atol=1e-4, rtol=0)


@pytest.mark.parametrize("stitch", ["exact", "soat"])
def test_it_says_how_far_it_is(
    model: Network, codes: Sequence[Latent], stitch: Literal["exact", "soat"]
) -> None:
    said: list[float] = []
    weave_panorama(codes, model, stitch=stitch, tile=32, progress=Progress(said.append))
    pieces = {"exact": 5, "soat": 4}[stitch]
    assert said == pytest.approx([(k + 1) / pieces for k in range(pieces)])


def test_a_large_strip_lies_in_a_file(
    model: Network, codes: Sequence[Latent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = weave_panorama(codes, model).data
    assert weave_panorama(codes, model, scratch=Scratch(str(tmp_path))).data.is_contiguous()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("ops.given.CANVAS_NUMBERS", 100)
    spooled = weave_panorama(codes, model, scratch=Scratch(str(tmp_path))).data
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == 4 * usual.numel()
    file.unlink()
    assert torch.equal(spooled, usual)


def test_layouts(model: Network, codes: Sequence[Latent]) -> None:
    assert weave_panorama(codes, model, axis="vertical").data.shape == (1, 3, 160, 32)
    four = codes[:4]
    by_columns = weave_panorama(four, model, axis="grid", columns=2)
    assert by_columns.data.shape == (1, 3, 64, 64)
    members = Members((2, 2), ((0, 0), (0, 1), (1, 0), (1, 1)))
    by_axes = weave_panorama(four, model, axis="grid", members=members)
    assert torch.equal(by_axes.data, by_columns.data)


def test_noise_repeats_with_its_seed_only(model: Network, codes: Sequence[Latent]) -> None:
    a, b, c = (weave_panorama(codes, model, seed=Seed((n,))).data for n in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_codes_are_smoothed_where_they_are(
    model: Network, codes: Sequence[Latent], generator: Generator, w: Latent
) -> None:
    made = weave_panorama(codes, model, smooth=0.7)
    moved = Latent(smoothed(w.data, 0.7, generator.w_avg), "w", w.family)
    expected = weave_panorama(tuple(split(moved)), model)
    torch.testing.assert_close(made.data, expected.data, atol=1e-4, rtol=0)
    as_styles = tuple(split(to_style(w, model)))
    again = weave_panorama(as_styles, model, smooth=0.7)
    assert again.data.shape == made.data.shape


def test_gaussian_codes_are_mapped_after_smoothing(model: Network, generator: Generator) -> None:
    z = torch.randn(4, 16, generator=torch.Generator().manual_seed(3))
    made = weave_panorama(tuple(split(Latent(z, "z", model.family))), model, smooth=0.7)
    mapped = Latent(generator.mapping(smoothed(z, 0.7)), "w", model.family)
    expected = weave_panorama(tuple(split(mapped)), model)
    torch.testing.assert_close(made.data, expected.data, atol=1e-5, rtol=0)


def test_an_appended_code_leaves_the_beginning_as_it_is(
    model: Network, codes: Sequence[Latent]
) -> None:
    four, five = (weave_panorama(codes[:n], model, tile=16).data for n in (4, 5))
    assert torch.equal(five[..., :80], four[..., :80])


def test_codes_of_several_spaces_meet(model: Network, codes: Sequence[Latent], w: Latent) -> None:
    made = weave_panorama(codes[:2], model)
    mixed = weave_panorama((codes[0], to_style(codes[1], model)), model)
    torch.testing.assert_close(mixed.data, made.data, atol=1e-4, rtol=0)


def test_psi_draws_towards_the_mean(model: Network, codes: Sequence[Latent], w: Latent) -> None:
    made = weave_panorama(codes, model, psi=0.5)
    drawn = tuple(split(truncate(w, model, psi=0.5)))
    torch.testing.assert_close(made.data, weave_panorama(drawn, model).data, atol=1e-4, rtol=0)


def test_the_published_weave_agrees_only_where_one_code_is_seen(
    model: Network, codes: Sequence[Latent]
) -> None:
    exact = weave_panorama(codes, model, noise="const")
    woven = weave_panorama(codes, model, noise="const", stitch="soat")
    assert woven.data.shape == exact.data.shape
    assert not torch.allclose(woven.data, exact.data, atol=1e-2)


def test_what_cannot_be_woven_is_refused(model: Network, codes: Sequence[Latent]) -> None:
    with pytest.raises(OpError, match="one code at least"):
        weave_panorama((), model)
    with pytest.raises(OpError, match="belongs to the generator other"):
        weave_panorama((codes[0], replace(codes[1], family="other")), model)
    with pytest.raises(OpError, match="two codes"):
        weave_panorama(codes[:1], model, closed=True)
    with pytest.raises(OpError, match="two codes"):
        weave_panorama(codes[:1], model, stitch="soat")
    with pytest.raises(OpError, match="5 codes do not fill rows of 2"):
        weave_panorama(codes, model, axis="grid", columns=2)
    with pytest.raises(OpError, match="needs `columns`"):
        weave_panorama(codes, model, axis="grid")
    with pytest.raises(OpError, match="only a grid has columns"):
        weave_panorama(codes, model, columns=2)
    with pytest.raises(OpError, match=r"tile 20 px: .* such as 16 or 24"):
        weave_panorama(codes, model, tile=20)
    with pytest.raises(OpError, match="horizontal, open strips"):
        weave_panorama(codes, model, stitch="soat", closed=True)
