"""What a worker must have and be, asked before any work is given to it.

Driver and workers must run the same code on the same versions, for keys say nothing of these, and
see the same folders. Whatever is missing is told in one sentence, before the first item.
"""

import hashlib
import os
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.dag import Graph

#: Packages whose version changes results, or the form of what travels.
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pillow", "safetensors", "dask")
#: The folders of this program beside `engine`.
ROOMS = ("engine", "ops", "models")
#: A folder with less room than this is full.
FEW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a worker. `marks` are files just made in folders that it must share.

    `files` are to be read, and have these sizes.
    """

    code: str
    versions: Mapping[str, str]
    marks: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    gpu: bool = False


def terms(marks: Sequence[Path], files: Sequence[Path], *, gpu: bool) -> Terms:
    """What this driver asks of its workers."""
    sizes = {str(path): path.stat().st_size for path in files if path.exists()}
    return Terms(code_digest(), versions(), tuple(map(str, marks)), sizes, gpu)


@cache
def code_digest() -> str:
    """A digest of the source of this program, as this process would import it."""
    home = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(p for room in ROOMS for p in (home / room).rglob("*.py")):
        digest.update(f"{path.relative_to(home)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The versions here that must be the same everywhere."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def complaints(wanted: Terms) -> list[str]:
    """Everything in which this worker falls short, said so that it follows the worker's name."""
    return [*_other_program(wanted), *_folders(wanted), *_files(wanted), *_no_gpu(wanted)]


def _other_program(wanted: Terms) -> Iterator[str]:
    mine = versions()
    for name, theirs in wanted.versions.items():
        if mine.get(name) != theirs:
            yield f"has {name} {mine.get(name)}, the driver {theirs}"
    if code_digest() != wanted.code:
        yield (
            f"runs other code ({code_digest()[:8]}, the driver {wanted.code[:8]}): "
            "install the same version of this program on all machines"
        )


def _folders(wanted: Terms) -> Iterator[str]:
    for mark in map(Path, wanted.marks):
        folder = mark.parent
        if not mark.exists():
            yield (
                f"does not see {folder}; the cache and the output folder must be on a disk that "
                "all machines share"
            )
            continue
        own = folder / f"{mark.name}-{socket.gethostname()}-{os.getpid()}"
        try:
            own.touch()
            own.unlink()
        except OSError as error:
            yield f"cannot write to {folder}: {error.strerror}"
            continue
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < FEW_BYTES:
            yield f"has no space left in {folder}"


def _files(wanted: Terms) -> Iterator[str]:
    for name, size in wanted.files.items():
        try:
            found = Path(name).stat().st_size
        except OSError as error:
            yield f"cannot read {name}: {error.strerror}; it must be there for all machines"
            continue
        if found != size:
            yield f"has another {name} ({found} bytes, the driver {size})"


def _no_gpu(wanted: Terms) -> Iterator[str]:
    if not wanted.gpu:
        return
    import torch

    if not torch.cuda.is_available():
        yield "has no GPU that torch can use, and one is asked for"


def files_needed(graph: Graph, photos: Sequence[str]) -> list[Path]:
    """The files that workers will open: weights, a user's ops, and a photo of each source."""
    named = set(photos)
    for step in graph.steps.values():
        named.add(step.op.source_path)
        for ref in step.models.values():
            for info in (ref.info, ref.base):
                named |= {info.path, info.delta} if info is not None else set()
    return [Path(name) for name in sorted(named - {""})]
