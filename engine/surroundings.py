"""What the checks ask of the world around a workflow file: ops, models, library entries, tables."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.dag import ModelInfo
from engine.errors import UsageError
from engine.registry import Registry


def read_columns(path: str) -> tuple[str, ...]:
    """Read the column names of a table: the first line of a CSV file.

    Raises: UsageError when there is none.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read the table '{path}': {reason}") from None
    columns = tuple(name.strip() for name in header)
    if not columns or "" in columns or len(set(columns)) < len(columns):
        raise UsageError(f"the first line of '{path}' must name every column, each differently")
    return columns


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported here, without importing it."""
    return find_spec(package) is not None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The world as far as planning needs it; every call raises WorkflowError with a reason.

    describe: name of a builtin, or absolute path -> what the weight file holds.
    find_asset: kind, value as written, folder it is relative to, the step's model -> absolute
    path and digest.
    columns: absolute path of a table -> its column names.
    installed: name of a package -> whether those who will run the ops have it.
    names_in: kind of a library entry, its path -> the names of scores that it gives.
    """

    registry: Registry
    describe: Callable[[str], ModelInfo]
    find_asset: Callable[[str, str, str, ModelInfo | None], tuple[str, str]]
    default_model: str = "portraits-128"
    columns: Callable[[str], tuple[str, ...]] = read_columns
    installed: Callable[[str], bool] = is_installed
    names_in: Callable[[str, str], tuple[str, ...]] = lambda _kind, _path: ()
