"""The checked DAG as data: what graph.py makes and everything after it reads.

Every value has named axes. A source or a matrix adds an axis, `gather` removes one (or replaces a
source axis by its groups, "photo.dir"), `pair: zip|match` ties a second source to the first without
adding an axis (a `Link`). Frozen, picklable, pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from engine.op import OpSpec

Json: TypeAlias = Any  # None | bool | int | float | str | list | dict, as JSON has them


@dataclass(frozen=True, slots=True)
class Hole:
    """A value known per item: `matrix` axis (`name`) or source field (`name`.`field`)."""

    kind: Literal["matrix", "field"]
    name: str
    field: str = ""

    @property
    def axis(self) -> str:
        """The axis this value varies along."""
        return self.name


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text: literal when `hole` is None, else the formatted value of the hole."""

    text: str = ""  # the literal, or the format specification
    hole: Hole | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with holes, e.g. an output name or a caption."""

    parts: tuple[Part, ...]
    source: str  # as written

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The holes in order."""
        return tuple(part.hole for part in self.parts if part.hole is not None)


#: Looks a hole's value up for the item at hand.
Lookup: TypeAlias = Callable[[Hole], Json]


def fill(template: Template, lookup: Lookup) -> str:
    """Write a template's text for one item."""
    return "".join(
        part.text if part.hole is None else format(lookup(part.hole), part.text)
        for part in template.parts
    )


def evaluate(value: Json, lookup: Lookup) -> Json:
    """Make plain JSON of a setting: holes become their values, templates their texts."""
    if isinstance(value, Hole):
        return lookup(value)
    if isinstance(value, Template):
        return fill(value, lookup)
    if isinstance(value, dict):
        return {key: evaluate(item, lookup) for key, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, lookup) for item in value]
    return value


def holes(value: Json) -> tuple[Hole, ...]:
    """All holes in a setting."""
    if isinstance(value, Hole):
        return (value,)
    if isinstance(value, Template):
        return value.holes
    if isinstance(value, dict):
        return tuple(hole for item in value.values() for hole in holes(item))
    if isinstance(value, list):
        return tuple(hole for item in value for hole in holes(item))
    return ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the workflow file; counts from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the engine knows of a weight file without opening it with torch.

    `precision` is that of the convolutions: fp32, bf16 or fp16. A weight delta has the `path` and
    `family` of the generator it was made for, its own `digest`, and its own file in `delta`.
    `names` are attributes that the network beside a generator reads, or that a flow or scorer
    knows; none where that is not known. `beside` are the networks that stand beside it: what they
    are called, and their digests.
    """

    name: str
    path: str
    digest: str
    family: str
    resolution: int
    num_rows: int
    w_dim: int
    z_dim: int
    style_width: int = 0
    num_classes: int = 0
    delta: str = ""
    precision: str = "fp32"
    names: tuple[str, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What fills a model slot: a declared model, or the Network a step yields.

    `base` is the declared model that such a step began with.
    """

    name: str
    info: ModelInfo | None = None  # None when `step` is set
    step: str = ""
    base: ModelInfo | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """One named axis.

    source: one place per item. matrix: one per value in `values`.
    group: one per distinct value of `source`.`field`.
    """

    name: str
    kind: Literal["source", "matrix", "group"]
    source: str = ""
    field: str = ""
    values: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """One declared source. `options` are the checked keys of its kind (see spec.py)."""

    name: str
    kind: Literal["glob", "files", "table", "samples", "values"]
    options: Mapping[str, Json]
    fields: tuple[str, ...]  # names readable as source.field
    type: type | None  # Image, Latent (samples), Scalar (values), None: only fields can be wired
    model: ModelRef | None = None  # samples
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One listed item of a source. `identity` is known at once for all but files.

    For a file, `path` and the stat triple name its content until the digest has been read.
    """

    index: int
    fields: Mapping[str, Json]
    identity: str = ""
    path: str = ""
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a wire reads: a source, a source's field, or a step's port; with the axes it has."""

    node: str
    port: str = ""  # port of a step; "" for a source
    field: str = ""  # field of a source
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """One filled wire of a step; several refs only where the op's wire takes a sequence."""

    name: str
    refs: tuple[Ref, ...]
    many: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A source tied to an axis by pair: zip|match; read `source` at the item paired with `axis`."""

    source: str
    axis: str
    by: Literal["zip", "match"] = "zip"
    field: str = ""  # match: field of `source`
    axis_field: str = ""  # match: field of the axis's source


@dataclass(frozen=True, slots=True)
class Gather:
    """How a step gathers: `over` axes removed, group field, order, what a missing member means."""

    over: tuple[str, ...]
    by: Hole | None = None
    sort: Hole | None = None
    missing: Literal["skip", "fail"] = "skip"


@dataclass(frozen=True, slots=True)
class When:
    """A condition on scalar ports and fields; `tree` is when.py's."""

    text: str
    tree: Any
    refs: tuple[Ref, ...]  # step ports (Scalar) and source fields it reads


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which combinations of matrix values exist (exclude/include): indices along `axes`."""

    axes: tuple[str, ...]
    combos: frozenset[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Step:
    """One checked step."""

    name: str
    op: OpSpec
    wires: tuple[Wire, ...]
    settings: Mapping[str, Json]  # as given: plain JSON, Hole and Template inside; validated
    models: Mapping[str, ModelRef]
    axes: tuple[str, ...]
    links: tuple[Link, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    gather: Gather | None = None
    when: When | None = None
    coalesce: bool = False
    on_error: Literal["quarantine", "fail"] = "quarantine"
    retries: int = 2
    timeout_s: float | None = 600.0
    cache: bool = True
    batch: int | None = None
    device: str | None = None
    place: Place = Place()
    assets: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # see graph.py


@dataclass(frozen=True, slots=True)
class Output:
    """One declared output; `table` when one file holds a row per item (.csv)."""

    ref: Ref
    to: Template
    format: str
    quality: int = 95
    metadata: Literal["full", "digest", "none"] = "full"
    table: bool = False
    links: tuple[Link, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    place: Place = Place()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The `run:` block."""

    retries: int = 2
    timeout_s: float = 600.0
    max_failures: str = ""  # "5%" or "12"; empty = no limit
    max_size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole checked workflow; `steps` in topological order."""

    name: str
    file: str
    folder: str  # paths in the file are relative to it
    params: Mapping[str, Json]
    models: Mapping[str, ModelInfo]
    sources: Mapping[str, Source]
    axes: Mapping[str, Axis]
    steps: Mapping[str, Step]
    outputs: tuple[Output, ...]
    run: RunOptions = RunOptions()
    text: str = ""  # the workflow as written
    params_given: Mapping[str, Json] = field(default_factory=dict)
