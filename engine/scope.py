"""What the names of a workflow stand for, as far as the checks have come."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.dag import Allowed, Axis, Link, ModelInfo, ModelRef, Ref
from engine.errors import suggestion
from engine.op import PortSpec
from engine.spec import WorkflowSpec
from engine.surroundings import Surroundings
from engine.template import Given
from engine.values import Network, Scalar
from engine.yaml_text import Problems


@dataclass(frozen=True, slots=True)
class Node:
    """A source or a checked step: what can be read from it, along which axes.

    `model` and `info` are those of its codes; for a step that yields a Network, `info` is what
    that network started from. `known` is false after a mistake in it: say nothing more about it.
    `names` are those of its scores, or that its Network knows; none where that is not known.
    """

    name: str
    ports: tuple[PortSpec, ...] = ()
    fields: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    model: ModelRef | None = None
    info: ModelInfo | None = None
    source: bool = False
    known: bool = True
    names: tuple[str, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it yields a Network."""
        return any(port.type is Network for port in self.ports)


@dataclass(frozen=True, slots=True)
class Reading:
    """A reference that was found: where it reads, and the type it gives."""

    ref: Ref
    type: type
    node: Node


@dataclass(slots=True)
class Scope:
    """The state of the checks: nodes and axes so far, and the declared models."""

    spec: WorkflowSpec
    around: Surroundings
    folder: str
    nodes: dict[str, Node] = field(default_factory=dict)
    axes: dict[str, Axis] = field(default_factory=dict)
    models: dict[str, ModelInfo] = field(default_factory=dict)
    broken_models: set[str] = field(default_factory=set)

    @property
    def problems(self) -> Problems:
        """The mistakes found so far."""
        return self.spec.problems

    def base(self, text: str) -> str:
        """The folder that a path is relative to: the working folder if it came by -p."""
        return str(Path.cwd()) if isinstance(text, Given) else self.folder

    def absolute(self, text: str) -> str:
        """Make a path of the file absolute."""
        return os.path.normpath(Path(self.base(text), Path(text).expanduser()))


def find(text: str, nodes: Mapping[str, Node]) -> Reading | None:
    """Find what a reference reads: source, source.field, step, step.port; None if unknowable.

    Raises: LookupError saying what there is instead.
    """
    name, dot, part = text.partition(".")
    if name not in nodes:
        raise LookupError(f"unknown source or step '{name}'{suggestion(name, nodes)}")
    node = nodes[name]
    if not node.known:
        return None
    if node.source and dot:
        if part not in node.fields:
            near = suggestion(part, node.fields) or f"; it has {', '.join(node.fields)}"
            raise LookupError(f"source '{name}' has no field '{part}'{near}")
        return Reading(Ref(name, field=part, axes=node.axes), Scalar, node)
    if node.source and not node.ports:
        example = f"{name}.{node.fields[0]}"
        raise LookupError(f"'{name}' has columns and no pictures; read a field such as {example}")
    found = next((port for port in node.ports if port.name == part), None)
    if not dot:
        found = node.ports[0]
    if found is None:
        ports = [port.name for port in node.ports]
        near = suggestion(part, ports) or f"; it has {', '.join(ports)}"
        raise LookupError(f"step '{name}' has no port '{part}'{near}")
    return Reading(Ref(name, "" if node.source else found.name, axes=node.axes), found.type, node)
