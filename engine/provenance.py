"""Provenance inside the files themselves: how a picture was made travels with it.

PNG carries it as an iTXt chunk, JPEG, WebP and TIFF as an XMP property, safetensors in its header;
GIF does not carry it.
The text is JSON and depends only on how the value was made, so equal work gives equal bytes.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

KEYWORD = "latentloom"
#: A JPEG segment holds 65 535 bytes, less its length and the XMP signature.
JPEG_LIMIT = 65_000
#: Where a TIFF keeps its XMP packet.
XMP_TAG = 700

_PACKET = (
    "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'>"
    "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    "<rdf:Description rdf:about='' xmlns:latentloom='urn:latentloom:provenance#'>"
    "<latentloom:provenance>{text}</latentloom:provenance>"
    "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='r'?>"
)
_PROPERTY = re.compile(r"<latentloom:provenance>(.*?)</latentloom:provenance>", re.DOTALL)


def save_options(kind: str, text: str) -> dict[str, Any]:
    """Make the keyword arguments that put `text` into a picture saved by Pillow.

    `kind` is Pillow's format name. An empty text adds nothing.
    """
    if not text or kind == "GIF":
        return {}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(KEYWORD, text)
        return {"pnginfo": info}
    packet = xmp_packet(text)
    if kind == "TIFF":
        return {"tiffinfo": {XMP_TAG: packet}}
    if kind == "JPEG" and len(packet) > JPEG_LIMIT:
        packet = xmp_packet(json.dumps({"too_long": len(text)}))
    return {"xmp": packet}


def xmp_packet(text: str) -> bytes:
    """Make the XMP packet with one property."""
    return _PACKET.format(text=html.escape(text, quote=False)).encode()


def from_xmp_packet(packet: bytes) -> str:
    """Read the property that `xmp_packet` wrote; an empty text when there is none."""
    found = _PROPERTY.search(packet.decode("utf-8", "replace"))
    return html.unescape(found.group(1)) if found else ""


def read_provenance(path: Path) -> str:
    """Read the provenance of a file written by a run; an empty text when it has none."""
    if path.suffix.lower() == ".safetensors":
        return _from_safetensors(path)
    from PIL import Image

    with Image.open(path) as picture:
        if picture.format == "PNG":
            picture.load()  # a chunk may stand behind the pixels
            return str(getattr(picture, "text", {}).get(KEYWORD, ""))
        packet = picture.info.get("xmp", b"")
    return from_xmp_packet(packet)


def with_metadata(content: bytes, text: str) -> bytes:
    """Put provenance into the header of a safetensors file that says what it holds."""
    if not text:
        return content
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    # One entry holds everything: the order of several would differ from run to run.
    told = {**json.loads(header["__metadata__"].get(KEYWORD, "{}")), "provenance": text}
    header["__metadata__"][KEYWORD] = json.dumps(told)
    changed = json.dumps(header, separators=(",", ":")).encode()
    changed += b" " * (-len(changed) % 8)
    return len(changed).to_bytes(8, "little") + changed + content[8 + length :]


def _from_safetensors(path: Path) -> str:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    told = json.loads(header.get("__metadata__", {}).get(KEYWORD, "{}"))
    return str(told.get("provenance", ""))
