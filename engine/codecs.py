"""A value <-> bytes, exactly; a format version per type.

The bytes are a safetensors file whose metadata say the type, its format version and the fields that
the batch shares. Pictures, films and masks are in 8 bits, raw (packing 1024 px costs four times the
rounding and saves half), feature maps in half precision, everything else bit for bit. A value that
stays in memory is `rounded` the same way, so that a resumed run equals an undisturbed one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from engine.errors import StoreError, WorkflowError
from engine.values import (
    VALUE_TYPES,
    FeatureMap,
    Film,
    Image,
    Mask,
    Network,
    Scalar,
    Value,
    byte_fields,
    shared_fields,
    tensor_fields,
)

if TYPE_CHECKING:
    from torch import Tensor

Buffer: TypeAlias = bytes | bytearray | memoryview
V = TypeVar("V", bound=Value)

_KEY = "latentloom"
#: Numbers converted at a time.
_PART = 1 << 22
_HALF_MAX = 65504.0


@dataclass(frozen=True, slots=True)
class _Packing:
    """How one tensor field is narrowed for storage, and widened again."""

    narrow: Callable[["Tensor"], "Tensor"]
    widen: Callable[["Tensor"], "Tensor"]


def _pixels_to_bytes(data: "Tensor") -> "Tensor":
    import torch

    # In place after the first step: fresh pages cost more than the arithmetic.
    def narrow(part: "Tensor") -> "Tensor":
        return part.float().add(1).mul_(127.5).round_().clamp_(0, 255)

    return _in_parts(data, torch.empty_like(data, dtype=torch.uint8), narrow)


def _shares_to_bytes(data: "Tensor") -> "Tensor":
    import torch

    def narrow(part: "Tensor") -> "Tensor":
        return part.float().mul(255).round_().clamp_(0, 255)

    return _in_parts(data, torch.empty_like(data, dtype=torch.uint8), narrow)


def _to_half(data: "Tensor") -> "Tensor":
    # Saturating, element by element: one extreme activation must not change its neighbours' format.
    return data.float().clamp(-_HALF_MAX, _HALF_MAX).half()


def _in_parts(data: "Tensor", into: "Tensor", convert: Callable[["Tensor"], "Tensor"]) -> "Tensor":
    """Convert number by number, some at a time: nothing of the whole's size lies between."""
    if data.numel() <= _PART or not data.is_contiguous():
        return into.copy_(convert(data))
    source, target = data.view(-1), into.view(-1)
    for start in range(0, len(source), _PART):
        target[start : start + _PART] = convert(source[start : start + _PART])
    return into


_PIXELS = _Packing(_pixels_to_bytes, lambda data: data.float().div_(127.5).sub_(1))
_PACKINGS: dict[tuple[type, str], _Packing] = {
    (Image, "data"): _PIXELS,
    (Film, "data"): _PIXELS,
    (Mask, "data"): _Packing(_shares_to_bytes, lambda data: data.float().div_(255)),
    (FeatureMap, "data"): _Packing(_to_half, lambda data: data.float()),
}

#: Raise a type's number when its bytes change meaning; older numbers must stay readable or a miss.
_VERSIONS: dict[type, int] = dict.fromkeys(VALUE_TYPES, 1) | {Network: 3}
_TYPES: dict[str, type] = {kind.__name__: kind for kind in VALUE_TYPES}


def encode(value: Value) -> bytes:
    """Write a value, one item or a batch, as bytes.

    Pictures, films, masks and feature maps are rounded (see the module); the rest is exact.
    """
    kind: type = type(value)
    blobs = byte_fields(kind)
    names = shared_fields(kind) + (("data",) if kind is Scalar else ())
    header = json.dumps(
        {
            "type": kind.__name__,
            "version": _VERSIONS[kind],
            "fields": {name: getattr(value, name) for name in names if name not in blobs},
        }
    )
    if not tensor_fields(kind):
        return _without_tensors(header, {name: getattr(value, name) for name in blobs})
    from safetensors.torch import save

    tensors = {name: _narrow(kind, name, getattr(value, name)) for name in tensor_fields(kind)}
    return bytes(save(tensors, metadata={_KEY: header}))


def decode(buffer: Buffer) -> Value:
    """Make the value that some bytes hold.

    Raises: StoreError when they are damaged, of an unknown type or of a newer version.
    """
    raw = bytes(buffer)
    try:
        header = _header(raw)
        return _rebuild(_TYPES[header["type"]], header["fields"], raw)
    except WorkflowError as error:
        raise StoreError(f"a stored value is unreadable: {error}") from error
    except Exception as error:  # whatever damage does, the answer is the same
        raise StoreError(f"a stored value is damaged: {error!r}") from error


def rounded(value: V) -> V:
    """Make what decoding the encoded value would give, without leaving memory or device.

    A large tensor whose memory is a file that has no name any more is rounded where it is.
    """
    kind: type = type(value)
    parts: dict[str, Any] = {
        name: _rounded(getattr(value, name), packing)
        for (owner, name), packing in _PACKINGS.items()
        if owner is kind
    }
    return replace(value, **parts) if parts else value


def _rounded(data: "Tensor", packing: _Packing) -> "Tensor":
    import torch

    name = data.untyped_storage().filename
    into = data if name and not Path(name).exists() else torch.empty_like(data, dtype=torch.float32)
    return _in_parts(data, into, lambda part: packing.widen(packing.narrow(part)))


def _without_tensors(header: str, blobs: Mapping[str, bytes]) -> bytes:
    """Write a file of metadata and plain bytes, as safetensors has it (spares the torch import)."""
    entries: dict[str, Any] = {"__metadata__": {_KEY: header}}
    start = 0
    for name, blob in blobs.items():
        end = start + len(blob)
        entries[name] = {"dtype": "U8", "shape": [len(blob)], "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *blobs.values()])


def _blobs(kind: type, raw: bytes) -> dict[str, bytes]:
    """Read the plain bytes that `_without_tensors` wrote."""
    if not byte_fields(kind):
        return {}
    body = 8 + int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8:body])
    found = {}
    for name in byte_fields(kind):
        start, end = entries[name]["data_offsets"]
        if not 0 <= start <= end <= len(raw) - body:
            raise StoreError(f"its {name} is cut short")
        found[name] = raw[body + start : body + end]
    return found


def _header(raw: bytes) -> dict[str, Any]:
    """Read the metadata that `encode` wrote, if this version understands them."""
    length = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"][_KEY])
    version = _VERSIONS[_TYPES[header["type"]]]
    if header["version"] != version:
        raise StoreError(
            f"{header['type']} has format {header['version']}, this version reads {version}"
        )
    return header


def _narrow(kind: type, name: str, data: "Tensor") -> "Tensor":
    packing = _PACKINGS.get((kind, name))
    return (packing.narrow(data) if packing else data).detach().cpu().contiguous()


def _rebuild(kind: type, fields: dict[str, Any], raw: bytes) -> Value:
    """Make a value from its shared fields and the tensors in its file."""
    parts: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()
    }
    parts.update(_blobs(kind, raw))
    if tensor_fields(kind):
        from safetensors.torch import load

        for name, data in load(raw).items():
            packing = _PACKINGS.get((kind, name))
            parts[name] = packing.widen(data) if packing else data
        if len({parts[name].shape[0] for name in tensor_fields(kind)}) != 1:
            raise StoreError("its tensors hold different numbers of items")
    value: Value = kind(**parts)
    return value
