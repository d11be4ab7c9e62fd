"""Networks that belong to a generator, as the bytes of a file: weight deltas, flows, scorers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from models.errors import ModelError
from models.native import CARRIED


def pack(kind: str, base: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """A safetensors file, the same bytes for the same content; `base` is the generator's digest."""
    held = {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}
    told = json.dumps({**config, "base": base}, sort_keys=True)
    return _ordered(save(held, {"kind": kind, "config": told}))


def _ordered(saved: bytes) -> bytes:
    """The same file with its header in order: safetensors writes metadata in any."""
    body = 8 + int.from_bytes(saved[:8], "little")
    text = json.dumps(json.loads(saved[8:body]), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + saved[body:]


def digest(packed: bytes) -> str:
    """The sha256 (hex) that names packed bytes."""
    return hashlib.sha256(packed).hexdigest()


def unpack(packed: bytes, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors that `pack` was given; nothing in them is executed.

    Raises: ModelError if they are damaged or hold something else.
    """
    try:
        length = int.from_bytes(packed[:8], "little")
        metadata = json.loads(packed[8 : 8 + length])["__metadata__"]
        if metadata["kind"] != kind:
            raise ModelError(f"holds a network of kind {metadata['kind']}, not a {CARRIED[kind]}")
        config: dict[str, Any] = json.loads(metadata["config"])
        config["base"] = str(config["base"])
        return config, load(packed)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"a {CARRIED[kind]} is damaged ({error})") from error
