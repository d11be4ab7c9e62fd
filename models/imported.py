"""Directions in the files of other projects, read without running anything that is in them.

Understood are `.npy` (one row per layer, or one for all: StyleGAN-Encoder, InterFaceGAN), the
`.npz` of components and the `.pkl` of an edit of GANSpace, and `.pt` tensors (also the `eigvec` of
a factorisation).
"""

import zipfile
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
    if kind in (".npy", ".npz"):
        found: Any = _numpy(path)
    else:
        found = _plain(read_pickled(path))
    try:
        return _direction(found, component)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _numpy(path: Path) -> Any:
    """The array of a `.npy`, or those of a `.npz` by name; arrays of objects are refused."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            wanted = [name for name in found.files if name.startswith(("lat_", *_NAMES))]
            return {name: found[name] for name in wanted}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: damaged, or holds more than numbers ({error})") from error


def _plain(value: Any) -> Any:
    """What a pickle held, its tensors and arrays as numpy has them."""
    if isinstance(value, StoredTensor | Array):
        values = value.values() if isinstance(value, StoredTensor) else value.values
        return np.array(values, dtype=np.float64).reshape(value.shape)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
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
        raise ModelError(f"holds {', '.join(arrays) or 'no arrays'}: one of {', '.join(_NAMES)}")
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
    data = data.reshape(-1, data.shape[-1]) if data.ndim else data
    tensor = torch.from_numpy(np.ascontiguousarray(data, dtype=np.float64))
    if data.ndim != 2 or not bool(torch.isfinite(tensor).all()) or float(tensor.norm()) < 1e-12:
        raise ModelError(
            f"an array of shape {list(data.shape)} with all numbers finite is no direction"
        )
    alike = float((tensor - tensor[:1]).abs().max()) <= _ALIKE * float(tensor.abs().max())
    return (tensor[0] if alike else tensor).float()


def _within(component: int, count: int) -> int:
    if not 0 <= component < count:
        raise ModelError(f"there is no component {component}; it has 0 to {count - 1}")
    return component


def _sigma(found: Any, component: int) -> float | None:
    if found is None:
        return None
    values = np.asarray(found, dtype=np.float64).reshape(-1)
    return float(values[component] if len(values) > 1 else values[0])


def _rows(found: Mapping[str, Any]) -> tuple[int, ...]:
    """The rows of an edit, from `edit_start` up to and without `edit_end`."""
    if "edit_start" not in found or "edit_end" not in found:
        return ()
    return tuple(range(int(found["edit_start"]), int(found["edit_end"])))
