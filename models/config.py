"""The shape of a StyleGAN2 generator as plain data: no torch, so it can be planned with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Literal

from models.errors import ModelError

Kind = Literal["conv0", "conv1", "rgb"]
ARCHITECTURES = ("skip", "resnet")


@dataclass(frozen=True, slots=True)
class Layer:
    """One modulated convolution of the walk: where it stands, what drives it.

    `index` is its place in the walk and in a style vector alike; `row` the row of `w_plus` that
    drives it; `style` its slice of a style vector; `noise` its place among the noise inputs (None
    for `rgb`); `resolution` the side in pixels of what it gives on the native canvas.
    """

    index: int
    name: str
    kind: Kind
    resolution: int
    row: int
    style: slice
    noise: int | None
    in_channels: int
    out_channels: int

    @property
    def key(self) -> str:
        """The module's name inside a generator (which may hold no dot)."""
        return f"convs.b{self.resolution}_{self.kind}"


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Every number that fixes a StyleGAN2 generator's tensors and arithmetic.

    `channels` holds one width per block, the 4 px block first. `mapping_lr` multiplies the
    learning rate of the mapping network; `normalize_z` scales z to unit second moment first.
    Raises: ModelError if the numbers contradict each other.
    """

    resolution: int
    channels: tuple[int, ...]
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    mapping_layers: int = 8
    mapping_lr: float = 0.01
    normalize_z: bool = True
    architecture: str = "skip"
    blur: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        blocks = self.resolution.bit_length() - 2
        if blocks < 1 or self.resolution != 4 << (blocks - 1):
            raise ModelError(f"resolution {self.resolution}: must be a power of two from 4 up")
        if len(self.channels) != blocks or min(self.channels) < 1:
            raise ModelError(
                f"channels {self.channels}: {self.resolution} px needs {blocks} positive widths"
            )
        if self.architecture not in ARCHITECTURES:
            allowed = " or ".join(ARCHITECTURES)
            raise ModelError(f"architecture {self.architecture!r}: must be {allowed}")
        if len(self.blur) != 4 or self.blur != self.blur[::-1]:
            raise ModelError(f"blur {self.blur}: must be four numbers, the same read backwards")
        if min(self.z_dim, self.w_dim, self.mapping_layers) < 1 or self.c_dim < 0:
            raise ModelError(
                f"z_dim {self.z_dim}, w_dim {self.w_dim}, mapping_layers {self.mapping_layers} "
                f"must be at least 1 and c_dim {self.c_dim} at least 0"
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The side of each block in pixels, 4 first."""
        return tuple(4 << block for block in range(len(self.channels)))

    @property
    def num_rows(self) -> int:
        """How many rows a `w_plus` code has."""
        return 2 * len(self.channels)

    @property
    def style_widths(self) -> tuple[int, ...]:
        """The length of each layer's part of a style vector, in the order of the walk."""
        return tuple(layer.in_channels for layer in layer_table(self))

    def to_json(self) -> dict[str, object]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "GeneratorConfig":
        """What `to_json` gave, back. Raises: ModelError on missing or unknown fields."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ModelError(f"generator fields {unknown} are unknown; known are {sorted(known)}")
        if missing := sorted(known - set(values)):
            raise ModelError(f"generator fields {missing} are missing")
        frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**frozen)  # type: ignore[arg-type]
        except (TypeError, AttributeError) as error:
            raise ModelError(f"generator fields have the wrong types: {error}") from error


def standard_channels(resolution: int, base: int = 32768, maximum: int = 512) -> tuple[int, ...]:
    """The usual widths: `base / side` features per block, at most `maximum`.

    Source: Karras et al. 2020, arXiv:1912.04958 (`base` 32768 is "channel multiplier 2").
    """
    return tuple(min(maximum, base // (4 << k)) for k in range(resolution.bit_length() - 2))


def layer_table(config: GeneratorConfig) -> tuple[Layer, ...]:
    """Every layer in walk order: 4 px conv1 and rgb, then conv0, conv1, rgb of each block.

    Row 2k-1 drives conv0 of block k (and the rgb of the block before), row 2k its conv1, row 2k+1
    its rgb. In a residual generator only the last block has an rgb.
    """
    layers: list[Layer] = []
    last = len(config.channels) - 1
    start = noise = 0
    for block, (side, width) in enumerate(zip(config.resolutions, config.channels, strict=True)):
        below = config.channels[max(block - 1, 0)]
        kinds: list[tuple[Kind, int, int, int]] = [("conv1", 2 * block, width, width)]
        if block > 0:
            kinds.insert(0, ("conv0", 2 * block - 1, below, width))
        if config.architecture == "skip" or block == last:
            kinds.append(("rgb", 2 * block + 1, width, 3))
        for kind, row, width_in, width_out in kinds:
            style = slice(start, start + width_in)
            number = None if kind == "rgb" else noise
            name = f"{side}.{kind}"
            layers.append(
                Layer(len(layers), name, kind, side, row, style, number, width_in, width_out)
            )
            start += width_in
            noise += kind != "rgb"
    return tuple(layers)


def choose_layers(config: GeneratorConfig, given: str | int) -> tuple[int, int]:
    """The first and last place in the walk of layers given as "all", "32" or "8..32.conv1".

    A resolution means all its layers; an end that is left out is the walk's own.
    Raises: ModelError naming the layers there are.
    """
    table = layer_table(config)
    text = str(given)
    if text == "all":
        return 0, len(table) - 1
    start, dots, end = text.partition("..")
    first = _layers_called(table, start)[0] if start or not dots else 0
    last = _layers_called(table, end if dots else start)[-1] if end or not dots else len(table) - 1
    if first > last:
        raise ModelError(f"layers '{text}': {table[first].name} comes after {table[last].name}")
    return first, last


def _layers_called(table: tuple[Layer, ...], name: str) -> list[int]:
    """The places of the layers that a name or a resolution means."""
    found = [layer.index for layer in table if name.strip() in (layer.name, str(layer.resolution))]
    if not found:
        names = [layer.name for layer in table]
        near = get_close_matches(name, names, n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelError(f"layer '{name}' does not exist{guess}; there are {', '.join(names)}")
    return found
