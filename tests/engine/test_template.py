"""engine/template.py: interpolation keeps types, braces make holes, mistakes are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Hole, Part, Template, evaluate, fill
from engine.template import BROKEN, Given, check_format, interpolate, parse_names, write_hole

PARAMS = {"n": 3, "list": [1, 2], "dir": Given("photos"), "flag": True, "none": None, "bad": BROKEN}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${params.n}", 3),
        ("${ params.n }", 3),
        ("${params.list}", [1, 2]),
        ("a${params.n}b", "a3b"),
        ("x > ${params.flag} ${params.none}", "x > true null"),
        (r"\${params.n}", "${params.n}"),
        (r"\${a} ${params.n}", "${a} 3"),
        ("${matrix.s}", Hole("matrix", "s")),
        ("${row.smile}", Hole("field", "row", "smile")),
        ("${row.my column}", Hole("field", "row", "my column")),
        ("$5 {x}", "$5 {x}"),
    ],
)
def test_a_whole_value_keeps_its_type(text, value):
    found = interpolate(text, PARAMS)

    assert found == value
    assert type(found) is type(value)


def test_a_longer_text_with_a_hole_is_a_template():
    found = interpolate("a ${matrix.s} ${params.n} ${row.id}", PARAMS)

    assert isinstance(found, Template)
    assert found.holes == (Hole("matrix", "s"), Hole("field", "row", "id"))
    assert evaluate(found, lambda hole: hole.name.upper()) == "a S 3 ROW"


def test_a_path_that_starts_with_a_given_param_is_given():
    assert isinstance(interpolate("${params.dir}/*.jpg", PARAMS), Given)
    assert not isinstance(interpolate("below/${params.dir}/*.jpg", PARAMS), Given)


def test_what_is_broken_stays_broken():
    assert interpolate("${params.bad}/x", PARAMS) is BROKEN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${params.m}", "unknown param 'm'"),
        ("${HOME}", "is no reference"),
        ("${params.}", "is no reference"),
        ("${}", "is no reference"),
        ("a ${params.n", "never closed"),
        ("a ${params.list}", "cannot be part of a longer text"),
    ],
)
def test_wrong_references_are_told(text, message):
    with pytest.raises(ValueError, match=r".") as caught:
        interpolate(text, PARAMS)

    assert message in str(caught.value)


def test_short_files_do_not_make_huge_texts():
    with pytest.raises(ValueError, match="allowed"):
        interpolate("${params.big}" * 100, {"big": "x" * 1000} | PARAMS)


def test_braces_make_holes_with_formats():
    found = parse_names("smile/{photo.rel}_{strength:+.1f}{{x}}.png")

    assert found.parts == (
        Part("smile/"),
        Part("", Hole("field", "photo", "rel")),
        Part("_"),
        Part("+.1f", Hole("matrix", "strength")),
        Part("{"),
        Part("x}"),
        Part(".png"),
    )
    values = {"photo": "a/b", "strength": 2}
    assert fill(found, lambda hole: values[hole.name]) == "smile/a/b_+2.0{x}.png"


def test_braces_are_read_beside_interpolated_holes():
    found = parse_names(interpolate("${matrix.a}-{b}", {}))

    assert found.holes == (Hole("matrix", "a"), Hole("matrix", "b"))


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a!r}", "{a:{b}}", "{a[0]}", "{a.}", "{.b}"])
def test_wrong_braces_are_told(text):
    with pytest.raises(ValueError, match=r"."):
        parse_names(text)


@pytest.mark.parametrize(
    ("spec", "sample", "fine"),
    [
        ("+.1f", 2, True),
        ("04d", 7, True),
        (">8", "x", True),
        ("", None, True),
        ("+.1f", "x", False),
        ("04d", 1.5, False),
        ("999999999d", 1, False),
    ],
)
def test_formats_are_tried(spec, sample, fine):
    assert (check_format(spec, sample) == "") is fine


@given(st.text("ab{}:.$\\ ", max_size=20))
def test_any_text_is_a_template_or_a_value_error(text):
    try:
        found = parse_names(text)
    except ValueError:
        return
    assert all(write_hole(hole) for hole in found.holes)


@given(st.text(max_size=30))
def test_a_text_without_references_is_itself(text):
    if "${" not in text:
        assert interpolate(text, {}) == text
