"""Matrix axes: named file-wide, with exclude and include."""

import json
from collections.abc import Collection, Mapping
from itertools import product
from math import prod

from engine.axes import project
from engine.dag import Allowed, Axis, Json
from engine.reading import show
from engine.spec import MatrixSpec, StepSpec
from engine.yaml_text import Problems

MOST_COMBINATIONS = 100_000


def declare(steps: Mapping[str, StepSpec], problems: Problems) -> dict[str, Axis]:
    """Make the matrix axes of a file: one per name, include's new values appended."""
    values: dict[str, list[Json]] = {}
    first: dict[str, str] = {}
    matrices = [(step, step.matrix) for step in steps.values() if step.matrix]
    for step, matrix in matrices:
        for name, given in matrix.axes.items():
            path = (*step.path, "matrix", name)
            identities = [identity(value) for value in given]
            if len(set(identities)) < len(identities):
                problems.add(path, f"matrix '{name}' has a value twice")
            known = values.setdefault(name, [])
            if not known and given:
                values[name], first[name] = list(given), step.name
            elif given and identities != [identity(value) for value in known]:
                message = f"matrix '{name}' has other values in step '{first[name]}'"
                problems.add(path, f"{message}; use those, or another name")
    for _, matrix in matrices:
        for name, value in (pair for rule in matrix.include for pair in rule.items()):
            if name in values and identity(value) not in map(identity, values[name]):
                values[name].append(value)
    return {name: Axis(name, "matrix", values=tuple(found)) for name, found in values.items()}


def allowed(
    step: StepSpec,
    axes: Mapping[str, Axis],
    inherited: Collection[str],
    upstream: tuple[Allowed, ...],
    problems: Problems,
) -> tuple[Allowed, ...]:
    """Make the combinations of a step's own matrix; none when all are meant.

    An axis that the inputs bring (`inherited`, with `upstream` combinations) is only named again:
    its list takes none of their items away, and none can be included that they do not have.
    """
    matrix = step.matrix
    if matrix is None or not all(name in axes and given for name, given in matrix.axes.items()):
        return ()
    places = {
        name: {identity(value): i for i, value in enumerate(axes[name].values)}
        for name in matrix.axes
    }
    own = [
        range(len(places[n])) if n in inherited else [places[n].get(identity(v), 0) for v in given]
        for n, given in matrix.axes.items()
    ]
    included = _included(step, places, upstream, problems)
    whole = prod(len(found) for found in places.values())
    if not matrix.exclude and prod(map(len, own)) == whole:
        return ()
    if whole > MOST_COMBINATIONS:
        problems.add((*step.path, "matrix"), f"{whole:,} combinations are too many to filter")
        return ()
    combos = set(product(*own))
    for i, rule in enumerate(matrix.exclude):
        wanted = {n: places[n].get(identity(value), -1) for n, value in rule.items() if n in places}
        gone = {combo for combo in combos if _matches(combo, wanted, matrix)} if wanted else set()
        if wanted and not gone:
            problems.add((*step.path, "matrix", "exclude", i), f"{_rule(rule)} excludes nothing")
        combos -= gone
    combos |= included
    if not combos:
        problems.add((*step.path, "matrix"), "no combination is left")
    if len(combos) == whole:
        return ()
    return (Allowed(tuple(places), frozenset(combos)),)


def identity(value: Json) -> str:
    """Write a value so that equal ones are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _included(
    step: StepSpec,
    places: Mapping[str, Mapping[str, int]],
    upstream: tuple[Allowed, ...],
    problems: Problems,
) -> set[tuple[int, ...]]:
    """Make the combinations that a step includes; one that its inputs do not have is noted."""
    found = set()
    for i, rule in enumerate(step.matrix.include if step.matrix else ()):
        if set(rule) != set(places):
            continue  # told when it was read
        combo = {name: known[identity(rule[name])] for name, known in places.items()}
        found.add(tuple(combo.values()))
        if any(
            tuple(combo[name] for name in limit.axes) not in limit.combos
            for limit in project(upstream, tuple(combo))
        ):
            message = f"{_rule(rule)} includes nothing: an input of this step has no such item"
            path = (*step.path, "matrix", "include", i)
            problems.add(path, f"{message}; include it where that gets its matrix")
    return found


def _matches(combo: tuple[int, ...], wanted: Mapping[str, int], matrix: MatrixSpec) -> bool:
    """Tell whether a combination has all wanted values."""
    return all(combo[list(matrix.axes).index(name)] == i for name, i in wanted.items())


def _rule(rule: Mapping[str, Json]) -> str:
    """Write an exclusion."""
    return "{" + ", ".join(f"{name}: {show(value)}" for name, value in rule.items()) + "}"
