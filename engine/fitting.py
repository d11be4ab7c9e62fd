"""The batch sizes that fit into memory, as this process has learned them: `batch: auto`.

They begin at what an op declares for the device, are halved when memory runs out, and stay so for
the same op with the same networks on inputs of the same size. They never grow beyond what is
declared: the last bits of a network's answer depend on the batch, and should not on the machine.
"""

from typing import TypeAlias

from engine.calling import Loaded, batch_size, group_key
from engine.dag import Step

_Name: TypeAlias = tuple[object, ...]
_fits: dict[_Name, int] = {}


def fitting(step: Step, device: str, loaded: Loaded) -> int:
    """How many items such as this one go into a call (exactly, for a `fixed` op)."""
    most = batch_size(step, device)
    return most if most == 1 else min(most, _fits.get(_name(step, device, loaded), most))


def too_many(step: Step, device: str, loaded: Loaded, fits: int) -> None:
    """Learn that no more than so many items such as this one fit."""
    _fits[_name(step, device, loaded)] = max(1, fits)


def _name(step: Step, device: str, loaded: Loaded) -> _Name:
    _, *networks_and_sizes = group_key(loaded)
    return (step.op.name, step.op.source_digest, device, *networks_and_sizes)
