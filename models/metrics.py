"""How alike two pictures are, per item."""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Linear sRGB to XYZ, IEC 61966-2-1.
_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB, [N], of pictures [N, C, H, W] in -1..1; 99 when equal."""
    error = (a - b).square().flatten(1).mean(1) / 4
    return (-10 * torch.log10(error.clamp(min=1e-10))).clamp(max=99)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity, [N], of pictures [N, C, H, W] in -1..1: 1 when equal.

    Pictures smaller than the 11 px window are compared by a window of their own size.
    Source: Wang et al. 2004 (Gaussian window, sigma 1.5 px, k1 0.01, k2 0.03).
    """
    a, b = (a + 1) / 2, (b + 1) / 2
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a.square()
    var_b = _window(b * b) - mean_b.square()
    shared = _window(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 1e-4) / (mean_a.square() + mean_b.square() + 1e-4)
    form = (2 * shared + 9e-4) / (var_a + var_b + 9e-4)
    return (light * form).flatten(1).mean(1)


def lab(image: Tensor) -> Tensor:
    """Pictures [N, 3, H, W] in -1..1 as CIELAB (white D65), L 0..100, a and b about -128..127."""
    value = (image.clamp(-1, 1) + 1) / 2
    light = torch.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    matrix = image.new_tensor(_TO_XYZ)
    xyz = torch.einsum("nchw,kc->nkhw", light, matrix / matrix.sum(1, keepdim=True))
    root = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / 0.128419 + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def masked_lab_error(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of two pictures under a weight [N, 1, H, W], [N]; 0 under none.

    In CIELAB with L stretched to 0..255, all divided by 255, averaged over the three channels.
    Source: Collins et al. 2020, arXiv:2004.14367 (in- and out-MSE).
    """
    scale = a.new_tensor([1 / 100, 1 / 255, 1 / 255]).reshape(1, 3, 1, 1)
    error = ((lab(a) - lab(b)) * scale).square().mean(1, keepdim=True)
    return (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1e-9)


def pyramid_l1(a: Tensor, b: Tensor, levels: int = 4) -> Tensor:
    """Mean absolute difference over a pyramid of halved sizes, [N]: near misses cost less."""
    difference = a - b
    total = difference.abs().flatten(1).mean(1)
    for _ in range(levels - 1):
        if min(difference.shape[2:]) < 2:
            break
        difference = F.avg_pool2d(difference, 2)
        total = total + difference.abs().flatten(1).mean(1)
    return total


def _window(x: Tensor) -> Tensor:
    """Local means under a Gaussian, where it fits."""
    size = min(11, *x.shape[2:])
    offsets = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = (line / line.sum()).expand(x.shape[1], 1, 1, size)
    x = F.conv2d(x, line, groups=x.shape[1])
    return F.conv2d(x, line.transpose(2, 3), groups=x.shape[1])
