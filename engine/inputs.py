"""The photos, tables, samples and values a run names -> listed items with fields.

Listing reads names and stats only, never contents: those are digested by whoever reads the photo.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.dag import Json, Source, SourceItem
from engine.errors import UsageError
from engine.globbing import find_files
from engine.keys import digest
from engine.listing import Found, Listing, file_fields
from engine.rows import read_rows


def list_source(source: Source, out_root: Path | None = None) -> Sequence[SourceItem]:
    """List the items of a source; those of a glob in natural order of their names.

    Files below `out_root` are results of this or earlier runs: a glob that starts outside of it
    leaves them out. Raises: UsageError when nothing is found.
    """
    match source.kind:
        case "glob":
            return _glob(source, out_root)
        case "files":
            return _files(source)
        case "table":
            return _table(source)
        case "samples":
            return _samples(source)
        case _:
            return _values(source)


def content_digest(path: str | os.PathLike[str]) -> str:
    """sha256 (hex) of a file's content.

    Raises: OSError.
    """
    with Path(path).open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _glob(source: Source, out_root: Path | None) -> Listing:
    pattern = source.options["glob"]
    base, found = find_files(Path(source.options["folder"]), pattern, out_root)
    listing = Listing(str(base), found)
    if not listing:
        raise UsageError(f"source '{source.name}': no file matches '{pattern}' in '{base}'")
    return listing


def _files(source: Source) -> tuple[SourceItem, ...]:
    paths = [os.path.normpath(path) for path in source.options["files"]]
    if not paths:
        raise UsageError(f"source '{source.name}': the list of files is empty")
    return tuple(_item(i, file) for i, file in enumerate(_looked_at(paths, _shared_folder(paths))))


def _table(source: Source) -> tuple[SourceItem, ...]:
    """List the rows of a CSV file; with an image column, the pictures they name."""
    file = source.options["table"]
    rows = read_rows(Path(file))
    if not rows:
        raise UsageError(f"source '{source.name}': the table '{file}' has no rows")
    image = source.options.get("image")
    if not image:
        return tuple(
            SourceItem(i, {"index": i, **row}, identity=f"row:{digest(row)}")
            for i, row in enumerate(rows)
        )
    folder = str(Path(file).parent)
    paths = [os.path.normpath(Path(folder, str(row[image]))) for row in rows]
    base = folder if all(_inside(path, folder) for path in paths) else _shared_folder(paths)
    found = _looked_at(paths, base)
    return tuple(_item(i, f, row) for i, (f, row) in enumerate(zip(found, rows, strict=True)))


def _samples(source: Source) -> tuple[SourceItem, ...]:
    """List codes to draw; a larger count keeps the earlier ones."""
    seed = source.options.get("seed") or 0
    model = source.model
    drawn_from = "" if model is None else model.info.digest if model.info else model.name
    return tuple(
        SourceItem(i, {"index": i, "seed": seed}, identity=f"sample:{drawn_from}:{seed}:{i}")
        for i in range(source.options["count"])
    )


def _values(source: Source) -> tuple[SourceItem, ...]:
    return tuple(
        SourceItem(i, {"index": i, "value": value}, identity=f"value:{digest(value)}")
        for i, value in enumerate(source.options["values"])
    )


def _shared_folder(paths: Sequence[str]) -> str:
    return os.path.commonpath([str(Path(path).parent) for path in paths])


def _inside(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _looked_at(paths: Sequence[str], base: str) -> list[Found]:
    """Look at listed files. One that is not there is an item too: it is set aside, and shown."""
    return [Found(os.path.relpath(path, base), path, _stat(path)) for path in paths]


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _item(index: int, file: Found, columns: Mapping[str, Json] | None = None) -> SourceItem:
    """Make the item of one file."""
    fields = file_fields(index, file.name, columns)
    return SourceItem(index, fields, "", file.path, *(file.stat or ()))
