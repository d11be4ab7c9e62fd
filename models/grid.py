"""Which sizes and places a generator's grid allows: plain numbers, so it can be planned with.

At a resolution r a picture of R px has r cells a side, each R / r px large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from models.errors import ModelError

Unit: TypeAlias = Literal["cells", "px"]
#: How far each way of padding may go, in cells beyond the side of the features.
_LIMITS = {"reflect": -1, "circular": 0}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; its edges may lie within one."""

    x: float
    y: float
    width: float
    height: float


def cell_px(resolution: int, at: int) -> int:
    """The side in pixels of one cell at a resolution. Raises: ModelError naming those there are."""
    sides = [4 << k for k in range(resolution.bit_length() - 2)]
    if at not in sides:
        raise ModelError(f"resolution {at}: this generator has {', '.join(map(str, sides))}")
    return resolution // at


def tile_cells(resolution: int, tile_px: int) -> int:
    """The side of a tile in cells of the 4 px level. Raises: ModelError naming those there are."""
    cell = resolution // 4
    if tile_px < cell or tile_px % cell:
        near = max(1, tile_px // cell) * cell
        raise ModelError(
            f"tile {tile_px} px: tiles of a {resolution} px generator have "
            f"multiples of {cell} px, such as {near} or {near + cell}"
        )
    return tile_px // cell


def padding(
    resolution: int, at: int, sides: dict[str, int], unit: Unit, mode: str
) -> dict[str, int]:
    """How many cells are added on each side. Raises: ModelError naming what can be had."""
    cell = cell_px(resolution, at)
    limit = at + _LIMITS[mode] if mode in _LIMITS else None
    found = {}
    for side, size in sides.items():
        if unit == "px" and size % cell:
            raise ModelError(f"{side} {size} px: {_multiples(size, cell, at)}")
        found[side] = size // cell if unit == "px" else size
        if limit is not None and found[side] > limit:
            raise ModelError(
                f"{side} {found[side]} cells: {mode} can add at most {limit} of {cell} px at "
                f"resolution {at}; replicate has no limit"
            )
    return found


def scaling(resolution: int, at: int, height: int | None, width: int | None) -> tuple[int, int]:
    """The cells of features that make a picture this large; None keeps the native side.

    Raises: ModelError naming the nearest sizes that can be had.
    """
    cell = cell_px(resolution, at)
    for name, size in (("height", height), ("width", width)):
        if size is not None and (size < cell or size % cell):
            raise ModelError(f"{name} {size} px: {_multiples(size, cell, at)}")
    high, wide = (resolution if size is None else size for size in (height, width))
    return high // cell, wide // cell


def move(resolution: int, at: int, by: tuple[float, float]) -> tuple[int, int]:
    """A way (x, y) in pixels as whole cells (dx, dy). Raises: ModelError naming the nearest."""
    cell = cell_px(resolution, at)
    found = []
    for name, way in zip(("right", "down"), by, strict=True):
        cells = way / cell
        if abs(cells - round(cells)) > 1e-6:
            raise ModelError(f"{name} by {way:g} px: {_multiples(way, cell, at)}")
        found.append(round(cells))
    return found[0], found[1]


def several(resolution: int, at: int | Sequence[int]) -> list[int]:
    """One resolution or some, as a list. Raises: ModelError if none is named, or one is unknown."""
    found = [at] if isinstance(at, int) else list(at)
    if not found:
        raise ModelError("resolution: at least one must be named")
    for side in found:
        cell_px(resolution, side)
    return found


def way(moved: Sequence[float], resolution: int, coarsest: int) -> tuple[Box, int, int]:
    """The box that a move [x, y, w, h, to_x, to_y] lays down, in px, and its way (dx, dy).

    The way is in cells of the coarsest resolution that is edited. Raises: ModelError if a box
    leaves the picture or the way is no whole number of cells.
    """
    scale = resolution if max(moved) <= 1 else 1
    x, y, w, h, to_x, to_y = (n * scale for n in moved)
    # Said in fractions: a box of at most 1 px would be taken for them.
    start, end = ([n / resolution for n in box] for box in ((x, y, w, h), (to_x, to_y, w, h)))
    box_px(start, resolution, resolution)
    there = box_px(end, resolution, resolution)
    dx, dy = move(resolution, coarsest, (to_x - x, to_y - y))
    return there, dx, dy


def box_px(box: Sequence[float], height: int, width: int) -> Box:
    """A box [x, y, w, h] in pixels: given in fractions if all four are at most 1, else in pixels.

    Raises: ModelError if it is empty, is no box of numbers, or sticks out of the picture.
    """
    x, y, w, h = box
    if not all(-1e9 < number < 1e9 for number in box):
        raise ModelError(f"box {_shown(box)}: must be four finite numbers")
    fractions = max(box) <= 1
    if fractions:
        x, y, w, h = x * width, y * height, w * width, h * height
    if w <= 0 or h <= 0:
        raise ModelError(f"box {_shown(box)}: is empty; width and height must be above 0")
    slack = 1e-6 * max(height, width)
    if x < -slack or y < -slack or x + w > width + slack or y + h > height + slack:
        limits = "0 to 1" if fractions else f"{width} px across and {height} px down"
        raise ModelError(f"box {_shown(box)}: sticks out of the picture, which has {limits}")
    return Box(x, y, w, h)


def point_px(
    point: Sequence[float], height: int, width: int, fractions: bool
) -> tuple[float, float]:
    """A point (x, y) in pixels, from fractions of the picture or from pixels."""
    return (point[0] * width, point[1] * height) if fractions else (point[0], point[1])


def _multiples(size: float, cell: int, at: int) -> str:
    """The sizes next to one that cannot be had."""
    below = int(size // cell) * cell
    near = f"{below} or {below + cell}" if below or size < 0 else f"{cell}"
    return f"at resolution {at} it must be a multiple of {cell} px, such as {near}"


def _shown(numbers: Sequence[float]) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"
