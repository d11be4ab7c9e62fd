"""A small world to check workflows in, and the mistakes found there."""

from collections.abc import Mapping
from typing import Any

from engine.dag import Graph, ModelInfo
from engine.errors import SpecError, UsageError, suggestion
from engine.graph import Surroundings, load_graph
from engine.registry import build_registry, marked
from tests.engine import ops_sample

REGISTRY = build_registry(marked(ops_sample))
DIRECTIONS = ("smile", "age", "hair")
COLUMNS = ("id", "smile", "file")
MARK = "@@"  # stands in a text right before the place where a mistake is expected


def describe(name: str) -> ModelInfo:
    """Two builtin families: portraits-128 and every file whose name has 'tuned' are one."""
    if name not in ("portraits-128", "landscapes-128") and not name.endswith(".pt"):
        raise UsageError(f"there is no builtin '{name}'{suggestion(name, ['portraits-128'])}")
    if "missing" in name:
        raise UsageError(f"there is no file '{name}'")
    family = "landscapes" if "landscapes" in name or "other" in name else "portraits"
    return ModelInfo(name, name, f"digest of {name}", family, 128, 12, 512, 512)


def find_asset(kind: str, value: str, folder: str, model: ModelInfo | None) -> tuple[str, str]:
    """Directions by name; any file but one called missing.png."""
    if kind == "directions" and value not in DIRECTIONS:
        raise UsageError(f"unknown direction '{value}'{suggestion(value, DIRECTIONS)}")
    if value == "missing.png":
        raise UsageError(f"there is no file '{value}'")
    family = model.family if model else "any"
    return f"{folder}/{value}", f"{kind} {value} of {family}"


SURROUNDINGS = Surroundings(REGISTRY, describe, find_asset, columns=lambda path: COLUMNS)


def load(text: str, params: Mapping[str, Any] | None = None) -> Graph:
    """Check a workflow text as if it lay in /flows."""
    return load_graph(f"{text}\n", SURROUNDINGS, params, folder="/flows")


def complaints(text: str, params: Mapping[str, Any] | None = None) -> list[str]:
    """All mistakes of a text, as 'line:column: message'."""
    try:
        load(text, params)
    except SpecError as error:
        return [f"{p.line}:{p.column}: {p.message}" for p in error.problems]
    return []


def marked_place(text: str) -> tuple[str, str]:
    """Take the mark out of a text; its place as 'line:column'."""
    before, _, after = text.partition(MARK)
    return before + after, f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


def assert_complaint(text: str, message: str, params: Mapping[str, Any] | None = None) -> None:
    """Check that a text's only mistake is at its mark and says so."""
    clean, place = marked_place(text)
    found = complaints(clean, params)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}: "), found
    assert message in found[0], found
