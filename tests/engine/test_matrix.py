"""engine/matrix.py: file-wide names, exclude and include."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.matrix import identity
from tests.engine.language import assert_complaint, load

HEAD = "sources: {photo: {glob: '*.jpg'}}\nsteps:\n  code: {op: invert, in: {image: photo}}\n"


def edit(matrix: str, name: str = "smile", source: str = "code") -> str:
    return (
        f"  {name}: {{op: edit, in: {{latent: {source}}}, with: {{direction: smile, "
        f"strength: '${{matrix.s}}'}}, matrix: {matrix}}}\n"
    )


def test_a_matrix_adds_an_axis_that_is_inherited():
    graph = load(HEAD + edit("{s: [1, 2]}") + "  picture: {op: synthesize, in: {latent: smile}}")

    assert graph.steps["picture"].axes == ("photo", "s")
    assert graph.axes["s"].values == (1, 2)
    assert graph.steps["picture"].allowed == ()


def test_the_same_matrix_twice_joins():
    graph = load(
        HEAD
        + edit("{s: [1, 2]}")
        + edit("{s: [1.0, 2]}", "other")
        + "  mixed: {op: mix, in: {content: smile, style: other}}"
    )

    assert graph.steps["mixed"].axes == ("photo", "s")


def test_exclude_and_include_leave_combinations_and_travel_on():
    matrix = (
        "{s: [0, 1], r: [coarse, fine], exclude: [{s: 0, r: fine}], include: [{s: 9, r: fine}]}"
    )
    graph = load(HEAD + edit(matrix) + "  picture: {op: synthesize, in: {latent: smile}}")

    assert graph.axes["s"].values == (0, 1, 9)
    (rule,) = graph.steps["picture"].allowed
    assert rule.axes == ("s", "r")
    assert rule.combos == {(0, 0), (1, 0), (1, 1), (2, 1)}


def test_a_step_without_the_included_value_does_not_get_it():
    graph = load(HEAD + edit("{s: [0], include: [{s: 9}]}") + edit("{s: [0]}", "plain"))

    assert graph.axes["s"].values == (0, 9)
    assert graph.steps["plain"].allowed[0].combos == {(0,)}
    assert graph.steps["smile"].allowed == ()


def test_naming_the_list_again_keeps_what_an_input_includes():
    again = edit("{s: [0]}", "again", "smile")
    graph = load(HEAD + edit("{s: [0], include: [{s: 9}]}") + edit("{s: [0]}", "plain") + again)

    assert graph.steps["again"].allowed == ()
    assert graph.steps["plain"].allowed[0].combos == {(0,)}


def test_naming_the_list_again_beside_a_new_one_keeps_it_too():
    again = edit("{s: [0], t: [1, 2], exclude: [{s: 9, t: 2}]}", "again", "smile")
    graph = load(HEAD + edit("{s: [0], include: [{s: 9}]}") + again)

    (rule,) = graph.steps["again"].allowed
    assert rule.combos == {(0, 0), (0, 1), (1, 0)}


def test_what_no_input_has_cannot_be_included():
    again = edit("{s: [0], include: [@@{s: 9}]}", "again", "plain")

    assert_complaint(
        HEAD + edit("{s: [0]}", "plain") + edit("{s: [0], include: [{s: 9}]}", "other") + again,
        "{s: 9} includes nothing: an input of this step has no such item",
    )


def test_inputs_meet_on_the_items_that_both_have():
    steps = edit("{s: [0], include: [{s: 9}]}") + edit("{s: [0]}", "plain")
    graph = load(HEAD + steps + "  both: {op: mix, in: {content: smile, style: plain}}")

    assert graph.steps["both"].allowed[0].combos == {(0,)}


def test_gathering_one_axis_projects_the_combinations():
    matrix = "{s: [0, 1], t: [0, 1], exclude: [{s: 0}]}"
    graph = load(
        HEAD
        + edit(matrix)
        + "  picture: {op: synthesize, in: {latent: smile}}\n"
        + "  sheet: {op: sheet, in: {images: picture}, gather: {over: t}}"
    )

    assert graph.steps["sheet"].axes == ("photo", "s")
    assert graph.steps["sheet"].allowed[0].combos == {(1,)}


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("{s: @@[1, 1.0]}", "matrix 's' has a value twice"),
        ("{s: @@[]}", "matrix 's' has no values"),
        ("{s: @@1}", "must be a list of values, not 1"),
        ("{@@photo: [1], s: [1]}", "the matrix name 'photo' is taken"),
        ("{s: [1, 2], exclude: [@@{s: 3}]}", "{s: 3} excludes nothing"),
        ("{s: [1, 2], exclude: [{s: 1, @@t: 3}]}", "unknown key 't'"),
        ("@@{s: [1], exclude: [{s: 1}]}", "no combination is left"),
        ("{s: [1], t: [1], include: [@@{s: 3}]}", "'t' is missing"),
        ("{s: [@@'${matrix.t}']}", "only ${params.name} can be used here"),
    ],
)
def test_mistakes_are_told(matrix, message):
    assert_complaint(HEAD + edit(matrix), message)


def test_other_values_under_one_name_are_told():
    assert_complaint(
        HEAD + edit("{s: [1]}") + edit("{s: @@[2]}", "other"), "other values in step 'smile'"
    )


def test_too_many_combinations_to_filter_are_told():
    values = ", ".join(map(str, range(400)))
    matrix = f"@@{{s: [1, 2], t: [{values}], u: [{values}], exclude: [{{s: 1}}]}}"

    assert_complaint(HEAD + edit(matrix), "320,000 combinations are too many")


@given(st.integers(-(2**50), 2**50))
def test_whole_floats_are_the_same_value(number):
    assert identity(number) == identity(float(number))
    assert identity(True) != identity(1)
