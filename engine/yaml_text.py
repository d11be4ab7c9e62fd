"""YAML text -> plain data, and where each piece of it stands.

A small composer over PyYAML's event stream: scalars follow YAML 1.2 (`on` and `12:30` are text,
`1e-3` is a number), every key and value keeps its place, and what a workflow has no use for is
refused: tags, anchors and aliases, merge keys, duplicate keys, several documents, depth, size.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from engine.dag import Json, Place
from engine.errors import Problem, SpecError

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000
_LONGEST_SHOWN = 240  # a longer line is not printed below its problem

#: The keys and list positions that lead to a value.
Path: TypeAlias = tuple[str | int, ...]

_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.\d*|\.?\d+)([eE][-+]?\d+)?")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|#.*")
_BARE = re.compile(
    r"[^\s,:\[{\"']*\$\{[^{}]*\}[^\s,}\]]*|(?<=[:,\[]\s)\{[\w.]+(:[^{}\s]*)?\}[^\s,}\]]+"
)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

#: Without libyaml the events are the same and ten times slower.
_LOADER = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data of one YAML file; `marks` gives the places of the key and value at a path."""

    file: str
    text: str
    data: Json
    marks: Mapping[Path, tuple[Place, Place]]

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Find where the value at a path stands, or its nearest ancestor that the file has."""
        while path and path not in self.marks:
            path, key = path[:-1], False
        return self.marks[path][0 if key else 1] if path in self.marks else Place()

    def problem(self, place: Place, message: str) -> Problem:
        """Make a problem at a place of this file, with the line it stands in."""
        return _problem(self.file, self.text.splitlines(), place, message)


@dataclass(slots=True)
class Problems:
    """The mistakes found in a document so far."""

    document: Document
    found: list[Problem] = field(default_factory=list)

    def add(
        self, path: Path, message: str, *, key: bool = False, offset: int | None = None
    ) -> None:
        """Note a mistake at a path; `offset` counts characters into a text value."""
        place = self.document.place(path, key=key)
        if offset is not None:
            place = self._inside(place, offset)
        problem = self.document.problem(place, message)
        if problem not in self.found:
            self.found.append(problem)

    def check(self) -> None:
        """Raise SpecError if there are any."""
        if self.found:
            raise SpecError(self.found)

    def _inside(self, place: Place, offset: int) -> Place:
        """Move into a text, past its opening quote, if that stays on the line."""
        lines = self.document.text.splitlines()
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        quoted = line[place.column - 1 : place.column] in ("'", '"')
        column = place.column + offset + quoted
        return Place(place.line, column) if column <= len(line) else place


def parse_yaml(source: str | bytes, file: str) -> Document:
    """Make plain data with places of a YAML text.

    Raises: SpecError with the first thing that is not YAML, or all refused things.
    """
    text = _decoded(source, file)
    composer = _Composer(file, text.splitlines())
    try:
        data = composer.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = composer.within(Place(mark.line + 1, mark.column + 1)) if mark else Place()
        message = f"not valid YAML: {error.problem or error.context}"
        message += _remedy(text.splitlines()[: place.line], place)
        raise SpecError([composer.problem(place, message)]) from None
    except (yaml.YAMLError, UnicodeError) as error:
        place = _odd_character(text)
        reason = getattr(error, "reason", "cannot be read")
        raise SpecError([composer.problem(place, f"not valid YAML: {reason}")]) from None
    if composer.found:
        raise SpecError(composer.found)
    return Document(file, text, data, composer.marks)


def parse_scalar(text: str) -> Json:
    """Read an unquoted YAML 1.2 scalar.

    Raises: ValueError for a number that is not finite or absurdly long.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > 300:
            raise ValueError("a number with more than 300 digits")
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number")
    return text


def _decoded(source: str | bytes, file: str) -> str:
    """Decode UTF-8, with or without a byte order mark; refuse what is too large."""
    size = len(source)
    if size > MAX_BYTES:
        message = f"{size:,} characters; a workflow has at most {MAX_BYTES:,}"
        raise SpecError([Problem(file, 1, 1, message)])
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8", "replace").splitlines() or [""]
        message = f"not UTF-8: byte 0x{source[error.start]:02x}"
        raise SpecError([Problem(file, len(before), len(before[-1]) + 1, message)]) from None


