"""What the ops are, told from their signatures and docstrings: a list, one op, Markdown of all."""

import types
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from engine.coalesce import ANY, NAME, coalesce_of
from engine.op import ENGINE_ROLES, Asset, OpSpec, PortSpec, Range, SettingSpec, WireSpec
from engine.registry import Registry

_ROLES = {
    "seed": "seed: a number, or {shared: number}",
    "caption": 'text, such as "{photo.stem}"',
}


def type_text(annotation: Any) -> str:
    """Write a type as a user of YAML reads it: 'number 0..1', 'fine | coarse'."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *notes = inner
        bounds = [_range(note) for note in notes if isinstance(note, Range)]
        assets = [note for note in notes if isinstance(note, Asset)]
        return _asset(assets[0], base) if assets else " ".join([type_text(base), *bounds])
    if origin is Literal:
        return " | ".join(map(_literal, inner))
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(arg) for arg in inner if arg is not type(None))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {type_text(inner[0])}" if inner else "list"
    if origin is dict:
        return "mapping"
    names = {float: "number", int: "integer", str: "text", bool: "true | false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(bounds: Range) -> str:
    if bounds.low is None:
        return f"up to {bounds.high:g}"
    return f"from {bounds.low:g}" if bounds.high is None else f"{bounds.low:g}..{bounds.high:g}"


def _asset(asset: Asset, base: Any) -> str:
    """Write what names files: one, a list of them, or either."""
    one = "file" if asset.kind == "file" else f"name in {asset.kind}, or a file"
    arms = [arg for arg in get_args(base) if arg is not type(None)]
    kinds = arms if get_origin(base) in (Union, types.UnionType) else [base]
    many = [get_origin(kind) is list for kind in kinds]
    if not any(many):
        return one
    if not all(many):
        return f"{one}, or a list of them"
    return (
        "list of files" if asset.kind == "file" else f"list of names in {asset.kind}, or of files"
    )


def wire_text(wire: WireSpec) -> str:
    """Write what a wire takes."""
    text = f"list of {wire.type.__name__}" if wire.many else wire.type.__name__
    return f"{text}, may be left out" if wire.optional else text


def setting_text(setting: SettingSpec) -> str:
    """Write what a setting takes."""
    return _ROLES.get(setting.role) or type_text(setting.annotation)


def default_text(setting: SettingSpec) -> str:
    """Write a setting's default as YAML has it."""
    if setting.required:
        return "required"
    if setting.role == "seed":
        return "from the item"
    if setting.default is None or setting.role == "caption":
        return "none"
    if isinstance(setting.default, bool):
        return str(setting.default).lower()
    if isinstance(setting.default, tuple | list):
        return f"[{', '.join(map(str, setting.default))}]"
    return str(setting.default) or '""'


def settings_of(spec: OpSpec) -> tuple[SettingSpec, ...]:
    """The settings a user can give."""
    return tuple(s for s in spec.settings if s.role not in ENGINE_ROLES)


def with_coalesce(registry: Registry) -> Registry:
    """Add the op that the engine brings itself."""
    return {**registry, NAME: coalesce_of(ANY)}


def summary(spec: OpSpec) -> str:
    """Say in one line what an op does: the first of its docstring, else its signature."""
    if spec.summary:
        return spec.summary
    wires = [f"{wire.name}: {wire_text(wire)}" for wire in spec.wires]
    settings = [f"{s.name}: {setting_text(s)}" for s in settings_of(spec)]
    given = ", ".join([*wires, *spec.models, *(["*", *settings] if settings else [])])
    return f"({given}) -> {', '.join(port.type.__name__ for port in spec.ports)}"


def listing(registry: Registry) -> str:
    """Make one line per op: its name, and what it does."""
    width = max((len(name) for name in registry), default=0)
    return "\n".join(f"{name:<{width}}  {summary(spec)}" for name, spec in registry.items())


