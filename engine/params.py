"""The `params` of a workflow: declared in the file, overridden by -p and params files."""

from collections.abc import Mapping

from engine.dag import Json
from engine.errors import SpecError, suggestion
from engine.reading import Entry, show
from engine.template import BROKEN, Given
from engine.yaml_text import Problems, parse_yaml

_KEYS = ("default", "type", "choices", "min", "max", "help")
TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
}
TYPE_ALIASES = {
    "str": "text",
    "string": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
}


class AsTyped(str):
    """A param as typed after `-p name=`: text for a text param, YAML for any other."""

    __slots__ = ()


def read_params(block: Entry | None, given: Mapping[str, Json]) -> dict[str, Json]:
    """Make the value of every declared param; texts that were given are marked `Given`."""
    values: dict[str, Json] = {}
    declared = block.named("params") if block is not None else {}
    for name, entry in declared.items():
        values[name] = _value(name, entry, given)
    for name in given:
        if name not in declared and block is not None:
            there = f"; the workflow has {', '.join(declared) or 'none'}"
            near = suggestion(name, declared) or there
            block.error(f"unknown param '{name}' was given{near}", key=True)
    return values


def _value(name: str, entry: Entry, given: Mapping[str, Json]) -> Json:
    """Make one param's value: given, else default."""
    declared = isinstance(entry.value, dict)
    parts = entry.fields(_KEYS) if declared else {"default": entry}
    _refuse_references(entry)
    kind = _kind(parts)
    if name in given:
        value = _from_command_line(given[name], kind, entry)
    elif "default" in parts:
        value = parts["default"].value
    else:
        entry.error(f"param '{name}' has no default; give it by -p {name}=VALUE", key=True)
        return BROKEN
    origin = f"param '{name}' given as {show(value)}" if name in given else f"param '{name}'"
    place = entry if name in given else parts["default"]
    typed = isinstance(given.get(name), AsTyped) and isinstance(value, str | int | float)
    remedy = f"; write -p '{name}=[{value}]'" if typed and kind == "list" else ""
    if value is BROKEN or not _fits(value, kind, parts, place, origin, remedy):
        return BROKEN
    return _mark(value) if name in given else value


def _kind(parts: Mapping[str, Entry]) -> str:
    """The declared type, or the type of the default; "" takes anything."""
    if "type" in parts:
        written = parts["type"].value
        if isinstance(written, str) and written in TYPE_ALIASES:
            return TYPE_ALIASES[written]
        return parts["type"].choice(tuple(TYPES)) or ""
    default = parts["default"].value if "default" in parts else None
    for name, types in TYPES.items():
        if type(default) in types:
            return "number" if name == "integer" else name
    return ""


def _from_command_line(value: Json, kind: str, entry: Entry) -> Json:
    """Read a value typed on the command line now that its type is known."""
    if not isinstance(value, AsTyped):
        return value
    if kind == "text":
        return str(value)
    try:
        return parse_yaml(value, "-p").data
    except SpecError as error:
        entry.error(f"the value given by -p: {error.problems[0].message}", key=True)
        return BROKEN


def _fits(
    value: Json, kind: str, parts: Mapping[str, Entry], place: Entry, origin: str, remedy: str
) -> bool:
    """Check a param's value against its declaration."""
    wanted = ""
    if kind and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        wanted = {"text": "text", "boolean": "true or false"}.get(kind, f"a {kind}")
        wanted = wanted.replace("a integer", "a whole number")
    elif "choices" in parts and value not in (choices := _choices(parts["choices"])):
        wanted = f"one of {show(choices)}"
    elif isinstance(value, int | float):
        low, high = (parts[key].value if key in parts else None for key in ("min", "max"))
        if isinstance(low, int | float) and value < low:
            wanted = f"at least {low}"
        if isinstance(high, int | float) and value > high:
            wanted = f"at most {high}"
    if wanted:
        place.error(f"{origin}: must be {wanted}, not {show(value)}{remedy}")
    return not wanted


def _choices(entry: Entry) -> list[Json]:
    """The allowed values of a param."""
    return [choice.value for choice in entry.items("a list of choices")]


def _refuse_references(entry: Entry) -> None:
    """Params stand alone: they do not refer to each other."""
    if "${" in str(entry.value).replace("\\${", ""):
        entry.error("a param cannot refer to another value")


def _mark(value: Json) -> Json:
    """Mark all texts of a given value."""
    if isinstance(value, str):
        return Given(value)
    if isinstance(value, dict):
        return {name: _mark(item) for name, item in value.items()}
    return [_mark(item) for item in value] if isinstance(value, list) else value


def read_params_file(text: str | bytes, file: str) -> dict[str, Json]:
    """Make the params of a params file: a mapping of names to values.

    Raises: SpecError when it is not one.
    """
    document = parse_yaml(text, file)
    problems = Problems(document)
    found = Entry(document.data, (), problems).named("params")
    problems.check()
    return {name: entry.value for name, entry in found.items()}
