"""Workflow text -> WorkflowSpec: reads each block, fills params in, notes every problem."""

from collections.abc import Mapping
from pathlib import Path as FilePath

from engine.dag import Hole, Json, RunOptions, Template
from engine.params import read_params
from engine.reading import Entry, each, either, maybe
from engine.spec import (
    ModelSpec,
    OutputSpec,
    SourceSpec,
    WorkflowSpec,
    varies,
)
from engine.step_parse import read_step
from engine.template import BROKEN, interpolate
from engine.yaml_text import Path, Problems, parse_yaml

TOP_KEYS = ("version", "name", "params", "models", "sources", "steps", "outputs", "run")
OUTPUT_KEYS = ("from", "to", "format", "quality", "metadata")
SOURCE_KINDS = ("glob", "files", "table", "samples", "values")
SAMPLE_KEYS = ("count", "seed", "truncation", "model")
RUN_KEYS = ("retries", "timeout", "max_failures", "cache")
METADATA = ("full", "digest", "none")
PRECISIONS = ("fp32", "bf16", "fp16")


def parse_spec(source: str | bytes, file: str, given: Mapping[str, Json]) -> WorkflowSpec:
    """Make the spec of a workflow text; its `problems` say what is wrong so far.

    Raises: SpecError when the text is not YAML, or refused as YAML.
    """
    document = parse_yaml(source, file)
    problems = Problems(document)
    top = Entry(document.data, (), problems).fields(TOP_KEYS, needed=("steps",))
    whole = Entry({}, (), problems)
    params = read_params(top.get("params", whole if given else None), given)
    blocks = {
        key: Entry(_fill(entry.value, entry.path, params, problems), entry.path, problems)
        for key, entry in top.items()
        if key != "params"
    }
    if (block := blocks.get("steps")) and block.value == {}:
        block.error("a workflow has at least one step")
    if (version := blocks.get("version")) and str(version.value) != "1":
        version.wrong("1, the only version of the language")
    name = maybe(blocks.get("name"), _title)
    models = each(blocks.get("models"), "models", _model)
    sources = each(blocks.get("sources"), "sources", _source)
    steps = each(blocks.get("steps"), "steps", read_step)
    read: dict[str, Mapping[str, object]] = {"models": models, "sources": sources, "steps": steps}
    return WorkflowSpec(
        problems,
        name or FilePath(file).stem,
        params,
        models,
        sources,
        steps,
        _outputs(blocks.get("outputs")),
        _run(blocks.get("run")),
        {key: _names(top.get(key)) - set(found) for key, found in read.items()},
    )


def _title(entry: Entry) -> str | None:
    """Read the workflow's name, which names a folder too and must lead nowhere else."""
    name = entry.text()
    if name and (not name.isprintable() or set("/\\") & set(name) or name.startswith(".")):
        entry.wrong("a plain name, as of a folder")
        return None
    return name


def _names(block: Entry | None) -> frozenset[str]:
    """The names a block declares, well or not."""
    return frozenset(block.value if block and isinstance(block.value, dict) else ())


def _fill(value: Json, path: Path, params: Mapping[str, Json], problems: Problems) -> Json:
    """Interpolate all texts of a block."""
    if isinstance(value, dict):
        return {key: _fill(v, (*path, key), params, problems) for key, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, (*path, i), params, problems) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        filled = interpolate(value, params)
    except ValueError as error:
        problems.add(path, str(error))
        return BROKEN
    if isinstance(filled, Hole | Template) and not _may_vary(path):
        problems.add(path, "only ${params.name} can be used here; it is known before the run")
        return BROKEN
    return filled


def _may_vary(path: Path) -> bool:
    """Whether values per item make sense here: settings, output names."""
    if path[0] == "steps":
        return len(path) > 3 and path[2] == "with"
    return path[0] == "outputs" and path[2:] == ("to",)


def _model(name: str, entry: Entry) -> ModelSpec | None:
    """Read a declared model: a builtin's name, or one of {file}, {builtin} with more about it."""
    if isinstance(entry.value, str):
        return ModelSpec(name, entry.path, builtin=str(entry.value))
    kind = "builtin" if isinstance(entry.value, dict) and "builtin" in entry.value else "file"
    parts = entry.fields((kind, "sha256", "precision"), needed=(kind,))
    source = maybe(parts.get(kind), Entry.text)
    digest = maybe(parts.get("sha256"), Entry.text) or ""
    exact = maybe(parts.get("precision"), lambda given: given.choice(PRECISIONS)) or "fp32"
    if not source:
        return None
    place = (*entry.path, kind)
    if kind == "builtin":
        return ModelSpec(name, place, builtin=source, sha256=digest.lower(), precision=exact)
    return ModelSpec(name, place, file=source, sha256=digest.lower(), precision=exact)


