"""The StyleGAN2 generator, written as one explicit walk over its layers.

`step` is the only place where a layer is run. Everything else, from a picture to a blend of two
codes inside the network, is a loop over `step`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from models.config import GeneratorConfig, Layer, layer_table
from models.errors import ModelError
from models.layers import Shortcut, StyledConv, ToRGB, blur_kernel, upsample
from models.mapping import MappingNetwork

Noise = Literal["const", "none"] | Sequence[Tensor | None]


@dataclass(frozen=True, slots=True, eq=False)
class LayerState:
    """Where a walk stands: what the next layer reads, and the picture so far.

    Shapes: features [N, C, H, W]; skip [N, 3, H, W], the picture (None before the first rgb);
    shortcut [N, O, 2H', 2W'], the linear branch of a residual block that is half done.
    `next` is the index of the layer to run next.
    """

    next: int
    features: Tensor
    skip: Tensor | None = None
    shortcut: Tensor | None = None


class Generator(nn.Module):
    """StyleGAN2: z -> w -> one style per layer -> picture.

    Shapes: z [N, z_dim]; w [N, w_dim]; w_plus [N, num_rows, w_dim]; styles [N, S]; picture
    [N, 3, H, W], nominally in -1..1, not clamped.
    Source: Karras et al. 2020, arXiv:1912.04958.
    """

    w_avg: Tensor
    kernel: Tensor
    family = "stylegan2"

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = layer_table(config)
        self.digest: str | None = None
        self.mapper = MappingNetwork(config)
        const = torch.randn(1, config.channels[0], 4, 4)
        self.const = nn.Parameter(const.contiguous(memory_format=torch.channels_last))
        self.convs = nn.ModuleDict(
            {layer.key.removeprefix("convs."): self._build(layer) for layer in self.layers}
        )
        if config.architecture == "resnet":
            pairs = itertools.pairwise(config.channels)
            self.shortcuts = nn.ModuleList(Shortcut(a, b, config.blur) for a, b in pairs)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("kernel", blur_kernel(config.blur, gain=4.0), persistent=False)

    def _build(self, layer: Layer) -> StyledConv | ToRGB:
        config = self.config
        if layer.kind == "rgb":
            return ToRGB(layer.in_channels, config.w_dim, config.conv_clamp)
        residual = config.architecture == "resnet" and layer.kind == "conv1" and layer.index > 0
        return StyledConv(
            layer.in_channels,
            layer.out_channels,
            config.w_dim,
            layer.resolution,
            config.blur,
            up=layer.kind == "conv0",
            gain=math.sqrt(0.5) if residual else 1.0,
            clamp=config.conv_clamp,
        )

    @property
    def num_rows(self) -> int:
        """How many rows a `w_plus` code has."""
        return self.config.num_rows

    @property
    def resolution(self) -> int:
        """The side of the native picture in pixels."""
        return self.config.resolution

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the convolutions; codes, styles and pictures are float32."""
        return self.const.dtype

    def layer(self, name: str) -> Layer:
        """The layer called `name`, such as "16.conv0". Raises: ModelError if there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ModelError(f"layer {name!r} does not exist; there are {names}")

    # --- codes -----------------------------------------------------------------------------

    def mapping(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The codes w [N, w_dim] of z [N, z_dim] (and class vectors c [N, c_dim])."""
        with torch.autocast(z.device.type, enabled=False):
            return cast(Tensor, self.mapper(z, c))

    def broadcast(self, w: Tensor) -> Tensor:
        """w [N, w_dim] for every row: w_plus [N, num_rows, w_dim]."""
        return w[:, None].expand(-1, self.num_rows, -1)

    def styles(self, w_plus: Tensor) -> Tensor:
        """The style vectors [N, S] of w_plus [N, num_rows, w_dim], layer after layer."""
        rows, width = self.num_rows, self.config.w_dim
        if w_plus.dim() != 3 or w_plus.shape[1:] != (rows, width):
            raise ModelError(
                f"w_plus has shape {tuple(w_plus.shape)}: must be [N, {rows}, {width}]"
            )
        with torch.autocast(w_plus.device.type, enabled=False):
            codes = w_plus.float()
            parts = [self._module(layer).affine(codes[:, layer.row]) for layer in self.layers]
            return torch.cat(parts, dim=1)

    # --- the walk --------------------------------------------------------------------------

    def begin(self, items: int, features: Tensor | None = None) -> LayerState:
        """The state before the first layer: the learned constant, or a canvas of its making.

        Shapes: features [1 or N, channels[0], H, W] replaces the 4x4 constant; the picture is then
        H * resolution / 4 by W * resolution / 4.
        """
        start = self.const if features is None else features
        return LayerState(next=0, features=start.expand(items, -1, -1, -1))

    def step(self, state: LayerState, styles: Tensor, noise: Noise = "const") -> LayerState:
        """The state after one more layer. Shapes: styles [N, S], the whole vectors."""
        layer = self.layers[state.next]
        module = self._module(layer)
        style = styles[:, layer.style]
        x = state.features
        dtype = self._feature_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            if isinstance(module, ToRGB):
                picture = module(x, style, dtype)
                if state.skip is not None:
                    picture = picture + upsample(state.skip, self.kernel)
                return LayerState(layer.index + 1, x, picture)
            shortcut = state.shortcut
            if self.config.architecture == "resnet" and layer.kind == "conv0":
                shortcut = self.shortcuts[layer.row // 2](x, dtype)
            y = module(x, style, self._noise(layer, noise, x), dtype)
            if shortcut is not None and layer.kind == "conv1":
                y, shortcut = y + shortcut, None
            return LayerState(layer.index + 1, y, state.skip, shortcut)

    def walk(
        self, styles: Tensor, noise: Noise = "const", state: LayerState | None = None
    ) -> Iterator[LayerState]:
        """The state after each layer that is left to run, from `state` or from the beginning."""
        self._check(styles, noise)
        state = self.begin(styles.shape[0]) if state is None else state
        while state.next < len(self.layers):
            state = self.step(state, styles, noise)
            yield state

    def run(
        self,
        styles: Tensor,
        noise: Noise = "const",
        state: LayerState | None = None,
        stop: int | None = None,
    ) -> LayerState:
        """The state when layer `stop` is next (default: all are done), resumed from `state`."""
        self._check(styles, noise)
        state = self.begin(styles.shape[0]) if state is None else state
        end = len(self.layers) if stop is None else stop
        if not state.next <= end <= len(self.layers):
            raise ModelError(
                f"stop {end}: must lie between the layer that is next, {state.next}, "
                f"and {len(self.layers)}"
            )
        while state.next < end:
            state = self.step(state, styles, noise)
        return state

    def synthesize_styles(self, styles: Tensor, noise: Noise = "const") -> Tensor:
        """The pictures [N, 3, H, W] of style vectors [N, S]."""
        return cast(Tensor, self.run(styles, noise).skip)

    def synthesize(self, w_plus: Tensor, noise: Noise = "const") -> Tensor:
        """The pictures [N, 3, H, W] of w_plus [N, num_rows, w_dim].

        `noise`: "const", the learned network's fixed noise (repeated where the canvas is larger);
        "none"; or one tensor (or None) per convolution, broadcastable to [N, 1, H, W].
        """
        return self.synthesize_styles(self.styles(w_plus), noise)

    def forward(self, z: Tensor, c: Tensor | None = None, noise: Noise = "const") -> Tensor:
        """The pictures of z, one code for all rows."""
        return self.synthesize(self.broadcast(self.mapping(z, c)), noise)

    # --- parts -----------------------------------------------------------------------------

    def _module(self, layer: Layer) -> StyledConv | ToRGB:
        return cast("StyledConv | ToRGB", self.get_submodule(layer.key))

    def _feature_dtype(self, x: Tensor) -> torch.dtype:
        kind = x.device.type
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.dtype

    def _noise(self, layer: Layer, noise: Noise, x: Tensor) -> Tensor | None:
        if noise == "none" or layer.noise is None:
            return None
        if noise != "const":
            return noise[layer.noise]
        fixed = cast(StyledConv, self._module(layer)).noise_const
        scale = 2 if layer.kind == "conv0" else 1
        height, width = x.shape[2] * scale, x.shape[3] * scale
        if fixed.shape == (height, width):
            return fixed
        copies = (math.ceil(height / fixed.shape[0]), math.ceil(width / fixed.shape[1]))
        return fixed.repeat(copies)[:height, :width]

    def _check(self, styles: Tensor, noise: Noise) -> None:
        width = self.layers[-1].style.stop
        if styles.dim() != 2 or styles.shape[1] != width:
            raise ModelError(f"styles have shape {tuple(styles.shape)}: must be [N, {width}]")
        inputs = sum(layer.noise is not None for layer in self.layers)
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise ModelError(f'noise {noise!r}: must be "const", "none" or {inputs} tensors')
        elif len(noise) != inputs:
            raise ModelError(f"{len(noise)} noise tensors: this generator takes {inputs}")
