"""Declared sources: their fields, type and model, before anything is listed."""

from typing import Any

from engine import slots
from engine.dag import Axis, ModelRef, Ref, Source
from engine.errors import WorkflowError, suggestion
from engine.op import PortSpec
from engine.scope import Node, Scope
from engine.spec import SourceSpec, WorkflowSpec
from engine.values import VALUE_TYPES, Image, Latent, Scalar
from engine.when import Kind, kind_of

FILE_FIELDS = ("stem", "name", "rel", "dir", "ext", "index")


def declare(scope: Scope) -> dict[str, Source]:
    """Make the sources of a file, with an axis and a node each."""
    found: dict[str, Source] = {}
    for name in scope.spec.unreadable["sources"]:
        scope.nodes[name] = Node(name, source=True, known=False)
    for name, spec in scope.spec.sources.items():
        source = _source(scope, spec)
        if source is None:
            scope.nodes[name] = Node(name, source=True, known=False)
            continue
        found[name] = source
        scope.axes[name] = Axis(name, "source", source=name)
        ports = (PortSpec(VALUE_TYPES[source.type], source.type),) if source.type else ()
        info = slots.info_of(scope, source.model)
        scope.nodes[name] = Node(
            name, ports, source.fields, (name,), model=source.model, info=info, source=True
        )
    return found


def _source(scope: Scope, spec: SourceSpec) -> Source | None:
    """Make one source; None when its columns or model cannot be known."""
    place = scope.problems.document.place(spec.path)
    options: dict[str, Any] = dict(spec.options)
    model: ModelRef | None = None
    fields: tuple[str, ...] = FILE_FIELDS
    kind: type | None = Image
    if spec.kind == "glob":
        options = {"glob": str(options["glob"]), "folder": scope.base(options["glob"])}
    elif spec.kind == "files":
        options = {"files": [scope.absolute(file) for file in options["files"]]}
    elif spec.kind == "table":
        columns = _columns(scope, spec)
        if columns is None:
            return None
        options["table"] = scope.absolute(options["table"])
        kind = Image if options["image"] else None
        own = FILE_FIELDS if options["image"] else ("index",)
        fields = (*columns, *(field for field in own if field not in columns))
    elif spec.kind == "samples":
        model = _model(scope, spec)
        if model is None:
            return None
        fields, kind = ("index", "seed"), Latent
    else:
        fields, kind = ("index", "value"), Scalar
    return Source(spec.name, spec.kind, options, fields, kind, model, place)


def field_kind(spec: WorkflowSpec, ref: Ref) -> Kind | None:
    """Whether a field holds numbers or texts, as far as that is known before anything is listed."""
    source = spec.sources.get(ref.node)
    if source is None or source.kind == "table":
        return None  # a step's port, or a column
    if source.kind == "values" and ref.field in ("", "value"):
        kinds = {kind_of(value) for value in source.options["values"]}
        return kinds.pop() if len(kinds) == 1 else None
    return "number" if ref.field in ("index", "seed") else "text"


def _columns(scope: Scope, spec: SourceSpec) -> tuple[str, ...] | None:
    """Read the columns of a table and check the one that names pictures."""
    table, image = spec.options["table"], spec.options["image"]
    try:
        columns = scope.around.columns(scope.absolute(table))
    except WorkflowError as error:
        scope.problems.add((*spec.path, "table"), str(error))
        return None
    if image is not None and image not in columns:
        near = suggestion(image, columns) or f"; it has {', '.join(columns)}"
        path = (*spec.path, "table", "image")
        scope.problems.add(path, f"the table has no column '{image}'{near}")
        return None
    return columns


def _model(scope: Scope, spec: SourceSpec) -> ModelRef | None:
    """Choose the model that samples are drawn from."""
    if not spec.model:
        return slots.default(scope, (*spec.path, "samples"))
    return slots.resolve(scope, spec.model, (*spec.path, "samples", "model"))
