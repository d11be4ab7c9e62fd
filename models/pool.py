"""The live networks of this process: each loaded once, the least recently used dropped first."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol, TypeVar, cast

import torch
from torch import nn

from models import deltas
from models.describe import file_digest
from models.errors import ModelError
from models.library import locate
from models.loading import load_generator
from models.stylegan2 import Generator

Network = TypeVar("Network", bound=nn.Module)


#: What precisions are called where models are declared.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Pool:
    """Networks by key, together at most `budget_bytes` large (the newest may exceed it alone).

    Threads that ask for the same network wait for one load; others load meanwhile. What has been
    dropped lives on for those who still hold it.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._networks: OrderedDict[Hashable, nn.Module] = OrderedDict()
        self._loading: dict[Hashable, threading.Lock] = {}

    @property
    def used_bytes(self) -> int:
        """The size of all networks held."""
        with self._lock:
            return sum(map(network_bytes, self._networks.values()))

    def get(self, key: Hashable, load: Callable[[], Network]) -> Network:
        """The network of `key`, from `load()` the first time."""
        with self._lock:
            gate = self._loading.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                found = self._networks.get(key)
                if found is not None:
                    self._networks.move_to_end(key)
                    return cast(Network, found)
            loaded = load()
            with self._lock:
                self._networks[key] = loaded
                self._evict()
            return loaded

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._networks.clear()

    def _evict(self) -> None:
        sizes = {key: network_bytes(network) for key, network in self._networks.items()}
        used = sum(sizes.values())
        for key in list(self._networks)[:-1]:
            if used <= self.budget_bytes:
                return
            del self._networks[key]
            used -= sizes[key]


def network_bytes(network: nn.Module) -> int:
    """The bytes of a network's parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))


def _budget() -> int:
    """LATENTLOOM_POOL_MB, or 4096 MB."""
    text = os.environ.get("LATENTLOOM_POOL_MB", "4096")
    if not text.isdigit():
        raise ModelError(f"LATENTLOOM_POOL_MB={text!r}: must be a whole number of megabytes")
    return int(text) * 2**20


POOL = Pool(_budget())


def network(
    source: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Generator:
    """The pooled generator of a weight file or built-in name. Raises: ModelError."""
    key = ("generator", file_digest(locate(source, "generator")), device, dtype)
    return POOL.get(key, lambda: load_generator(source, device, dtype))


class Reference(Protocol):
    """What says which generator is meant: a weight file, and perhaps a delta to its weights."""

    @property
    def path(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def delta(self) -> bytes: ...

    @property
    def digest(self) -> str: ...

    @property
    def precision(self) -> str: ...


def fetch(reference: Reference) -> Generator:
    """The pooled generator a reference means, tuned if it carries a delta.

    Raises: ModelError, also when the delta is damaged or was made for another file.
    """
    dtype = DTYPES[reference.precision]
    base = network(reference.path, reference.device, dtype)
    if not reference.delta:
        return base
    key = ("tuned", base.digest, reference.digest, reference.device, dtype)

    def load() -> Generator:
        delta = deltas.unpack(reference.delta, reference.digest)
        tuned = deltas.apply(base, delta)
        tuned.digest = reference.digest
        return tuned

    return POOL.get(key, load)
