"""Plain picture work: scaling, cutting, laying over, and labelled sheets of pictures."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import ItemError, OpError, ShapeError
from engine.op import Caption, Members, Range, op
from engine.values import Film, Image, Mask

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from torch import Tensor

Anchor = Literal["center", "top", "bottom", "left", "right"]
Pixels = Annotated[int, Range(1, 65536)]
Margin = Annotated[int, Range(0, 65536)]
#: What a sheet is told when its pictures are listed one by one instead of gathered.
LISTED = Members((), ())


def _draft(settings: Mapping[str, Any]) -> int:
    """The least side of a photo: twice what is made of it, so that the difference does not show."""
    return 2 * max(int(settings.get(name, 0)) for name in ("size", "tile_px", "height_px"))


@op(version=2, batch=8, cache=False, draft=_draft)
def resize(
    image: Image, *, size: Pixels = 256, fit: Literal["longest", "shortest", "exact"] = "longest"
) -> Image:
    """Scale a picture so that its longest (or shortest) side, or both sides, become `size`.

    Shapes: image [N, 3, H, W] -> image [N, 3, h, w].  Units: size px.
    Raises: nothing.  Source: own; bicubic, without aliasing.
    """
    height, width = image.data.shape[2:]
    if fit == "exact":
        return Image(scaled(image.data, size, size))
    side = max(height, width) if fit == "longest" else min(height, width)
    shape = (max(1, round(height * size / side)), max(1, round(width * size / side)))
    return Image(scaled(image.data, *shape))


@op(version=1, batch=8, cache=False)
def crop(image: Image, *, width: Pixels, height: Pixels, anchor: Anchor = "center") -> Image:
    """Cut a window out of a picture, from its centre or against one side.

    Shapes: image [N, 3, H, W] -> image [N, 3, height, width].  Units: px.
    Raises: ItemError too_small if the window does not fit.  Source: own.
    """
    have_height, have_width = image.data.shape[2:]
    if height > have_height or width > have_width:
        message = f"the picture has {have_width}x{have_height} px, the crop {width}x{height}"
        raise ItemError("too_small", message)
    left = {"left": 0, "right": have_width - width}.get(anchor, (have_width - width) // 2)
    top = {"top": 0, "bottom": have_height - height}.get(anchor, (have_height - height) // 2)
    return Image(image.data[:, :, top : top + height, left : left + width].contiguous())


@op(version=1, batch=8, cache=False)
def pad(
    image: Image,
    *,
    left: Margin = 0,
    right: Margin = 0,
    top: Margin = 0,
    bottom: Margin = 0,
    color: str = "white",
) -> Image:
    """Add a margin of one colour around a picture.

    Shapes: image [N, 3, H, W] -> image [N, 3, top + H + bottom, left + W + right].
    Units: margins px; color a name or "#rrggbb".  Raises: OpError for an unknown colour.
    Source: own.
    """
    items, _, height, width = image.data.shape
    canvas = paper(color, top + height + bottom, left + width + right).repeat(items, 1, 1, 1)
    canvas[:, :, top : top + height, left : left + width] = image.data
    return Image(canvas)


@op(version=1, batch=8, cache=False)
def rotate(image: Image, *, degrees: float, color: str = "white") -> Image:
    """Turn a picture about its middle, counterclockwise, in a frame that stays as it is.

    What comes in from outside is of one colour. Quarter turns of square pictures, and half turns of
    all, only move pixels; any others draw them anew.

    Shapes: image [N, 3, H, W] -> the same.
    Units: degrees, negative clockwise; color a name or "#rrggbb".
    Raises: OpError for an unknown colour, or degrees that are not finite.
    Source: own; bicubic.
    """
    import torch
    import torch.nn.functional as F

    if not math.isfinite(degrees):
        raise OpError(f"degrees {degrees}: must be a finite number")
    items, _, height, width = image.data.shape
    ground = paper(color, height, width).to(image.data)
    if degrees % 180 == 0 or (degrees % 90 == 0 and height == width):
        turned = torch.rot90(image.data, round(degrees / 90) % 4, (2, 3))
        return Image(turned.contiguous())
    angle = math.radians(degrees)
    x, y = (torch.arange(n) + 0.5 - n / 2 for n in (width, height))
    across = (math.cos(angle) * x - math.sin(angle) * y[:, None]) * (2 / width)
    down = (math.sin(angle) * x + math.cos(angle) * y[:, None]) * (2 / height)
    where = torch.stack([across, down], 2).repeat(items, 1, 1, 1).to(image.data)
    look = F.grid_sample(image.data, where, "bicubic", "border", align_corners=False)
    inside = F.grid_sample(torch.ones_like(image.data), where, align_corners=False)
    return Image(torch.lerp(ground.expand_as(look), look.clamp(-1, 1), inside))


@op(version=1, batch=8, cache=False)
def composite(
    base: Image,
    over: Image,
    mask: Mask | None = None,
    *,
    opacity: Annotated[float, Range(0, 1)] = 1.0,
) -> Image:
    """Lay one picture over another, where the mask says and as opaque as wanted.

    Shapes: base, over [N, 3, H, W]; mask [N, 1, H, W], 1 shows `over` -> image [N, 3, H, W].
    Units: opacity 0..1.  Raises: ShapeError if the sizes differ.  Source: own.
    """
    import torch

    sizes = {tuple(v.data.shape[2:]) for v in (base, over, mask) if v is not None}
    if len(sizes) > 1:
        raise ShapeError(f"base, over and mask must have one size, not {sorted(sizes)}")
    weight = torch.full_like(base.data[:, :1], opacity)
    if mask is not None:
        weight = weight * mask.data
    return Image(torch.lerp(base.data, over.data, weight.expand_as(base.data)))


@op(version=2, draft=_draft)
def make_grid(
    images: Sequence[Image],
    *,
    caption: Caption = Caption(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    members: Members = LISTED,
    tile_px: Annotated[int, Range(16, 4096)] = 160,
    columns: Annotated[int, Range(0, 1000)] = 0,
    title: str = "",
    background: str = "white",
    gap_px: Margin = 8,
) -> Image:
    """Lay pictures out as a labelled sheet.

    Two gathered axes give rows and columns, with blanks where a picture is missing; one gives
    `columns` per row (0: about as many rows as columns). Each picture is scaled to fit a tile.

    Shapes: images [1, 3, h, w] each, of any size -> image [1, 3, H, W].
    Units: tile_px, gap_px px.  Raises: OpError for an unknown colour.  Source: own.
    """
    tiles = [fitted(image.data, tile_px) for image in images]
    places = _places(members, len(tiles), columns)
    heights, widths = _extents(tiles, places)
    lines = _line_px(tile_px) if any(caption) else 0
    head = _line_px(tile_px) * 2 if title else gap_px
    tops = _starts([height + lines for height in heights], head, gap_px)
    lefts = _starts(widths, gap_px, gap_px)
    sheet = paper(background, tops[-1], lefts[-1])
    for tile, (row, column) in zip(tiles, places, strict=True):
        top = tops[row] + (heights[row] - tile.shape[2]) // 2
        left = lefts[column] + (widths[column] - tile.shape[3]) // 2
        sheet[:, :, top : top + tile.shape[2], left : left + tile.shape[3]] = tile
    if not lines and not title:
        return Image(sheet)
    texts = [
        (lefts[c] + widths[c] / 2, tops[r] + heights[r] + lines * 0.5, widths[c], text)
        for (r, c), text in zip(places, caption or [""] * len(tiles), strict=True)
    ]
    picture = to_pillow(sheet)
    if title:
        write(picture, (lefts[-1] / 2, head / 2, lefts[-1], title), head * 0.5)
    for text in texts:
        write(picture, text, lines * 0.68)
    return Image(from_pillow(picture))


@op(version=2, draft=_draft)
def make_strip(
    images: Sequence[Image],
    *,
    caption: Caption = Caption(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    labels: list[str] = [],  # noqa: B006 (read, never changed)
    height_px: Annotated[int, Range(16, 4096)] = 160,
    direction: Literal["horizontal", "vertical"] = "horizontal",
    background: str = "white",
    gap_px: Margin = 8,
) -> Image:
    """Lay pictures side by side (or one below the other), each with its label.

    `labels` names them in order; `caption` makes the labels from a template instead.

    Shapes: images [1, 3, h, w] each -> image [1, 3, H, W].
    Units: height_px, the height of each picture (width when vertical), and gap_px, px.
    Raises: OpError if there are more labels than pictures.  Source: own.
    """
    import torch

    texts = list(labels) or list(caption)
    if len(texts) > len(images):
        raise OpError(f"{len(texts)} labels for {len(images)} pictures")
    texts += [""] * (len(images) - len(texts))
    across = direction == "horizontal"
    line = _line_px(height_px) if any(texts) else 0
    pieces = []
    for image, text in zip(images, texts, strict=True):
        height, width = image.data.shape[2:]
        scale = height_px / (height if across else width)
        tile = scaled(image.data, max(1, round(height * scale)), max(1, round(width * scale)))
        pieces.append(_labelled(tile, text, line, background))
    extent = max(piece.shape[2 if across else 3] for piece in pieces)
    parts: list[Tensor] = []
    for piece in pieces:
        shape = (extent, piece.shape[3]) if across else (piece.shape[2], extent)
        frame = paper(background, *shape)
        frame[:, :, : piece.shape[2], : piece.shape[3]] = piece
        parts += [frame, paper(background, *((extent, gap_px) if across else (gap_px, extent)))]
    return Image(torch.cat(parts[:-1], dim=3 if across else 2))


@op(version=1)
def make_film(
    images: Sequence[Image],
    *,
    fps: Annotated[float, Range(0.1, 50)] = 12.0,
    back_and_forth: bool = False,
) -> Film:
    """Make pictures, in their order, the frames of a film that is shown over and over.

    `back_and_forth` appends the way back, without the last frame and the first again.

    Shapes: images [1, 3, H, W] each -> film [1, T, 3, H, W], one frame per picture, or twice as
    many less two.  Units: fps frames per second.
    Raises: OpError naming the first picture of another size.  Source: own.
    """
    import torch

    height, width = images[0].data.shape[2:]
    for number, image in enumerate(images, 1):
        high, wide = image.data.shape[2:]
        if (high, wide) != (height, width):
            raise OpError(
                f"picture {number} of {len(images)} is {wide}x{high} px, the first "
                f"{width}x{height}: frames have one size (resize can give it)"
            )
    frames = [image.data for image in images]
    if back_and_forth:
        frames += frames[-2:0:-1]
    return Film(torch.stack(frames, dim=1), float(fps))


def scaled(data: "Tensor", height: int, width: int) -> "Tensor":
    """Pictures [N, 3, H, W] in another size; the same tensor when the size is the same."""
    import torch.nn.functional as F

    if tuple(data.shape[2:]) == (height, width):
        return data
    size = (height, width)
    return F.interpolate(data, size=size, mode="bicubic", antialias=True).clamp(-1, 1)


def fitted(data: "Tensor", side: int) -> "Tensor":
    """Pictures scaled so that the longest side is `side`."""
    scale = side / max(data.shape[2:])
    return scaled(data, *(max(1, round(length * scale)) for length in data.shape[2:]))


def paper(color: str, height: int, width: int) -> "Tensor":
    """A picture [1, 3, height, width] of one colour."""
    import torch
    from PIL import ImageColor

    try:
        rgb = ImageColor.getrgb(color)[:3]
    except ValueError as error:
        raise OpError(f"color '{color}' is unknown: give a name or '#rrggbb'") from error
    values = torch.tensor(rgb, dtype=torch.float32) / 127.5 - 1
    return values.reshape(1, 3, 1, 1).repeat(1, 1, height, width)


def to_pillow(data: "Tensor") -> "Pillow.Image":
    """One picture [1, 3, H, W] as Pillow has it."""
    import torch
    from PIL import Image as Pillow

    pixels = ((data[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Pillow.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def from_pillow(picture: "Pillow.Image") -> "Tensor":
    """A Pillow picture as [1, 3, H, W]."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.array(picture.convert("RGB")))
    return (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


def write(picture: "Pillow.Image", text: tuple[float, float, float, str], size_px: float) -> None:
    """Write a line of text (centre x, centre y, room, words) in ink that shows on the paper."""
    from PIL import ImageDraw, ImageFont

    x, y, room, words = text
    font = ImageFont.load_default(max(8.0, size_px))
    while words and font.getlength(words) > room:
        words = words[:-2] + "…" if len(words) > 2 else ""
    red, green, blue = picture.getpixel((0, 0))  # type: ignore[misc]
    dark = 0.3 * red + 0.59 * green + 0.11 * blue > 127
    ink = (45, 45, 50) if dark else (225, 225, 228)
    ImageDraw.Draw(picture).text((x, y), words, fill=ink, font=font, anchor="mm")


def _labelled(tile: "Tensor", text: str, line: int, background: str) -> "Tensor":
    """A tile with a line of text below it."""
    import torch

    if not line:
        return tile
    label = to_pillow(paper(background, line, tile.shape[3]))
    write(label, (tile.shape[3] / 2, line / 2, tile.shape[3], text), line * 0.68)
    return torch.cat([tile, from_pillow(label)], dim=2)


def _line_px(tile_px: int) -> int:
    """The height of a line of text below a tile."""
    return min(24, max(14, round(tile_px * 0.13)))


def _places(members: Members, number: int, columns: int) -> list[tuple[int, int]]:
    """Row and column of each picture."""
    if len(members.shape) == 2 and not columns:
        return [(index[0], index[1]) for index in members.index]
    if len(members.shape) > 2 and not columns:
        wide = members.shape[-1]
        return [
            (_flat(index[:-1], members.shape[:-1]), index[-1] % wide) for index in members.index
        ]
    wide = columns or max(1, round(number**0.5 + 0.49))
    return [divmod(i, wide) for i in range(number)]


def _flat(index: Sequence[int], shape: Sequence[int]) -> int:
    """The row-major number of a place in a grid."""
    number = 0
    for i, length in zip(index, shape, strict=True):
        number = number * length + i
    return number


def _extents(
    tiles: Sequence["Tensor"], places: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """The height of each row and the width of each column."""
    heights = [0] * (1 + max(row for row, _ in places))
    widths = [0] * (1 + max(column for _, column in places))
    for tile, (row, column) in zip(tiles, places, strict=True):
        heights[row] = max(heights[row], tile.shape[2])
        widths[column] = max(widths[column], tile.shape[3])
    return heights, widths


def _starts(lengths: Sequence[int], first: int, gap: int) -> list[int]:
    """Where each row or column begins, and at last the whole extent."""
    starts = [first]
    for length in lengths:
        starts.append(starts[-1] + length + gap)
    return starts
