"""Small embedded pictures of files, for the report."""

import base64
import io
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.page import Shot

if TYPE_CHECKING:
    from PIL import Image

#: Longest side of an embedded picture; a contact sheet is there to be read, so it is larger.
SIZE_PX, WIDE_PX = 420, 1600
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif"})
#: A film up to this size is embedded as it is, and plays; of a larger one the first frame is.
FILM_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to make a small picture of; a featured one is shown large, a film may play."""

    path: Path
    label: str
    href: str = ""
    featured: bool = False
    plays: bool = False


def take_shots(wanted: Sequence[Wanted]) -> list[Shot | None]:
    """Make small pictures of files; None for one that cannot be read."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(take_shot, wanted))


def take_shot(wanted: Wanted) -> Shot | None:
    """Make the small picture of one file; None when it cannot be read."""
    from PIL import ExifTags, Image, ImageOps

    size = WIDE_PX if wanted.featured else SIZE_PX
    try:
        with warnings.catch_warnings(), Image.open(wanted.path) as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            turned = file.getexif().get(ExifTags.Base.Orientation, 1) > 4
            full = (file.height, file.width) if turned else (file.width, file.height)
            file.draft("RGB", (size, size))
            picture = ImageOps.exif_transpose(file)
            picture.thumbnail((size, size), reducing_gap=2.0)
            picture = _flat(picture)
            film = wanted.plays and bool(getattr(file, "is_animated", False))
        whole = film and wanted.path.stat().st_size <= FILM_BYTES
        kept = wanted.path.read_bytes() if whole else b""
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None
    data = io.BytesIO(kept)
    if not kept:
        picture.save(data, "WEBP", quality=82, method=3)
    uri = data_uri(data.getvalue(), wanted.path.suffix[1:].lower() if kept else "webp")
    return Shot(wanted.label, uri, *picture.size, wanted.href, wanted.featured, full)


def _flat(picture: "Image.Image") -> "Image.Image":
    """Make an 8-bit RGB picture, transparency over white."""
    from PIL import Image

    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def data_uri(data: bytes, kind: str = "jpeg") -> str:
    """Write a picture's bytes as a data URI; an empty text for none."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}" if data else ""
