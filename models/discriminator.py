"""The discriminator of StyleGAN2: a residual network that says how real pictures look."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.errors import ModelError
from models.layers import LEAK, SQRT2, EqualizedLinear, blur_kernel

_TAPS = (1.0, 3.0, 3.0, 1.0)


@dataclass(frozen=True, slots=True)
class DiscriminatorConfig:
    """The shape of a discriminator: its side in pixels, and a width per block, the 4 px one first.

    `group` pictures are compared with each other by the standard deviation of their features.
    """

    resolution: int
    channels: tuple[int, ...]
    group: int = 4

    def __post_init__(self) -> None:
        if self.resolution != 2 << len(self.channels) or len(self.channels) < 2:
            raise ModelError(
                f"channels {self.channels}: {self.resolution} px needs a width per block from "
                "4 px up, and two blocks at least"
            )

    def to_json(self) -> dict[str, object]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "DiscriminatorConfig":
        """The configuration that `to_json` gave."""
        frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**frozen)  # type: ignore[arg-type]


class Discriminator(nn.Module):
    """Picture -> how real it looks, unbounded.  Shapes: [N, 3, R, R] in -1..1 -> [N].

    Fine detail is shown to it beside the picture: a blurred picture is told from a sharp one within
    a few hundred pictures, which the blurs between its blocks would otherwise hide for thousands.
    Source: Karras et al. 2020, arXiv:1912.04958 (residual architecture, minibatch deviation); the
    detail is after Gal et al. 2021, arXiv:2102.06108 (bands of a picture as inputs).
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels[::-1]
        self.enter = EqualizedConv(6, widths[0], 1)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in itertools.pairwise(widths))
        self.last = EqualizedConv(widths[-1] + 1, widths[-1], 3)
        self.hidden = EqualizedLinear(16 * widths[-1], widths[-1])
        self.score = EqualizedLinear(widths[-1], 1)

    def forward(self, image: Tensor) -> Tensor:
        side = self.config.resolution
        if image.dim() != 4 or image.shape[1:] != (3, side, side):
            raise ModelError(
                f"picture has shape {list(image.shape)}: must be [N, 3, {side}, {side}]"
            )
        seen = torch.cat([image, detail(image)], 1)
        x = _activate(self.enter(seen.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            x = block(x)
        x = _activate(self.last(torch.cat([x, deviation(x, self.config.group)], 1)))
        with torch.autocast(x.device.type, enabled=False):
            hidden = _activate(self.hidden(x.float().flatten(1)))
            return cast(Tensor, self.score(hidden))[:, 0]


class Block(nn.Module):
    """Two convolutions, the second halving the side, beside a linear one.

    Shapes: [N, C, H, W] -> [N, O, H/2, W/2].
    """

    kernel: Tensor

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.refine = EqualizedConv(width_in, width_in, 3)
        self.shrink = EqualizedConv(width_in, width_out, 3)
        self.shortcut = EqualizedConv(width_in, width_out, 1, bias=False)
        self.register_buffer("kernel", blur_kernel(_TAPS, gain=1.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        linear = self.shortcut(self._blur(x, stride=2, padding=1))
        y = self._blur(_activate(self.refine(x)), stride=1, padding=2)
        y = _activate(self.shrink(y, stride=2, padding=0))
        return cast(Tensor, (y + linear) * math.sqrt(0.5))

    def _blur(self, x: Tensor, stride: int, padding: int) -> Tensor:
        channels = x.shape[1]
        weight = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)


class EqualizedConv(nn.Module):
    """A convolution whose weights are stored with unit variance and scaled when used."""

    def __init__(self, width_in: int, width_out: int, side: int, bias: bool = True) -> None:
        super().__init__()
        weight = torch.randn(width_out, width_in, side, side)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(width_out)) if bias else None
        self.gain = 1 / math.sqrt(width_in * side * side)

    def forward(self, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
        padding = self.weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, self.weight * self.gain, self.bias, stride, padding)


def detail(image: Tensor) -> Tensor:
    """What pictures [N, 3, H, W] hold that those of a quarter of the side cannot, enlarged."""
    coarse = F.interpolate(F.avg_pool2d(image, 4), scale_factor=4.0, mode="bilinear")
    return 5 * (image - coarse)


def deviation(x: Tensor, group: int) -> Tensor:
    """How much pictures of a group differ, as one more channel [N, 1, H, W].

    Items i, i + N/G, i + 2N/G ... are a group of G, the largest divisor of N up to `group`.
    Source: Karras et al. 2018, arXiv:1710.10196.
    """
    items = len(x)
    size = max(n for n in range(1, min(group, items) + 1) if items % n == 0)
    apart = x.float().reshape(size, -1, *x.shape[1:])
    spread = (apart.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    told = spread.to(x.dtype).repeat(size)[:, None, None, None]
    return told.expand(-1, 1, *x.shape[2:])


def channels_of(generator: Sequence[int], narrowed: float = 1.0) -> tuple[int, ...]:
    """Widths for the discriminator of a generator of these widths, 8 at least, 4 px first."""
    return tuple(max(8, 8 * round(width * narrowed / 8)) for width in generator)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK) * SQRT2
