"""engine/params.py: declared types, overrides, and values as typed on the command line."""

import pytest

from engine.errors import SpecError
from engine.params import AsTyped, read_params_file
from engine.template import Given
from tests.engine.language import assert_complaint, load


def value(declaration: str, given: object = None):
    text = f"params: {{p: {declaration}}}\nsteps: {{s: {{op: draw}}}}"
    return load(text, {} if given is None else {"p": given}).params["p"]


@pytest.mark.parametrize(
    ("declaration", "given", "expected"),
    [
        ("3", None, 3),
        ("3", 4.5, 4.5),
        ("3", AsTyped("4"), 4),
        ("3", AsTyped("1e-2"), 0.01),
        ("./photos", AsTyped("2020"), "2020"),
        ("./photos", AsTyped("[x]: y #z"), "[x]: y #z"),
        ("[1, 2]", AsTyped("[3]"), [3]),
        ("true", AsTyped("false"), False),
        ("null", AsTyped("[1, a]"), [1, "a"]),
        ("{type: integer, default: 3, min: 1, max: 9}", AsTyped("9"), 9),
        ("{type: float, default: 3}", AsTyped("2"), 2),
        ("{default: a, choices: [a, b], help: which}", AsTyped("b"), "b"),
        ("{type: text}", "here", "here"),
    ],
)
def test_values_are_given_or_default(declaration, given, expected):
    assert value(declaration, given) == expected


@pytest.mark.parametrize(
    ("declaration", "given", "message"),
    [
        ("@@3", AsTyped("x"), "given as 'x': must be a number, not 'x'"),
        ("@@3", True, "must be a number, not true"),
        ("@@[1]", AsTyped("1"), "must be a list, not 1; write -p 'p=[1]'"),
        ("@@[a]", "a", "must be a list, not 'a'"),
        ("@@true", AsTyped("1"), "must be true or false"),
        ("@@{type: integer, default: 1}", 1.5, "must be a whole number"),
        ("@@{default: 1, max: 9}", 10, "must be at most 9"),
        ("@@{default: 1, min: 0}", -1, "must be at least 0"),
        ("{default: @@a, choices: [b, c]}", None, "must be one of ['b', 'c'], not 'a'"),
        ("{default: 1, @@kind: x}", None, "unknown key 'kind'"),
        ("{type: @@txt, default: a}", None, "did you mean 'text'?"),
        ("@@${params.q}", None, "cannot refer to another value"),
    ],
)
def test_what_does_not_fit_is_told(declaration, given, message):
    text = f"params:\n  p: {declaration}\nsteps: {{s: {{op: draw}}}}"

    assert_complaint(text, message, {} if given is None else {"p": given})


def test_a_param_without_default_must_be_given():
    text = "params:\n  @@p: {type: text}\nsteps: {s: {op: draw}}"

    assert_complaint(text, "give it by -p p=VALUE")


def test_a_given_param_must_be_declared():
    text = "@@params: {photos: x}\nsteps: {s: {op: draw}}"

    assert_complaint(text, "unknown param 'phots' was given, did you mean 'photos'?", {"phots": 1})


def test_the_declared_params_are_listed():
    text = "@@params: {photos: x, size: 3}\nsteps: {s: {op: draw}}"

    assert_complaint(text, "; the workflow has photos, size", {"colour": "red"})


def test_broken_yaml_on_the_command_line_is_told():
    text = "params:\n  @@p: [1]\nsteps: {s: {op: draw}}"

    assert_complaint(text, "given by -p", {"p": AsTyped("[1")})


def test_a_params_file_is_a_mapping_of_names():
    assert read_params_file(b"a: 1\nb: [x]", "p.yaml") == {"a": 1, "b": ["x"]}
    with pytest.raises(SpecError, match=r"p\.yaml:1:1: must be a mapping of params"):
        read_params_file("[1]", "p.yaml")


def test_texts_inside_a_given_value_are_known_to_be_given():
    text = "params:\n  p: {default: {}}\nsteps: {s: {op: draw}}"
    found = load(text, {"p": AsTyped("{photos: [here, {more: there}], n: 1}")}).params["p"]

    assert isinstance(found["photos"][0], Given)
    assert isinstance(found["photos"][1]["more"], Given)
    assert found["n"] == 1
