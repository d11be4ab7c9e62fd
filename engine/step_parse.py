"""One step of a workflow -> StepSpec: its keys, matrix, pair and gather as written."""

from collections.abc import Mapping
from typing import Any

from engine.dag import Json
from engine.reading import Entry, each, maybe
from engine.spec import GatherSpec, InputSpec, MatrixSpec, PairSpec, StepSpec
from engine.template import BROKEN

STEP_KEYS = (
    *("op", "in", "with", "matrix", "pair", "gather", "when", "on_error", "retries", "timeout"),
    *("model", "models", "cache", "batch", "device"),
)
GATHER_KEYS = ("over", "by", "sort", "missing")
PAIRS = ("cross", "zip")
DEVICES = ("cpu", "cuda")


def read_step(name: str, entry: Entry) -> StepSpec | None:
    """Read a step."""
    if isinstance(entry.value, dict) and "coalesce" in entry.value:
        message = "coalesce is an op; write {op: coalesce, in: {values: [first, second]}}"
        entry.child("coalesce", None).error(message, key=True)
        return None
    parts = entry.fields(STEP_KEYS, needed=("op",))
    op = maybe(parts.get("op"), Entry.text)
    if op is None:
        return None
    choices: dict[str, Any] = {}
    if on_error := maybe(parts.get("on_error"), lambda e: e.choice(("quarantine", "fail"))):
        choices["on_error"] = on_error
    return StepSpec(
        name=name,
        path=entry.path,
        op=op,
        inputs=each(parts.get("in"), "wires", lambda _, wire: _input(wire)),
        settings=_settings(parts.get("with")),
        models=_slots(parts),
        matrix=maybe(parts.get("matrix"), _matrix),
        pair=maybe(parts.get("pair"), _pair),
        gather=maybe(parts.get("gather"), _gather),
        when=maybe(parts.get("when"), Entry.text) or "",
        retries=maybe(parts.get("retries"), lambda e: e.integer(0, 100)),
        timeout_s=maybe(parts.get("timeout"), Entry.seconds),
        cache=maybe(parts.get("cache"), Entry.flag),
        batch=maybe(parts.get("batch"), _batch),
        device=maybe(parts.get("device"), lambda e: e.choice(DEVICES)),
        **choices,
    )


def _input(entry: Entry) -> InputSpec | None:
    """Read what fills a wire."""
    refs = entry.texts("source, step, step.port, source.field, or a list of these")
    return InputSpec(refs, isinstance(entry.value, list), entry.path) if refs else None


def _settings(entry: Entry | None) -> dict[str, Json]:
    """Read `with`: any names, any values; the op judges them."""
    found = {} if entry is None else entry.entries("a mapping of settings")
    return {name: setting.value for name, setting in found.items()}


def _slots(parts: Mapping[str, Entry]) -> dict[str, str]:
    """Read `model` and `models`."""
    found: dict[str, str] = {}
    if single := maybe(parts.get("model"), Entry.text):
        found[""] = single
    if "models" in parts:
        if "model" in parts:
            parts["models"].error("`model` and `models` exclude each other", key=True)
        slots = parts["models"].entries("a mapping of slots")
        found |= {slot: name for slot, entry in slots.items() if (name := entry.text())}
    return found


def _matrix(entry: Entry) -> MatrixSpec | None:
    """Read a matrix: lists of values, exclude and include."""
    lists: dict[str, tuple[Json, ...]] = {}
    extra: dict[str, tuple[Mapping[str, Json], ...]] = {}
    for name, block in entry.named("lists of values").items():
        if name in ("exclude", "include"):
            extra[name] = tuple(_combination(item) for item in block.items())
        else:
            values = [value.value for value in block.items("a list of values")]
            lists[name] = () if BROKEN in values else tuple(values)
            if block.value == []:
                block.error(f"matrix '{name}' has no values")
    if not lists and isinstance(entry.value, dict):
        entry.error("a matrix names at least one list of values")
    for name, combinations in extra.items():
        for i, combination in enumerate(combinations):
            here = entry.child(name, combination).child(i, combination)
            here.fields(tuple(lists), needed=tuple(lists) if name == "include" else ())
    return MatrixSpec(lists, extra.get("exclude", ()), extra.get("include", ()))


def _combination(entry: Entry) -> dict[str, Json]:
    """Read one excluded or included combination."""
    return {name: value.value for name, value in entry.entries("a mapping of values").items()}


def _pair(entry: Entry) -> PairSpec | None:
    """Read how source axes meet."""
    if isinstance(entry.value, dict):
        match = entry.fields(("match",), needed=("match",)).get("match")
        if match is None:
            return None
        if isinstance(match.value, str):
            return PairSpec("match", entry.path, field=str(match.value))
        fields = {
            n: f
            for n, e in match.entries("a field, or a mapping of fields").items()
            if (f := e.text())
        }
        if isinstance(match.value, dict) and len(match.value) < 2:
            match.error("match names a field of each of two sources or more")
        return PairSpec("match", entry.path, fields=fields) if len(fields) > 1 else None
    if entry.value in PAIRS:
        return PairSpec(entry.value, entry.path)
    entry.wrong("cross, zip or {match: field}")
    return None


def _gather(entry: Entry) -> GatherSpec | None:
    """Read which axes are gathered, and how."""
    parts = entry.fields(GATHER_KEYS, needed=("over",))
    over = maybe(parts.get("over"), lambda e: e.texts("an axis or a list of axes"))
    if not over:
        return None
    missing = maybe(parts.get("missing"), lambda e: e.choice(("skip", "fail")))
    return GatherSpec(
        over,
        entry.path,
        by=maybe(parts.get("by"), Entry.text) or "",
        sort=maybe(parts.get("sort"), Entry.text) or "",
        missing="fail" if missing == "fail" else "skip",
    )


def _batch(entry: Entry) -> int | None:
    """Read a batch size; "auto" leaves it to the engine."""
    return None if entry.value == "auto" else entry.integer(1, 65536)
