"""A part of a workflow: up to one step, or the first items of every source."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.dag import Graph, Link, SourceItem, Step
from engine.errors import UsageError, suggestion

Listings = Mapping[str, Sequence[SourceItem]]


def until(graph: Graph, name: str) -> Graph:
    """Keep a step, what it needs, and the outputs of what is kept.

    Raises: UsageError when there is no such step.
    """
    if name not in graph.steps:
        known = ", ".join(graph.steps)
        near = suggestion(name, graph.steps)
        raise UsageError(f"--until {name}: there is no such step ({known}){near}")
    needed = {name}
    for step in reversed(list(graph.steps.values())):
        if step.name in needed:
            needed.update(_reads(step))
    steps = {key: step for key, step in graph.steps.items() if key in needed}
    outputs = tuple(output for output in graph.outputs if output.ref.node in steps)
    return replace(graph, steps=steps, outputs=outputs)


def _reads(step: Step) -> set[str]:
    """Every node a step reads."""
    found = {ref.node for wire in step.wires for ref in wire.refs}
    found.update(ref.node for ref in (step.when.refs if step.when else ()))
    found.update(model.step for model in step.models.values() if model.step)
    return found


def first(graph: Graph, listings: Listings, count: int) -> dict[str, Sequence[SourceItem]]:
    """Keep the first `count` items of every source; of a matched one, their partners."""
    found: dict[str, Sequence[SourceItem]] = {
        name: tuple(items[:count]) for name, items in listings.items()
    }
    links = {link for step in graph.steps.values() for link in step.links if link.by == "match"}
    for link in sorted(links, key=lambda link: link.source):
        found[link.source] = _partners(link, found[link.axis], listings[link.source])
    return found


def _partners(
    link: Link, kept: Sequence[SourceItem], others: Sequence[SourceItem]
) -> tuple[SourceItem, ...]:
    """The items of a matched source that the kept ones meet, renumbered."""
    wanted = {item.fields.get(link.axis_field) for item in kept}
    met = [item for item in others if item.fields.get(link.field) in wanted]
    return tuple(replace(item, index=i) for i, item in enumerate(met))
