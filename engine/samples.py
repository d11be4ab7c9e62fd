"""`samples` sources as what they are: an implicit cached step that draws codes from a model."""

from collections.abc import Mapping
from dataclasses import replace

from engine.dag import Graph, ModelRef, Ref, Source, Step, Wire
from engine.registry import Registry

#: The op behind a `samples` source: (index: Scalar, model: Network, *, seed, truncation) -> Latent.
SAMPLER = "sample_codes"


def with_samples(graph: Graph, registry: Registry) -> Graph:
    """Make a graph in which codes drawn by a source `x` come from a step `x.codes`."""
    drawn = {
        name: _step(source, registry)
        for name, source in graph.sources.items()
        if source.kind == "samples"
    }
    if not drawn:
        return graph
    ports = {name: Ref(step.name, step.op.ports[0].name) for name, step in drawn.items()}
    steps = {step.name: step for step in drawn.values()}
    steps.update({name: _reread(step, ports) for name, step in graph.steps.items()})
    outputs = tuple(replace(o, ref=_swap(o.ref, ports)) for o in graph.outputs)
    return replace(graph, steps=steps, outputs=outputs)


def _step(source: Source, registry: Registry) -> Step:
    """The implicit step of one source."""
    op = registry[SAMPLER]
    settings = {
        name: source.options[name]
        for name in ("seed", "truncation")
        if source.options.get(name) is not None
    }
    model = source.model or ModelRef("")
    return Step(
        name=f"{source.name}.codes",
        op=op,
        wires=(Wire(op.wires[0].name, (Ref(source.name, field="index", axes=(source.name,)),)),),
        settings=settings,
        models={op.models[0]: model},
        axes=(source.name,),
        place=source.place,
    )


def _reread(step: Step, ports: Mapping[str, Ref]) -> Step:
    """Let a step read the implicit steps."""
    wires = tuple(replace(w, refs=tuple(_swap(r, ports) for r in w.refs)) for w in step.wires)
    return replace(step, wires=wires)


def _swap(ref: Ref, ports: Mapping[str, Ref]) -> Ref:
    if ref.field or ref.node not in ports:
        return ref
    return replace(ports[ref.node], axes=ref.axes)
