"""The `with` of a step: typed values, values per matrix entry, captions, files they name."""

from collections.abc import Mapping

from engine import settings as typed
from engine.dag import Hole, Json, ModelInfo, Template, evaluate, holes
from engine.errors import WorkflowError
from engine.holes import combinations, doubt, misformatted
from engine.op import OpSpec, SettingSpec
from engine.reading import show
from engine.scope import Scope
from engine.spec import StepSpec
from engine.template import BROKEN, parse_names
from engine.yaml_text import Path


def read(scope: Scope, step: StepSpec, op: OpSpec) -> dict[str, Json]:
    """Make the settings of a step: normalised, with holes and templates where values vary."""
    found: dict[str, Json] = {}
    for name, value in step.settings.items():
        path = (*step.path, "with", name)
        spec = op.setting(name)
        if message := typed.unknown(op, name):
            scope.problems.add(path, message, key=True)
        elif spec is not None and not _broken(value):
            checked = _one(scope, path, spec, value)
            if not typed.is_default(spec, checked):
                found[name] = checked
    for spec in op.settings:
        if typed.names_files(spec) and spec.name not in step.settings:
            found[spec.name] = spec.default
        if spec.required and spec.role != "seed" and spec.name not in step.settings:
            place = (*step.path, "with") if step.settings else (*step.path, "op")
            scope.problems.add(place, typed.missing(op, spec))
    return found


def _one(scope: Scope, path: Path, spec: SettingSpec, value: Json) -> Json:
    """Check one setting; None after a mistake."""
    if spec.role == "caption" and isinstance(value, str | Hole | Template):
        return _caption(scope, path, value)
    if holes(value):
        return value if _check_variants(scope, path, spec, value) else None
    plain, message = typed.check_one(spec, value)
    if message:
        scope.problems.add(path, message)
    return plain


def assets(
    scope: Scope, step: StepSpec, op: OpSpec, info: ModelInfo | None
) -> dict[str, tuple[str, str]]:
    """Find every file or library entry that the settings of a step can name."""
    found: dict[str, tuple[str, str]] = {}
    for spec in op.settings:
        if not spec.role.startswith("asset:"):
            continue
        path = (*step.path, "with", spec.name) if spec.name in step.settings else step.path
        value = step.settings.get(spec.name, spec.default)
        if any(hole.kind == "field" for hole in holes(value)):
            message = "names a file, so it cannot come from a source's field; use a matrix"
            scope.problems.add(path, f"'{spec.name}' {message}")
            continue
        kind = spec.role.removeprefix("asset:")
        for name in texts(scope, value):
            place = matrix_place(scope, value, name) or path
            if str(name) in found:
                continue
            try:
                found[str(name)] = scope.around.find_asset(kind, str(name), scope.base(name), info)
            except WorkflowError as error:
                scope.problems.add(place, str(error))
    return found


def matrix_place(scope: Scope, value: Json, name: str) -> Path | None:
    """Where a matrix lists a value that a setting takes whole."""
    if not (isinstance(value, Hole) and value.kind == "matrix"):
        return None
    for step in scope.spec.steps.values():
        values = step.matrix.axes.get(value.name, ()) if step.matrix else ()
        if name in values:
            return (*step.path, "matrix", value.name, values.index(name))
    return None


def texts(scope: Scope, value: Json) -> list[str]:
    """All texts that a setting can be, or list; none of one that varies with a source's fields."""
    if any(hole.kind == "field" for hole in holes(value)):
        return []
    variants = [value]
    if names := _matrices(scope, value):
        variants = [_filled(value, chosen) for chosen in combinations(names, scope.axes)]
    flat = [item for v in variants for item in (v if isinstance(v, list) else [v])]
    return [item for item in flat if isinstance(item, str)]


def _caption(scope: Scope, path: Path, value: str | Hole | Template) -> Template | None:
    """Read a caption; None after a mistake."""
    try:
        template = parse_names(value)
    except ValueError as error:
        scope.problems.add(path, str(error))
        return None
    messages = [message for hole in template.holes if (message := doubt(scope, hole))]
    if message := misformatted(scope, template):
        messages.append(message)
    for message in messages:
        scope.problems.add(path, message)
    return None if messages else template


def _check_variants(scope: Scope, path: Path, spec: SettingSpec, value: Json) -> bool:
    """Check a setting for every matrix value; what comes from fields is checked in the run."""
    messages = [message for hole in holes(value) if (message := doubt(scope, hole))]
    for message in messages:
        scope.problems.add(path, message)
    if messages or any(hole.kind == "field" for hole in holes(value)):
        return not messages
    names = _matrices(scope, value)
    for chosen in combinations(names, scope.axes):
        _, message = typed.check_one(spec, _filled(value, chosen))
        if message:
            which = ", ".join(f"{name} = {show(given)}" for name, given in chosen.items())
            scope.problems.add(path, f"{message} (matrix {which})")
            return False
    return True


def _matrices(scope: Scope, value: Json) -> list[str]:
    """The matrix axes a value reads."""
    found = [hole.name for hole in holes(value) if hole.kind == "matrix"]
    return [name for name in dict.fromkeys(found) if name in scope.axes]


def _filled(value: Json, chosen: Mapping[str, Json]) -> Json:
    """Fill the matrix holes of a value."""

    def lookup(hole: Hole) -> Json:
        return chosen.get(hole.name)

    return evaluate(value, lookup)


def _broken(value: Json) -> bool:
    """Whether some part of a value could not be made."""
    if isinstance(value, dict):
        return any(_broken(item) for item in value.values())
    return any(_broken(item) for item in value) if isinstance(value, list) else value is BROKEN
