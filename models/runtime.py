"""What must happen in a process before torch makes its first large tensor."""

import ctypes
import os
from types import ModuleType

# Parameters of glibc's mallopt, from <malloc.h>, and the environment variable of each.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_SETTINGS = (
    (_MMAP_THRESHOLD, "MALLOC_MMAP_THRESHOLD_", 2**31 - 1),
    (_TRIM_THRESHOLD, "MALLOC_TRIM_THRESHOLD_", 2**31 - 1),
    (_TOP_PAD, "MALLOC_TOP_PAD_", 256 * 2**20),
    (_MMAP_MAX, "MALLOC_MMAP_MAX_", 0),
)


def tune_malloc() -> bool:
    """Let glibc keep freed memory instead of handing every feature map back to the kernel.

    With the defaults each large activation costs fresh page faults. What the environment already
    sets is left alone; returns False where there is nothing to tune (no glibc).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    # In this order: setting a threshold by hand also turns glibc's own adjustment off.
    results = [mallopt(key, value) for key, name, value in _SETTINGS if name not in os.environ]
    return all(result == 1 for result in results)


def import_torch() -> ModuleType:
    """The torch module, imported after the allocator has been tuned.

    TorchScript is off unless the environment says otherwise: nothing here uses it, and the first
    forward derivative of a process would compile scripts of decompositions nobody needs.
    """
    tune_malloc()
    os.environ.setdefault("PYTORCH_JIT", "0")
    import torch

    return torch
