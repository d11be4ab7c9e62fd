"""What can be done to a picture: the list of op modules, written by hand."""

from importlib import import_module
from types import ModuleType

OP_MODULES = (
    "ops.images",
    "ops.align",
    "ops.codes",
    "ops.breeding",
    "ops.synthesis",
    "ops.panorama",
    "ops.inversion",
    "ops.finetuning",
    "ops.tuning",
    "ops.pose",
    "ops.features",
    "ops.spatial",
    "ops.masks",
    "ops.local",
    "ops.directions",
    "ops.learning",
    "ops.flows",
    "ops.dependencies",
    "ops.components",
    "ops.discovery",
    "ops.scoring",
    "ops.channels",
    "ops.dci",
    "ops.samplers",
    "ops.measures",
)


def op_modules() -> tuple[ModuleType, ...]:
    """Import every op module, in the order they are documented. Imports no torch."""
    return tuple(import_module(name) for name in OP_MODULES)