def _remedy(lines: Sequence[str], place: Place) -> str:
    """Say what is often meant where a text, read up to the line of a place, stops being YAML."""
    here = lines[-1] if len(lines) == place.line else ""
    if "\t" in here[: place.column] and not here[: place.column].strip():
        return "; a tab stands here, and YAML is indented with spaces"
    for line in reversed(lines[-2:]):
        if found := _BARE.search(_QUOTED.sub(lambda quoted: " " * len(quoted[0]), line)):
            return f'; put quotes around "{found[0]}"'
    return ""


def _odd_character(text: str) -> Place:
    """Find the first character that YAML does not allow."""
    odd = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = text[: odd.start() if odd else 0].split("\n")
    return Place(len(before), len(before[-1]) + 1)


def _problem(file: str, lines: list[str], place: Place, message: str) -> Problem:
    """Make a problem that shows its line, unless that is too long to help."""
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    shown = line.replace("\t", " ") if len(line) <= _LONGEST_SHOWN else ""
    return Problem(file, place.line, place.column, message, shown)


class _Composer:
    """Builds data from events; refused things are noted and stand as null."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.marks: dict[Path, tuple[Place, Place]] = {}
        self.found: list[Problem] = []
        self.nodes = 0

    def document(self, events: Iterator[yaml.Event]) -> Json:
        """Read the one document of the stream."""
        self.events = events
        data: Json = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.refuse(event, "a workflow file holds one document; '---' starts another")
                    break
                first = next(events)
                self.marks[()] = (_place(first), _place(first))
                data = self.node(first, ())
        return data

    def node(self, event: Any, path: Path) -> Json:
        """Read the value that starts with this event."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise SpecError([self.problem(_place(event), f"more than {MAX_NODES:,} values")])
        if len(path) > MAX_DEPTH:
            raise SpecError([self.problem(_place(event), f"nested deeper than {MAX_DEPTH}")])
        if isinstance(event, yaml.AliasEvent):
            self.refuse(event, f"alias '*{event.anchor}' is not allowed; use params instead")
            return None
        if event.anchor is not None:
            self.refuse(event, f"anchor '&{event.anchor}' is not allowed; use params instead")
        if event.tag is not None:
            self.refuse(event, f"YAML tag '{_tag(event.tag)}' is not allowed")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event)

    def mapping(self, path: Path) -> dict[str, Json]:
        """Read a mapping up to its end."""
        data: dict[str, Json] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            name = self.key(event, path)
            if name in data:
                first = self.marks[(*path, name)][0]
                self.refuse(event, f"key '{name}' is written twice, first on line {first.line}")
            value = next(self.events)
            if name not in data:
                self.marks[(*path, name)] = (_place(event), _place(value))
            data.setdefault(name, self.node(value, (*path, name)))
        return data

    def key(self, event: yaml.Event, path: Path) -> str:
        """Read a mapping's key as text."""
        if isinstance(event, yaml.ScalarEvent):
            if event.value == "<<" and not event.style:
                self.refuse(event, "merge key '<<' is not allowed; use params instead")
            if event.tag is not None or event.anchor is not None:
                self.refuse(event, "a key has no tag or anchor")
            return str(event.value)
        self.refuse(event, "a key must be text")
        self.node(event, (*path, ""))
        return ""

    def sequence(self, path: Path) -> list[Json]:
        """Read a sequence up to its end."""
        data: list[Json] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(data))
            self.marks[here] = (_place(event), _place(event))
            data.append(self.node(event, here))
        return data

    def scalar(self, event: Any) -> Json:
        """Read a scalar; only unquoted ones are anything but text."""
        if event.style:
            return event.value
        try:
            return parse_scalar(event.value)
        except ValueError as error:
            self.refuse(event, str(error))
            return None

    def within(self, place: Place) -> Place:
        """Move a place behind the last line to its end, where something can be shown."""
        if place.line <= len(self.lines) or not self.lines:
            return place
        return Place(len(self.lines), len(self.lines[-1]) + 1)

    def refuse(self, event: yaml.Event, message: str) -> None:
        """Note something that is not allowed."""
        self.found.append(self.problem(_place(event), message))

    def problem(self, place: Place, message: str) -> Problem:
        """Make a problem of this file."""
        return _problem(self.file, self.lines, place, message)


def _place(event: yaml.Event) -> Place:
    """Where an event starts."""
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place()


def _tag(tag: str) -> str:
    """Write a tag as it stands in the file."""
    return tag.replace("tag:yaml.org,2002:", "!!")
