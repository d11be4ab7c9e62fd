"""What a weight file is, told from its structure alone: no torch, and read only once."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.checkpoints import read_checkpoint
from models.errors import ModelError
from models.library import BUILTIN, WEIGHTS, builtin_names, locate
from models.native import read_base

# Raise this when ModelInfo or what is read into it changes: remembered answers are then void.
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What planning needs to know about a generator.

    `digest` is the SHA-256 of the file's bytes; `style_widths` the lengths of the layers' parts of
    a style vector; `format` the layout of the file. A weight delta is described as the generator it
    was made for, at whose `path` all else lies, but for `digest` and `delta`, the delta's file;
    `base` is the digest of the file at `path`.
    """

    name: str
    path: str
    digest: str
    family: str
    format: str
    resolution: int
    num_rows: int
    z_dim: int
    w_dim: int
    c_dim: int
    style_widths: tuple[int, ...]
    base: str = ""
    delta: str = ""


def describe(source: str | Path) -> ModelInfo:
    """What the weight file or built-in model `source` holds.

    Raises: ModelError as loading it would, as far as that shows without reading the weights.
    """
    path = locate(source, "generator")
    name = str(source) if path != Path(source) else path.stem
    if base := read_base(path):
        found = describe(find_base(path, base))
        return replace(found, name=name, digest=file_digest(path), delta=str(path))
    known = _recall(path, "info")
    if known is None:
        known = _inspect(path)
        _remember(path, "info", known)
    values = known | {"style_widths": tuple(known["style_widths"])}
    digest = file_digest(path)
    return ModelInfo(name=name, path=str(path), digest=digest, base=digest, **values)


def find_base(delta: Path, digest: str) -> Path:
    """The generator's file of that digest: a built-in one, or one in the folder of the delta.

    Raises: ModelError if there is none.
    """
    shipped = [BUILTIN / name / "generator.safetensors" for name in builtin_names()]
    beside = [p for p in sorted(delta.parent.iterdir()) if p.suffix in WEIGHTS and p != delta]
    for path in (*shipped, *beside):
        if path.is_file() and file_digest(path) == digest:
            return path
    raise ModelError(
        f"{delta}: a weight delta for the generator {digest[:12]}, which is neither built in nor "
        "in the same folder: put its file there"
    )


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, remembered for as long as the file is not touched.

    Raises: ModelError if the file cannot be read.
    """
    known = _recall(path, "digest")
    if known is None:
        try:
            with path.open("rb") as file:
                known = {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        _remember(path, "digest", known)
    return str(known["sha256"])


def _inspect(path: Path) -> dict[str, Any]:
    found = read_checkpoint(path)
    config = found.config
    return {
        "family": found.family,
        "format": found.format,
        "resolution": config.resolution,
        "num_rows": config.num_rows,
        "z_dim": config.z_dim,
        "w_dim": config.w_dim,
        "c_dim": config.c_dim,
        "style_widths": list(config.style_widths),
    }


# --- memory: one small file per answer, written whole or not at all ----------------------------


def _note(path: Path, what: str) -> Path:
    stat = path.stat()
    identity = [_VERSION, what, str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "latentloom" / "models" / f"{name}.json"


def _recall(path: Path, what: str) -> dict[str, Any] | None:
    try:
        found = json.loads(_note(path, what).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _remember(path: Path, what: str, values: Mapping[str, Any]) -> None:
    # A folder that cannot be written costs time on the next call, nothing else.
    with contextlib.suppress(OSError):
        note = _note(path, what)
        note.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=note.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(dict(values), file)
        Path(partial).replace(note)
