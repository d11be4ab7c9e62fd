"""Typed settings: what a user wrote after `with:` against an op's signature.

`check` judges plain values; it runs before the run for what is known then, and on a worker for
what a table's field brought. Normalised settings are plain JSON with the defaults left out, so
that spelling out a default changes no key.
"""

import json
import types
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Len
from pydantic import Field, TypeAdapter, ValidationError

from engine.dag import Json, holes
from engine.errors import suggestion
from engine.op import ENGINE_ROLES, Asset, KnownTo, OpSpec, Range, SettingSpec
from engine.reading import show

_SEED = Annotated[int, Range(0, 2**63 - 1)]
_SEED_SETTING = _SEED | Annotated[dict[Literal["shared"], _SEED], Len(min_length=1)] | None
_PLAIN_WORDS = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
_MANY_WORDS = {float: "numbers", int: "whole numbers", str: "texts", bool: "true or false"}


def check(op: OpSpec, settings: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    """Make normalised settings of plain values, and say what is wrong with them."""
    normalised: dict[str, Json] = {}
    messages = [message for name in settings if (message := unknown(op, name))]
    for spec in (s for s in op.settings if s.role not in ENGINE_ROLES):
        if spec.name in settings:
            value, message = check_one(spec, settings[spec.name])
            if message:
                messages.append(message)
            elif not is_default(spec, value):
                normalised[spec.name] = value
        elif spec.required and spec.role != "seed":
            messages.append(missing(op, spec))
        elif names_files(spec):
            normalised[spec.name] = spec.default
    return normalised, messages


def unknown(op: OpSpec, name: str) -> str:
    """Say why a name is no setting of an op that a user can write, or ""."""
    spec = op.setting(name)
    if spec is None:
        names = [s.name for s in op.settings if s.role not in ENGINE_ROLES]
        wire = ", which is a wire: write it under `in`" if op.wire(name) else ""
        near = wire or suggestion(name, names) or f"; {op.name} has {', '.join(names) or 'none'}"
        return f"unknown setting '{name}'{near}"
    return f"'{name}' is filled in by the engine" if spec.role in ENGINE_ROLES else ""


def missing(op: OpSpec, spec: SettingSpec) -> str:
    """Say that an op needs a setting."""
    return f"{op.name} needs the setting '{spec.name}': {describe_setting(spec)}"


def check_one(spec: SettingSpec, value: Json) -> tuple[Json, str]:
    """Make the normalised value of one setting, or say why it is refused."""
    annotation = annotation_of(spec)
    try:
        typed = _adapter(annotation).validate_json(json.dumps(value), strict=True)
    except (ValidationError, TypeError, ValueError):
        options = _options(annotation)
        near = suggestion(value, options) if isinstance(value, str) else ""
        return None, f"'{spec.name}' must be {describe_setting(spec)}, not {show(value)}{near}"
    return _adapter(annotation).dump_python(typed, mode="json"), ""


def is_default(spec: SettingSpec, value: Json) -> bool:
    """Tell whether a normalised value says no more than leaving the setting out."""
    if spec.role == "seed" or names_files(spec):
        return value is None
    if spec.required:
        return False
    if holes(value):
        return False
    default, message = check_one(spec, json.loads(json.dumps(spec.default)))
    return not message and json.dumps(value) == json.dumps(default)


def names_files(spec: SettingSpec) -> bool:
    """Tell whether the default names a file: never left out, as its content is what counts."""
    return spec.role.startswith("asset:") and bool(spec.default)


def annotation_of(spec: SettingSpec) -> Any:
    """The type a user's value must have."""
    if spec.role == "seed":
        return _SEED_SETTING
    if spec.role == "caption":
        return str | None
    return spec.annotation


def json_schema(spec: SettingSpec) -> dict[str, Json]:
    """Make the JSON Schema of a setting's values."""
    return _adapter(annotation_of(spec)).json_schema()


def describe_setting(spec: SettingSpec) -> str:
    """Write what a setting takes."""
    if spec.role == "seed":
        return "a whole number from 0, {shared: number} or null"
    return describe(annotation_of(spec))


def describe(annotation: Any, *, many: bool = False) -> str:
    """Write a type as a user reads it: 'a number from 0 to 1', 'one of 'w' or 'z''."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = next((a for a in arguments[1:] if isinstance(a, Range)), None)
        return describe(arguments[0], many=many) + (_bounds(bounds) if bounds else "")
    if origin in (Union, types.UnionType):
        arms = [describe(arm, many=many) for arm in arguments if arm is not type(None)]
        return " or ".join(arms) + (" or null" if type(None) in arguments else "")
    if origin is Literal:
        words = [f"'{a}'" if isinstance(a, str) else str(a) for a in arguments]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    if origin in (list, tuple, set, frozenset, Sequence):
        inner = [a for a in arguments if a is not Ellipsis]
        if origin is tuple and Ellipsis not in arguments:
            return f"a list of {len(inner)}: {', '.join(describe(a) for a in inner)}"
        return f"a list of {describe(inner[0], many=True)}" if inner else "a list"
    if origin in (dict, Mapping) or annotation is dict:
        return "a mapping"
    words_for = _MANY_WORDS if many else _PLAIN_WORDS
    return words_for.get(annotation, getattr(annotation, "__name__", str(annotation)))


@lru_cache(maxsize=1024)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """Make the validator of a type, once."""
    return TypeAdapter(_bounded(annotation, None))


def _bounded(annotation: Any, bounds: Range | None) -> Any:
    """Push a Range down to the numbers inside a type, in pydantic's words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        if bounds is None:
            return annotation
        return Annotated[annotation, Field(ge=bounds.low, le=bounds.high)]
    if origin is Annotated:
        own = next((a for a in arguments[1:] if isinstance(a, Range)), bounds)
        others = tuple(a for a in arguments[1:] if not isinstance(a, Range | Asset | KnownTo))
        inner = _bounded(arguments[0], own)
        return Annotated[(inner, *others)] if others else inner
    if origin in (Union, types.UnionType):
        return Union[tuple(_bounded(arm, bounds) for arm in arguments)]  # noqa: UP007
    if origin in (list, tuple, set, frozenset, dict) and arguments:
        return origin[tuple(a if a is Ellipsis else _bounded(a, bounds) for a in arguments)]
    return annotation


def _bounds(bounds: Range) -> str:
    """Write the bounds of a number."""
    if bounds.low is None:
        return f" of at most {bounds.high}"
    if bounds.high is None:
        return f" of at least {bounds.low}"
    return f" from {bounds.low} to {bounds.high}"


def _options(annotation: Any) -> list[str]:
    """List the words a type allows."""
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    return [word for part in get_args(annotation) for word in _options(part)]
