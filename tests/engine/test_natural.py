"""The order of names is that of their numbers and texts."""

import re

from hypothesis import given
from hypothesis import strategies as st

from engine.natural import by_nature, natural

NAMES = st.lists(st.text("abAB019 -._é", max_size=8), max_size=12)


def parts(text: str) -> tuple[tuple[int, int | str], ...]:
    """The order, told plainly: numbers by their value and before texts."""
    found = re.split(r"(\d+)", text.casefold())
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in found if part)


@given(NAMES)
def test_keys_sort_as_the_parts_do(names: list[str]) -> None:
    assert [parts(n) for n in sorted(names, key=natural)] == sorted(map(parts, names))


def test_a_number_may_have_any_length() -> None:
    long = "9" * 5000
    assert sorted([f"a{long}", "a2", "a10"], key=natural) == ["a2", "a10", f"a{long}"]


def test_numbers_come_before_texts_by_size() -> None:
    assert sorted(["b10", 2.5, "b9", -1], key=by_nature) == [-1, 2.5, "b9", "b10"]
