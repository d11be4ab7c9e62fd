"""Soft masks: from boxes and polygons, with soft edges; what a change leaks out of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import ModelError
from models.grid import Box, box_px

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

#: Sub-pixels per side of a pixel that a polygon's edge is drawn with.
_FINE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Confined:
    """A picture changed in one place, and how much it changed elsewhere.

    Shapes: image [N, 3, H, W]; leak_max, leak_mean [N].  Units: leaks in levels of 0..255.
    """

    image: Tensor
    leak_max: Tensor
    leak_mean: Tensor


class BadMaskError(ModelError):
    """One item's mask is of no use; `item` is its place in the batch."""

    def __init__(self, message: str, item: int) -> None:
        super().__init__(message)
        self.item = item


def region(
    mask: Tensor | None, box: Sequence[float] | None, side: int, feather: float
) -> Tensor | None:
    """The mask [1 or N, 1, side, side] that a mask or a box means; None if there is neither.

    Units: feather in sides of the picture.
    Raises: BadMaskError for an item's mask; ModelError for the box, or if both are given.
    """
    if mask is not None and box is not None:
        raise ModelError("a mask and a box are given: one of them says where")
    if box is not None:
        return box_mask(box_px(box, side, side), side, side, feather * side)
    if mask is None:
        return None
    for item, one in enumerate(mask):
        if message := fault(one):
            raise BadMaskError(message, item)
    try:
        found = fitted(mask, side, side)
    except ModelError as error:
        raise BadMaskError(str(error), 0) from error
    return feathered(found.clamp(0, 1), feather * side)


def box_mask(box: Box, height: int, width: int, feather_px: float = 0.0) -> Tensor:
    """A box as a mask [1, 1, H, W]; pixels at its edges count by the share that it covers."""
    columns = _covered(box.x, box.x + box.width, width)
    rows = _covered(box.y, box.y + box.height, height)
    return feathered((rows[:, None] * columns)[None, None], feather_px)


def polygon_mask(
    points: Sequence[tuple[float, float]], height: int, width: int, feather_px: float = 0.0
) -> Tensor:
    """The inside of a polygon of points (x, y) in pixels, [1, 1, H, W], edges antialiased.

    Raises: ModelError with fewer than three points, or when nothing of it lies in the picture.
    """
    from PIL import Image, ImageDraw

    if len(points) < 3 or not all(math.isfinite(n) for point in points for n in point):
        raise ModelError(f"a polygon of {len(points)} points: must be three or more, all finite")
    fine = Image.new("L", (width * _FINE, height * _FINE))
    # A pixel of the fine picture is painted when the polygon holds its centre.
    corners = [(x * _FINE - 0.5, y * _FINE - 0.5) for x, y in points]
    ImageDraw.Draw(fine).polygon(corners, fill=255)
    data = torch.frombuffer(bytearray(fine.tobytes()), dtype=torch.uint8)
    mask = F.avg_pool2d(data.reshape(1, 1, *fine.size[::-1]).float() / 255, _FINE)
    if not bool(mask.any()):
        raise ModelError(f"nothing of the polygon lies in the picture of {width} x {height} px")
    return feathered(mask, feather_px)


def read_mask(path: str) -> Tensor:
    """The brightness of a picture file, [1, 1, H, W] in 0..1; what is transparent counts as black.

    Raises: ModelError if it cannot be read.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            deep = picture.mode.startswith("I")
            grey = picture if deep else _opaque(picture)
            data = torch.from_numpy(np.array(grey, dtype=np.float32))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ModelError(f"{path}: cannot be read as a mask ({error})") from error
    return (data / (65535 if deep else 255)).clamp(0, 1)[None, None]


def _opaque(picture: Picture) -> Picture:
    """A picture in grey, over black where it is transparent."""
    from PIL import Image

    above = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", above.size, "black"), above).convert("L")


def feathered(mask: Tensor, radius_px: float) -> Tensor:
    """A mask [N, 1, H, W] with soft edges: a raised cosine that reaches `radius_px` both ways.

    Where the mask is 0 or 1 for that far around, it stays so exactly.
    """
    reach = math.ceil(radius_px) - 1
    if reach < 1:
        return mask
    offsets = torch.arange(-reach, reach + 1, device=mask.device, dtype=mask.dtype)
    line = 1 + torch.cos(math.pi * offsets / radius_px)
    line = line / line.sum()
    around = F.pad(mask, (reach,) * 4, mode="replicate")
    soft = F.conv2d(F.conv2d(around, line[None, None, :, None]), line[None, None, None, :])
    least = -grown(-mask, reach)
    return torch.where(least >= 1, torch.ones_like(soft), soft.clamp(0, 1))


def grown(mask: Tensor, radius_px: int) -> Tensor:
    """The largest value of a mask within so many pixels, both ways along both axes."""
    if radius_px < 1:
        return mask
    side = 2 * radius_px + 1
    tall = F.max_pool2d(mask, (side, 1), 1, (radius_px, 0))
    return F.max_pool2d(tall, (1, side), 1, (0, radius_px))


def fitted(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask [N, 1, H, W] at another size: averaged where it shrinks, smooth where it grows.

    Raises: ModelError if its shape is another one.
    """
    if mask.shape[-2:] == (height, width):
        return mask
    have_height, have_width = mask.shape[-2:]
    if abs(have_height * width - have_width * height) > max(have_height, have_width):
        raise ModelError(
            f"the mask has {have_width} x {have_height} px, the picture {width} x {height}: "
            "their shapes differ"
        )
    if have_height > height:
        return F.interpolate(mask, (height, width), mode="area")
    return F.interpolate(mask, (height, width), mode="bilinear").clamp(0, 1)


def fault(mask: Tensor) -> str:
    """What makes one item's mask [1, H, W] useless, or ""."""
    if not bool(torch.isfinite(mask).all()):
        return "the mask has numbers that are not finite"
    low, high = float(mask.min()), float(mask.max())
    if low < -1e-4 or high > 1 + 1e-4:
        return f"the mask has values from {low:g} to {high:g}: must be 0 to 1"
    return "" if high > 0 else "the mask is empty: nothing in it is above 0"


def confined(plain: Tensor, drawn: Tensor, mask: Tensor, margin_px: int, protect: bool) -> Confined:
    """A picture drawn anew inside a mask, beside the plain one, and its leak.

    Outside is what lies farther than `margin_px` from anything the mask holds. With `protect` the
    plain picture is restored there bit for bit, and the margin leads over softly; without a margin
    the mask's own soft edge does.
    Shapes: plain, drawn [N, 3, H, W]; mask [1 or N, 1, H, W].
    """
    held = (mask > 0).to(plain.dtype)
    if protect:
        half = margin_px // 2
        cover = feathered(grown(held, half), margin_px - half) if margin_px else mask
        drawn = torch.lerp(plain, drawn, cover.expand_as(plain))
    outside = (grown(held, margin_px) == 0).expand_as(plain)
    change = torch.where(outside, (drawn - plain).abs() * 127.5, torch.zeros_like(plain))
    places = outside.flatten(1).sum(1).clamp_min(1)
    return Confined(drawn, change.flatten(1).amax(1), change.flatten(1).sum(1) / places)


def _covered(start: float, end: float, size: int) -> Tensor:
    """The share of each pixel along an axis that lies between two places."""
    left = torch.arange(size, dtype=torch.float64)
    return ((left + 1).clamp(max=end) - left.clamp(min=start)).clamp(0, 1).float()
