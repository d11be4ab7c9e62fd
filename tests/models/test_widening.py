"""Codes drawn wider apart: what is folded into a generator and out of an encoder."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.encoder import Encoder, EncoderConfig
from models.stylegan2 import Generator
from models.training import widening
from models.training.domains import PORTRAITS
from models.training.widening import Widening, measure, narrow, widen

DIMS = 16


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    config = replace(PORTRAITS.generator, resolution=8, channels=(8, 8), w_dim=DIMS, z_dim=DIMS)
    return Generator(config).requires_grad_(requires_grad=False)


@pytest.fixture
def by() -> Widening:
    torch.manual_seed(1)
    matrix = torch.eye(DIMS) + 0.2 * torch.randn(DIMS, DIMS)
    return Widening(matrix.double(), torch.randn(DIMS).double())


def test_there_and_back_is_no_move(by: Widening) -> None:
    w = torch.randn(3, 4, DIMS)
    torch.testing.assert_close(by.inverse().move(by.move(w)), w, atol=1e-5, rtol=1e-5)


def test_a_widened_generator_draws_of_a_code_what_it_drew_of_the_moved_one(
    generator: Generator, by: Widening
) -> None:
    w = torch.randn(5, generator.num_rows, DIMS)
    before = generator.styles(by.move(w))
    unmoved = generator.styles(w)
    widen(generator, by)
    torch.testing.assert_close(generator.styles(w), before, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(unmoved, before, atol=0.1)


def test_a_narrowed_encoder_finds_the_codes_that_draw_the_same(
    generator: Generator, by: Widening
) -> None:
    encoder = Encoder(EncoderConfig(generator.num_rows, DIMS, rank=4))
    with torch.no_grad():
        encoder.rows.normal_()
        encoder.w_avg.normal_()
        encoder.w_std.uniform_(0.5, 2)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        drawn = generator.styles(encoder(image))
        widen(generator, by)
        narrow(encoder, by)
        torch.testing.assert_close(generator.styles(encoder(image)), drawn, atol=1e-3, rtol=1e-3)


def test_what_is_shown_in_part_is_shown_whole_and_what_is_not_seen_stays(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings that are linear in w: the first attribute at 0.6 of its due, the second as due."""
    torch.manual_seed(2)
    count = len(PORTRAITS.factors)
    w = torch.randn(4000, DIMS).double()
    tells = torch.linalg.qr(torch.randn(DIMS, DIMS).double())[0][:, :2]
    wanted = 0.01 * torch.randn(4000, count).double()  # the others are noise: nobody reads them
    made = 0.01 * torch.randn(4000, count).double()
    wanted[:, :2] = w @ tells
    made[:, :2] = wanted[:, :2] * torch.tensor([0.6, 1.0])

    def readings(*_: object) -> tuple[Tensor, Tensor, Tensor]:
        return w, made, wanted

    monkeypatch.setattr(widening, "_readings", readings)
    found = measure(generator, None, PORTRAITS, 4000)  # type: ignore[arg-type]
    shown = (found.move(w) - w.mean(0)) @ tells * torch.tensor([0.6, 1.0]).double()
    slope = (shown * wanted[:, :2]).sum(0) / wanted[:, :2].square().sum(0)
    torch.testing.assert_close(slope, torch.ones(2).double(), atol=0.01, rtol=0)
    rest = torch.linalg.svdvals(found.matrix - torch.eye(DIMS))
    assert rest[1] < 0.05
