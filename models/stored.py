"""Tensors and networks as they lie in a file: shapes, types, where the bytes are. No torch."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.config import GeneratorConfig
from models.errors import ModelError

Names = dict[str, str]

# name -> (bytes per element, struct code; bfloat16 has none)
DTYPES: dict[str, tuple[int, str | None]] = {
    "float64": (8, "d"),
    "float32": (4, "f"),
    "float16": (2, "e"),
    "bfloat16": (2, None),
    "int64": (8, "q"),
    "int32": (4, "i"),
    "int16": (2, "h"),
    "int8": (1, "b"),
    "uint8": (1, "B"),
    "bool": (1, "?"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A run of `numel` elements whose little-endian bytes `read()` fetches."""

    dtype: str
    numel: int
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A strided view into a storage; `stride` and `offset` count elements.

    Raises: ModelError if the view reaches outside its storage.
    """

    storage: Storage
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        numbers = (*self.shape, *self.stride, self.offset)
        whole = all(type(n) is int and n >= 0 for n in numbers)
        if not whole or len(self.shape) != len(self.stride):
            raise ModelError(f"tensor of shape {self.shape}, stride {self.stride} is malformed")
        steps = zip(self.shape, self.stride, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if 0 not in self.shape and last >= self.storage.numel:
            raise ModelError(
                f"tensor of shape {self.shape} needs {last + 1} elements, "
                f"its storage has {self.storage.numel}"
            )

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def values(self) -> list[float]:
        """The numbers in row-major order, for small tensors such as filters."""
        size, code = DTYPES[self.dtype]
        data = self.storage.read()
        if code is None:  # bfloat16 is the upper half of a float32
            data = b"".join(b"\0\0" + data[k : k + 2] for k in range(0, len(data), 2))
            size, code = 4, "f"
        flat = [self.offset]
        for count, stride in zip(self.shape, self.stride, strict=True):
            flat = [start + k * stride for start in flat for k in range(count)]
        return [struct.unpack_from(f"<{code}", data, place * size)[0] for place in flat]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A generator in a file: `tensors` go by the names of `Generator.state_dict()`."""

    format: str
    family: str
    config: GeneratorConfig
    tensors: Mapping[str, StoredTensor]


def contiguous(storage: Storage, shape: tuple[int, ...]) -> StoredTensor:
    """All of a storage as a row-major tensor of `shape`."""
    stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return StoredTensor(storage, shape, stride)


def reshaped(tensor: StoredTensor, shape: tuple[int, ...]) -> StoredTensor:
    """A tensor with axes of length one added or dropped to reach `shape`; else as it is."""
    kept = [(n, s) for n, s in zip(tensor.shape, tensor.stride, strict=True) if n != 1]
    if [n for n, _ in kept] != [n for n in shape if n != 1]:
        return tensor
    strides = iter(s for _, s in kept)
    stride = tuple(1 if n == 1 else next(strides) for n in shape)
    return StoredTensor(tensor.storage, shape, stride, tensor.offset)


def blur_taps(kernel: StoredTensor) -> tuple[float, ...]:
    """The taps of a separable square filter, the first one scaled to 1.

    Raises: ModelError if the filter is not the outer product of its taps.
    """
    side = kernel.shape[0] if kernel.shape else 0
    if kernel.shape != (side, side):
        raise ModelError(f"filter of shape {kernel.shape}: must be square")
    values = kernel.values()
    row = [sum(values[k * side : (k + 1) * side]) for k in range(side)]
    total = sum(row)
    if not total or not row[0]:
        raise ModelError(f"filter {values}: its first tap and its sum must not be zero")
    outer = [a * b / total for a in row for b in row]
    if any(abs(a - b) > 1e-5 * abs(total) for a, b in zip(values, outer, strict=True)):
        raise ModelError(f"filter {values}: must be separable")
    return tuple(round(tap / row[0], 5) for tap in row)


def take(
    stored: Mapping[str, StoredTensor], names: Names, config: GeneratorConfig
) -> dict[str, StoredTensor]:
    """`stored` under our names; `names` maps ours to theirs.

    Raises: ModelError unless exactly the named tensors are there.
    """
    if missing := sorted(set(names.values()) - set(stored)):
        raise ModelError(f"tensors {_some(missing)} are missing for a {_title(config)}")
    if unknown := sorted(set(stored) - set(names.values())):
        raise ModelError(f"tensors {_some(unknown)} have no place in a {_title(config)}")
    return {ours: stored[theirs] for ours, theirs in names.items()}


def check_tensors(
    tensors: Mapping[str, StoredTensor], expected: Mapping[str, tuple[int, ...]], what: str
) -> dict[str, StoredTensor]:
    """`tensors` in the shapes of `expected`, axes of length one added or dropped.

    Raises: ModelError if a tensor is missing, left over, or of another shape.
    """
    if missing := sorted(set(expected) - set(tensors)):
        raise ModelError(f"tensors {_some(missing)} are missing for {what}")
    if unknown := sorted(set(tensors) - set(expected)):
        raise ModelError(f"tensors {_some(unknown)} have no place in {what}")
    fitted = {name: reshaped(tensor, expected[name]) for name, tensor in tensors.items()}
    for name, tensor in fitted.items():
        if tensor.shape != expected[name]:
            raise ModelError(
                f"tensor {name} has shape {tensors[name].shape}: must be {expected[name]} in {what}"
            )
    return fitted


def _title(config: GeneratorConfig) -> str:
    return f"{config.resolution} px {config.architecture} StyleGAN2"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
