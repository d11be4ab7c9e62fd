"""Typed reading of workflow data: a reader gives the value, or notes the problem and gives None."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.dag import Hole, Json, Template
from engine.errors import did_you_mean, nearest, suggestion
from engine.template import BROKEN
from engine.yaml_text import Path, Problems

T = TypeVar("T")

_NAME = re.compile(r"[^\W\d][\w-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of the document, with its path for problems."""

    value: Json
    path: Path
    problems: Problems

    @property
    def broken(self) -> bool:
        """Whether the value could not be made, which has been told."""
        return self.value is BROKEN

    def error(self, message: str, *, key: bool = False) -> None:
        """Note a problem here, once the value itself is not broken."""
        if not self.broken:
            self.problems.add(self.path, message, key=key)

    def child(self, key: str | int, value: Json) -> "Entry":
        """Make the entry of a value inside this one."""
        return Entry(value, (*self.path, key), self.problems)

    def wrong(self, wanted: str) -> None:
        """Note that this is not what it must be."""
        self.error(f"must be {wanted}, not {show(self.value)}")

    def entries(self, what: str = "a mapping") -> "dict[str, Entry]":
        """Read a mapping with any keys."""
        if isinstance(self.value, dict):
            return {key: self.child(key, value) for key, value in self.value.items()}
        self.wrong(what)
        return {}

    def fields(self, allowed: Collection[str], needed: Sequence[str] = ()) -> "dict[str, Entry]":
        """Read a mapping with known keys.

        Others are noted with the nearest name, and read as if they were written so: a misspelt key
        hides no mistake inside it, and makes none elsewhere.
        """
        found = self.entries(f"a mapping with {_join(allowed)}")
        known = {key: entry for key, entry in found.items() if key in allowed}
        for key in found.keys() - known.keys():
            near = nearest(key, [name for name in allowed if name not in found])
            hint = did_you_mean(near) or suggestion(key, allowed) or f"; allowed: {_join(allowed)}"
            self.problems.add(found[key].path, f"unknown key '{key}'{hint}", key=True)
            if near:
                known[near] = found[key]
        for key in needed if isinstance(self.value, dict) else ():
            if key not in known:
                self.error(f"'{key}' is missing")
        return known

    def named(self, what: str) -> "dict[str, Entry]":
        """Read a mapping whose keys the user chooses; they must be names."""
        found = self.entries(f"a mapping of {what}")
        for key, entry in found.items():
            if not _NAME.fullmatch(key):
                message = f"'{key}' is no name: a letter, then letters, digits, '_' or '-'"
                entry.problems.add(entry.path, message, key=True)
        return {key: entry for key, entry in found.items() if _NAME.fullmatch(key)}

    def items(self, what: str = "a list") -> "list[Entry]":
        """Read a list."""
        if isinstance(self.value, list):
            return [self.child(i, value) for i, value in enumerate(self.value)]
        self.wrong(what)
        return []

    def texts(self, what: str = "a list of names") -> tuple[str, ...]:
        """Read a text or a list of texts."""
        if isinstance(self.value, str):
            return (self.value,)
        return tuple(text for entry in self.items(what) if (text := entry.text()) is not None)

    def text(self, what: str = "text") -> str | None:
        """Read a text that is not empty."""
        if isinstance(self.value, str) and self.value:
            return self.value
        if isinstance(self.value, dict) and list(self.value.values()) == [None]:
            (name,) = self.value
            self.error(f'must be {what}, not a mapping; quote it: "{{{name}}}"')
        else:
            self.wrong(what)
        return None

    def flag(self) -> bool | None:
        """Read true or false."""
        if isinstance(self.value, bool):
            return self.value
        self.wrong("true or false")
        return None

    def choice(self, options: Sequence[str]) -> str | None:
        """Read one of a few words."""
        if isinstance(self.value, str) and self.value in options:
            return str(self.value)
        near = suggestion(str(self.value), options) if isinstance(self.value, str) else ""
        self.error(f"must be {_join(options, 'or')}, not {show(self.value)}{near}")
        return None

    def integer(self, low: int = 0, high: int | None = None) -> int | None:
        """Read a whole number within bounds."""
        if type(self.value) is int and _within(self.value, low, high):
            return self.value
        self.wrong(f"a whole number{_bounds(low, high)}")
        return None

    def number(self, low: float, high: float | None = None) -> float | None:
        """Read a number within bounds."""
        if type(self.value) in (int, float) and _within(self.value, low, high):
            return float(self.value)
        self.wrong(f"a number{_bounds(low, high)}")
        return None

    def seconds(self) -> float | None:
        """Read a duration: 90, 30s, 10m, 2h."""
        seconds = 0.0
        if type(self.value) in (int, float):
            seconds = float(self.value)
        elif isinstance(self.value, str) and (match := _DURATION.fullmatch(self.value)):
            seconds = float(match[1]) * _SECONDS[match[2]]
        if seconds > 0:
            return seconds
        self.wrong("a duration above zero such as 30s, 10m or 2h")
        return None

    def size(self) -> int | None:
        """Read a size in bytes: 500MB, 50GB, 1.5TiB."""
        if type(self.value) is int and self.value > 0:
            return self.value
        if isinstance(self.value, str) and (match := _SIZE.fullmatch(self.value)):
            unit = match[2] or ""
            base = 1024 if unit.endswith("i") else 1000
            return int(float(match[1]) * base ** _POWERS.get(unit[:1], 0))
        self.wrong("a size such as 500MB or 50GB")
        return None


def maybe(entry: Entry | None, read: Callable[[Entry], T | None]) -> T | None:
    """Read an entry that may be left out."""
    return None if entry is None else read(entry)


def each(block: Entry | None, what: str, read: Callable[[str, Entry], T | None]) -> dict[str, T]:
    """Read a block of named things; those that cannot be read are left out."""
    found = {} if block is None else block.named(what)
    read_all = {name: read(name, entry) for name, entry in found.items()}
    return {name: thing for name, thing in read_all.items() if thing is not None}


def either(value: T | None, default: T) -> T:
    """Use the default for None alone."""
    return default if value is None else value


def show(value: Json) -> str:
    """Write a value as the user wrote it, shortened."""
    if isinstance(value, Hole | Template):
        return "a value that varies per item"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        text = "[" + ", ".join(show(item) for item in value[:6]) + (", ...]" if value[6:] else "]")
    elif value is None or isinstance(value, bool):
        text = {None: "nothing", True: "true", False: "false"}[value]
    else:
        text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _join(words: Collection[str], last: str = "and") -> str:
    """Write "a, b and c"."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end


def _within(value: float, low: float, high: float | None) -> bool:
    """Whether a number keeps its bounds."""
    return value >= low and (high is None or value <= high)


def _bounds(low: float, high: float | None) -> str:
    """Write the bounds of a number."""
    return f" of at least {low}" if high is None else f" from {low} to {high}"
