"""The order people expect: 'img2' before 'img10', numbers before texts, case ignored."""

import re

from engine.dag import Json

_DIGITS = re.compile(r"\d+")


def natural(text: object) -> str:
    """Make a sort key under which 'img2' comes before 'img10', ignoring case.

    Every number becomes a mark that no text begins with, how many digits it has, and its digits.
    """
    return _DIGITS.sub(_ranked, str(text).casefold())


def _ranked(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"\0{chr(len(digits))}{digits}"


def by_nature(value: Json) -> tuple[int, float, str]:
    """Make a sort key for a field: numbers first and by size, then texts naturally."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, natural(value))
