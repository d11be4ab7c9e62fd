"""The building blocks of StyleGAN2: equalised linear maps and modulated convolutions.

A modulated convolution scales its input channels per item, convolves, and scales its output
channels back to unit variance. Scaling activations instead of weights gives the same numbers and
lets one dense convolution serve the whole batch. Source: Karras et al. 2020, arXiv:1912.04958.
"""

import math
from collections.abc import MutableMapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

LEAK = 0.2
SQRT2 = math.sqrt(2.0)
EPSILON = 1e-8


def normalize_second_moment(x: Tensor) -> Tensor:
    """Each row of [N, D] scaled to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()


class EqualizedLinear(nn.Module):
    """A linear map whose weights are stored with unit variance and scaled when used.

    Shapes: [N, width_in] -> [N, width_out].  `lr` scales the effective learning rate.
    """

    def __init__(self, width_in: int, width_out: int, lr: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in) / lr)
        self.bias = nn.Parameter(torch.full((width_out,), bias / lr))
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:
        gain = self.lr / math.sqrt(self.weight.shape[1])
        return F.linear(x, self.weight * gain, self.bias * self.lr)


def blur_kernel(taps: Sequence[float], gain: float) -> Tensor:
    """The separable low-pass filter of `taps` as a [1, 1, K, K] kernel that sums to `gain`."""
    # On the CPU even where a network is being laid out on the meta device.
    row = torch.tensor(taps, dtype=torch.float32, device="cpu")
    kernel = torch.outer(row, row)
    return (kernel * (gain / kernel.sum()))[None, None]


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice the size of [N, C, H, W]: zeros put between the pixels, then the low-pass `kernel`."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, 1, *kernel.shape[2:])
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels)


def convolve_up(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """A 3x3 convolution that doubles the side: [N, C, H, W] -> [N, O, 2H, 2W].

    The transposed convolution leaves a checkerboard of gains; the low-pass `kernel` removes it.
    """
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    channels = x.shape[1]
    blur = kernel.to(x.dtype).expand(channels, 1, *kernel.shape[2:])
    return F.conv2d(x, blur, padding=1, groups=channels)


_energies: MutableMapping[Tensor, tuple[int, Tensor]] = WeakIdKeyDictionary()


def channel_energy(weight: Tensor) -> Tensor:
    """The sum of squares [O, C] of each pair of channels, remembered for frozen weights.

    An in-place change of a frozen weight is noticed, unless made through `weight.data`.
    """
    if weight.requires_grad or not weight.is_leaf or weight.is_inference():
        return weight.float().square().sum(dim=(2, 3))
    changes = weight._version  # noqa: SLF001  (torch has no public counter of in-place changes)
    version, energy = _energies.get(weight, (None, weight))
    if version != changes:
        # A tensor made in inference mode could not take part in a later backward pass.
        with torch.inference_mode(False), torch.no_grad():
            energy = weight.float().square().sum(dim=(2, 3))
        _energies[weight] = (changes, energy)
    return energy


class StyledConv(nn.Module):
    """A modulated, demodulated 3x3 convolution with noise, bias and leaky ReLU.

    Shapes: features [N, C, H, W], style [N, C], noise broadcastable to [N, 1, H, W] ->
    [N, O, H, W], or twice that side if `up`.
    """

    kernel: Tensor
    noise_const: Tensor

    def __init__(
        self,
        width_in: int,
        width_out: int,
        w_dim: int,
        side: int,
        blur: Sequence[float],
        up: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, width_in, bias=1.0)
        weight = torch.randn(width_out, width_in, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(width_out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("kernel", blur_kernel(blur, gain=4.0), persistent=False)
        self.up = up
        self.gain = gain
        self.clamp = clamp

    def demodulation(self, style: Tensor) -> Tensor:
        """The factor [N, O] that gives each output channel unit variance for unit input."""
        return (style.square() @ channel_energy(self.weight).t() + EPSILON).rsqrt()

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, dtype: torch.dtype) -> Tensor:
        style = style.float()
        # Only ratios of style survive demodulation; a unit maximum keeps half precision in range.
        if dtype == torch.float16:
            style = style / style.detach().abs().amax(dim=1, keepdim=True).clamp_min(EPSILON)
        weight = self.weight.to(dtype)
        y = x.to(dtype) * style.to(dtype)[:, :, None, None]
        y = convolve_up(y, weight, self.kernel) if self.up else F.conv2d(y, weight, padding=1)
        # Leaky ReLU is positively homogeneous, so its gain folds into what is added before it.
        gain = SQRT2 * self.gain
        scale = (self.demodulation(style) * gain).to(dtype)[:, :, None, None]
        y = torch.addcmul((self.bias * gain).to(dtype)[None, :, None, None], y, scale)
        if noise is not None:
            y.add_((noise * (self.noise_strength * gain)).to(dtype))
        y = F.leaky_relu(y, LEAK, inplace=True)
        return y if self.clamp is None else y.clamp(-self.clamp * self.gain, self.clamp * self.gain)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to three colours, not demodulated.

    Shapes: features [N, C, H, W], style [N, C] -> [N, 3, H, W], always float32.
    """

    def __init__(self, width_in: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, width_in, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, width_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.clamp = clamp

    def forward(self, x: Tensor, style: Tensor, dtype: torch.dtype) -> Tensor:
        # A product with the small weight of each item would be a little faster forward, but its
        # gradient is far slower than that of one convolution with shared weights.
        y = x.to(dtype) * (style / math.sqrt(x.shape[1])).to(dtype)[:, :, None, None]
        y = F.conv2d(y, self.weight.to(dtype)).float() + self.bias[:, None, None]
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class Shortcut(nn.Module):
    """The linear branch around a residual block: a 1x1 convolution at twice the side."""

    kernel: Tensor

    def __init__(self, width_in: int, width_out: int, blur: Sequence[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in, 1, 1))
        self.register_buffer("kernel", blur_kernel(blur, gain=4.0), persistent=False)
        self.gain = math.sqrt(0.5)

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        weight = self.weight * (self.gain / math.sqrt(self.weight.shape[1]))
        return upsample(F.conv2d(x.to(dtype), weight.to(dtype)), self.kernel)
