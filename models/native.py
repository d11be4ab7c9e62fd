"""The project's own weight files: safetensors with the configuration in the metadata."""

import json
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path

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
        return _read_header(path, kind)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def read_base(path: Path) -> str:
    """The digest of the generator that the delta, flow or scorer in a file was made for, or "".

    Raises: ModelError if the file is damaged.
    """
    try:
        metadata = _metadata(path)
        carried = metadata and metadata["kind"] in CARRIED
        return str(json.loads(metadata["config"])["base"]) if carried else ""
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged or not a safetensors file ({error})") from error


def network_kind(path: Path) -> str:
    """Which kind of network a file of the project's own holds, or "" for any other file.

    Raises: ModelError if it cannot be read.
    """
    try:
        return str(_metadata(path).get("kind", ""))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, AttributeError):
        return ""


def _metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; none for what begins like no such file."""
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] != b"{":
            return {}
        length = struct.unpack("<Q", start[:8])[0]
        if length > path.stat().st_size - 8:
            return {}
        found: dict[str, str] = json.loads(start[8:] + file.read(length - 1)).get(
            "__metadata__", {}
        )
    return found


def _read_header(path: Path, kind: str) -> tuple[dict[str, object], dict[str, StoredTensor]]:
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        size = path.stat().st_size
        if length > size - 8:
            raise ModelError(f"truncated: its header should have {length} bytes")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    found = metadata.get("kind")
    if found != kind or "config" not in metadata:
        raise ModelError(f"holds a network of kind {found or 'unknown'}, not {kind}")
    tensors = {k: _tensor(path, k, v, 8 + length, size) for k, v in header.items()}
    return json.loads(metadata["config"]), tensors


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
