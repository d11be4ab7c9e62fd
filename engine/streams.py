"""Large pictures as PNG and BigTIFF files, row by row: no second copy of them is ever made.

Both formats want whole rows from top to bottom. The bytes depend on the pixels and the provenance
alone, not on the size of the bands they come in.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.provenance import KEYWORD, XMP_TAG, xmp_packet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows: TypeAlias = "NDArray[np.uint8]"  # [rows, width, 1 or 3]

LEVEL = 6
#: Rows of one strip of a TIFF: what a reader has to take at once.
STRIP_BYTES = 1 << 20
_SHORT, _LONG, _BYTE, _LONG8 = 3, 4, 1, 16
_FORMATS = {_SHORT: "H", _LONG: "I", _BYTE: "B", _LONG8: "Q"}


def png(
    rows: "Iterator[Rows]", height: int, width: int, channels: int, text: str
) -> Iterator[bytes]:
    """The parts of a PNG file with a text of provenance.

    Shapes: rows uint8 [k, width, channels] from top to bottom, channels 1 or 3.
    Source: ISO/IEC 15948; each row has the filter whose bytes are smallest in sum.
    """
    yield b"\x89PNG\r\n\x1a\n"
    colour = {1: 0, 3: 2}[channels]
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    if text:
        yield _chunk(b"iTXt", KEYWORD.encode() + b"\0\0\0\0\0" + text.encode())
    pack = zlib.compressobj(LEVEL)
    above: Rows | None = None
    for band in rows:
        for row in band:
            line, above = _filtered(row, above), row
            if packed := pack.compress(line):
                yield _chunk(b"IDAT", packed)
    yield _chunk(b"IDAT", pack.flush())
    yield _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(kind))
    return b"".join([struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)])


def _filtered(row: "Rows", above: "Rows | None") -> bytes:
    """One row [width, channels] after the filter that suits it, with that filter's number."""
    import numpy as np

    up = np.zeros_like(row) if above is None else above
    left, corner = np.zeros_like(row), np.zeros_like(row)
    left[1:], corner[1:] = row[:-1], up[:-1]
    mean = ((left.astype(np.uint16) + up) // 2).astype(np.uint8)
    # All of it modulo 256, as the format has it.
    choices = [row, row - left, row - up, row - mean, row - _paeth(left, up, corner)]
    sizes = [int(np.abs(choice.view(np.int8).astype(np.int16)).sum()) for choice in choices]
    best = sizes.index(min(sizes))
    return bytes([best]) + choices[best].tobytes()


def _paeth(left: "Rows", up: "Rows", corner: "Rows") -> "Rows":
    """Which of three neighbours is nearest to left + up - corner."""
    import numpy as np

    a, b, c = (x.astype(np.int16) for x in (left, up, corner))
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    chosen: Rows = np.where(
        (to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner)
    )
    return chosen


def big_tiff(
    rows: "Iterator[Rows]", height: int, width: int, channels: int, text: str
) -> Iterator[bytes]:
    """The parts of an uncompressed BigTIFF file with an XMP packet of provenance.

    Shapes: rows uint8 [k, width, channels] from top to bottom, channels 1 or 3.
    Source: TIFF 6.0; the BigTIFF design of libtiff.
    """
    line = width * channels
    deep = min(height, max(1, STRIP_BYTES // line))
    sizes = [min(deep, height - top) * line for top in range(0, height, deep)]
    tags: dict[int, tuple[int, Any]] = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [8] * channels),
        259: (_SHORT, [1]),  # not compressed
        262: (_SHORT, [2 if channels == 3 else 1]),  # RGB, or black is 0
        273: (_LONG8, sizes),  # offsets: as many; filled in below
        277: (_SHORT, [channels]),
        278: (_LONG, [deep]),
        279: (_LONG8, sizes),
        284: (_SHORT, [1]),  # channels side by side
    }
    if text:
        tags[XMP_TAG] = (_BYTE, xmp_packet(text))
    begin = len(_directory(tags))
    offsets = [begin + deep * line * k for k in range(len(sizes))]
    yield _directory(tags | {273: (_LONG8, offsets)})
    for band in rows:
        yield band.tobytes()


def _directory(tags: dict[int, tuple[int, Any]]) -> bytes:
    """Everything before the pixels: header, tags in order, and the values that need more room."""
    entries, beyond = [], b""
    start = 16 + 8 + 20 * len(tags) + 8
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        if len(packed) > 8:
            beyond += b"\0" * (-len(beyond) % 8)
            place = struct.pack("<Q", start + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(8, b"\0")
        entries.append(struct.pack("<HHQ", tag, kind, len(values)) + place)
    header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16)
    whole = header + struct.pack("<Q", len(tags)) + b"".join(entries) + bytes(8) + beyond
    return whole + b"\0" * (-len(whole) % 8)
