"""Panoramas: codes side by side on one exact canvas, as wide as wanted, in tiles.

Code k of a strip has the middle of its picture at k + 1/2 picture widths and turns into its
neighbours on the way to theirs. There is one canvas and so no stitch; a tile knows only the codes
that show in it, so neither time per tile nor memory depends on the length.
Source: Chong et al. 2021, arXiv:2111.01619, section 4 (panoramas); the single canvas is own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.alphas import Axis, Weight, along, cells, centers, shares
from models.blend import HALO, Branch, Walk, begin, draw_blend, step
from models.canvas import Canvas, NoiseField, Region, no_noise, wrapped
from models.config import Layer
from models.errors import ModelError
from models.grid import tile_cells
from models.stylegan2 import Generator, LayerState

#: Cells of the 4 px level in one picture.
PICTURE = 4
#: Pictures along the side of a tile at most: beyond it, wider margins are hardly any cheaper.
TILE_OF_STRIP, TILE_OF_GRID = 8, 4
#: What the features of a tile may take at the last resolution, in bytes.
TILE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Panorama:
    """Codes in rows and columns, one picture's side apart, on one canvas.

    Shapes: styles [rows * columns, S], row after row.  Units: `transition`, the part of the way
    between two middles in which one code turns into the next: 1 all of it, 0 a hard edge.
    `closed_x`: left of the first column lies the last; `closed_y` the same for rows.
    """

    generator: Generator
    styles: Tensor
    rows: int
    columns: int
    noise: NoiseField = no_noise
    transition: float = 1.0
    closed_x: bool = False
    closed_y: bool = False

    def __post_init__(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise ModelError(
                f"{self.rows} rows of {self.columns} codes: there must be one at least"
            )
        if len(self.styles) != self.rows * self.columns:
            raise ModelError(
                f"{len(self.styles)} codes do not fill {self.rows} rows of {self.columns}"
            )
        if not 0 <= self.transition <= 1:
            raise ModelError(f"transition {self.transition}: must be 0 to 1 pictures")
        for closed, codes in ((self.closed_x, self.columns), (self.closed_y, self.rows)):
            if closed and codes < 2:
                raise ModelError(
                    "a closed side needs two codes at least, to have something between"
                )

    @property
    def canvas(self) -> Canvas:
        """Where it is drawn."""
        size = (PICTURE * self.rows, PICTURE * self.columns)
        return Canvas(*size, closed_x=self.closed_x, closed_y=self.closed_y)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the whole picture."""
        side = self.generator.resolution
        return self.rows * side, self.columns * side

    def draw(self, tile: Region) -> Tensor:
        """One tile [1, 3, h, w] of the picture, in cells of the 4 px level; not clamped."""
        return draw_blend(self.branches(tile), self.canvas, tile)

    def tiles(self, tile_px: int | None = None) -> Iterator[tuple[Region, Tensor]]:
        """All tiles, each with its place in pixels: row after row, each from left to right.

        `tile_px` is the side of a tile, cut to the canvas.
        Raises: ModelError naming the sides a tile can have.
        """
        cell = self.generator.resolution // 4
        for tile in cut(self.canvas, self._tile_cells(tile_px)):
            yield tile.times(cell), self.draw(tile)

    def branches(self, tile: Region) -> list[Branch]:
        """The codes that show in a tile or its margin, from left to right, then downwards."""
        seen = self.canvas.clip(tile.grown(HALO + 1), 4)
        rows = self._near("vertical", seen.top, seen.bottom)
        columns = self._near("horizontal", seen.left, seen.right)
        places = [(row, column) for row in rows for column in columns]
        noise = wrapped(self.noise, self.canvas) if self.closed_x or self.closed_y else self.noise
        alphas = shares([self._weight(*place) for place in places])
        numbers = [(y % self.rows) * self.columns + x % self.columns for y, x in places]
        return [
            Branch(self.generator, self.styles[number : number + 1], noise, alpha)
            for number, alpha in zip(numbers, alphas, strict=True)
        ]

    def _side(self, axis: Axis) -> tuple[int, bool]:
        """How many codes lie along an axis, and whether it is closed."""
        if axis == "horizontal":
            return self.columns, self.closed_x
        return self.rows, self.closed_y

    def _near(self, axis: Axis, start: int, end: int) -> range:
        """The codes with a share between two places; on a closed side numbers go past the last."""
        count, closed = self._side(axis)
        low, high = start / PICTURE, end / PICTURE
        reach = (1 + self.transition) / 2
        if closed:
            return range(math.floor(low - 0.5 - reach) + 1, math.ceil(high - 0.5 + reach))
        low, high = (min(max(place, 0.5), count - 0.5) for place in (low, high))
        first, last = math.floor(low - 0.5 - reach) + 1, math.ceil(high - 0.5 + reach)
        return range(max(0, first), min(count, last))

    def _weight(self, row: int, column: int) -> Weight:
        """The share of one code."""

        def weight(layer: Layer, region: Region) -> Tensor:
            across = self._tent(layer, region, "horizontal", column)
            return across * self._tent(layer, region, "vertical", row)

        return weight

    def _tent(self, layer: Layer, region: Region, axis: Axis, number: int) -> Tensor:
        """A code's share along one axis: 1 at its middle, 0 at those of its neighbours."""
        count, closed = self._side(axis)
        if count == 1:
            return torch.ones(1, 1, 1, 1)
        place = centers(layer, region, axis)
        if not closed:
            place = place.clamp(0.5, count - 0.5)
        away = (place - number - 0.5).abs()
        if self.transition == 0:
            return along((away < 0.5).float(), axis)
        return along(((0.5 - away) / self.transition + 0.5).clamp(0, 1), axis)

    def _tile_cells(self, tile_px: int | None) -> int:
        if tile_px is None:
            each = 4 * self.generator.resolution**2 * self.generator.config.channels[-1]
            room = max(1, TILE_BYTES // each)
            if 1 in (self.rows, self.columns):
                return PICTURE * min(TILE_OF_STRIP, room)
            return PICTURE * min(TILE_OF_GRID, math.isqrt(room))
        return tile_cells(self.generator.resolution, tile_px)


def cut(canvas: Canvas, cells: int) -> Iterator[Region]:
    """A canvas in square tiles, those at the end cut to fit: row after row, from left to right."""
    for top in range(0, canvas.height, cells):
        for left in range(0, canvas.width, cells):
            height, width = min(cells, canvas.height - top), min(cells, canvas.width - left)
            yield Region(top, left, height, width)


# --- codes along a strip ---------------------------------------------------------------------


def smoothed(codes: Tensor, sigma: float, mean: Tensor | None = None) -> Tensor:
    """Codes [K, ...] made more like their neighbours, the last next to the first.

    What they differ from `mean` by is averaged under a Gaussian of `sigma` codes and scaled back
    to the strength that all of it together had. Without a mean, codes are z: about 0, of unit
    strength.
    Source: the panoramas of arXiv:2111.01619 (sigma 0.7).
    """
    if sigma == 0 or len(codes) < 2:
        return codes
    radius = int(4 * sigma + 0.5)
    offsets = range(-radius, radius + 1)
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in offsets]
    about = codes if mean is None else codes - mean
    rolled = (w * about.roll(-o, 0) for w, o in zip(weights, offsets, strict=True))
    mixed = sum(rolled, torch.zeros_like(about)) / sum(weights)
    strength = about.new_ones(()) if mean is None else about.square().mean().sqrt()
    mixed = mixed * (strength / mixed.square().mean().sqrt().clamp_min(1e-12))
    return mixed if mean is None else mean + mixed


