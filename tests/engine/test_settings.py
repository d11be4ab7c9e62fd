"""engine/settings.py: strict types, bounds, normal forms, words for people."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.op import Range, SettingSpec
from engine.settings import check, check_one, describe, json_schema
from tests.engine.language import REGISTRY

UNIT = Annotated[float, Range(0, 1)]


def one(annotation: Any, value: Any) -> tuple[Any, str]:
    return check_one(SettingSpec("s", annotation, None), value)


@pytest.mark.parametrize(
    ("annotation", "value", "normal"),
    [
        (float, 2, 2.0),
        (int, 2, 2),
        (str, "a", "a"),
        (bool, True, True),
        (UNIT, 1, 1.0),
        (UNIT | None, None, None),
        (Literal["a", "b"], "b", "b"),
        (Literal["auto"] | int, 3, 3),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, ...], [1, 2], [1, 2]),
        (tuple[float, float], [1, 2], [1.0, 2.0]),
        (Annotated[list[float], Range(0, 1)], [0, 1], [0.0, 1.0]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (str | list[str], ["a"], ["a"]),
        (Annotated[float | None, Range(0, 1)], None, None),
    ],
)
def test_fitting_values_get_their_normal_form(annotation, value, normal):
    found, message = one(annotation, value)

    assert message == ""
    assert found == normal
    assert type(found) is type(normal)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (float, "2", "must be a number, not '2'"),
        (float, True, "must be a number, not true"),
        (int, 2.0, "must be a whole number, not 2.0"),
        (int, True, "must be a whole number"),
        (str, 2, "must be text, not 2"),
        (bool, 1, "must be true or false, not 1"),
        (bool, "true", "must be true or false"),
        (UNIT, 1.5, "must be a number from 0 to 1, not 1.5"),
        (Annotated[int, Range(low=1)], 0, "must be a whole number of at least 1"),
        (Annotated[float | None, Range(high=2)], 3, "a number or null of at most 2"),
        (Literal["coarse", "fine"], "fin", "'coarse' or 'fine', not 'fin', did you mean 'fine'?"),
        (Literal["all"] | list[int], "al", "'all' or a list of whole numbers"),
        (Annotated[list[float], Range(0, 1)], [0, 2], "must be a list of numbers from 0 to 1"),
        (tuple[float, float], [1], "must be a list of 2: a number, a number"),
        (str | list[str], None, "must be text or a list of texts, not nothing"),
        (dict[str, float], [1], "must be a mapping, not [1]"),
        (Annotated[int, Range(0, 10)], 10**400, "must be a whole number from 0 to 10, not 1000"),
    ],
)
def test_others_are_refused_in_plain_words(annotation, value, message):
    assert message in one(annotation, value)[1]


def test_a_spelled_out_default_is_left_out():
    op = REGISTRY["invert"]

    assert check(op, {"method": "hybrid", "steps": 200, "rate": 0.1}) == ({}, [])
    assert check(op, {"steps": 100, "rate": 1}) == ({"steps": 100, "rate": 1.0}, [])


@pytest.mark.parametrize("seed", [None, 7, {"shared": 7}])
def test_a_seed_is_a_number_shared_or_not(seed):
    normalised, messages = check(REGISTRY["draw"], {"seed": seed})

    assert messages == []
    assert normalised == ({} if seed is None else {"seed": seed})


@pytest.mark.parametrize("seed", [-1, 1.5, "7", {}, {"shared": -1}, {"common": 1}, [1]])
def test_any_other_seed_is_refused(seed):
    _, messages = check(REGISTRY["draw"], {"seed": seed})

    assert messages == [m for m in messages if "a whole number from 0, {shared: number}" in m]
    assert messages


def test_all_mistakes_of_a_step_are_told():
    _, messages = check(REGISTRY["edit"], {"strenght": 1, "strength": 99, "latent": 1})

    assert messages == [
        "unknown setting 'strenght', did you mean 'strength'?",
        "unknown setting 'latent', which is a wire: write it under `in`",
        "edit needs the setting 'direction': text or a list of texts",
        "'strength' must be a number from -10 to 10, not 99",
    ]


def test_the_engines_own_settings_are_not_the_users():
    assert check(REGISTRY["tune"], {"scratch": "/tmp"})[1] == [
        "'scratch' is filled in by the engine"
    ]
    assert check(REGISTRY["sheet"], {"members": []})[1] == ["'members' is filled in by the engine"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_bounds_hold_for_every_number(value):
    _, message = one(UNIT, value)

    assert (message == "") == (0 <= value <= 1)


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
)
def test_any_value_is_normal_or_refused(value):
    for annotation in (UNIT, list[int], Literal["a", 1], str | None, tuple[int, int]):
        normal, message = one(annotation, value)
        if not message:
            assert one(annotation, normal) == (normal, "")


def test_types_read_well():
    assert describe(Literal["a"] | None) == "'a' or null"
    assert describe(list[Annotated[int, Range(1, 3)]]) == "a list of whole numbers from 1 to 3"


def test_bounds_are_in_the_schema():
    assert json_schema(SettingSpec("s", UNIT, None)) == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
    }