def as_json(spec: OpSpec) -> dict[str, Any]:
    """Tell everything of one op as JSON data; `schema` is the JSON Schema of a setting."""
    from engine.settings import json_schema  # pydantic, which a mere list does without

    wires = [
        {"name": w.name, "type": w.type.__name__, "list": w.many, "required": not w.optional}
        for w in spec.wires
    ]
    settings = [
        {
            "name": s.name,
            "type": setting_text(s),
            "required": s.required and s.role != "seed",
            "default": None if s.required or s.role in ("seed", "caption") else s.default,
            "schema": json_schema(s),
        }
        for s in settings_of(spec)
    ]
    return {
        "name": spec.name,
        "version": spec.options.version,
        "doc": spec.doc,
        "in": wires,
        "models": list(spec.models),
        "with": settings,
        "gives": [{"name": port.name, "type": port.type.__name__} for port in spec.ports],
        "gives_doc": spec.ports_doc,
        "example": example(spec)[0],
    }


def document(spec: OpSpec) -> str:
    """Make the whole documentation of one op as plain text."""
    parts = [f"{spec.name}  (version {spec.options.version})", "", spec.doc, ""]
    sections: tuple[tuple[str, list[tuple[str, str]]], ...] = (
        ("in", [(w.name, wire_text(w)) for w in spec.wires]),
        ("models", [(name, "a generator") for name in spec.models]),
        ("with", [(s.name, f"{setting_text(s)} [{default_text(s)}]") for s in settings_of(spec)]),
        ("gives", [(p.name, p.type.__name__) for p in spec.ports]),
    )
    for title, rows in sections:
        if rows:
            width = max(len(name) for name, _ in rows)
            parts += [f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in rows)]
    if spec.ports_doc:
        parts += ["", spec.ports_doc]
    return "\n".join([*parts, "", "example:", *(f"  {line}" for line in example(spec))])


def example(spec: OpSpec) -> list[str]:
    """Write a step that uses an op, with every required setting."""
    needed = [w for w in spec.wires if not w.optional]
    wires = ", ".join(
        f"{w.name}: [one_step, another_step]" if w.many else f"{w.name}: {w.name}_step"
        for w in needed
    )
    wires = f", in: {{{wires}}}" if wires else ""
    given = ", ".join(f"{s.name}: ..." for s in settings_of(spec) if s.required)
    settings = f", with: {{{given}}}" if given else ""
    return [f"made: {{op: {spec.name}{wires}{settings}}}"]


def markdown(registry: Registry) -> str:
    """Make docs/ops.md."""
    lines = [
        "# Ops",
        "",
        "Made by `make docs` from the ops themselves: what stands before the star of a signature",
        "is a wire (`in:`), what stands after it a setting (`with:`). The first output is what the",
        "step's name alone means.",
        "",
    ]
    families = groupby(
        with_coalesce(registry).values(), key=lambda spec: spec.module.rsplit(".", 1)[-1]
    )
    for family, specs in families:
        lines += [f"## {family}", ""]
        for spec in specs:
            lines += _op_markdown(spec)
    return "\n".join(lines).rstrip() + "\n"


def _op_markdown(spec: OpSpec) -> Iterator[str]:
    """One op's part of docs/ops.md."""
    yield from (f"### {spec.name}", "", spec.doc, "")
    yield from ("| | name | takes | default |", "|---|---|---|---|")
    for wire in spec.wires:
        yield _row("in", wire.name, wire_text(wire), "")
    for name in spec.models:
        if name in spec.options.carried:
            yield _row("model", name, "a step that makes one, or its file", "required")
        else:
            yield _row("model", name, "a generator", "the latent's, or the only one")
    for setting in settings_of(spec):
        yield _row("with", setting.name, setting_text(setting), default_text(setting))
    for port in spec.ports:
        yield _row("gives", port.name, _port(port), "")
    yield ""
    if spec.ports_doc:
        yield from (spec.ports_doc, "")


def _port(port: PortSpec) -> str:
    return port.type.__name__


def _row(*cells: str) -> str:
    """One row of a Markdown table; a bar inside a cell is escaped."""
    kind, name, takes, default = (cell.replace("|", "\\|") for cell in cells)
    return f"| {kind} | `{name}` | {takes} | {default} |"
