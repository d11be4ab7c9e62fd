"""A picture file -> an Image: whatever its mode, depth, profile or orientation; or a typed refusal.

Alpha is laid over white, animations give their first frame, colours become sRGB.
"""

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ItemError
from engine.values import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

#: Pictures with more pixels, or files with more bytes, are refused before they are decoded.
MOST_PIXELS = 150_000_000
MOST_BYTES = 2_000_000_000
_LIMIT = f"{MOST_PIXELS // 1_000_000} million pixels"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def read_photo(path: str | os.PathLike[str], expected_digest: str = "", least_px: int = 0) -> Image:
    """Decode one photo. Shapes: data [1, 3, H, W].

    With `expected_digest` the content must still have that sha256. With `least_px` a JPEG whose
    sides stay at least as long may come at a half, a quarter or an eighth of its size, which takes
    a fraction of the time; H and W are then exactly that part of the photo's.
    Raises: ItemError("decode") when it cannot be decoded, ItemError("bad_input") when it is too
    large; ItemError("op_error"), which is not remembered, when it changed since it was digested.
    """
    import torch

    path = Path(path)
    content = _read(path, expected_digest)
    pixels = _decode(content, path.name, least_px)
    data = torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8)
    data = data.reshape(1, pixels.height, pixels.width, 3).permute(0, 3, 1, 2)
    # Moved as bytes, and in place after that: fresh pages cost more than the arithmetic.
    return Image(data.contiguous().float().div_(127.5).sub_(1.0))


def _read(path: Path, expected_digest: str) -> bytes:
    """Read a file. One that was there when it was digested may be there again: no verdict on it."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ItemError("bad_input", f"{path.name} has more than {MOST_BYTES // 10**9} GB")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ItemError("op_error" if expected_digest else "decode", unreadable(path, error)) from (
            error
        )
    if expected_digest and hashlib.sha256(content).hexdigest() != expected_digest:
        raise ItemError("op_error", f"{path.name} changed while the run was on; run again")
    if not content:
        raise ItemError("decode", f"{path.name} is empty")
    return content


def unreadable(path: str | os.PathLike[str], error: Exception) -> str:
    """Say why a file could not be read."""
    path = Path(path)
    if isinstance(error, FileNotFoundError):
        return f"{path.name} {'is a broken link' if path.is_symlink() else 'is gone'}"
    return f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}"


def _decode(content: bytes, name: str, least_px: int) -> "Picture":
    """Decode to 8-bit sRGB as a person would see it."""
    import PIL.Image
    from PIL import ImageOps

    _allow_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF and bombs are judged here, not warned about
            with PIL.Image.open(io.BytesIO(content)) as opened:
                _check_size(opened, name)
                if least_px and opened.format == "JPEG":
                    opened.draft(None, _draft_size(opened.size, least_px))
                opened.load()
                profile = opened.info.get("icc_profile")
                upright = ImageOps.exif_transpose(opened)
                return _to_rgb(upright, profile, name)
    except ItemError:
        raise
    except PIL.Image.DecompressionBombError:
        raise ItemError("bad_input", f"{name} has more than {_LIMIT}") from None
    except PIL.UnidentifiedImageError:
        raise _unknown_format(content, name) from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of foreign bytes raise nearly anything
        raise ItemError("decode", f"{name} cannot be decoded: {error}") from error


def _unknown_format(content: bytes, name: str) -> ItemError:
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        # Not "decode": that would be remembered after the package is there.
        message = f"{name} is a HEIC picture: pip install 'latentloom[heic]' to read these"
        return ItemError("op_error", message)
    return ItemError("decode", f"{name} is not a picture in a known format")


def _check_size(picture: "Picture", name: str) -> None:
    if picture.width * picture.height > MOST_PIXELS:
        size = f"{picture.width} x {picture.height}"
        raise ItemError("bad_input", f"{name} has {size} pixels, more than {_LIMIT}")


def _draft_size(size: tuple[int, int], least_px: int) -> tuple[int, int]:
    """The smallest size that a JPEG can be decoded at: a whole part of both sides."""
    width, height = size
    for part in (8, 4, 2):
        if width % part == height % part == 0 and min(size) // part >= least_px:
            return width // part, height // part
    return size


def _to_rgb(picture: "Picture", profile: bytes | None, name: str) -> "Picture":
    """Convert any mode to sRGB; transparent parts show white."""
    import PIL.Image

    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _to_eight_bits(picture, name)
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    if profile:
        picture = _from_profile(picture.convert("RGB") if alpha else picture, profile)
    picture = picture.convert("RGB")
    if alpha is None:
        return picture
    white = PIL.Image.new("RGB", picture.size, "white")
    return PIL.Image.composite(picture, white, alpha)


def _to_eight_bits(picture: "Picture", name: str) -> "Picture":
    """Scale 16-bit or floating-point grey to 8 bits."""
    import numpy
    import PIL.Image

    values = numpy.asarray(picture).astype("float64")
    top = 1.0 if picture.mode == "F" else 65535.0
    if not 0 <= values.min() <= values.max() <= top:  # also when some are not numbers
        raise ItemError(
            "bad_input", f"{name} has values outside of 0 to {top:g}: their scale is unknown"
        )
    return PIL.Image.fromarray((values * (255.0 / top)).round().astype("uint8"))


def _from_profile(picture: "Picture", profile: bytes) -> "Picture":
    """Convert from an embedded colour profile to sRGB; a broken profile is ignored."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in (ImageCms.getProfileDescription(source) or "").lower():
            return picture
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    return converted if converted is not None else picture


def _allow_heif() -> None:
    """Let Pillow read HEIC files when pi-heif is installed."""
    import importlib.util

    if importlib.util.find_spec("pi_heif") is not None:
        import pi_heif

        pi_heif.register_heif_opener()
