"""Workflow file -> checked DAG: the one entrance to everything between YAML and a plan.

Every problem of the file is found in one pass and raised at once. Steps are checked in the order
of their dependencies, so each check knows the types and axes of what it reads.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from pathlib import Path

from engine import matrix, naming, slots, sources, steps
from engine.dag import Axis, Graph, Json, Step
from engine.errors import UsageError
from engine.scope import Node, Scope
from engine.spec import StepSpec, WorkflowSpec
from engine.spec_parse import parse_spec
from engine.surroundings import Surroundings
from engine.when import WhenError, names, parse

__all__ = ["Surroundings", "load_graph"]

RESERVED_NAMES = ("params", "matrix", "models")


def load_graph(
    path_or_text: str | Path,
    surroundings: Surroundings,
    params: Mapping[str, Json] | None = None,
    folder: str | None = None,
) -> Graph:
    """Make the checked DAG of a workflow file, or of its text (anything with a line break).

    `folder` is what paths in the file are relative to: by default the file's folder, or for a
    text the working folder.

    Raises: SpecError with every problem of the file; UsageError when it cannot be read.
    """
    source, file, home = _read(path_or_text)
    spec = parse_spec(source, file, params or {})
    scope = Scope(spec, surroundings, str(Path(folder or home).absolute()))
    _check_names(scope)
    slots.declare(scope)
    declared = sources.declare(scope)
    scope.axes |= _matrix_axes(scope)
    checked: dict[str, Step] = {}
    for step in _in_order(scope):
        built = steps.build(scope, step)
        if built is not None:
            checked[step.name] = built
    outputs = naming.declare(scope)
    scope.problems.check()
    return Graph(
        name=spec.name,
        file=file,
        folder=scope.folder,
        params=spec.params,
        models=scope.models,
        sources=declared,
        axes=scope.axes,
        steps=checked,
        outputs=outputs,
        run=spec.run,
        text=scope.problems.document.text,
        params_given=dict(params or {}),
    )


def _read(path_or_text: str | Path) -> tuple[str | bytes, str, str]:
    """Read a workflow: its text, the name for messages, and the folder of its paths."""
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        return path_or_text, "<workflow>", os.curdir
    path = Path(path_or_text)
    try:
        return path.read_bytes(), str(path), str(path.parent)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the workflow '{path}': {reason}") from None


def _check_names(scope: Scope) -> None:
    """Note names that are reserved or declared twice; sources, models and steps share one space."""
    spec = scope.spec
    seen: dict[str, str] = {}
    blocks: dict[str, Iterable[str]] = {
        "models": spec.models,
        "sources": spec.sources,
        "steps": spec.steps,
    }
    for kind, names_of_kind in blocks.items():
        for name in names_of_kind:
            if name in RESERVED_NAMES:
                scope.problems.add((kind, name), f"the name '{name}' is reserved", key=True)
            elif name in seen:
                message = f"'{name}' is already declared under {seen[name]}"
                scope.problems.add((kind, name), message, key=True)
            seen.setdefault(name, kind)


def _matrix_axes(scope: Scope) -> dict[str, Axis]:
    """Make the matrix axes; their names may not be those of other things."""
    axes = matrix.declare(scope.spec.steps, scope.problems)
    taken = {*scope.spec.sources, *scope.spec.steps, *RESERVED_NAMES}
    for step in scope.spec.steps.values():
        for name in step.matrix.axes if step.matrix else ():
            if name in taken:
                path = (*step.path, "matrix", name)
                message = f"the matrix name '{name}' is taken by a source, a step or the language"
                scope.problems.add(path, message, key=True)
    return {name: axis for name, axis in axes.items() if name not in taken}


def _in_order(scope: Scope) -> list[StepSpec]:
    """Order steps by what they read, else as written; cycles are noted and left out."""
    spec = scope.spec
    waiting = {
        name: [d for d in _reads(step) if d in spec.steps] for name, step in spec.steps.items()
    }
    for name in (*spec.steps, *spec.unreadable["steps"]):
        scope.nodes.setdefault(name, Node(name, known=False))
    while True:
        try:
            return _sorted(waiting, spec)
        except CycleError as error:
            cycle: list[str] = error.args[1]
            path = (*spec.steps[cycle[0]].path,)
            message = f"steps need each other in a circle: {' -> '.join(reversed(cycle))}"
            scope.problems.add(path, message, key=True)
            waiting = {name: reads for name, reads in waiting.items() if name not in cycle}
            waiting = {n: [d for d in reads if d in waiting] for n, reads in waiting.items()}


def _sorted(waiting: Mapping[str, list[str]], spec: WorkflowSpec) -> list[StepSpec]:
    """Sort topologically, staying as close to the file's order as possible.

    Raises: CycleError.
    """
    places = {name: i for i, name in enumerate(spec.steps)}
    sorter = TopologicalSorter(waiting)
    sorter.prepare()
    ready: list[tuple[int, str]] = []
    order: list[StepSpec] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, (places[name], name))
        _, name = heappop(ready)
        order.append(spec.steps[name])
        sorter.done(name)
    return order


def _reads(step: StepSpec) -> Iterator[str]:
    """Name everything a step refers to."""
    for given in step.inputs.values():
        yield from (text.partition(".")[0] for text in given.refs)
    yield from step.models.values()
    if step.when:
        try:
            yield from (name.text.partition(".")[0] for name in names(parse(step.when)))
        except WhenError:
            return
