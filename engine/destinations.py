"""Where every output file goes: names proved inside the output root and free of collisions."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from engine.dag import Link, Output, fill
from engine.errors import UsageError
from engine.items import Items

#: The longest name of a file or folder that common file systems take.
MAX_NAME_BYTES = 255


def links_of(items: Items, output: Output) -> tuple[Link, ...]:
    """The links an output's template may read through."""
    return output.links or items.graph.steps[output.ref.node].links


def destinations(items: Items) -> list[Mapping[int, str]]:
    """For every output, the path below the output root of each item of its step.

    The items of a table share its file: tables are proved here too, but have no path per item.
    Raises: UsageError when two items would be written to one file (ignoring case), a file would
    have to be a folder too, or a name leaves the output root.
    """
    taken: dict[str, tuple[str, str]] = {}  # one spelling for all names of a file -> name, label
    found: list[Mapping[int, str]] = []
    for output in items.graph.outputs:
        paths: dict[int, str] = {}
        for number, path, label in _named(items, output):
            other = taken.setdefault(_folded(path), (path, label))
            if other != (path, label):
                told = f"'{path}'" if other[0] == path else f"'{path}' (or '{other[0]}')"
                raise UsageError(f"two outputs have the name {told}: {other[1]}, and {label}")
            paths[number] = path
        found.append({} if output.table else paths)
    for folder, label in {path.rpartition("/")[0]: label for path, label in taken.values()}.items():
        for part in (folder, *map(str, PurePosixPath(folder).parents)):
            if file := taken.get(_folded(part)):
                raise UsageError(f"'{file[0]}' would be a file ({file[1]}) and a folder ({label})")
    return found


def _named(items: Items, output: Output) -> Iterator[tuple[int, str, str]]:
    """The path of each item of an output, and whose it is in words; a table's is everybody's."""
    space = items.spaces[output.ref.node]
    links = links_of(items, output)
    for number in space.numbers():
        place = space.place(number)
        path = safe(fill(output.to, items.lookup(place, links)), output.to.source)
        whose = f"the table '{output.to.source}'" if output.table else items.describe(place)
        yield number, path, f"{output.ref.node} of {whose}"


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
