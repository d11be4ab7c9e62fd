"""A folder of photos as people really have them: odd, broken, hostile."""

import struct
import zlib
from pathlib import Path

from PIL import Image

#: What becomes of each file in `align_face`: "done" or the reason it is quarantined with.
FATES = {
    "face.jpg": "done",
    "turned by EXIF.jpg": "done",
    "cmyk.jpg": "done",
    "palette.png": "done",
    "alpha.png": "done",
    "animated.gif": "done",
    "Ünïcode 名前.png": "done",
    "sixteen bit.png": "no_face",
    "no face.jpg": "no_face",
    "one pixel.png": "too_small",
    "truncated.jpg": "decode",
    "empty.jpg": "decode",
    "text.jpg": "decode",
    "broken link.jpg": "decode",
    "bomb.png": "bad_input",
    "two faces.png": "many_faces",
}


def fill_zoo(folder: Path, face: Path, faceless: Path) -> None:
    """Write every kind of file into a folder, from a photo with a face and one without."""
    portrait = Image.open(face).convert("RGB")
    portrait.save(folder / "face.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait.rotate(90, expand=True).save(folder / "turned by EXIF.jpg", exif=exif)
    portrait.convert("CMYK").save(folder / "cmyk.jpg")
    portrait.quantize(128).save(folder / "palette.png")
    portrait.convert("RGBA").save(folder / "alpha.png")
    frames = [portrait.resize((400, 400 * portrait.height // portrait.width))] * 2
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    portrait.save(folder / "Ünïcode 名前.png")
    grey = Image.new("I;16", (90, 80), 40_000)
    grey.save(folder / "sixteen bit.png")
    Image.open(faceless).convert("RGB").save(folder / "no face.jpg")
    portrait.resize((1, 1)).save(folder / "one pixel.png")
    whole = (folder / "face.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("This is no picture.")
    (folder / "broken link.jpg").symlink_to("nowhere.jpg")
    (folder / "bomb.png").write_bytes(_bomb(60_000, 60_000))
    pair = Image.new("RGB", (portrait.width * 2, portrait.height))
    pair.paste(portrait, (0, 0))
    pair.paste(portrait, (portrait.width, 0))
    pair.save(folder / "two faces.png")


def _bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be enormous."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")
