"""engine/when.py: the grammar, its meaning, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ItemError
from engine.when import WhenError, check_kinds, evaluate, names, parse

VALUES = {"face.faces": 1, "face.sharpness": 0.3, "row.name": "anna", "row.ok": True, "a-b": None}


def decide(text: str) -> bool:
    return evaluate(parse(text), VALUES.__getitem__)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("face.faces == 1 and face.sharpness > 0.2", True),
        ("face.faces==1 and face.sharpness>.2", True),
        ("face.faces != 1 or face.sharpness <= 3e-1", True),
        ("not row.ok", False),
        ("not (row.ok and face.faces >= 2)", True),
        ("row.name == 'anna'", True),
        ('row.name == "Anna"', False),
        ("row.ok == true", True),
        ("row.ok", True),
        ("-1 < face.faces", True),
        ("row.name == 3", False),
        ("a-b == 'x'", False),
        ("row.ok or face.faces == 2 and row.name == 'x'", True),
        ("(row.ok or face.faces == 2) and row.name == 'x'", False),
    ],
)
def test_conditions_mean_what_they_say(text, verdict):
    assert decide(text) is verdict


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("face.faces = 1", 11, "'=' means nothing"),
        ("face.faces == ", 14, "missing here"),
        ("a < b < c", 6, "two things at a time"),
        ("(a == 1", 0, "never closed"),
        ("a == 1)", 6, "does not belong"),
        ("a == 1 b", 7, "does not belong"),
        ("a and and b", 6, "missing here"),
        ("a => 1", 2, "did you mean '>='?"),
        ("a = 1", 2, "did you mean '=='?"),
        ("a && b", 2, "did you mean 'and'?"),
        ("1 + 1 == 2", 2, "means nothing"),
        ("__import__('os')", 10, "does not belong"),
        ("a.b.c == 1", 3, "means nothing"),
        ("a == 'x", 5, "means nothing"),
        ("3", 0, "constant"),
        ("1 < 2 or true", 0, "constant"),
        ("(" * 100 + "a" + ")" * 100, 41, "deeper"),
        ("not " * 100 + "a", 164, "deeper"),
        ("a" * 3000, 0, "more than 2000"),
    ],
)
def test_what_is_refused_and_where(text, offset, message):
    with pytest.raises(WhenError, match=r".") as caught:
        parse(text)

    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_names_are_listed_once_in_order():
    found = names(parse("b.y > 1 and not (a.x == b.y or c)"))

    assert [name.text for name in found] == ["b.y", "a.x", "c"]
    assert [name.offset for name in found] == [0, 17, 31]


@pytest.mark.parametrize("text", ["row.name > 3", "face.faces", "not row.name", "a-b < 1"])
def test_values_that_do_not_compare_are_bad_input(text):
    with pytest.raises(ItemError) as caught:
        decide(text)

    assert caught.value.reason == "bad_input"


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("n > 'high'", 0),
        ("other and not 3 == t", 19),
        ("n == 1 or n != t", 10),
        ("t", 0),
        ("n > 1 and not t", 14),
    ],
)
def test_what_can_never_be_decided_is_known_before(text, offset):
    with pytest.raises(WhenError) as caught:
        check_kinds(parse(text), {"n": "number", "t": "text", "other": None})
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "text", ["n > 1", "t == 'a'", "n == true", "other > 'a'", "not n == other"]
)
def test_what_may_be_decided_is_left_to_the_run(text):
    check_kinds(parse(text), {"n": "number", "t": "text", "other": None})


@given(st.text("ab.<>=!()'\" notrue01-", max_size=40))
def test_any_text_is_a_tree_or_a_when_error(text):
    try:
        tree = parse(text)
    except WhenError:
        return
    assert names(tree)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_signs_are_those_of_numbers(a, b):
    values = {"a": a, "b": b}

    assert evaluate(parse("a < b"), values.__getitem__) == (a < b)
    assert evaluate(parse("not a < b"), values.__getitem__) == (a >= b)
    assert evaluate(parse("a == b or a != b"), values.__getitem__)
