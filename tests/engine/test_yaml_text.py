"""engine/yaml_text.py: YAML 1.2 scalars, places, and everything that is refused."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine.dag import Place
from engine.errors import SpecError
from engine.yaml_text import MAX_BYTES, MAX_DEPTH, MAX_NODES, Problems, parse_yaml


def problems(text: str | bytes) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "flow.yaml")
    return [(p.line, p.column, p.message) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2", -2),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("010", 10),
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"true"', "true"),
        ("2026-11-20", "2026-11-20"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    found = parse_yaml(f"a: {text}", "flow.yaml").data["a"]

    assert found == value
    assert type(found) is type(value)


def test_every_key_and_value_keeps_its_place():
    document = parse_yaml("a:\n  größe: [1, {b: 2}]\n", "flow.yaml")

    assert document.data == {"a": {"größe": [1, {"b": 2}]}}
    assert document.place(("a", "größe"), key=True) == Place(2, 3)
    assert document.place(("a", "größe", 1, "b")) == Place(2, 18)
    assert document.place(("a", "größe", 1, "missing")) == Place(2, 14)


def test_a_problem_shows_its_line_and_a_caret():
    notes = Problems(parse_yaml("a: 1\nb: wrong\n", "flow.yaml"))
    notes.add(("b",), "is wrong")

    with pytest.raises(SpecError) as caught:
        notes.check()

    assert str(caught.value) == "flow.yaml:2:4: is wrong\n    b: wrong\n       ^"


def test_an_offset_goes_past_the_quote():
    notes = Problems(parse_yaml("a: 'abc'", "flow.yaml"))
    notes.add(("a",), "this letter", offset=2)

    assert notes.found[0].column == 7


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("a: 1\na: 2\n", 2, 1, "key 'a' is written twice, first on line 1"),
        ("a: !!python/object/apply:os.system [ls]", 1, 4, "tag '!!python/object/apply:os.system'"),
        ("a: !x 1", 1, 4, "tag '!x'"),
        ("a: &b 1", 1, 4, "anchor '&b'"),
        ("a: 1\n<<: {b: 1}", 2, 1, "merge key"),
        ("a: 1\n---\nb: 1", 2, 1, "one document"),
        ("{[a]: 1}", 1, 2, "a key must be text"),
        ("a: .inf", 1, 4, "not a finite number"),
        ("a: 1e999", 1, 4, "not a finite number"),
        (f"a: {'9' * 5000}", 1, 4, "more than 300 digits"),
        ("a: [1", 1, 6, "not valid YAML: did not find"),
        ("a: b: c", 1, 5, "not valid YAML"),
        ("a:\n\t- 1", 2, 1, "not valid YAML"),
        ("a: \x07", 1, 4, "not valid YAML"),
        ("a: \ud800", 1, 4, "not valid YAML"),
        (b"a: ok\nb: caf\xe9", 2, 7, "not UTF-8: byte 0xe9"),
        ("[" * (MAX_DEPTH + 2), 1, MAX_DEPTH + 2, "nested deeper"),
    ],
)
def test_what_is_refused(text, line, column, message):
    found = problems(text)

    assert message in found[0][2]
    assert found[0][:2] == (line, column)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("steps:\n\ts: 1", "a tab stands here"),
        ("steps:\n  s: {op: edit, with: {size: ${params.px}}}", 'put quotes around "${params.px}"'),
        ("a: 1\nto: {photo.stem}_{s:+d}.png", 'put quotes around "{photo.stem}'),
        ("a: {to: {photo.stem}.png}", 'put quotes around "{photo.stem}.png"'),
    ],
)
def test_a_remedy_is_named_for_common_slips(text, remedy):
    with pytest.raises(SpecError) as caught:
        parse_yaml(text, "f.yaml")
    assert remedy in caught.value.problems[0].message


def test_other_broken_yaml_gets_no_remedy():
    with pytest.raises(SpecError) as caught:
        parse_yaml('a: {b: "${x.y}", c: "{d}_{e}"', "f.yaml")
    assert "quotes" not in str(caught.value)


def test_all_refused_things_are_told_at_once():
    assert len(problems("a: &x 1\nb: *x\nc: !t 1\nc: 2\n")) == 4


def test_an_alias_bomb_is_refused_before_it_grows():
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]

    assert any("alias" in message for _, _, message in problems("\n".join(lines)))


def test_large_documents_are_refused():
    assert "at most" in problems("a" * (MAX_BYTES + 1))[0][2]
    assert "more than" in problems("[" + "1," * (MAX_NODES + 1) + "]")[0][2]


def test_very_deep_documents_do_not_exhaust_the_stack():
    assert problems("[" * 100_000)


def test_a_byte_order_mark_is_no_content():
    assert parse_yaml("\ufeffa: 1".encode(), "flow.yaml").data == {"a": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text("ab: -#'\"{}é\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_reads_back_as_itself(value):
    assert parse_yaml(json.dumps(value), "flow.yaml").data == value


@given(JSON)
def test_what_yaml_writes_reads_back_as_itself(value):
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True), "flow.yaml").data == value


@given(st.text() | st.binary())
def test_any_text_is_data_or_a_spec_error(text):
    try:
        document = parse_yaml(text, "flow.yaml")
    except SpecError:
        return
    assert document.place(()).line >= 1
