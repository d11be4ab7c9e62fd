"""StyleGAN2 synthesis written out as in the paper, slowly: the oracle for the fast walk.

Every item gets its own modulated weights and a grouped convolution applies them; the low-pass
filter runs on a picture with zeros put in. Reads the weights of a `Generator`, shares no code with
its layers. Source: Karras et al. 2020, arXiv:1912.04958, section 2.2.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from models.config import Layer
from models.layers import Shortcut, StyledConv, ToRGB
from models.stylegan2 import Generator


def synthesize(generator: Generator, styles: Tensor, use_noise: bool = True) -> Tensor:
    """The pictures [N, 3, H, W] of style vectors [N, S], with the fixed noise or none."""
    config = generator.config
    x = generator.const.repeat(len(styles), 1, 1, 1)
    picture: Tensor | None = None
    shortcut: Tensor | None = None
    for layer in generator.layers:
        module = generator.get_submodule(layer.key)
        style = styles[:, layer.style]
        if isinstance(module, ToRGB):
            picture = _paint(module, config.blur, x, style, picture)
            continue
        if layer.kind == "conv0" and config.architecture == "resnet":
            around = generator.get_submodule(f"shortcuts.{layer.row // 2}")
            shortcut = _go_around(cast(Shortcut, around), config.blur, x)
        x = _convolve(cast(StyledConv, module), layer, config.blur, x, style, use_noise)
        if layer.kind == "conv1" and shortcut is not None:
            x, shortcut = (x + shortcut) * math.sqrt(0.5), None
    return cast(Tensor, picture)


def _convolve(
    module: StyledConv,
    layer: Layer,
    taps: tuple[float, ...],
    x: Tensor,
    style: Tensor,
    use_noise: bool,
) -> Tensor:
    items, channels, height, width = x.shape
    weight = module.weight[None] * style[:, None, :, None, None]
    weight = weight / torch.sqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    folded = x.reshape(1, items * channels, height, width)
    if layer.kind == "conv0":
        weight = weight.transpose(1, 2).flatten(0, 1)
        y = F.conv_transpose2d(folded, weight, stride=2, groups=items)
        y = y.reshape(items, layer.out_channels, 2 * height + 1, 2 * width + 1)
        y = filtered(F.pad(y, (1, 1, 1, 1)), taps) * 4
    else:
        y = F.conv2d(folded, weight.flatten(0, 1), padding=1, groups=items)
        y = y.reshape(items, layer.out_channels, height, width)
    if use_noise:
        y = y + module.noise_strength * module.noise_const
    y = F.leaky_relu(y + module.bias[:, None, None], 0.2) * math.sqrt(2)
    return y if module.clamp is None else y.clamp(-module.clamp, module.clamp)


def _paint(
    module: ToRGB, taps: tuple[float, ...], x: Tensor, style: Tensor, picture: Tensor | None
) -> Tensor:
    weight = module.weight[:, :, 0, 0][None] * style[:, None, :] / math.sqrt(x.shape[1])
    y = torch.einsum("nchw,noc->nohw", x, weight) + module.bias[:, None, None]
    y = y if module.clamp is None else y.clamp(-module.clamp, module.clamp)
    return y if picture is None else y + doubled(picture, taps)


def _go_around(module: Shortcut, taps: tuple[float, ...], x: Tensor) -> Tensor:
    return doubled(F.conv2d(x, module.weight / math.sqrt(x.shape[1])), taps)


def doubled(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Twice the size: a zero after every pixel of each row and column, then the low-pass filter."""
    items, channels, height, width = x.shape
    y = x.new_zeros(items, channels, height, 2, width, 2)
    y[:, :, :, 0, :, 0] = x
    y = y.reshape(items, channels, 2 * height, 2 * width)
    return filtered(F.pad(y, (2, 1, 2, 1)), taps) * 4


def filtered(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Each channel of [N, C, H, W] under the separable unit-sum filter, no padding."""
    row = torch.tensor(taps, dtype=x.dtype, device=x.device)
    kernel = torch.outer(row, row) / row.sum() ** 2
    items, channels, height, width = x.shape
    planes = x.reshape(items * channels, 1, height, width)
    y = F.conv2d(planes, kernel[None, None])
    return y.reshape(items, channels, height - len(taps) + 1, width - len(taps) + 1)
