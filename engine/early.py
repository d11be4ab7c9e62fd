"""What an op itself can say against a step's settings before anything runs."""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from engine.dag import Hole, Json, ModelRef, evaluate, holes
from engine.holes import combinations
from engine.op import NamedFile, OpSpec
from engine.reading import show
from engine.scope import Scope
from engine.slots import info_of
from engine.spec import StepSpec

#: (settings and defaults, resolution of each model slot) -> (setting, what is wrong with it).
#: Names of assets are `NamedFile`.
Check: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, int]], Iterator[tuple[str, str]]]


def check(
    scope: Scope,
    step: StepSpec,
    op: OpSpec,
    settings: Mapping[str, Json],
    models: Mapping[str, ModelRef],
    assets: Mapping[str, tuple[str, str]],
) -> None:
    """Note what an op's own check refuses, for every matrix value; fields are known in the run."""
    infos = {slot: info_of(scope, ref) for slot, ref in models.items()}
    resolutions = {slot: info.resolution for slot, info in infos.items() if info is not None}
    found = holes(dict(settings))
    unknown = any(hole.kind == "field" or hole.name not in scope.axes for hole in found)
    broken = any(settings[name] is None for name in step.settings if name in settings)
    if not op.options.check or unknown or broken or len(resolutions) < len(infos):
        return
    judge: Check = getattr(sys.modules[op.module], op.options.check)
    defaults = {spec.name: spec.default for spec in op.settings}
    named = {spec.name for spec in op.settings if spec.role.startswith("asset:")}
    names = list(dict.fromkeys(hole.name for hole in found))
    for chosen in combinations(names, scope.axes):
        filled = {name: _filled(value, chosen) for name, value in settings.items()}
        given = {
            name: _found(value, assets) if name in named else value
            for name, value in {**defaults, **filled}.items()
        }
        for name, message in judge(given, resolutions):
            which = ", ".join(f"{axis} = {show(value)}" for axis, value in chosen.items())
            place = (*step.path, "with", name) if name in step.settings else (*step.path, "op")
            scope.problems.add(place, message + (f" (matrix {which})" if which else ""))
            return


def _found(value: Any, assets: Mapping[str, tuple[str, str]]) -> Any:
    """Names of assets with their files."""
    if isinstance(value, list | tuple):
        return [_found(one, assets) for one in value]
    return NamedFile(value, assets.get(value, ("", ""))[0]) if isinstance(value, str) else value


def _filled(value: Json, chosen: Mapping[str, Json]) -> Json:
    """A setting with its matrix values."""

    def lookup(hole: Hole) -> Json:
        return chosen[hole.name]

    return evaluate(value, lookup)
