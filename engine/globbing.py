"""A glob -> the files it means: `**`, `*`, `?`, `[a-z]`, `{a,b}`; extensions in any case.

Hidden files are left out unless the pattern names them. Linked folders are followed, once around.
Only folders that the pattern can reach are read.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from engine.errors import UsageError
from engine.listing import Found

MOST_CHOICES = 1000

_MAGIC = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_TOKENS = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)

Rule: TypeAlias = tuple[str, ...]  # the parts of a pattern that are still to be matched
FolderId: TypeAlias = tuple[int, int]


def find_files(
    folder: Path, pattern: str, avoid: Path | None = None
) -> tuple[Path, Iterator[Found]]:
    """Find the files of a glob, in no order, and the folder below which they are named.

    `avoid` is a folder that is not entered. Raises: UsageError when the fixed part of the pattern
    is no folder, a folder cannot be read, or the braces mean too much.
    """
    whole = os.path.normpath(folder / Path(pattern).expanduser())
    parts = Path(whole).parts
    fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts) - 1)
    base = Path(*parts[:fixed])
    if not base.is_dir():
        raise UsageError(f"there is no folder '{base}' (looked for '{pattern}')")
    rules = {_rule(choice) for choice in _choices("/".join(parts[fixed:]))}
    shut = None if avoid is None else os.path.realpath(avoid)
    return base, _walk(str(base), "", frozenset(rules), frozenset(), shut)


def _choices(pattern: str) -> list[str]:
    """Write out {a,b}, innermost first."""
    patterns = [pattern]
    while any(_BRACES.search(text) for text in patterns):
        patterns = [more for text in patterns for more in _unfold(text)]
        if len(patterns) > MOST_CHOICES:
            raise UsageError(f"'{pattern}' means more than {MOST_CHOICES} patterns")
    return patterns


def _unfold(pattern: str) -> list[str]:
    inner = _BRACES.search(pattern)
    if inner is None:
        return [pattern]
    before, after = pattern[: inner.start()], pattern[inner.end() :]
    return [f"{before}{choice}{after}" for choice in inner.group(1).split(",")]


def _rule(pattern: str) -> Rule:
    """Cut a pattern at its folders; one that ends in `**` means every file below."""
    parts = tuple(part for part in pattern.split("/") if part)
    return (*parts, "*") if parts[-1:] == ("**",) else parts


def _walk(
    folder: str, prefix: str, rules: frozenset[Rule], above: frozenset[FolderId], shut: str | None
) -> Iterator[Found]:
    """Yield the files of a folder that match, then those of the folders that can hold more."""
    rules = _with_none(rules)
    try:
        stat = Path(folder).stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UsageError(f"the folder '{folder}' cannot be read: {error.strerror}") from error
    here = (stat.st_dev, stat.st_ino)
    if here in above:
        return  # a link led back to where we came from
    above |= {here}
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if _is_folder(entry):
            below = _entered(rules, entry.name)
            if below and os.path.realpath(entry.path) != shut:
                yield from _walk(entry.path, f"{name}/", below, above, shut)
        elif _wanted(rules, entry.name):
            yield from _found(entry, name)


def _with_none(rules: frozenset[Rule]) -> frozenset[Rule]:
    """Add what is left of each rule when its leading `**` stands for no folder at all."""
    all_rules = set(rules)
    for rule in rules:
        while rule[0] == "**":
            rule = rule[1:]  # noqa: PLW2901  (peeling one rule)
            all_rules.add(rule)
    return frozenset(all_rules)


def _entered(rules: frozenset[Rule], name: str) -> frozenset[Rule]:
    """What is left to match inside a folder of this name."""
    stay = {rule for rule in rules if rule[0] == "**" and not name.startswith(".")}
    step = {r[1:] for r in rules if len(r) > 1 and r[0] != "**" and _matcher(r[0]).fullmatch(name)}
    return frozenset(stay | step)


def _wanted(rules: frozenset[Rule], name: str) -> bool:
    return any(len(r) == 1 and _matcher(r[0], last=True).fullmatch(name) for r in rules)


@lru_cache(maxsize=4096)
def _matcher(part: str, *, last: bool = False) -> re.Pattern[str]:
    """Make the expression of one part; in the last one, the extension ignores case."""
    stem, dot, extension = part.rpartition(".") if last else ("", "", part)
    text = f"{_expression(stem)}[.](?i:{_expression(extension)})" if dot else _expression(part)
    visible = "" if part.startswith(".") else r"(?![.])"
    return re.compile(visible + text, re.DOTALL)


def _expression(part: str) -> str:
    return "".join(map(_token, _TOKENS.findall(part)))


def _token(piece: str) -> str:
    if piece[0] == "*":
        return ".*"
    if piece == "?":
        return "."
    if piece[0] == "[" and len(piece) > 1:
        inside = re.sub(r"([\\\[&~|])", r"\\\1", piece[1:-1])
        return f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
    return re.escape(piece)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _found(entry: "os.DirEntry[str]", name: str) -> Iterator[Found]:
    """Yield a file, also a link that leads nowhere; a pipe or device would never end."""
    try:
        stat = entry.stat()
        if entry.is_file():
            yield Found(name, entry.path, (stat.st_size, stat.st_mtime_ns, stat.st_ino))
    except OSError:
        yield Found(name, entry.path, None)
