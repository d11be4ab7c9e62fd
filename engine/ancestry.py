"""The ancestry of a file that a run wrote: its provenance as a graph, and as a tree to look at.

Where an ancestor is a file again (a photo, a saved code) and that file is at hand with provenance
of its own, the graph goes on through it: the lineage of many runs, one after the other.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.provenance import read_provenance

#: Files that can carry provenance.
CARRIERS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".safetensors")
_DIGEST = 64
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One thing that something was made of, or by; `id` names it by all that made it.

    `parents` are (role, id). `facts` are settings, seeds and plain inputs.
    """

    id: str
    what: str
    step: str
    facts: Mapping[str, Any]
    models: Mapping[str, str]
    parents: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Ancestry:
    """All ancestors of a file by their ids, each before what was made of it; the last is it."""

    file: str
    nodes: Mapping[str, Ancestor]

    @property
    def root(self) -> Ancestor:
        """What the file itself holds."""
        return list(self.nodes.values())[-1]

    def as_json(self) -> dict[str, Any]:
        """The graph as JSON data."""
        return {
            "file": self.file,
            "root": self.root.id,
            "nodes": {
                node.id: {
                    "what": node.what,
                    "step": node.step,
                    "facts": dict(node.facts),
                    "models": dict(node.models),
                    "parents": [{"role": role, "id": parent} for role, parent in node.parents],
                }
                for node in self.nodes.values()
            },
        }

    def as_text(self) -> str:
        """The graph as a tree; what stands in it twice is written out once."""
        return "\n".join([self.file, *_Tree(self.nodes).lines(self.root), *_models(self.nodes)])


def read_ancestry(path: Path, among: Iterable[Path] = ()) -> Ancestry:
    """Read the ancestry of a file, going on through the files of the folders `among`.

    Raises: UsageError if the file cannot be read or carries no provenance.
    """
    grown = _Growth(_Files(tuple(among)))
    grown.add(_made(path))
    return Ancestry(path.name, grown.nodes)


def _made(path: Path) -> dict[str, Any]:
    """How a file was made. Raises: UsageError where it does not say."""
    try:
        text = read_provenance(path)
        told = json.loads(text) if text else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: cannot be read as a picture or a value of a run: {error}"
        ) from error
    if "too_long" in told:
        raise UsageError(
            f"{path}: its provenance ({told['too_long']} B) was too long for JPEG: "
            "write it as .png, .webp or .tif"
        )
    if not isinstance(told, dict) or "made" not in told:
        raise UsageError(
            f"{path}: carries no provenance; files that a run wrote do (.gif and .csv do not), "
            "until another program saves them again"
        )
    made: dict[str, Any] = told["made"]
    return made


class _Files:
    """The files of some folders by their digests, read only when first asked for."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._known: dict[str, Path] | None = None

    def made(self, digest: str) -> tuple[str, dict[str, Any]] | None:
        """The name of the file of that digest, and how it was made; None if it is not there."""
        if self._known is None:
            self._known = dict(self._look())
        path = self._known.get(digest)
        if path is None:
            return None
        try:
            return path.name, _made(path)
        except UsageError:
            return None

    def _look(self) -> Iterator[tuple[str, Path]]:
        for folder in self._folders:
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in CARRIERS and path.is_file():
                    with path.open("rb") as file:
                        yield hashlib.file_digest(file, "sha256").hexdigest(), path


class _Growth:
    """A graph that grows from the ancestors to their descendants."""

    def __init__(self, files: _Files) -> None:
        self.nodes: dict[str, Ancestor] = {}
        self._files = files

    def add(self, made: Mapping[str, Any], file: str = "") -> str:
        """Add what a step made, after all that it was made of; its id."""
        facts: dict[str, Any] = {**made.get("settings", {}), **made.get("seeds", {})}
        parents: list[tuple[str, str]] = []
        for role, inputs in made.get("inputs", {}).items():
            if isinstance(inputs, Mapping):
                facts[role] = f"{inputs['members']} members"
                continue
            for one in inputs:
                if "value" in one:
                    facts[role] = one["value"]
                elif "photo" in one:
                    parents.append((role, self._photo(one)))
                else:
                    parents.append((role, self.add(one)))
        for name, value in made.get("settings", {}).items():
            named = [
                self._file(digest) for digest in (value if isinstance(value, list) else [value])
            ]
            parents.extend((name, found) for found in named if found)
        what = str(made.get("op", "?"))
        node = Ancestor("", what, str(made.get("step", "")), facts, made.get("models", {}))
        if file:
            facts["file"] = file
        return self._keep(replace(node, parents=tuple(parents)))

    def _photo(self, told: Mapping[str, Any]) -> str:
        """Add a photo that was read, and what it was made of if it is a file of a run."""
        if found := self._file(told.get("sha256")):
            return found
        facts = {"sha256": told.get("sha256", "")}
        return self._keep(Ancestor("", "photo", str(told["photo"]), facts, {}))

    def _file(self, digest: object) -> str:
        """The id of what the file of that digest holds; "" if nothing is known of it."""
        if not _is_digest(digest):
            return ""
        found = self._files.made(str(digest))
        return self.add(found[1], found[0]) if found else ""

    def _keep(self, node: Ancestor) -> str:
        told = [node.what, node.step, dict(node.facts), dict(node.models), node.parents]
        name = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:_SHOWN]
        self.nodes.setdefault(name, replace(node, id=name))
        return name


def _is_digest(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) == _DIGEST and set(value) <= set("0123456789abcdef")
    )


class _Tree:
    """Lines of a tree."""

    def __init__(self, nodes: Mapping[str, Ancestor]) -> None:
        self._nodes = nodes
        self._numbers: dict[str, int] = {}
        used = [parent for node in nodes.values() for _, parent in node.parents]
        self._repeated = {name for name in used if used.count(name) > 1 and nodes[name].parents}

    def lines(self, node: Ancestor, role: str = "", stem: str = "", last: bool = True) -> list[str]:
        """A node and all below it."""
        told = f"{role}: {_told(node)}" if role else _told(node)
        head = stem + ("└─ " if last else "├─ ") + told
        if node.id in self._numbers:
            return [f"{head}  (as [{self._numbers[node.id]}] above)"]
        if node.id in self._repeated:
            self._numbers[node.id] = len(self._numbers) + 1
            head += f"  [{self._numbers[node.id]}]"
        found = [head]
        below = stem + ("   " if last else "│  ")
        for place, (name, parent) in enumerate(node.parents, 1):
            end = place == len(node.parents)
            found += self.lines(self._nodes[parent], name, below, end)
        return found


def _told(node: Ancestor) -> str:
    """One node on one line."""
    facts = ", ".join(f"{name} {_short(value)}" for name, value in node.facts.items())
    made = node.what if node.step in ("", node.what) else f"{node.step} ({node.what})"
    if node.what == "photo":
        made = f"photo {node.step}"
    return f"{made} {facts}".rstrip() if facts else made


def _short(value: object) -> str:
    """A value as people want to see it: digests by their beginning."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)[:_SHOWN] if _is_digest(value) else str(value)


def _models(nodes: Mapping[str, Ancestor]) -> list[str]:
    """A line that names all models."""
    found = dict.fromkeys(digest for node in nodes.values() for digest in node.models.values())
    return [f"models: {', '.join(map(_short, found))}"] if found else []
