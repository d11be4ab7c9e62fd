"""YAML data -> frozen WorkflowSpec: the workflow as written, params filled in, shapes checked.

What needs ops, models or files to judge (names of ops, wires, axes) is graph.py's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal

from engine.dag import Hole, Json, RunOptions, Template
from engine.yaml_text import Path, Problems

SourceKind = Literal["glob", "files", "table", "samples", "values"]
PairKind = Literal["cross", "zip", "match"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A declared model: a builtin's name, or a weight file and perhaps its digest; how precise.

    `path` is the place of what names it.
    """

    name: str
    path: Path
    builtin: str = ""
    file: str = ""
    sha256: str = ""
    precision: str = "fp32"


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A declared source; `options` are the checked keys of its kind."""

    name: str
    path: Path
    kind: SourceKind
    options: Mapping[str, Json]
    model: str = ""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What fills a wire: one reference, or a list of them."""

    refs: tuple[str, ...]
    listed: bool
    path: Path


@dataclass(frozen=True, slots=True)
class MatrixSpec:
    """The matrix of a step; a list that could not be read is empty."""

    axes: Mapping[str, tuple[Json, ...]]
    exclude: tuple[Mapping[str, Json], ...] = ()
    include: tuple[Mapping[str, Json], ...] = ()


@dataclass(frozen=True, slots=True)
class PairSpec:
    """How source axes meet; match by one `field` of all, or by `fields` of each source."""

    kind: PairKind
    path: Path
    field: str = ""
    fields: Mapping[str, str] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatherSpec:
    """Which axes a step gathers."""

    over: tuple[str, ...]
    path: Path
    by: str = ""
    sort: str = ""
    missing: Literal["skip", "fail"] = "skip"


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A step as written; None where the file says nothing."""

    name: str
    path: Path
    op: str
    inputs: Mapping[str, InputSpec]
    settings: Mapping[str, Json]
    models: Mapping[str, str]  # by slot; "" is `model:`
    matrix: MatrixSpec | None = None
    pair: PairSpec | None = None
    gather: GatherSpec | None = None
    when: str = ""
    on_error: Literal["quarantine", "fail"] = "quarantine"
    retries: int | None = None
    timeout_s: float | None = None
    cache: bool | None = None
    batch: int | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """An output as written."""

    path: Path
    source: str
    to: str | Hole | Template
    format: str = ""
    quality: int | None = None
    metadata: Literal["full", "digest", "none"] = "full"


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """A whole workflow as written, with its params filled in."""

    problems: Problems
    name: str
    params: Mapping[str, Json]
    models: Mapping[str, ModelSpec]
    sources: Mapping[str, SourceSpec]
    steps: Mapping[str, StepSpec]
    outputs: tuple[OutputSpec, ...]
    run: RunOptions
    unreadable: Mapping[str, frozenset[str]]  # by block: names whose mistakes are told already


def varies(value: Json) -> bool:
    """Tell whether a value is only known per item."""
    return isinstance(value, Hole | Template)