# --- as published: spans of two codes, cut and joined ----------------------------------------


def weave_spans(generator: Generator, styles: Tensor, noise: NoiseField) -> Iterator[Tensor]:
    """A strip as first published, in pieces [1, 3, R, w] from left to right.

    Each two neighbours draw a picture of their own, twice as wide as high, and of each only the
    middle is kept: a code computes twice what is seen of it, and pieces meet in seams.
    Source: Chong et al. 2021, arXiv:2111.01619, section 4.
    """
    spans = len(styles) - 1
    if spans < 1:
        raise ModelError("a woven strip needs two codes at least")
    side = generator.resolution
    for k in range(spans):
        span = draw_span(generator, styles[k : k + 1], styles[k + 1 : k + 2], moved(noise, k))
        start = side // 2 if k else 0
        end = 2 * side if k == spans - 1 else side + side // 2
        yield span[..., start:end]


def draw_span(
    generator: Generator, a: Tensor, b: Tensor, noise: NoiseField, flat: bool = True
) -> Tensor:
    """Two codes [1, S] in one picture [1, 3, R, 2R], each pure in its outer half if `flat`."""
    alone = [Branch(generator, a, noise), Branch(generator, b, moved(noise, 1))]
    starts = [step([one], begin([one], Canvas(), Canvas().whole)).state for one in alone]
    # Each constant goes through its first convolution alone; they are joined after it.
    state = LayerState(1, torch.cat([start.features for start in starts], 3))
    walk = Walk(state, Region(0, 0, PICTURE, 2 * PICTURE))
    pair = [
        Branch(generator, a, noise),
        Branch(generator, b, noise, cells(plateau=0.25 if flat else 0.0, pictures=2)),
    ]
    while walk.state.next < len(generator.layers):
        walk = step(pair, walk)
    assert walk.state.skip is not None
    return walk.state.skip


def moved(noise: NoiseField, pictures: int) -> NoiseField:
    """Noise as it is some pictures further to the right."""

    def field(layer: Layer, region: Region) -> Tensor | None:
        return noise(layer, replace(region, left=region.left + pictures * layer.resolution))

    return field
