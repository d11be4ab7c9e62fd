"""Steps fused into segments: what one chunk can run without waiting for anything outside its slice.

A step's home is the first source or group axis it has, else its first matrix axis. Steps of one
segment share a home and a level, and read each other only along the home axis, so a slice of the
home axis runs alone. A read that crosses (a gather, or an input with another home) starts a higher
level: the producer's items must be settled before. `coalesce` and Networks made by steps cross too,
since keys depend on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.dag import Graph, Ref, Step


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that one chunk runs together, in topological order; `home` is "" without an axis."""

    name: str
    home: str
    level: int
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segmented:
    """All segments, by rising level, and the producers whose items later segments read."""

    segments: tuple[Segment, ...]
    segment_of: dict[str, str]
    crossing: frozenset[str]


def home_of(graph: Graph, step: Step) -> str:
    """The axis a step's work is sliced along: a source or group axis, else a matrix one."""
    named = sorted(step.axes, key=lambda name: graph.axes[name].kind == "matrix")
    return named[0] if named else ""


@dataclass(frozen=True, slots=True)
class Read:
    """One ref a step reads: gathered over an axis or not, and whether it may be fused with it."""

    ref: Ref
    gathered: bool = False
    fuses: bool = True


def reads(step: Step) -> Iterator[Read]:
    """Everything a step's items need: wires, conditions, networks."""
    for wire in step.wires:
        gathered = step.gather is not None and wire.many
        for ref in wire.refs:
            yield Read(ref, gathered, not gathered and not step.coalesce)
    for ref in step.when.refs if step.when else ():
        yield Read(ref)
    for model in step.models.values():
        if model.step:
            yield Read(Ref(model.step), fuses=False)


def segment(graph: Graph) -> Segmented:
    """Fuse a graph's steps into segments."""
    level: dict[str, int] = {}
    homes = {name: home_of(graph, step) for name, step in graph.steps.items()}
    for name, step in graph.steps.items():
        level[name] = 0
        for read in reads(step):
            if read.ref.node in graph.steps:
                along = read.fuses and homes[read.ref.node] == homes[name]
                level[name] = max(level[name], level[read.ref.node] + (not along))
    place = {name: (level[name], homes[name]) for name in graph.steps}
    crossing = frozenset(
        read.ref.node
        for name, step in graph.steps.items()
        for read in reads(step)
        if read.ref.node in place and place[read.ref.node] != place[name]
    ) | {output.ref.node for output in graph.outputs if output.table}
    found: dict[tuple[int, str], list[str]] = {}
    for name in graph.steps:
        found.setdefault(place[name], []).append(name)
    segments = tuple(
        Segment(f"{where[0]}:{where[1] or 'all'}", where[1], where[0], tuple(names))
        for where, names in sorted(found.items())
    )
    return Segmented(segments, {step: s.name for s in segments for step in s.steps}, crossing)
