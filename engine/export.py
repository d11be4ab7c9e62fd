"""Finished values -> named files: encoded, stamped with their provenance, renamed into place."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.codecs import encode
from engine.errors import ItemError
from engine.jobs import Export, Written
from engine.provenance import save_options, with_metadata
from engine.staging import write_whole
from engine.streams import big_tiff, png
from engine.values import (
    Film,
    Image,
    Mask,
    Network,
    Value,
    tensor_fields,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

    from engine.streams import Rows

#: Where unfinished output files lie, below the output root.
STAGING = ".run/staging"
#: Pillow's name and fixed options of each picture format, so that bytes depend on nothing else.
_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {"compress_level": 6}),
    "jpg": ("JPEG", {"subsampling": 0, "optimize": False}),
    "jpeg": ("JPEG", {"subsampling": 0, "optimize": False}),
    "webp": ("WEBP", {"method": 4}),
    "gif": ("GIF", {"optimize": False}),
    "tiff": ("TIFF", {"big_tiff": True}),
}
#: Formats that hold films, and the milliseconds in which each counts how long a frame is shown.
_TICKS_MS = {"webp": 1, "gif": 10}
#: Pillow's names of the formats that have a quality.
_LOSSY = ("JPEG", "WEBP")
#: Formats whose bytes can be made row by row, and from how many pixels on they are.
_STREAMS = {"png": png, "tiff": big_tiff}
_STREAM_PX = 8 << 20
#: The longest side, in pixels, that a format can say; the others have room for all.
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}
#: Pixels turned into bytes at a time: what a large picture needs beside its 8-bit form.
_BAND_PX = 1 << 20


def export_value(value: Value, export: Export, out_root: str) -> Written:
    """Write one item to its file: all of it or nothing, under a name that readers never see half.

    Raises: ItemError when the format cannot hold the value or the path leaves the output root;
    OSError when the disk refuses.
    """
    make = file_parts(value, export)
    path, root = Path(export.path), Path(out_root)
    check_inside(path, root)
    digest = hashlib.sha256()

    def told() -> Iterator[bytes]:
        nonlocal digest
        digest = hashlib.sha256()
        for part in make():
            digest.update(part)
            yield part

    write_whole(path, told, root / STAGING)
    stat = path.stat()
    return Written(
        output=export.output,
        path=export.path,
        item=export.item,
        key=export.key,
        digest=digest.hexdigest(),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )


def encode_file(value: Value, export: Export) -> bytes:
    """Make the bytes of an output file.

    Raises: ItemError when the format cannot hold the value.
    """
    return b"".join(file_parts(value, export)())


def file_parts(value: Value, export: Export) -> Callable[[], Iterable[bytes]]:
    """Make what makes the bytes of an output file: row by row where a picture is large.

    Raises: ItemError when the format cannot hold the value.
    """
    kind = export.format.lower()
    if kind in _STREAMS and isinstance(value, Image | Mask):
        channels, height, width = value.data.shape[1:]
        if height * width > _STREAM_PX:
            size = (height, width, channels)
            return lambda: _STREAMS[kind](_bands(value), *size, export.provenance)
    if kind in _PICTURES:
        picture = _picture(value, kind, export)
        return lambda: (picture,)
    if kind == "safetensors":
        content = _safetensors(value, export)
        return lambda: (content,)
    allowed = ", ".join([*_PICTURES, "safetensors"])
    raise ItemError("bad_input", f"no such output format '{kind}' (allowed: {allowed})")


def check_inside(path: Path, root: Path) -> None:
    """Refuse a path outside the root, whatever links lie on the way.

    Raises: ItemError.
    """
    standing = path.parent
    while not standing.exists():
        standing = standing.parent
    if not standing.resolve().is_relative_to(root.resolve()):
        raise ItemError("bad_input", f"{path} leaves the output folder {root}")


def pixels(data: "Tensor", low: float = -1.0, high: float = 1.0) -> "Tensor":
    """Make 8-bit pixels of one item. Shapes: data [1, C, H, W] -> uint8 [H, W, C]."""
    import torch

    scaled = (data[0].float() - low) * (255.0 / (high - low))
    return scaled.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu()


def _picture(value: Value, kind: str, export: Export) -> bytes:
    pictures: list[Image | Mask]
    if isinstance(value, Film) and kind in _TICKS_MS:
        pictures = [Image(frame) for frame in value.data.unbind(1)]
        remedy, timing = "resize its frames", _timing(value, kind)
    elif isinstance(value, Image | Mask) and kind != "gif":
        pictures, remedy, timing = [value], "write it as .png or .tif", {}
    else:
        raise _unfit(value, export)
    name, options = _PICTURES[kind]
    height, width = pictures[0].data.shape[2:]
    longest = _LONGEST.get(name, max(height, width))
    if max(height, width) > longest:
        message = f"{width} x {height} px are too many for .{export.format} (at most {longest}"
        raise ItemError("bad_input", f"{message} a side): {remedy}")
    if name in _LOSSY:
        options = {**options, "quality": export.quality}
    first, *others = map(_pillow, pictures)
    if timing:
        options = {**options, **timing, "append_images": others}
    file = io.BytesIO()
    try:
        first.save(file, name, **options, **save_options(name, export.provenance))
    except OverflowError as error:
        if kind != "gif":
            raise
        message = "a frame, with those after it that are alike, is shown for longer than 655 s"
        raise ItemError("bad_input", f"{message}, the most of .gif: write it as .webp") from error
    return file.getvalue()


def _timing(film: Film, kind: str) -> dict[str, Any]:
    """Pillow's options of a film: each frame is shown for whole ticks, together for its time."""
    tick = _TICKS_MS[kind]
    ends = [round(1000 * i / film.fps / tick) for i in range(film.data.shape[1] + 1)]
    shown = [tick * max(1, end - start) for start, end in pairwise(ends)]
    return {"save_all": True, "loop": 0, "duration": shown}


def _pillow(value: Image | Mask) -> "Picture":
    """An item as Pillow has it, made band by band."""
    from PIL import Image as Pillow

    height, width = value.data.shape[2:]
    kind = "RGB" if isinstance(value, Image) else "L"
    picture, top = Pillow.new(kind, (width, height)), 0
    for band in _bands(value):
        picture.paste(Pillow.fromarray(band if kind == "RGB" else band[..., 0]), (0, top))
        top += len(band)
    return picture


def _bands(value: Image | Mask) -> Iterator["Rows"]:
    """The rows of an item as bytes, some at a time. Shapes: uint8 [k, width, channels]."""
    height, width = value.data.shape[2:]
    rows = max(1, _BAND_PX // max(1, width))
    for top in range(0, height, rows):
        low = -1.0 if isinstance(value, Image) else 0.0
        yield pixels(value.data[:, :, top : top + rows], low).numpy()


def _safetensors(value: Value, export: Export) -> bytes:
    """The value as the codecs write it, so that a later run can read the file as a value."""
    kind: type = type(value)
    if isinstance(value, Network) and value.delta:  # a weight file, as `models:` takes it
        return with_metadata(value.delta, export.provenance)
    if not tensor_fields(kind):
        raise _unfit(value, export)
    return with_metadata(encode(value), export.provenance)


def _unfit(value: Value, export: Export) -> ItemError:
    kind = type(value).__name__
    return ItemError("bad_input", f"a {kind} cannot be written as .{export.format}")
