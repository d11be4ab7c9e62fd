"""Single layers."""

import torch

from models.layers import StyledConv, blur_kernel, channel_energy, convolve_up, upsample
from models.reference import doubled

TAPS = (1.0, 3.0, 3.0, 1.0)


def test_upsampling_keeps_a_constant_away_from_the_border() -> None:
    y = upsample(torch.ones(1, 2, 6, 6), blur_kernel(TAPS, gain=4.0))
    torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.ones(1, 2, 10, 10))


def test_upsampling_is_zeros_and_a_filter() -> None:
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(upsample(x, blur_kernel(TAPS, gain=4.0)), doubled(x, TAPS))


def test_the_upsampling_convolution_doubles_any_canvas() -> None:
    y = convolve_up(torch.randn(1, 2, 3, 5), torch.randn(4, 2, 3, 3), blur_kernel(TAPS, gain=4.0))
    assert y.shape == (1, 4, 6, 10)


def test_demodulation_gives_unit_variance() -> None:
    torch.manual_seed(0)
    conv = StyledConv(64, 32, w_dim=4, side=16, blur=TAPS)
    style = torch.rand(1, 64) * 5 + 1
    y = (
        torch.nn.functional.conv2d(
            torch.randn(1, 64, 64, 64) * style[:, :, None, None], conv.weight
        )
        * conv.demodulation(style)[:, :, None, None]
    )
    assert abs(float(y.detach().std()) - 1) < 0.02


def test_half_precision_survives_large_styles() -> None:
    torch.manual_seed(0)
    conv = StyledConv(8, 8, w_dim=4, side=8, blur=TAPS)
    x, style = torch.randn(1, 8, 8, 8), torch.full((1, 8), 1e5)
    half = conv(x, style, None, torch.float16)
    torch.testing.assert_close(half.float(), conv(x, style, None, torch.float32), atol=0.02, rtol=0)


def test_energy_of_a_frozen_weight_follows_changes_in_place() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3, 3, 3), requires_grad=False)
    first = channel_energy(weight)
    assert channel_energy(weight) is first
    weight.mul_(2)
    assert torch.equal(channel_energy(weight), 4 * first)


def test_energy_from_inference_mode_can_be_differentiated_through() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3, 3, 3), requires_grad=False)
    with torch.inference_mode():
        channel_energy(weight)
    style = torch.ones(1, 3, requires_grad=True)
    (style.square() @ channel_energy(weight).t()).sum().backward()
    assert style.grad is not None
