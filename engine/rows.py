"""A CSV file -> rows of typed cells: a column of numbers is numbers, everything else text."""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.dag import Json
from engine.errors import UsageError

#: "007" and "1_000" are names, not numbers; nan and inf too.
_WHOLE = re.compile(r"[-+]?(0|[1-9]\d*)")
_NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_TRUTH = {"true": True, "false": False}


def read_rows(path: Path) -> list[dict[str, Json]]:
    """Read a table whose first line names the columns. An empty cell of a number column is None.

    Raises: UsageError with the line when the file cannot be read or a row is of another length.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [_cells(path, reader.line_num, row, len(header)) for row in reader if row]
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the table '{path}': {reason}") from error
    columns = [_typed([row[i] for row in rows]) for i in range(len(header))]
    return [dict(zip(header, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _cells(path: Path, line: int, row: Sequence[str], width: int) -> list[str]:
    if len(row) != width:
        raise UsageError(f"{path}:{line}: {len(row)} cells, but the first line names {width}")
    return [cell.strip() for cell in row]


def _typed(column: Sequence[str]) -> list[Json]:
    """Read a column as whole numbers, numbers or truth values if all its cells are, else text."""
    readers: list[tuple[Callable[[str], object], Callable[[str], Json]]] = [
        (_WHOLE.fullmatch, int),
        (_NUMBER.fullmatch, float),
        (lambda cell: cell.lower() in _TRUTH, lambda cell: _TRUTH[cell.lower()]),
    ]
    filled = [cell for cell in column if cell]
    for fits, read in readers:
        if filled and all(fits(cell) for cell in filled):
            return [read(cell) if cell else None for cell in column]
    return list(column)
