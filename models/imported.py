"""Directions in the files of other projects, read without running anything that is in them.

Understood are `.npy` (one row per layer, or one for all: StyleGAN-Encoder, InterFaceGAN), the
`.npz` of components and the `.pkl` of an edit of GANSpace, and `.pt` tensors (also the `eigvec` of
a factorisation).
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import ModelError
from models.stored import StoredTensor
from models.unpickle import Array, read_pickled

SUFFIXES = (".npy", ".npz", ".pkl", ".pt", ".pth")
#: What a tensor of directions is called, the likeliest first.
_NAMES = ("lat_comp", "direction", "boundary", "eigvec")
_ALIKE = 1e-6
_SHORTEST = 1e-12
#: More rows than any generator has; an edit may name one beyond the last.
_MOST_ROWS = 64
_MOST_NUMBERS = 1 << 26
#: Dictionaries within dictionaries that a file may hold; a pickle can hold itself.
_DEEPEST = 20


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """A direction as another project has it.

    Shapes: data float32 [D] for all rows alike, or [L, D].  `sigma` is the file's own unit, None if
    it tells none; `rows` those the file confines it to; `told` what else it says of itself.
    """

    data: Tensor
    sigma: float | None = None
    rows: tuple[int, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


def read_foreign(path: Path, component: int = 0) -> Foreign:
    """The direction in a file; `component` is which, where it holds many.

    Raises: ModelError if the file is damaged, of no known kind, or holds no such direction.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ModelError(f"{path}: must be one of {', '.join(SUFFIXES)} or .safetensors")
    numpy = kind in (".npy", ".npz")
    found: Any = _numpy(path) if numpy else read_pickled(path)
    try:
        return _direction(found if numpy else _plain(found), component)
    except (ModelError, ValueError, TypeError, struct.error) as error:
        raise ModelError(f"{path}: {error}") from error


def _numpy(path: Path) -> Any:
    """The array of a `.npy`, or those of a `.npz` by name; arrays of objects are refused."""
    refused = (OSError, ValueError, EOFError, KeyError, MemoryError, SyntaxError, zlib.error)
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            wanted = [name for name in found.files if name.startswith(("lat_", *_NAMES))]
            for name in wanted:
                _check_size(found.zip.getinfo(f"{name}.npy").file_size // 8)
            return {name: found[name] for name in wanted}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (*refused, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: damaged, or holds more than numbers ({error})") from error


def _check_size(numbers: int) -> None:
    """Raise ModelError for more numbers than directions have: a small file can claim any shape."""
    if numbers > _MOST_NUMBERS:
        raise ModelError(f"holds an array of {numbers:,} numbers: at most {_MOST_NUMBERS:,}")


def _plain(value: Any, depth: int = 0) -> Any:
    """What a pickle held, its tensors and arrays as numpy has them."""
    if depth > _DEEPEST:
        raise ModelError(f"its dictionaries lie more than {_DEEPEST} deep in each other")
    if isinstance(value, StoredTensor | Array):
        _check_size(math.prod(value.shape))
        values = value.values() if isinstance(value, StoredTensor) else value.values
        return np.array(values, dtype=np.float64).reshape(value.shape)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    return value


def _direction(found: Any, component: int) -> Foreign:
    """The direction in an array, or in the arrays of a mapping."""
    if isinstance(found, np.ndarray):
        return Foreign(_shaped(found, component))
    if not isinstance(found, Mapping):
        raise ModelError(f"holds a {type(found).__name__}, not an array of directions")
    space = found.get("latent_space", "W")
    if str(space).upper() != "W":
        raise ModelError(f"its directions are in {space}; only those in W can be followed")
    if str(found.get("edit_type", "latent")) == "activation":
        raise ModelError("it edits activations of a layer, not codes")
    arrays = {name: x for name, x in found.items() if isinstance(x, np.ndarray) and x.ndim > 0}
    name = next((name for name in _NAMES if name in arrays), None)
    if name is None and len(arrays) == 1:
        name = next(iter(arrays))
    if name is None:
        held = ", ".join(f"'{name}'" for name in arrays) or "no array"
        known = ", ".join(f"'{name}'" for name in _NAMES)
        raise ModelError(f"holds {held}: the array of directions must be alone, or one of {known}")
    data = arrays[name]
    data = data.T if name == "eigvec" and data.ndim == 2 else data
    many = name in ("lat_comp", "eigvec") and len(data) > 1
    return Foreign(
        _shaped(data[_within(component, len(data))] if many else data, component if many else 0),
        _sigma(found.get("lat_stdev"), component),
        _rows(found),
        {key: found[key] for key in ("name", "model_name", "component_index") if key in found},
    )


def _shaped(data: np.ndarray[Any, Any], component: int) -> Tensor:
    """One direction as [D], or [L, D] if its rows differ."""
    if data.dtype.kind not in "fiu":
        raise ModelError(f"holds {data.dtype}, not numbers")
    if data.ndim == 3 and 1 not in data.shape[:2]:
        data = data[_within(component, len(data))]
    if data.ndim == 0 or data.size == 0:
        raise ModelError(
            f"an array of shape {list(data.shape)} is no direction: [D] or [L, D] is one"
        )
    table = np.array(data, dtype=np.float64, order="C").reshape(-1, data.shape[-1])
    tensor = torch.from_numpy(table)
    if bad := int((~torch.isfinite(tensor.float())).sum()):
        raise ModelError(f"{bad} of its {tensor.numel()} numbers are not finite, or beyond float32")
    if float(tensor.norm()) < _SHORTEST:
        raise ModelError("its numbers are all 0, which points nowhere")
    alike = float((tensor - tensor[:1]).abs().max()) <= _ALIKE * float(tensor.abs().max())
    return (tensor[0] if alike else tensor).float()


def _within(component: int, count: int) -> int:
    if not 0 <= component < count:
        raise ModelError(f"there is no component {component}; it has 0 to {count - 1}")
    return component


def _sigma(found: Any, component: int) -> float | None:
    """The file's unit. Raises: ModelError unless it is a finite number above 0."""
    if found is None:
        return None
    try:
        values = np.asarray(found, dtype=np.float64).reshape(-1)
        sigma = float(values[component] if len(values) > 1 else values[0])
    except (TypeError, ValueError, IndexError) as error:
        raise ModelError(f"its lat_stdev has no number for component {component}") from error
    if not 0 < sigma < math.inf:
        raise ModelError(f"its lat_stdev is {sigma:g}: must be finite and above 0")
    return sigma


def _rows(found: Mapping[str, Any]) -> tuple[int, ...]:
    """The rows of an edit, from `edit_start` up to and without `edit_end`."""
    if "edit_start" not in found or "edit_end" not in found:
        return ()
    start, end = found["edit_start"], found["edit_end"]
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= _MOST_ROWS:
        raise ModelError(f"its edit goes from row {start!r} to {end!r}: must be rows from 0 up")
    return tuple(range(start, end))
