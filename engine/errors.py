"""The exception tree.

WorkflowError            anything a user, a file or a machine can cause; carries its exit code
+-- SpecError            the workflow file is wrong: every problem at once        (exit 2)
+-- UsageError           the command line or a path given to it is wrong          (exit 2)
+-- RunError             the run as a whole cannot go on                          (exit 1)
+-- StoreError           the cache folder cannot be read or written               (exit 1)
|   +-- PackError        a file of it is cut short, altered or of another version
+-- OpError              an op broke its contract (wrong type, shape or count)
|   +-- ShapeError       two values do not fit together
+-- ItemError            one item cannot be done: it is quarantined with a reason
+-- SkipItem             one item is not there (the third face of two): skipped, not a failure
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

Reason = Literal[
    "decode",
    "no_face",
    "many_faces",
    "too_small",
    "bad_input",
    "not_finite",
    "out_of_memory",
    "timeout",
    "worker_died",
    "op_error",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

#: Reasons that depend on nothing but the item's key: remembered, not tried again by the next run.
DETERMINISTIC: frozenset[Reason] = frozenset(
    {"decode", "no_face", "many_faces", "too_small", "bad_input", "not_finite"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a text file, at a place (line and column count from 1)."""

    file: str
    line: int
    column: int
    message: str
    source_line: str = ""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.message}"
        if not self.source_line:
            return head
        return f"{head}\n    {self.source_line}\n    {' ' * (self.column - 1)}^"


class WorkflowError(Exception):
    """Anything that stops a workflow and that the user can be told about."""

    exit_code = 1


class SpecError(WorkflowError):
    """The workflow file is wrong; `problems` lists every mistake, in file order."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(WorkflowError):
    """The command line, or something it names, is wrong."""

    exit_code = 2


class RunError(WorkflowError):
    """The run as a whole cannot go on (too many failures, no workers, folder in use)."""


class StoreError(WorkflowError):
    """The cache folder cannot be read or written."""


class PackError(StoreError):
    """A file of a cache is cut short, altered, or of a version that is not known here."""


class OpError(WorkflowError):
    """An op broke its contract."""


class ShapeError(OpError):
    """Two values do not fit together."""


class ItemError(WorkflowError):
    """One item cannot be done; it is quarantined with `reason`, everything else goes on.

    `item` is the position in the op's batch when the op knows which item is guilty.
    """

    def __init__(self, reason: Reason, message: str, *, item: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.item = item

    def __reduce__(self) -> tuple[object, ...]:
        return (_item_error, (self.reason, str(self), self.item))


class SkipItem(WorkflowError):  # noqa: N818  (it is no error)
    """What an item asks for is not there; it is skipped, which is no failure.

    `item` is the position in the op's batch when the op knows which item it is.
    """

    def __init__(self, message: str, *, item: int | None = None) -> None:
        super().__init__(message)
        self.item = item

    def __reduce__(self) -> tuple[object, ...]:
        return (_skip_item, (str(self), self.item))


def _skip_item(message: str, item: int | None) -> SkipItem:
    return SkipItem(message, item=item)


def _item_error(reason: Reason, message: str, item: int | None) -> ItemError:
    return ItemError(reason, message, item=item)


def suggestion(given: str, allowed: Iterable[str]) -> str:
    """Make ", did you mean 'x'?" for the nearest allowed name, or an empty string."""
    return did_you_mean(nearest(given, allowed))


def nearest(given: str, allowed: Iterable[str]) -> str:
    """The allowed name that is most like a given one; an empty string when none is."""
    return next(iter(get_close_matches(given, list(allowed), n=1, cutoff=0.5)), "")


def did_you_mean(name: str) -> str:
    """Make ", did you mean 'x'?" of a name, or an empty string of none."""
    return f", did you mean '{name}'?" if name else ""
