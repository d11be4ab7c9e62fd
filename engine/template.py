"""Text with holes: "${params.x}", "${matrix.x}", "${row.field}" in values, "{field:f}" in names.

`interpolate` replaces params at once and leaves the rest as dag.Hole (a whole value, which keeps
its type) or dag.Template. `parse_names` reads the braces of output names and captions.
"""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Final

from engine.dag import Hole, Json, Part, Template
from engine.errors import suggestion

LONGEST_TEXT = 10_000
_REFERENCE = re.compile(r"\\\$\{|\$\{([^{}]*)(\}?)")
_WHOLE = re.compile(r"\$\{([^{}]*)\}")


class Given(str):
    """A text from the command line: a path in it is relative to the working folder."""

    __slots__ = ()


class Broken:
    """Stands where a value could not be made; the reason has been told."""


BROKEN: Final = Broken()


def interpolate(text: str, params: Mapping[str, Json]) -> Json:
    """Fill the params of a text; what varies per item becomes a Hole or Template.

    Raises: ValueError saying which reference is wrong.
    """
    if "${" not in text:
        return text
    if whole := _WHOLE.fullmatch(text):
        return _resolve(whole[1], params)
    parts: list[Part] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        parts.append(Part(text[end : match.start()]))
        end = match.end()
        if match[1] is None:
            parts.append(Part("${"))
        elif not match[2]:
            raise ValueError(f"'{match[0]}' is never closed by '}}'")
        else:
            value = _resolve(match[1], params)
            if value is BROKEN:
                return BROKEN
            parts.append(Part("", value) if isinstance(value, Hole) else Part(_written(value)))
            if isinstance(value, Given) and match.start() == 0:
                parts[-1] = Part(Given(value))
    return _joined([*parts, Part(text[end:])], text)


def parse_names(value: str | Hole | Template) -> Template:
    """Read the braces of an output name or caption: "{photo.rel}_{strength:+.1f}".

    Raises: ValueError saying what is wrong with which hole.
    """
    if isinstance(value, Hole):
        return Template((Part("", value),), write_hole(value))
    given = value.parts if isinstance(value, Template) else (Part(value),)
    parts: list[Part] = []
    for part in given:
        parts += [part] if part.hole is not None else _braces(part.text)
    source = value.source if isinstance(value, Template) else str(value)
    return Template(tuple(parts), source)


def check_format(spec: str, sample: Json) -> str:
    """Say why a value cannot be written with this format specification, or ""."""
    if re.search(r"\d{4}", spec):
        return f"'{spec}' asks for a width of more than 999"
    try:
        format(sample, spec)
    except (ValueError, TypeError) as error:
        return f"{sample!r} cannot be written as '{spec}': {error}"
    return ""


def write_hole(hole: Hole) -> str:
    """Write a hole as in an output name."""
    return hole.name if hole.kind == "matrix" else f"{hole.name}.{hole.field}"


def _resolve(reference: str, params: Mapping[str, Json]) -> Json:
    """Look up what stands between "${" and "}"."""
    kind, dot, name = (piece.strip() for piece in reference.partition("."))
    if not (kind and dot and name):
        raise ValueError(
            f"'${{{reference}}}' is no reference; write ${{params.name}}, ${{matrix.name}} "
            "or ${source.field}"
        )
    if kind == "params":
        if name not in params:
            raise ValueError(f"unknown param '{name}'{suggestion(name, params)}")
        return params[name]
    return Hole("matrix", name) if kind == "matrix" else Hole("field", kind, name)


def _written(value: Json) -> str:
    """Write a param's value inside a longer text.

    Raises: ValueError for a list or mapping.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        message = "a list or mapping cannot be part of a longer text"
        raise ValueError(message)  # noqa: TRY004 (a mistake in the workflow, not in the caller)
    return "null" if value is None else str(value)


def _joined(parts: list[Part], source: str) -> Json:
    """Make a text of parts without holes, else a template."""
    if any(part.hole is not None for part in parts):
        return Template(tuple(part for part in parts if part != Part("")), source)
    text = "".join(part.text for part in parts)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a text of {len(text):,} characters; {LONGEST_TEXT:,} are allowed")
    given = any(isinstance(part.text, Given) for part in parts)
    return Given(text) if given else text


def _braces(text: str) -> list[Part]:
    """Split a text at its {holes}; "{{" and "}}" are braces themselves."""
    parts: list[Part] = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            parts.append(Part(literal))
        if name is None:
            continue
        if conversion or "{" in (spec or "") or "[" in name:
            raise ValueError(f"'{{{name}}}' must be {{name}} or {{name:format}}, nothing more")
        parts.append(Part(spec or "", _hole(name)))
    return parts


def _hole(name: str) -> Hole:
    """Read the name of a hole: a matrix axis, or source.field."""
    first, dot, rest = name.partition(".")
    if not first or (dot and not rest):
        raise ValueError(f"'{{{name}}}' names nothing; write {{source.field}} or {{matrix name}}")
    if first == "matrix" and dot:
        return Hole("matrix", rest)
    return Hole("field", first, rest) if dot else Hole("matrix", first)
