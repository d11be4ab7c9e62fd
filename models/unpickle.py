"""Reads pickled checkpoints without running anything that is in them.

A pickle may name any function and have it called. Here a name only ever becomes a `_Global`, and
calling one builds a plain record: tensors become `StoredTensor`, NVlabs' persistent objects become
`ModuleRecord` (their embedded source is dropped unread), a few harmless containers become dicts.
Every other name is refused before anything is built. Three wrappings are understood: a bare
pickle, torch's zip archive and torch's older sequence of pickles.
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from models.errors import ModelError
from models.stored import DTYPES, Storage, StoredTensor

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclass(frozen=True, slots=True, eq=False)
class ModuleRecord:
    """One pickled network module: its class name and its state, nothing alive."""

    class_name: str
    attributes: Mapping[str, Any]

    def child(self, name: str) -> "ModuleRecord | None":
        """The submodule called `name`."""
        found = self._part("_modules").get(name)
        return found if isinstance(found, ModuleRecord) else None

    def children(self) -> dict[str, "ModuleRecord"]:
        """The submodules by name."""
        parts = self._part("_modules").items()
        return {name: part for name, part in parts if isinstance(part, ModuleRecord)}

    def tensors(self, prefix: str = "") -> dict[str, StoredTensor]:
        """Every parameter and buffer of this module and those below, by dotted name."""
        found = {
            prefix + name: value
            for part in ("_parameters", "_buffers")
            for name, value in self._part(part).items()
            if isinstance(value, StoredTensor)
        }
        for name, module in self.children().items():
            found |= module.tensors(f"{prefix}{name}.")
        return found

    def _part(self, name: str) -> Mapping[str, Any]:
        part = self.attributes.get(name, {})
        return part if isinstance(part, Mapping) else {}


def read_pickled(path: Path) -> object:
    """What a `.pkl` or `.pt` file holds, as containers, records and stored tensors.

    Raises: ModelError if the file is truncated, is no pickle, or names anything not allowed.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return _read_zip(path)
            file.seek(0)
            return _read_stream(file, partial(_read_range, path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        # A damaged pickle can fail in as many ways as there are opcodes.
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"{path}: truncated, damaged or not a checkpoint ({what})") from error


# --- the three wrappings ---------------------------------------------------------------------


def _read_zip(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next((name[:-8] for name in names if name.endswith("data.pkl")), None)
        if root is None:
            raise ModelError("a zip archive without data.pkl; must be one that torch.save wrote")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ModelError("big-endian tensors; must be little-endian")
        sizes = {info.filename: info.file_size for info in archive.infolist()}

        def find(dtype: str, key: str, numel: int) -> Storage:
            entry = f"{root}data/{key}"
            if sizes.get(entry) != numel * DTYPES[dtype][0]:
                raise ModelError(f"storage {key} should hold {numel} {dtype}: {sizes.get(entry)} B")
            return Storage(dtype, numel, partial(_read_entry, path, entry))

        return _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl")), find).load()


def _read_entry(path: Path, entry: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(entry)


def _read_range(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _read_stream(file: IO[bytes], fetch: Callable[[int, int], bytes]) -> object:
    """A bare pickle, or torch's older format: magic, version, system, object, keys, raw data."""
    first = _Unpickler(file).load()
    if first != _LEGACY_MAGIC:
        return first
    _Unpickler(file).load()
    system = _Unpickler(file).load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ModelError("big-endian tensors; must be little-endian")
    places: dict[str, tuple[int, int]] = {}
    expected: dict[str, tuple[str, int]] = {}

    def find(dtype: str, key: str, numel: int) -> Storage:
        expected[key] = (dtype, numel)
        return Storage(dtype, numel, lambda: fetch(*places[key]))

    tree = _Unpickler(file, find).load()
    keys = _Unpickler(file).load()
    if not isinstance(keys, list) or {str(key) for key in keys} != set(expected):
        raise ModelError("the list of storages does not match the tensors")
    for key in map(str, keys):
        dtype, numel = expected[key]
        length = numel * DTYPES[dtype][0]
        if struct.unpack("<q", file.read(8))[0] != numel:
            raise ModelError(f"storage {key} does not hold {numel} {dtype}")
        places[key] = (file.tell(), length)
        file.seek(length - 1, io.SEEK_CUR)
        if length and len(file.read(1)) != 1:
            raise ModelError(f"truncated inside storage {key}")
    return tree


# --- names -----------------------------------------------------------------------------------


class _Unpickler(pickle.Unpickler):
    """Turns every global name into an inert stand-in from `_ALLOWED`."""

    def __init__(
        self, file: IO[bytes], find: Callable[[str, str, int], Storage] | None = None
    ) -> None:
        super().__init__(file, encoding="latin1")
        self._find = find
        # Fresh for each file, because a pickle can write to the attributes of a class.
        self._plain = type("PlainDict", (dict,), {"__setstate__": _absorb})
        self._ordered = type("OrderedDict", (dict,), {"__setstate__": _nothing})

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in _PLAIN:
            return self._plain
        if (module, name) == ("collections", "OrderedDict"):
            return self._ordered
        if (module, name) in _ALLOWED or (module == "torch" and name in _STORAGES):
            return _Global(module, name)
        raise _refusal(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        if self._find is None or not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise ModelError(f"reference {pid!r}; only references to tensor storages are allowed")
        kind, key, numel = pid[1], pid[2], pid[4]
        if len(pid) > 5 and pid[5] is not None:
            raise ModelError("a view of a storage; only whole storages are allowed")
        if not isinstance(kind, _Global) or kind.name not in _STORAGES or type(numel) is not int:
            raise ModelError(f"storage {key!r} has an unknown type")
        return self._find(_STORAGES[kind.name], str(key), numel)


@dataclass(frozen=True, slots=True)
class _Global:
    """A name from a pickle; calling it builds the record that stands for it."""

    module: str
    name: str

    def __call__(self, *args: Any) -> object:
        build = _ALLOWED.get((self.module, self.name))
        if build is None:
            raise _refusal(self.module, self.name)
        return build(*args)


def _refusal(module: str, name: str) -> ModelError:
    hint = " (a TensorFlow network: convert it to PyTorch first)" if "tflib" in module else ""
    return ModelError(
        f"the pickle names {module}.{name}{hint}, which is not allowed and was not run; allowed "
        "are tensors, plain containers and NVlabs' persistent network objects"
    )


def _absorb(plain: dict[str, Any], state: Any) -> None:
    if isinstance(state, dict):
        plain.update(state)


def _module_record(meta: Mapping[str, Any]) -> ModuleRecord:
    if not isinstance(meta, Mapping) or not isinstance(meta.get("state"), Mapping):
        raise ModelError("a persistent object without state")
    return ModuleRecord(str(meta.get("class_name")), meta["state"])


def _tensor(
    storage: object, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ModelError("a tensor without storage")
    return StoredTensor(storage, tuple(shape), tuple(stride), offset)


def _storage(data: bytes) -> Storage:
    """A storage that was pickled inside the pickle, in torch's older format."""
    found = _read_stream(io.BytesIO(data), lambda start, length: data[start : start + length])
    if not isinstance(found, Storage):
        raise ModelError("a nested storage that is none")
    return found


class _Dtype:
    """numpy's type of one number, kept as its code: '<f8'."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code.lstrip("<|")

    def __setstate__(self, _: object) -> None:
        """Byte order and alignment: only little-endian numbers are read anyway."""


class Array:
    """A small numpy array, kept as its shape and numbers, row by row."""

    def __init__(self, *_: object) -> None:
        self.shape: tuple[int, ...] = ()
        self.values: list[Any] = []

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, self.shape, dtype, by_column, data = state
        if by_column and len(self.shape) > 1:
            raise ModelError("a numpy array stored by columns; only those stored by rows are read")
        step = int(dtype.code[1:])
        self.values = [_number(dtype, data[k : k + step]) for k in range(0, len(data), step)]


def _number(dtype: _Dtype, data: bytes) -> Any:
    codes = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "u1": "B", "b1": "?"}
    if dtype.code not in codes:
        raise ModelError(f"numpy type {dtype.code!r}; allowed are {', '.join(codes)}")
    return struct.unpack(f"<{codes[dtype.code]}", data)[0]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ModelError(f"encoding {encoding!r}; only latin1 is allowed")
    return text.encode("latin1")


def _first(value: object, *_: object) -> object:
    return value


def _nothing(*_: object) -> None:
    return None


_PLAIN = {("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict"), ("argparse", "Namespace")}
_ALLOWED: dict[tuple[str, str], Callable[..., object]] = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _latin1,
    ("torch", "Size"): tuple,
    ("torch", "device"): _nothing,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module_record,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): Array,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
}
