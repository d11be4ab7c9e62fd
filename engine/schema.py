"""JSON Schema of workflow files, made of the installed ops: editors complete and check by it."""

from collections.abc import Mapping

from engine import coalesce, settings
from engine.dag import Json
from engine.op import ENGINE_ROLES, OpSpec, SettingSpec
from engine.params import TYPE_ALIASES, TYPES
from engine.registry import Registry
from engine.spec_parse import METADATA, PRECISIONS
from engine.step_parse import DEVICES, PAIRS

_NAME = r"^[^\W\d][\w-]*$"
_VARIES = {"type": "string", "pattern": r"\$\{"}  # a value that is only known per item
_TEXT = {"type": "string", "minLength": 1}
_DURATION = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"},
        _VARIES,
    ]
}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}


def workflow_schema(registry: Registry) -> dict[str, Json]:
    """Make the JSON Schema of the language with these ops."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "latentloom workflow",
        **_block(
            {
                "version": {"const": 1},
                "name": _TEXT,
                "params": _named(_param()),
                "models": _named(_model()),
                "sources": _named(_source()),
                "steps": _named(_step(registry)) | {"minProperties": 1},
                "outputs": {"type": "array", "items": _output()},
                "run": _run(),
            },
            needed=("steps",),
        ),
    }


def _block(
    properties: Mapping[str, Json], needed: tuple[str, ...] = (), about: str = ""
) -> dict[str, Json]:
    """Make the schema of a mapping with known keys."""
    schema: dict[str, Json] = {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }
    return schema | ({"required": list(needed)} if needed else {}) | _about(about)


def _about(text: str) -> dict[str, Json]:
    """Add a description, if there is one."""
    return {"description": text} if text else {}


def _named(values: Json) -> dict[str, Json]:
    """Make the schema of a mapping whose keys the user chooses."""
    return {
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": values,
    }


def _whole(low: int, high: int | None = None) -> dict[str, Json]:
    """Make the schema of a whole number, or a reference to one."""
    bounds = {"type": "integer", "minimum": low} | ({"maximum": high} if high else {})
    return {"anyOf": [bounds, _VARIES]}


def _param() -> dict[str, Json]:
    """Make the schema of a param: its default, or its declaration."""
    declared = _block(
        {
            "default": True,
            "type": {"enum": [*TYPES, *TYPE_ALIASES]},
            "choices": {"type": "array"},
            "min": {"type": "number"},
            "max": {"type": "number"},
            "help": {"type": "string"},
        }
    )
    return {"if": {"type": "object"}, "then": declared}


def _model() -> dict[str, Json]:
    """Make the schema of a declared model."""
    parts = {"sha256": _TEXT, "precision": {"enum": list(PRECISIONS)}}
    kinds = [_block({kind: _TEXT, **parts}, needed=(kind,)) for kind in ("file", "builtin")]
    return {"anyOf": [_TEXT, *kinds]}


def _source() -> dict[str, Json]:
    """Make the schema of a source: one key out of five."""
    table = {"anyOf": [_TEXT, _block({"file": _TEXT, "image": _TEXT}, needed=("file",))]}
    truncation = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 2}, _VARIES]}
    samples = _block(
        {"count": _whole(1), "seed": _whole(0), "truncation": truncation, "model": _TEXT},
        needed=("count",),
    )
    values = {"anyOf": [{"type": "array", "minItems": 1}, _VARIES]}
    kinds = {
        "glob": _TEXT,
        "files": _TEXTS,
        "table": table,
        "samples": samples,
        "values": values,
    }
    return _block(kinds) | {"minProperties": 1, "maxProperties": 1}


def _step(registry: Registry) -> dict[str, Json]:
    """Make the schema of a step: common keys, then wires and settings by op."""
    summaries = {name: spec.summary for name, spec in registry.items()}
    summaries[coalesce.NAME] = coalesce.DOC.split("\n", 1)[0]
    names = [{"const": name, "description": text} for name, text in sorted(summaries.items())]
    keys: dict[str, Json] = {
        "op": {"oneOf": names},
        "in": {"type": "object", "additionalProperties": _TEXTS},
        "with": {"type": "object"},
        "matrix": {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "array"}, _VARIES]},
        },
        "pair": {"anyOf": [{"enum": list(PAIRS)}, _block({"match": _match()}, needed=("match",))]},
        "gather": _gather(),
        "when": _TEXT | _about("a comparison such as: face.faces == 1 and face.sharpness > 0.2"),
        "on_error": {"enum": ["quarantine", "fail"]},
        "retries": _whole(0, 100),
        "timeout": _DURATION,
        "model": _TEXT,
        "models": {"type": "object", "additionalProperties": _TEXT},
        "cache": {"anyOf": [{"type": "boolean"}, _VARIES]},
        "batch": {"anyOf": [{"const": "auto"}, _whole(1, 65536)]},
        "device": {"enum": list(DEVICES)},
    }
    by_op = [
        {
            "if": {"properties": {"op": {"const": name}}, "required": ["op"]},
            "then": {"properties": _of_op(spec), "required": _needed(spec)},
        }
        for name, spec in sorted(registry.items())
    ]
    values = _block({"values": _TEXTS}, needed=("values",))
    chosen = {"properties": {"in": values}, "required": ["in"]}
    own = {
        "if": {"properties": {"op": {"const": coalesce.NAME}}, "required": ["op"]},
        "then": chosen,
    }
    return _block(keys, needed=("op",)) | {"allOf": [*by_op, own]}


def _match() -> dict[str, Json]:
    """Make the schema of what is matched."""
    fields = {"type": "object", "additionalProperties": _TEXT, "minProperties": 2}
    return {"anyOf": [_TEXT, fields]}


def _gather() -> dict[str, Json]:
    """Make the schema of a gather."""
    keys = {"over": _TEXTS, "by": _TEXT, "sort": _TEXT, "missing": {"enum": ["skip", "fail"]}}
    return _block(keys, needed=("over",))


def _of_op(spec: OpSpec) -> dict[str, Json]:
    """Make the schemas of an op's wires, settings and models."""
    wires = {
        wire.name: (_TEXTS if wire.many else _TEXT)
        | _about(f"{'a sequence of ' if wire.many else ''}{wire.type.__name__}")
        for wire in spec.wires
    }
    given = [s for s in spec.settings if s.role not in ENGINE_ROLES]
    return {
        "in": _block(wires, needed=tuple(w.name for w in spec.wires if not w.optional)),
        "with": _block(
            {s.name: _setting(s) for s in given}, tuple(s.name for s in given if _must(s))
        ),
        "models": _block(dict.fromkeys(spec.models, _TEXT)),
    }


