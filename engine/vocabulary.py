"""Settings that name attributes, against what is known of scores, flows and feature networks."""

from collections.abc import Mapping

from engine import given_settings
from engine.dag import Json, ModelInfo, ModelRef, holes
from engine.errors import suggestion
from engine.op import OpSpec
from engine.scope import Scope
from engine.spec import StepSpec
from engine.values import Network
from engine.wiring import Filled


def check(
    scope: Scope, step: StepSpec, op: OpSpec, known: Mapping[str, tuple[str, ...] | None]
) -> None:
    """Note what settings name that those who would have to know it do not know."""
    for spec in op.settings:
        value = step.settings.get(spec.name)
        there = _together(spec.known_to, known)
        if not spec.known_to or not there:
            continue
        for name in dict.fromkeys(given_settings.texts(scope, value)):
            if not name or name in there:
                continue
            place = given_settings.matrix_place(scope, value, name)
            near = suggestion(name, there)
            message = f"there is no attribute '{name}'{near} (there are {', '.join(there)})"
            scope.problems.add(place or (*step.path, "with", spec.name), message)


def names(
    op: OpSpec, known: Mapping[str, tuple[str, ...] | None], info: ModelInfo | None
) -> tuple[str, ...]:
    """Find the names of the scores that a step yields, or that its model knows; () if unknown."""
    if op.options.names:
        found = (_together(whom, known) for whom in op.options.names)
        return next((names for names in found if names), ())
    trains = any(port.type is Network for port in op.ports)
    return info.names if info is not None and trains else ()


def known(
    scope: Scope,
    op: OpSpec,
    wires: Mapping[str, Filled],
    models: Mapping[str, ModelRef],
    settings: Mapping[str, Json],
    assets: Mapping[str, tuple[str, str]],
) -> dict[str, tuple[str, ...] | None]:
    """Collect the names that wires, model slots and settings of a step bring; None for unknown."""
    found: dict[str, tuple[str, ...] | None] = {}
    for wire, filled in wires.items():
        each = {reading.node.names for reading in filled.readings}
        found[wire] = (each.pop() or None) if len(each) == 1 else None
    for slot, ref in models.items():
        found[slot] = (ref.info.names if ref.info else scope.nodes[ref.step].names) or None
    for spec in op.settings:
        value = settings.get(spec.name, [])
        texts = tuple(given_settings.texts(scope, value))
        if holes(value):
            found[spec.name] = None
        elif spec.role.startswith("asset:"):
            kind = spec.role.removeprefix("asset:")
            files = [assets[text][0] for text in texts if text in assets]
            told = [scope.around.names_in(kind, file) for file in files]
            sure = len(files) == len(texts) and all(told)
            found[spec.name] = tuple(name for names in told for name in names) if sure else None
        else:
            found[spec.name] = texts
    return found


def _together(
    whom: tuple[str, ...], known: Mapping[str, tuple[str, ...] | None]
) -> tuple[str, ...]:
    """All that some know together; () where one of them is unknown."""
    told = [known.get(name) for name in whom]
    return tuple(name for names in told for name in names or ()) if None not in told else ()