def _source(name: str, entry: Entry) -> SourceSpec | None:
    """Read a declared source of one of the kinds."""
    parts = entry.fields(SOURCE_KINDS)
    if len(parts) != 1:
        if parts or entry.value == {}:
            entry.error(f"a source has exactly one of {', '.join(SOURCE_KINDS)}")
        return None
    (kind, value), *_ = parts.items()
    told = len(entry.problems.found)
    if kind == "samples":
        return _samples(name, entry.path, value)
    options: dict[str, Json] | None = None
    if kind == "glob":
        text = value.text("a pattern such as photos/**/*.jpg")
        options = {"glob": text} if text else None
    elif kind == "files":
        files = value.texts("a list of files")
        options = {"files": files} if files else None
    elif kind == "table":
        options = _table(value)
    elif items := value.items("a list of values"):
        plain = all(not isinstance(item.value, dict | list) for item in items)
        options = {"values": [item.value for item in items]} if plain else None
    if options is None and len(entry.problems.found) == told:
        value.wrong(f"a list of {'numbers or texts' if kind == 'values' else kind}")
    return None if options is None else SourceSpec(name, entry.path, kind, options)  # type: ignore[arg-type]


def _table(entry: Entry) -> dict[str, Json] | None:
    """Read a table source: its file, and the column that names a picture."""
    if isinstance(entry.value, str):
        return {"table": entry.value, "image": None}
    parts = entry.fields(("file", "image"), needed=("file",))
    file = maybe(parts.get("file"), Entry.text)
    return {"table": file, "image": maybe(parts.get("image"), Entry.text)} if file else None


def _samples(name: str, path: Path, entry: Entry) -> SourceSpec:
    """Read a source of codes drawn from a model."""
    parts = entry.fields(SAMPLE_KEYS, needed=("count",))
    options = {
        "count": maybe(parts.get("count"), lambda e: e.integer(1)) or 1,
        "seed": maybe(parts.get("seed"), lambda e: e.integer(0)) or 0,
        "truncation": either(maybe(parts.get("truncation"), lambda e: e.number(0, 2)), 1.0),
    }
    model = maybe(parts.get("model"), Entry.text) or ""
    return SourceSpec(name, path, "samples", options, model)


def _outputs(block: Entry | None) -> tuple[OutputSpec, ...]:
    """Read the list of outputs."""
    found = [] if block is None else block.items("a list of outputs")
    outputs = [_output(entry) for entry in found]
    return tuple(output for output in outputs if output is not None)


def _output(entry: Entry) -> OutputSpec | None:
    """Read one output."""
    parts = entry.fields(OUTPUT_KEYS, needed=("from", "to"))
    source = maybe(parts.get("from"), Entry.text)
    to = parts.get("to")
    name = to.value if to is not None and varies(to.value) else maybe(to, Entry.text)
    metadata = maybe(parts.get("metadata"), lambda e: e.choice(METADATA)) or "full"
    if source is None or name is None:
        return None
    return OutputSpec(
        entry.path,
        source,
        name,
        format=maybe(parts.get("format"), Entry.text) or "",
        quality=maybe(parts.get("quality"), lambda e: e.integer(1, 100)),
        metadata=metadata,  # type: ignore[arg-type]
    )


def _run(block: Entry | None) -> RunOptions:
    """Read the `run:` block."""
    if block is None:
        return RunOptions()
    parts = block.fields(RUN_KEYS)
    cache = parts["cache"].fields(("max_size",)) if "cache" in parts else {}
    return RunOptions(
        retries=either(maybe(parts.get("retries"), lambda e: e.integer(0, 100)), 2),
        timeout_s=either(maybe(parts.get("timeout"), Entry.seconds), 600.0),
        max_failures=maybe(parts.get("max_failures"), _max_failures) or "",
        max_size_bytes=maybe(cache.get("max_size"), Entry.size),
    )


def _max_failures(entry: Entry) -> str | None:
    """Read "5%" or a count."""
    text = str(entry.value)
    number = text.removesuffix("%")
    if isinstance(entry.value, bool) or not number.replace(".", "", 1).isdecimal():
        entry.wrong("a share such as 5%, or a count")
        return None
    if not text.endswith("%") and "." in text:
        entry.wrong("a share such as 5%, or a whole count")
        return None
    return text
