"""Output names: which format a name asks for, whether it tells items apart, where it leads."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from engine.dag import Hole, Json, Lookup, Output, Template, fill
from engine.errors import suggestion
from engine.holes import combinations, doubt, known, misformatted
from engine.scope import Node, Reading, Scope, find
from engine.spec import OutputSpec
from engine.template import parse_names, write_hole
from engine.values import (
    Direction,
    FeatureMap,
    Film,
    Image,
    Latent,
    Mask,
    Network,
    Scalar,
    Scores,
)
from engine.yaml_text import Path

RESERVED = ".run"
_EXTENSIONS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".gif": "gif",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".safetensors": "safetensors",
    ".csv": "csv",
}
_FORMATS: Mapping[type, tuple[str, ...]] = {
    Image: ("png", "jpeg", "webp", "tiff"),
    Film: ("webp", "gif"),
    Mask: ("png", "tiff"),
    Latent: ("safetensors",),
    Direction: ("safetensors",),
    FeatureMap: ("safetensors",),
    Scores: ("safetensors", "csv"),
    Network: ("safetensors",),
    Scalar: ("csv",),
}
_VAGUE = ("dir", "ext")  # fields that many items share


def declare(scope: Scope) -> tuple[Output, ...]:
    """Make the checked outputs of a file."""
    found: list[tuple[Path, Output]] = []
    for spec in scope.spec.outputs:
        output = _output(scope, spec)
        if output is not None:
            found.append((spec.path, output))
    _refuse_twins(scope, found)
    return tuple(output for _, output in found)


def _output(scope: Scope, spec: OutputSpec) -> Output | None:
    """Check one output; None after a mistake."""
    reading = _reading(scope, spec)
    template = _template(scope, spec)
    if reading is None or template is None:
        return None
    style = _format(scope, spec, template, reading.type)
    if style is None:
        return None
    node, table, to = reading.node, style == "csv", (*spec.path, "to")
    for hole in template.holes:
        if not known(hole, node.axes, node.links, scope):
            have = ", ".join(node.axes) or "none"
            message = (
                f"{{{write_hole(hole)}}} is not known for '{spec.source}'; its axes are {have}"
            )
            scope.problems.add(to, message)
            return None
    omitted = [] if table else _omitted(template, node, scope)
    if omitted:
        scope.problems.add(to, f"the name omits the axis {_remedy(omitted, scope)}")
    if message := _leads_astray(template, scope) or ("" if omitted else _repeated(template, scope)):
        scope.problems.add(to, message)
    return Output(
        ref=reading.ref,
        to=template,
        format=style,
        quality=95 if spec.quality is None else spec.quality,
        metadata=spec.metadata,
        table=table,
        links=node.links,
        allowed=node.allowed,
        place=scope.problems.document.place(spec.path),
    )


def _reading(scope: Scope, spec: OutputSpec) -> Reading | None:
    """Find the step port that is written."""
    path = (*spec.path, "from")
    try:
        reading = find(spec.source, scope.nodes)
    except LookupError as error:
        scope.problems.add(path, str(error.args[0]))
        return None
    if reading is not None and reading.node.source:
        scope.problems.add(path, f"'{spec.source}' is a source; outputs write what steps make")
        return None
    if reading is not None and reading.type not in _FORMATS:
        writable = [port.name for port in reading.node.ports if port.type in _FORMATS]
        near = f"; '{reading.node.name}.{writable[0]}' can" if writable else ""
        what = f"'{spec.source}' is {_a(reading.type.__name__)}"
        scope.problems.add(path, f"{what}, which cannot be written to a file{near}")
        return None
    return reading


def _template(scope: Scope, spec: OutputSpec) -> Template | None:
    """Read the holes of a name; None after a mistake."""
    path = (*spec.path, "to")
    try:
        template = parse_names(spec.to)
    except ValueError as error:
        scope.problems.add(path, str(error))
        return None
    messages = [message for hole in template.holes if (message := doubt(scope, hole))]
    if not messages and (message := misformatted(scope, template)):
        messages = [message]
    for message in messages:
        scope.problems.add(path, message)
    return None if messages else template


def _format(scope: Scope, spec: OutputSpec, template: Template, kind: type) -> str | None:
    """Choose the file format by the name's extension, or as said."""
    last = template.parts[-1] if template.parts and template.parts[-1].hole is None else None
    extension = PurePosixPath("x" + last.text).suffix.lower() if last else ""
    by_name = _EXTENSIONS.get(extension, "")
    style = _EXTENSIONS.get(f".{spec.format.lower()}", spec.format) or by_name
    allowed = _FORMATS[kind]
    path = (*spec.path, "format") if spec.format else (*spec.path, "to")
    wanted = ", ".join(ext for ext, name in _EXTENSIONS.items() if name in allowed)
    message = ""
    if spec.format and by_name and by_name != style:
        message = f"format '{spec.format}' and the name's '{extension}' differ"
    elif not style:
        near = suggestion(extension, wanted.split(", ")) if extension else ""
        odd = f"'{extension}' is no format that can be written" if extension else ""
        message = odd or "the name needs an extension that says the format"
        message += f"; all that '{spec.source}', {_a(kind.__name__)}, can be: {wanted}{near}"
    elif style not in allowed:
        what = f"'{spec.source}' is {_a(kind.__name__)}"
        message = f"{what}, which cannot be written as '{style}'; it can as {wanted}"
    elif spec.quality is not None and style not in ("jpeg", "webp"):
        path, message = (*spec.path, "quality"), f"{style} has no quality; jpg and webp have"
    if message:
        scope.problems.add(path, message)
    return None if message else style


