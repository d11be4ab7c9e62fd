"""Steps fused into segments: what one chunk can run without waiting for anything outside its slice.

A step's home is the first source or group axis it has, else its first matrix axis. Steps of one
segment share a home and a level, and read each other only along the home axis, so a slice of the
home axis runs alone. A read that crosses (a gather, or an input with another home) starts a higher
level: the producer's items must be settled before. `coalesce` and Networks made by steps cross too,
since keys depend on them.

Where some workers have a GPU and others none, a segment also belongs to one of two pools: what
leads up to the networks (decoding, cutting out) and what comes after them (pasting back, sheets)
runs in CPU workers, the networks and what lies between them on GPUs. A read from one pool to the
other crosses, and so does a file of a GPU step: a CPU worker reads the value and encodes it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.dag import Graph, Ref, Step

#: The kind of workers that work belongs to; "" is any.
Pool: TypeAlias = Literal["", "cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that one chunk runs together, in topological order; `home` is "" without an axis.

    `models` are those that the steps work with, by name.
    """

    name: str
    home: str
    level: int
    steps: tuple[str, ...]
    pool: Pool = ""
    models: frozenset[str] = frozenset()


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


def pools_of(graph: Graph) -> Mapping[str, Pool]:
    """The pool of every step; any, where no step needs a GPU."""
    heavy = {name for name, step in graph.steps.items() if step.op.models and step.device != "cpu"}
    above: dict[str, bool] = {}  # has it a heavy step among its ancestors?
    below = dict.fromkeys(graph.steps, False)  # or among its descendants?
    read = {
        name: [r.ref.node for r in reads(step) if r.ref.node in graph.steps]
        for name, step in graph.steps.items()
    }
    for name in graph.steps:
        above[name] = any(above[node] or node in heavy for node in read[name])
    for name in reversed(list(graph.steps)):
        for node in read[name]:
            below[node] |= below[name] or name in heavy
    between = {name for name in graph.steps if above[name] and below[name]}
    gpu = heavy | {name for name in between if graph.steps[name].device != "cpu"}
    return {name: ("gpu" if name in gpu else "cpu") if heavy else "" for name in graph.steps}


def segment(graph: Graph, *, pools: bool = False) -> Segmented:
    """Fuse a graph's steps into segments; with `pools` for workers with a GPU, and without."""
    level: dict[str, int] = {}
    homes = {name: home_of(graph, step) for name, step in graph.steps.items()}
    pool: Mapping[str, Pool] = pools_of(graph) if pools else dict.fromkeys(graph.steps, "")
    for name, step in graph.steps.items():
        level[name] = 0
        for read in reads(step):
            node = read.ref.node
            if node in graph.steps:
                along = read.fuses and (homes[node], pool[node]) == (homes[name], pool[name])
                level[name] = max(level[name], level[node] + (not along))
    place = {name: (level[name], homes[name], pool[name]) for name in graph.steps}
    crossing = frozenset(
        read.ref.node
        for name, step in graph.steps.items()
        for read in reads(step)
        if read.ref.node in place and place[read.ref.node] != place[name]
    ) | {
        output.ref.node
        for output in graph.outputs
        if output.table or pool.get(output.ref.node) == "gpu"
    }
    found: dict[tuple[int, str, Pool], list[str]] = {}
    for name in graph.steps:
        found.setdefault(place[name], []).append(name)
    segments = tuple(
        Segment(
            ":".join([str(where[0]), where[1] or "all", *([where[2]] if where[2] else [])]),
            where[1],
            where[0],
            tuple(names),
            where[2],
            frozenset(m.name for n in names for m in graph.steps[n].models.values() if not m.step),
        )
        for where, names in sorted(found.items())
    )
    return Segmented(segments, {step: s.name for s in segments for step in s.steps}, crossing)