def _needed(spec: OpSpec) -> list[str]:
    """The keys that a step with this op cannot leave out."""
    wired = any(not wire.optional for wire in spec.wires)
    return ["in"] * wired + ["with"] * any(_must(s) for s in spec.settings)


def _must(setting: SettingSpec) -> bool:
    """Whether the user must write a setting."""
    return setting.required and setting.role not in ("seed", *ENGINE_ROLES)


def _setting(setting: SettingSpec) -> dict[str, Json]:
    """Make the schema of one setting: its values, or a reference."""
    schema = {"anyOf": [settings.json_schema(setting), _VARIES]}
    schema |= _about(settings.describe_setting(setting))
    if setting.role == "plain" and not setting.required and setting.default is not None:
        schema["default"] = setting.default
    return schema


def _output() -> dict[str, Json]:
    """Make the schema of an output."""
    keys = {
        "from": _TEXT,
        "to": _TEXT | _about("a name such as smile/{photo.rel}_{strength:+.1f}.png"),
        "format": _TEXT,
        "quality": _whole(1, 100),
        "metadata": {"enum": list(METADATA)},
    }
    return _block(keys, needed=("from", "to"))


def _run() -> dict[str, Json]:
    """Make the schema of the `run:` block."""
    failures = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}
    size = {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT]}
    keys = {
        "retries": _whole(0, 100),
        "timeout": _DURATION,
        "max_failures": failures,
        "cache": _block({"max_size": size}),
    }
    return _block(keys)
