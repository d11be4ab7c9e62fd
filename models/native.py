"""The project's own weight files: safetensors with the configuration in the metadata."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from models.errors import ModelError
from models.stored import DTYPES, Storage, StoredTensor, contiguous

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}

#: Where values that workflows write (codes, directions) keep their header, and its version.
VALUE_KEY, VALUE_VERSION = "latentloom", 1
#: Kinds of files that belong to a generator's file and say which, and what they are called.
CARRIED = {
    "delta": "weight delta",
    "flow": "flow",
    "scorer": "scorer",
    "sampler": "sampler",
    "discovery": "set of directions",
}


def read_native(path: Path, kind: str) -> tuple[dict[str, object], dict[str, StoredTensor]]:
    """The configuration and the tensors of a network of `kind` in a `.safetensors` file.

    Raises: ModelError if the file is damaged or holds something else.
    """
    try:
        return _content(path, kind)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def read_base(path: Path) -> str:
    """The digest of the generator that the delta, flow or scorer in a file was made for, or "".

    Raises: ModelError if the file is damaged.
    """
    metadata = _metadata(path)
    try:
        carried = metadata.get("kind") in CARRIED
        return str(_parsed(metadata["config"])["base"]) if carried else ""
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def network_kind(path: Path) -> str:
    """Which kind of network a file of the project's own holds, or "" for any other file.

    Raises: ModelError if it cannot be read.
    """
    return str(_metadata(path).get("kind", ""))


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and the byte at which its tensors begin.

    Raises: OSError if it cannot be read, ValueError if it is none.
    """
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] != b"{":
            raise ValueError("it does not begin like one")
        length = int.from_bytes(start[:8], "little")
        if length > path.stat().st_size - 8:
            raise ValueError(f"truncated: its header should have {length} bytes")
        return _parsed(start[8:] + file.read(length - 1)), 8 + length


def _metadata(path: Path) -> dict[str, Any]:
    """The metadata of a safetensors file; none for any other. Raises: ModelError if unreadable."""
    try:
        found = read_header(path)[0].get("__metadata__", {})
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parsed(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises: ValueError if it is none."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if isinstance(found, dict):
        return found
    raise ValueError("no JSON object where one must be")


def _content(path: Path, kind: str) -> tuple[dict[str, object], dict[str, StoredTensor]]:
    header, start = read_header(path)
    metadata = header.pop("__metadata__", {})
    found = metadata.get("kind")
    if found != kind or "config" not in metadata:
        value = _parsed(metadata.get("latentloom", "{}")).get("type")
        held = (
            f"a value of type {value}, no"
            if value
            else f"a network of kind {found or 'unknown'}, not"
        )
        raise ModelError(f"holds {held} {kind}")
    size = path.stat().st_size
    tensors = {k: _tensor(path, k, v, start, size) for k, v in header.items()}
    return _parsed(metadata["config"]), tensors


def _tensor(
    path: Path, name: str, entry: Mapping[str, list[int]], start: int, size: int
) -> StoredTensor:
    dtype = _TYPES[str(entry["dtype"])]
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if end > size - start:
        raise ModelError(f"truncated: tensor {name} ends {end - size + start} B later")
    numel, rest = divmod(end - begin, DTYPES[dtype][0])
    if rest or begin < 0:
        raise ModelError(f"tensor {name} has {end - begin} B, no whole number of {dtype}")
    return contiguous(
        Storage(dtype, numel, partial(_read, path, start + begin, end - begin)), shape
    )


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
