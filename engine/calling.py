"""One op on one batch: find the function, fill its parameters, check and split what it returns."""

import hashlib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from engine.dag import Step
from engine.errors import OpError
from engine.jobs import Job
from engine.keys import canonical
from engine.op import SILENT, OpSpec, Progress
from engine.own_ops import own_module
from engine.values import (
    Network,
    Scalar,
    Value,
    count,
    finite,
    signature,
    stack,
    take,
    tensor_fields,
)

Ports = dict[str, Value]


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A job with its inputs at hand; `seconds` is what loading them took."""

    job: Job
    wires: Mapping[str, tuple[Value, ...]]
    networks: Mapping[str, Network]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Memory its tensors take."""
        return sum(nbytes(value) for wire in self.wires.values() for value in wire)


def nbytes(value: Value) -> int:
    """Memory the tensors of a value take."""
    kind: type = type(value)
    return sum(getattr(value, name).nbytes for name in tensor_fields(kind))


def alone(step: Step) -> bool:
    """Whether each item needs a call of its own: gathered members, captions, a scratch folder."""
    roles = {setting.role for setting in step.op.settings}
    many = any(wire.many for wire in step.op.wires)
    return many or bool(roles & {"members", "caption", "scratch"})


def batch_size(step: Step, device: str) -> int:
    """How many items one call gets at most (exactly, for a `fixed` op)."""
    if alone(step):
        return 1
    options = step.op.options
    return step.batch or (options.batch_cuda if device.startswith("cuda") else options.batch)


def group_key(loaded: Loaded) -> tuple[object, ...]:
    """What jobs must share to go into one call: settings, networks, kinds and sizes of inputs."""
    wires = tuple(
        (name, tuple(signature(value) for value in values))
        for name, values in sorted(loaded.wires.items())
    )
    networks = tuple(sorted(loaded.networks.items()))
    return (canonical(dict(loaded.job.settings)), networks, wires)


def call(
    step: Step, batch: Sequence[Loaded], size: int, scratch: str, progress: Progress = SILENT
) -> list[Ports]:
    """Call a step's op once on a batch and split the answer into items.

    A `fixed` op gets `size` items, the last one repeated; the extra results are dropped.
    Raises: whatever the op raises; OpError when it returns something else than it declares.
    """
    padded = list(batch)
    if step.op.options.fixed:
        padded += [batch[-1]] * (size - len(batch))
    function = find_function(step.op)
    returned = function(**arguments(step.op, padded, scratch, progress))
    ports = _ports(step.op, returned, len(padded))
    if len(padded) == 1:
        return [ports]
    return [
        {name: take(value, i, i + 1) for name, value in ports.items()} for i in range(len(batch))
    ]


def arguments(
    op: OpSpec, batch: Sequence[Loaded], scratch: str, progress: Progress = SILENT
) -> dict[str, Any]:
    """Make the keyword arguments of a call: wires stacked, networks, settings, seeds, texts."""
    first = batch[0]
    filled: dict[str, Any] = dict(first.job.settings)
    for wire in op.wires:
        if wire.name not in first.wires:
            continue
        if wire.many:
            filled[wire.name] = first.wires[wire.name]
        else:
            filled[wire.name] = stack([loaded.wires[wire.name][0] for loaded in batch])
    filled.update(first.networks)
    for setting in op.settings:
        if setting.role == "seed":
            filled[setting.name] = tuple(loaded.job.seeds[setting.name] for loaded in batch)
        elif setting.role == "caption" and setting.name in first.job.captions:
            filled[setting.name] = first.job.captions[setting.name]
        elif setting.role == "members" and first.job.members is not None:
            filled[setting.name] = first.job.members
        elif setting.role == "scratch":
            filled[setting.name] = scratch
        elif setting.role == "progress":
            filled[setting.name] = progress
    return filled


def _ports(op: OpSpec, returned: object, items: int) -> Ports:
    """Check an op's answer against its declaration; tensors come back to main memory."""
    if op.single:
        found = {op.ports[0].name: returned}
    else:
        found = {port.name: getattr(returned, port.name, None) for port in op.ports}
    for port in op.ports:
        value = found[port.name]
        if type(value) is not port.type:
            raise OpError(
                f"op {op.name}: port '{port.name}' is a {type(value).__name__}, "
                f"declared {port.type.__name__}"
            )
        if count(cast(Value, value)) != items:
            raise OpError(
                f"op {op.name}: port '{port.name}' has {count(cast(Value, value))} items, "
                f"the batch has {items}"
            )
    return {name: _home(cast(Value, value)) for name, value in found.items()}


def _home(value: Value) -> Value:
    kind: type = type(value)
    names = tensor_fields(kind)
    away = {n: getattr(value, n) for n in names if getattr(value, n).device.type != "cpu"}
    if not away:
        return value
    return replace(value, **{n: tensor.cpu() for n, tensor in away.items()})


def is_finite(value: Value) -> bool:
    """Whether all numbers of one item are finite."""
    if isinstance(value, Scalar):
        return all(not isinstance(x, float) or math.isfinite(x) for x in value.data)
    kind: type = type(value)
    return not tensor_fields(kind) or all(finite(value))


def find_function(op: OpSpec, name: str = "") -> Callable[..., object]:
    """Find an op's function in this process, or another one of its module.

    Raises: OpError when a user's file is no longer what it was when the run was planned.
    """
    module = own_module(op) if op.source_path else importlib.import_module(op.module)
    return cast(Callable[..., object], getattr(module, name or op.function))


def least_side(op: OpSpec, settings: Mapping[str, Any]) -> int:
    """The least side in pixels that an op needs photos to have; 0 when it wants all of them."""
    if not op.options.draft:
        return 0
    defaults = {spec.name: spec.default for spec in op.settings}
    return cast(int, find_function(op, op.options.draft)({**defaults, **settings}))


def model_network(step: Step, slot: str, device: str) -> Network | None:
    """Make the Network of a slot filled by a declared model; None when a step makes it."""
    info = step.models[slot].info
    if info is None:
        return None
    return Network(
        name=info.name,
        path=info.path,
        digest=info.digest,
        family=info.family,
        resolution=info.resolution,
        num_rows=info.num_rows,
        device=device,
        precision=info.precision,
        delta=_delta(info.delta, info.digest) if info.delta else b"",
    )


@lru_cache(maxsize=8)
def _delta(path: str, digest: str) -> bytes:
    """A weight delta's file, read once per process for each content.

    Raises: OpError if it is gone or has changed since the run was planned.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise OpError(f"{path}: cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise OpError(f"{path}: has changed since the run was planned")
    return content
