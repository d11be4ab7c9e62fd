"""Seams, steps, detail and Lab against pictures whose answers are known."""

from dataclasses import astuple

import pytest
import torch
from torch import Tensor

from models import ModelError, seams
from models.metrics import lab
from models.seams import high_band, measure_seams


def noise(*shape: int, seed: int = 1) -> Tensor:
    return 0.2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_picture_without_seams_has_none() -> None:
    picture = noise(2, 3, 64, 512)
    seams = measure_seams(picture, [128, 256, 384])
    assert seams.ratio.tolist() == pytest.approx([1, 1], abs=0.05)
    assert seams.worst.max() < 1.15
    assert seams.step.abs().max() < 2.5


def test_a_seam_is_found_where_it_is() -> None:
    picture = noise(1, 3, 256, 512)
    picture[..., 256:] += 0.5
    at = measure_seams(picture, [256])
    beside = measure_seams(picture, [200])
    assert at.ratio > 2
    assert at.step > 10
    assert beside.ratio < 1.1
    assert beside.step < 1


def test_the_worst_of_several_seams_is_told() -> None:
    picture = noise(1, 3, 64, 512)
    picture[..., 256:] += 0.5
    seams = measure_seams(picture, [100, 256])
    assert seams.ratio == pytest.approx(float(seams.worst + 1) / 2, rel=0.05)


def test_a_long_strip_is_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise(2, 3, 16, 512)
    whole = measure_seams(picture, [0, 128, 300], closed=True)
    monkeypatch.setattr(seams, "PIECE", 50)
    pieces = measure_seams(picture, [0, 128, 300], closed=True)
    for one, other in zip(astuple(whole), astuple(pieces), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_slope_is_no_seam() -> None:
    picture = torch.linspace(-1, 1, 256).expand(1, 3, 16, 256).contiguous()
    seams = measure_seams(picture, [128])
    assert float(seams.ratio) == pytest.approx(1, abs=1e-2)


def test_detail_that_varies_from_place_to_place_is_no_seam() -> None:
    fine = noise(1, 3, 256, 512)
    swell = 1 + 0.9 * torch.cos(torch.arange(512) / 128 * 2 * torch.pi)  # strongest every 128
    picture = fine * swell
    seams = measure_seams(picture, [128, 256, 384])
    assert float(seams.ratio) > 1.5
    assert float(seams.local) == pytest.approx(1, abs=0.05)
    picture[..., 256:] += 0.5
    assert float(measure_seams(picture, [256]).local) > 1.3


def test_surroundings_end_with_the_picture_and_go_on_around_a_ring() -> None:
    wave = torch.cos(torch.arange(257) / 8 * torch.pi)[:256].expand(1, 3, 16, 256).contiguous()
    inner, ring = measure_seams(wave, [16]), measure_seams(wave, [0], closed=True)
    assert float(ring.local) == pytest.approx(float(inner.local), rel=1e-3)
    jumps = (wave - wave.roll(1, 3)).abs().mean((1, 2))[0]
    edge = measure_seams(wave, [2])
    expected = jumps[2] / torch.cat([jumps[1:2], jumps[3:7]]).mean()
    assert float(edge.local) == pytest.approx(float(expected), rel=1e-3)


def test_one_colour_has_no_seam() -> None:
    seams = measure_seams(torch.zeros(1, 3, 8, 64), [32])
    assert float(seams.ratio) == 1.0
    assert float(seams.step) == pytest.approx(0.0, abs=1e-3)


def test_a_ring_has_a_seam_where_its_ends_meet() -> None:
    slope = torch.linspace(-1, 1, 256).expand(1, 3, 16, 256).contiguous()
    assert measure_seams(slope, [0], closed=True).ratio > 100
    wave = torch.sin(torch.arange(256) / 256 * 2 * torch.pi).expand(1, 3, 16, 256).contiguous()
    assert measure_seams(wave, [0], closed=True).worst < 2
    with pytest.raises(ModelError, match="column 0: the seams of this picture lie at 1 to 255"):
        measure_seams(slope, [0])


def test_seams_that_cannot_be_measured_are_refused() -> None:
    picture = noise(1, 3, 8, 64)
    with pytest.raises(ModelError, match=r"column 64: .* 1 to 63"):
        measure_seams(picture, [64])
    with pytest.raises(ModelError, match="no column"):
        measure_seams(picture, [])
    with pytest.raises(ModelError, match="none to compare with"):
        measure_seams(picture, list(range(1, 64)))


def test_a_crossfade_of_textures_keeps_half_their_detail() -> None:
    a, b = noise(1, 3, 64, 256), noise(1, 3, 64, 256, seed=2)
    assert float(high_band((a + b) / 2, [a, b], 256, 0.25, 0.75)) == pytest.approx(0.5, abs=0.02)
    assert float(high_band(a, [a], 256, 0.25, 0.75)) == 1.0
    assert float(high_band(a, [a, b], 256, 0.25, 0.75)) == pytest.approx(1.0, abs=0.05)


def test_only_the_zone_of_each_period_counts() -> None:
    a = noise(1, 3, 32, 64)
    strip = a.repeat(1, 1, 1, 4)
    place = torch.arange(256) % 64
    strip[..., (place >= 20) & (place < 44)] = 0
    assert float(high_band(strip, [a], 64, 0.75, 1.25)) == pytest.approx(1, abs=0.05)
    assert float(high_band(strip, [a], 64, 0.4, 0.6)) == 0


def test_parents_of_another_size_and_empty_zones_are_refused() -> None:
    a = noise(1, 3, 32, 64)
    with pytest.raises(ModelError, match=r"a parent is \(32, 64\): .* \(32, 32\)"):
        high_band(a, [a], 32, 0.25, 0.75)
    with pytest.raises(ModelError, match="holds no column"):
        high_band(a, [a], 64, 0.5, 0.5)


@pytest.mark.parametrize(
    ("srgb", "wanted"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_known_colours(srgb: tuple[int, ...], wanted: tuple[float, ...]) -> None:
    found = lab(torch.tensor(srgb).reshape(1, 3, 1, 1) / 127.5 - 1).flatten().tolist()
    assert found == pytest.approx(wanted, abs=0.02)
