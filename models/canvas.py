"""Canvases of any size: windows of them, and what the learned constant and noise are there.

A canvas is measured in cells: one cell of the 4 px level is resolution / 4 pixels of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from models.codes import draw, number
from models.config import Layer
from models.errors import ModelError
from models.stylegan2 import Generator

#: Sides of the blocks in which seeded noise is drawn, in cells of its layer.
NOISE_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Region:
    """A window, in cells of one resolution. On a canvas without ends it may lie anywhere."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """One past the last row."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """One past the last column."""
        return self.left + self.width

    @property
    def area(self) -> int:
        """How many cells it has."""
        return self.height * self.width

    def times(self, factor: int) -> Region:
        """The same window in cells that are `factor` times smaller."""
        return Region(*(factor * n for n in (self.top, self.left, self.height, self.width)))

    def grown(self, cells: int) -> Region:
        """With a margin on every side."""
        return Region(
            self.top - cells, self.left - cells, self.height + 2 * cells, self.width + 2 * cells
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """How large a picture is to be, in cells of the 4 px level, and which sides meet.

    A side that is closed has no border: left of the first column lies the last one.
    """

    height: int = 4
    width: int = 4
    closed_x: bool = False
    closed_y: bool = False

    def clip(self, region: Region, resolution: int) -> Region:
        """The part of a window at a resolution that is on the canvas."""
        scale = resolution // 4
        top, bottom, left, right = region.top, region.bottom, region.left, region.right
        if not self.closed_y:
            top, bottom = max(0, top), min(self.height * scale, bottom)
        if not self.closed_x:
            left, right = max(0, left), min(self.width * scale, right)
        return Region(top, left, bottom - top, right - left)

    @property
    def whole(self) -> Region:
        """All of it, at the 4 px level."""
        return Region(0, 0, self.height, self.width)


def canvas_of(generator: Generator, height_px: int, width_px: int) -> Canvas:
    """The canvas of a picture size. Raises: ModelError naming the nearest sizes that can be had."""
    cell = generator.resolution // 4
    for name, size in (("height", height_px), ("width", width_px)):
        if size < cell or size % cell:
            below, above = max(1, size // cell) * cell, (size // cell + 1) * cell
            raise ModelError(
                f"{name} {size} px: a {generator.resolution} px generator makes multiples of "
                f"{cell} px, such as {below} or {above}"
            )
    return Canvas(height_px // cell, width_px // cell)


#: The noise input of a convolution in a window, [1 or N, 1, h, w]; None where there is none.
NoiseField: TypeAlias = Callable[[Layer, Region], Tensor | None]


def no_noise(_layer: Layer, _region: Region) -> None:
    """Smooth pictures."""
    return


def fixed_field(generator: Generator) -> NoiseField:
    """The learned network's own noise, repeated where the canvas is larger than native."""
    fixed = [t for name, t in generator.named_buffers() if name.endswith("noise_const")]

    def field(layer: Layer, region: Region) -> Tensor | None:
        return None if layer.noise is None else repeated(fixed[layer.noise], region)[None, None]

    return field


def seeded_field(seeds: Sequence[int], device: torch.device | None = None) -> NoiseField:
    """Fresh noise for every item that is the same in every window that shows a place.

    It is drawn in blocks, each from the seed, the layer and the block's place alone, and so has
    no period.
    """

    def field(layer: Layer, region: Region) -> Tensor | None:
        if layer.noise is None:
            return None
        return torch.cat([_drawn(seed, layer.name, region) for seed in seeds]).to(device)

    return field


def noise_field(
    generator: Generator, kind: str, seeds: Sequence[int] = (), items: int = 1
) -> NoiseField:
    """The noise called "const", "seeded" (by one seed per item, 0 if none are given) or "none"."""
    if kind == "seeded":
        return seeded_field(tuple(seeds) or (0,) * items, generator.w_avg.device)
    return fixed_field(generator) if kind == "const" else no_noise


def wrapped(
    field: NoiseField, canvas: Canvas, sized: Callable[[int], tuple[int, int]] | None = None
) -> NoiseField:
    """Noise on a closed canvas: what lies past one side is what lies at the other.

    `sized` gives the height and width in cells at a resolution, where edits change them.
    """

    def inner(layer: Layer, region: Region) -> Tensor | None:
        if layer.noise is None:
            return None
        scale = layer.resolution // 4
        high, wide = canvas.height * scale, canvas.width * scale
        if sized is not None:
            high, wide = sized(layer.resolution)
        rows = list(_turns(region.top, region.height, canvas.closed_y, high))
        columns = list(_turns(region.left, region.width, canvas.closed_x, wide))
        parts = [
            [field(layer, Region(top, left, height, width)) for left, width in columns]
            for top, height in rows
        ]
        if any(part is None for row in parts for part in row):
            return None
        return torch.cat([torch.cat([p for p in row if p is not None], 3) for row in parts], 2)

    return inner


def _turns(start: int, length: int, closed: bool, period: int) -> Iterator[tuple[int, int]]:
    """Cut a span into pieces that each lie within one turn of a closed side."""
    if not closed:
        yield start, length
        return
    end = start + length
    while start < end:
        inside = start % period
        piece = min(end - start, period - inside)
        yield inside, piece
        start += piece


def repeated(tile: Tensor, region: Region) -> Tensor:
    """A window of a tile [..., h, w] repeated without end in both directions."""
    height, width = tile.shape[-2:]
    if (region.top % height, region.left % width) == (0, 0) and tile.shape[-2:] == (
        region.height,
        region.width,
    ):
        return tile
    rows = torch.arange(region.top, region.bottom, device=tile.device) % height
    columns = torch.arange(region.left, region.right, device=tile.device) % width
    return tile.index_select(-2, rows).index_select(-1, columns)


def _drawn(seed: int, name: str, region: Region) -> Tensor:
    """Standard normal numbers of a window, [1, 1, h, w]."""
    top, left = region.top // NOISE_BLOCK, region.left // NOISE_BLOCK
    rows = [
        torch.cat(
            [
                draw(number(seed, name, y, x), NOISE_BLOCK, NOISE_BLOCK)
                for x in range(left, -(-region.right // NOISE_BLOCK))
            ],
            1,
        )
        for y in range(top, -(-region.bottom // NOISE_BLOCK))
    ]
    y, x = region.top - top * NOISE_BLOCK, region.left - left * NOISE_BLOCK
    return torch.cat(rows)[None, None, y : y + region.height, x : x + region.width]
