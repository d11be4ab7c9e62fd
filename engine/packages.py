"""Optional packages: a step that cannot do without one that is missing is told before the run."""

from collections.abc import Mapping

from engine.dag import Hole, Json, evaluate, holes
from engine.holes import combinations
from engine.op import Needs, OpSpec
from engine.scope import Scope
from engine.spec import StepSpec


def check(scope: Scope, step: StepSpec, op: OpSpec, settings: Mapping[str, Json]) -> None:
    """Note the packages that a step needs and that are not installed."""
    for needs in op.options.needs:
        missing = [name for name in needs.packages if not scope.around.installed(name)]
        if missing and _needed(scope, needs, op, settings):
            remedy = needs.install + (f"; or {needs.instead}" if needs.instead else "")
            which = f"{', '.join(missing)}, not installed here"
            message = f"step '{step.name}': {op.name} needs {which}: {remedy}"
            scope.problems.add((*step.path, "op"), message)


def _needed(scope: Scope, needs: Needs, op: OpSpec, settings: Mapping[str, Json]) -> bool:
    """Tell whether some item surely needs the packages; what a field decides nobody knows yet."""
    defaults = {spec.name: spec.default for spec in op.settings}
    given = {name: settings.get(name, defaults[name]) for name in needs.when}
    found = holes(given)
    if any(hole.kind == "field" or hole.name not in scope.axes for hole in found):
        return False

    def wanted(chosen: Mapping[str, Json]) -> bool:
        def lookup(hole: Hole) -> Json:
            return chosen[hole.name]

        return all(evaluate(given[name], lookup) in values for name, values in needs.when.items())

    names = list(dict.fromkeys(hole.name for hole in found))
    return any(map(wanted, combinations(names, scope.axes)))
