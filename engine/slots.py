"""Which model fills each slot of a step, and whether its codes belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from engine.dag import ModelInfo, ModelRef
from engine.errors import WorkflowError, suggestion
from engine.op import OpSpec
from engine.scope import Node, Reading, Scope
from engine.spec import ModelSpec, StepSpec
from engine.values import Direction, FeatureMap, Latent
from engine.yaml_text import Path as Place

#: Values that belong to a model, the surest first.
BOUND = (Latent, FeatureMap, Direction)


def declare(scope: Scope) -> None:
    """Describe every declared model."""
    scope.broken_models |= scope.spec.unreadable["models"]
    for name, spec in scope.spec.models.items():
        info = _described(scope, spec)
        if info is None:
            scope.broken_models.add(name)
        else:
            scope.models[name] = info


def resolve(scope: Scope, name: str, place: Place) -> ModelRef | None:
    """Find a model by name: declared, or the step that yields it; notes what is unknown."""
    if name in scope.models:
        return ModelRef(name, scope.models[name])
    if name in scope.broken_models:
        return None
    node = scope.nodes.get(name)
    if node is not None and not node.known:
        return None
    if node is not None and node.trains:
        return ModelRef(name, step=name, base=node.info)
    if node is not None:
        scope.problems.add(place, f"'{name}' yields no model")
        return None
    trained = [node.name for node in scope.nodes.values() if node.trains]
    near = suggestion(name, [*scope.models, *trained])
    near = near or f"; declare it: models: {{{name}: {{file: weights.pt}}}}"
    scope.problems.add(place, f"unknown model '{name}'{near}")
    return None


def default(scope: Scope, place: Place) -> ModelRef | None:
    """Choose the model of a step that names none: the only declared one, else the builtin."""
    declared = [*scope.spec.models, *scope.spec.unreadable["models"]]
    if len(declared) == 1:
        return resolve(scope, declared[0], place)
    name = scope.around.default_model
    if name not in scope.models:
        try:
            scope.models[name] = scope.around.describe(name)
        except WorkflowError as error:
            scope.problems.add(place, str(error))
            return None
    return ModelRef(name, scope.models[name])


def fill(
    scope: Scope, step: StepSpec, op: OpSpec, bound: Sequence[Reading]
) -> tuple[dict[str, ModelRef], bool]:
    """Fill a step's model slots; false when one of them is in doubt after a mistake."""
    key = "model" if "" in step.models else "models"
    if not op.models:
        if step.models:
            scope.problems.add((*step.path, key), f"op '{op.name}' uses no model", key=True)
        return {}, True
    if "" in step.models and len(op.models) > 1:
        slots = ", ".join(op.models)
        scope.problems.add((*step.path, key), f"{op.name} has {slots}: write `models: {{...}}`")
        return {}, False
    for slot in step.models:
        if slot and slot not in op.models:
            near = suggestion(slot, op.models) or f"; it has {', '.join(op.models)}"
            place = (*step.path, key, slot)
            scope.problems.add(place, f"{op.name} has no model slot '{slot}'{near}", key=True)
    found: dict[str, ModelRef | None] = {}
    for slot in op.models:
        name = step.models.get("") or step.models.get(slot)
        place = (*step.path, "model") if "" in step.models else (*step.path, "models", slot)
        inherited = next((r.node.model for r in bound if r.node.model), None)
        if name is not None:
            found[slot] = resolve(scope, name, place)
        else:
            found[slot] = inherited or default(scope, (*step.path, "op"))
    for slot in op.options.carried:
        ref = found[slot]
        if ref is not None and ref.info is not None and not ref.info.delta:
            given = slot in step.models or "" in step.models
            place = (*step.path, *(("models", slot) if slot in step.models else ("op",)))
            told = f"'{ref.name}' is a generator" if given else "none is given"
            remedy = (
                f"write `models: {{{slot}: STEP}}`, or a model of the file that such a step wrote"
            )
            message = f"{op.name} needs what a step learned as its {slot}, and {told}: {remedy}"
            scope.problems.add(place, message)
            found[slot] = None
    sure = {slot: ref for slot, ref in found.items() if ref is not None}
    return sure, len(sure) == len(found)


def info_of(scope: Scope, ref: ModelRef | None) -> ModelInfo | None:
    """What is known of a model; for a trained one, of the model it started from."""
    if ref is None:
        return None
    if ref.info is not None:
        return ref.info
    node = scope.nodes.get(ref.step)
    return node.info if node else None


def check_families(
    scope: Scope, step: StepSpec, slots: Mapping[str, ModelRef], bound: Mapping[Place, Reading]
) -> None:
    """Note every code that belongs to another model than the step's."""
    infos = [info_of(scope, ref) for ref in slots.values()]
    if not slots:
        infos = [next((r.node.info for r in bound.values() if r.node.info), None)]
    expected = [info for info in infos if info is not None]
    families = {info.family for info in expected}
    for place, reading in bound.items():
        info = reading.node.info
        if info is None or not expected or len(expected) < len(infos) or info.family in families:
            continue
        kind = reading.type.__name__
        names = " and ".join(sorted({f"'{other.name}'" for other in expected}))
        sizes = f"{info.num_rows} rows of {info.w_dim}"
        scope.problems.add(
            place,
            f"this {kind} belongs to model '{info.name}' ({sizes}) and step '{step.name}' "
            f"uses {names}, whose codes mean something else",
        )


def yielded(
    scope: Scope, slots: Mapping[str, ModelRef], bound: Sequence[Reading]
) -> tuple[ModelRef | None, ModelInfo | None]:
    """Say which model the codes that a step makes belong to; None when that is open."""
    refs = list(slots.values())
    if not refs:
        first: Node | None = next((r.node for r in bound if r.node.model), None)
        return (first.model, first.info) if first else (None, None)
    infos = [info_of(scope, ref) for ref in refs]
    families = {info.family if info else None for info in infos}
    return (refs[0], infos[0]) if len(families) == 1 else (None, None)


def _described(scope: Scope, spec: ModelSpec) -> ModelInfo | None:
    """Describe one declared model and check its digest."""
    try:
        info = scope.around.describe(spec.builtin or scope.absolute(spec.file))
    except WorkflowError as error:
        scope.problems.add(spec.path, str(error))
        return None
    if spec.sha256 and not info.digest.lower().endswith(spec.sha256):
        message = f"{Path(info.path).name} has sha256 {info.digest}"
        scope.problems.add((*spec.path[:2], "sha256"), f"{message}, not {spec.sha256}")
        return None
    return replace(info, precision=spec.precision)
