"""Where every output file goes: names proved inside the output root and free of collisions."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from engine.dag import Link, Output, fill
from engine.errors import UsageError
from engine.items import Items

#: The longest name of a file or folder that common file systems take.
MAX_NAME_BYTES = 255
#: Fields that may tell two items of a source apart, the shortest first.
TELLING = ("ext", "dir", "rel", "name", "index")


def links_of(items: Items, output: Output) -> tuple[Link, ...]:
    """The links an output's template may read through."""
    return output.links or items.graph.steps[output.ref.node].links


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an output name is: an item's, or a table's (no number), which all its items share."""

    output: int
    number: int | None


def destinations(items: Items) -> list[Mapping[int, str]]:
    """For every output, the path below the output root of each item of its step.

    The items of a table share its file: tables are proved here too, but have no path per item.
    Raises: UsageError when two items would be written to one file (ignoring case), a file would
    have to be a folder too, or a name leaves the output root.
    """
    taken: dict[str, tuple[str, Owner]] = {}  # one spelling for all names of a file -> name, owner
    found: list[Mapping[int, str]] = []
    for i, output in enumerate(items.graph.outputs):
        paths: dict[int, str] = {}
        for number, path in _named(items, output):
            mine = (path, Owner(i, None if output.table else number))
            other = taken.setdefault(_folded(path), mine)
            if other != mine:
                raise UsageError(_clash(items, other, mine))
            paths[number] = path
        found.append({} if output.table else paths)
    folders = {path.rpartition("/")[0]: owner for path, owner in taken.values()}
    for folder, owner in folders.items():
        for part in (folder, *map(str, PurePosixPath(folder).parents)):
            if file := taken.get(_folded(part)):
                both = f"a file ({_told(items, file[1])}) and a folder ({_told(items, owner)})"
                raise UsageError(f"'{file[0]}' would be {both}")
    return found


def _named(items: Items, output: Output) -> Iterator[tuple[int, str]]:
    """The path of each item of an output."""
    space = items.spaces[output.ref.node]
    links = links_of(items, output)
    for number in space.numbers():
        lookup = items.lookup(space.place(number), links)
        yield number, safe(fill(output.to, lookup), output.to.source)


def _told(items: Items, owner: Owner) -> str:
    """Whose an output name is, in words."""
    output = items.graph.outputs[owner.output]
    if owner.number is None:
        return f"{output.ref.node} of the table '{output.to.source}'"
    return f"{output.ref.node} of {items.label(output.ref.node, owner.number)}"


def _clash(items: Items, other: tuple[str, Owner], mine: tuple[str, Owner]) -> str:
    """Say that two things would have one name, and what would tell them apart."""
    told = f"'{mine[0]}'" if other[0] == mine[0] else f"'{mine[0]}' (or '{other[0]}')"
    found = f"two outputs have the name {told}: {_told(items, other[1])}, and "
    found += _told(items, mine[1])
    if other[1].output != mine[1].output:
        return f"{found}; give each output a name of its own"
    output = items.graph.outputs[mine[1].output]
    space = items.spaces[output.ref.node]
    first, second = (space.place(owner.number or 0) for owner in (other[1], mine[1]))
    for axis in space.axes:
        if items.graph.axes[axis].kind == "source" and first[axis] != second[axis]:
            a, b = (items.listings[axis][place[axis]].fields for place in (first, second))
            if better := next((f for f in TELLING if f in a and a[f] != b.get(f)), ""):
                return f"{found}; '{output.to.source}' needs {{{axis}.{better}}} too"
    return found


def _folded(path: str) -> str:
    """One spelling for all names that some file system takes for the same."""
    return unicodedata.normalize("NFC", path).casefold()


def safe(path: str, template: str) -> str:
    """Refuse a name that leaves the output root, hides in `.run`, or that no disk would take."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
        raise UsageError(f"output name '{path}' (from '{template}') leaves the output folder")
    if parts[0].casefold() == ".run":
        raise UsageError(f"output name '{path}' (from '{template}') is in the run's own folder")
    if long := next((part for part in parts if len(os.fsencode(part)) > MAX_NAME_BYTES), ""):
        raise UsageError(
            f"output name '{long[:40]}...' (from '{template}') has more than {MAX_NAME_BYTES} bytes"
        )
    return "/".join(parts)