def _a(noun: str) -> str:
    """Write 'a Mask', 'an Image'."""
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"


def _omitted(template: Template, node: Node, scope: Scope) -> list[str]:
    """List the axes whose items a name does not tell apart."""
    told: set[str] = set()
    for hole in template.holes:
        told.add(write_hole(hole))
        if hole.kind == "matrix":
            told.add(hole.name)
        elif hole.field not in _VAGUE or hole.name not in scope.spec.sources:
            homes = [link.axis for link in node.links if link.source == hole.name]
            told |= {hole.name, *homes}
    return [axis for axis in node.axes if axis not in told]


def _remedy(omitted: list[str], scope: Scope) -> str:
    """Name the omitted axes and a hole for each."""
    holes = []
    for name in omitted:
        fields = scope.nodes[name].fields if name in scope.nodes else ()
        best = next((field for field in ("rel", "value", *fields) if field in fields), "")
        holes.append(f"{{{name}.{best}}}" if best else f"{{{name}}}")
    return f"{', '.join(repr(name) for name in omitted)}: add {' and '.join(holes)}"


def _leads_astray(template: Template, scope: Scope) -> str:
    """Say why a name is no path inside the output folder, or ""."""
    for text in _texts(template, scope):
        pieces = text.split("/")
        if text.startswith(("/", "~")) or "\\" in text or text[1:2] == ":":
            return f"'{text}' must be relative to the output folder, with '/' between folders"
        if ".." in pieces:
            return f"'{text}' leaves the output folder"
        if "" in pieces or "." in pieces:
            return f"'{text}' has an empty folder or file name"
        if pieces[0].lower() == RESERVED:
            return f"'{RESERVED}' in the output folder is reserved for the run's records"
        if any(ord(letter) < 32 for letter in text):
            return "a name has no control characters"
    return ""


def _repeated(template: Template, scope: Scope) -> str:
    """Say which two matrix values give the same name, or ""."""
    seen: dict[str, str] = {}
    for text in _texts(template, scope):
        if text.lower() in seen:
            return f"two matrix values give the same name, '{text}'"
        seen[text.lower()] = text
    return ""


def _refuse_twins(scope: Scope, outputs: list[tuple[Path, Output]]) -> None:
    """Note outputs that write the same names, as far as the templates tell."""
    seen: dict[str, Path] = {}
    for path, output in outputs:
        for text in {text.lower() for text in _texts(output.to, scope)}:
            other = seen.setdefault(text, path)
            if other != path:
                line = scope.problems.document.place(other).line
                message = f"writes the same names as the output on line {line}"
                scope.problems.add((*path, "to"), message)
                break


def _texts(template: Template, scope: Scope) -> list[str]:
    """Write a name for all matrix values, with its source fields left as they are."""
    names = [hole.name for hole in template.holes if hole.kind == "matrix"]
    names = [name for name in dict.fromkeys(names) if name in scope.axes]
    parts = []
    for part in template.parts:
        shown = part.hole is not None and part.hole.kind == "field"
        parts.append(type(part)(f"{{{write_hole(part.hole)}}}") if shown and part.hole else part)
    shape = Template(tuple(parts), template.source)
    return [fill(shape, _lookup(chosen)) for chosen in combinations(names, scope.axes)]


def _lookup(chosen: Mapping[str, Json]) -> Lookup:
    """Look matrix values up."""

    def value(hole: Hole) -> Json:
        return chosen[hole.name]

    return value
