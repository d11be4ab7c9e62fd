"""Values that vary per item: do their names exist, are they known for a step's items."""

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from engine.axes import covers
from engine.dag import Axis, Hole, Json, Link, Template
from engine.errors import suggestion
from engine.scope import Scope
from engine.template import check_format, write_hole

MOST_COMBINATIONS = 10_000
_NUMBERED = ("index", "seed")


def doubt(scope: Scope, hole: Hole) -> str:
    """Say why there is no such matrix or source field in the file, or ""."""
    matrices = [axis.name for axis in scope.axes.values() if axis.kind == "matrix"]
    node = scope.nodes.get(hole.name)
    if hole.kind == "matrix":
        if hole.name in matrices:
            return ""
        if node is not None and node.source:
            field = node.fields[0] if node.fields else "field"
            return f"'{hole.name}' is a source; write one of its fields, '{hole.name}.{field}'"
        near = suggestion(hole.name, matrices) or f"; there is {', '.join(matrices) or 'none'}"
        return f"no matrix is named '{hole.name}'{near}"
    if node is None:
        sources = [name for name, other in scope.nodes.items() if other.source]
        return f"unknown source '{hole.name}'{suggestion(hole.name, sources)}"
    if not node.source:
        return f"'{hole.name}' is a step; only source fields and matrix values can be read here"
    if node.known and hole.field not in node.fields:
        near = suggestion(hole.field, node.fields) or f"; it has {', '.join(node.fields)}"
        return f"source '{hole.name}' has no field '{hole.field}'{near}"
    return ""


def open_holes(template: Template) -> list[tuple[Hole, str]]:
    """List the holes of a template with their format specifications."""
    return [(part.hole, part.text) for part in template.parts if part.hole is not None]


def misformatted(scope: Scope, template: Template) -> str:
    """Say which hole cannot be written as it asks, where its values are known; or ""."""
    for hole, spec in open_holes(template):
        for sample in _samples(scope, hole):
            if message := check_format(spec, sample):
                return f"{{{write_hole(hole)}}}: {message}"
    return ""


def known(hole: Hole, axes: tuple[str, ...], links: tuple[Link, ...], scope: Scope) -> bool:
    """Tell whether a value is known for items with these axes."""
    if hole.kind == "matrix":
        return hole.name in axes
    return hole.name in covers(axes, links, scope.axes) or write_hole(hole) in axes


def combinations(names: list[str], axes: Mapping[str, Axis]) -> Iterator[dict[str, Json]]:
    """Yield values for these matrix axes: every combination, or each value once if too many."""
    values = [axes[name].values for name in names]
    if prod(len(found) for found in values) <= MOST_COMBINATIONS:
        for chosen in product(*values):
            yield dict(zip(names, chosen, strict=True))
        return
    for i in range(max(len(found) for found in values)):
        yield {n: found[min(i, len(found) - 1)] for n, found in zip(names, values, strict=True)}


def _samples(scope: Scope, hole: Hole) -> tuple[Json, ...]:
    """Values a hole may have, as far as they are known before the run."""
    if hole.kind == "matrix":
        return scope.axes[hole.name].values if hole.name in scope.axes else ()
    source = scope.spec.sources.get(hole.name)
    if source is None:
        return ()
    if source.kind == "values" and hole.field == "value":
        return tuple(source.options["values"])
    if source.kind == "table":
        return ()
    return (1,) if hole.field in _NUMBERED else ("x",)
