"""How alike two pictures are, per item."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
