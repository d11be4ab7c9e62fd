"""Networks: what they are, where they lie, and how they are run. Usable without the rest.

`describe` tells what a weight file is without torch; `network` and, by reference, `fetch` give
live generators from a pool shared by the whole process, `models.companions` the networks that stand
beside them; `load_generator` and `save_generator` go past the pool.
"""

from typing import TYPE_CHECKING, Any

from models.config import GeneratorConfig, Layer, layer_table, standard_channels
from models.describe import ModelInfo, describe, file_digest
from models.errors import ModelError
from models.library import builtin_names, library_names
from models.runtime import import_torch

if TYPE_CHECKING:
    from models.loading import load_generator, load_network, save_generator, save_network
    from models.mapping import truncate
    from models.pool import POOL, Pool, fetch, network
    from models.stylegan2 import Generator, LayerState

_NEEDS_TORCH = {
    "loading": ("load_generator", "load_network", "save_generator", "save_network"),
    "mapping": ("truncate",),
    "pool": ("POOL", "Pool", "fetch", "network"),
    "stylegan2": ("Generator", "LayerState"),
}

__all__ = [
    "POOL",
    "Generator",
    "GeneratorConfig",
    "Layer",
    "LayerState",
    "ModelError",
    "ModelInfo",
    "Pool",
    "builtin_names",
    "describe",
    "fetch",
    "file_digest",
    "import_torch",
    "layer_table",
    "library_names",
    "load_generator",
    "load_network",
    "network",
    "save_generator",
    "save_network",
    "standard_channels",
    "truncate",
]


def __getattr__(name: str) -> Any:
    """The names that need torch, imported when first asked for, so that planning stays quick."""
    from importlib import import_module

    for module, names in _NEEDS_TORCH.items():
        if name in names:
            import_torch()
            return getattr(import_module(f"models.{module}"), name)
    raise AttributeError(f"module 'models' has no attribute {name!r}")
