"""engine/sources.py and surroundings.py: fields, types and options of each kind."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.surroundings import read_columns
from engine.values import Image, Latent, Scalar
from tests.engine.language import assert_complaint, load

STEPS = "\nsteps: {d: {op: draw}}"
FILE_FIELDS = ("stem", "name", "rel", "dir", "ext", "index")


def source(text: str, params: dict[str, object] | None = None):
    head = "params: {where: photos}\n"
    return load(f"{head}sources: {{a: {text}}}{STEPS}", params).sources["a"]


@pytest.mark.parametrize(
    ("text", "kind", "fields", "options"),
    [
        ("{glob: 'p/*.jpg'}", Image, FILE_FIELDS, {"glob": "p/*.jpg", "folder": "/flows"}),
        ("{files: a.jpg}", Image, FILE_FIELDS, {"files": ["/flows/a.jpg"]}),
        ("{files: [a.jpg, /b.jpg]}", Image, FILE_FIELDS, {"files": ["/flows/a.jpg", "/b.jpg"]}),
        (
            "{table: t.csv}",
            None,
            ("id", "smile", "file", "index"),
            {"table": "/flows/t.csv", "image": None},
        ),
        (
            "{table: {file: ../t.csv, image: file}}",
            Image,
            ("id", "smile", "file", *FILE_FIELDS),
            {"table": "/t.csv", "image": "file"},
        ),
        (
            "{samples: {count: 2}}",
            Latent,
            ("index", "seed"),
            {"count": 2, "seed": 0, "truncation": 1.0},
        ),
        ("{values: [1, x]}", Scalar, ("index", "value"), {"values": [1, "x"]}),
    ],
)
def test_each_kind_has_its_fields(text, kind, fields, options):
    found = source(text)

    assert found.type is kind
    assert found.fields == fields
    assert found.options == options


def test_folders_from_the_command_line_are_relative_to_the_working_folder():
    given = {"where": "mine"}
    here = str(Path.cwd())

    assert source("{glob: '${params.where}/*.jpg'}").options["folder"] == "/flows"
    assert source("{glob: '${params.where}/*.jpg'}", given).options["folder"] == here
    assert source("{files: ['${params.where}']}", given).options == {"files": [f"{here}/mine"]}
    assert source("{table: '${params.where}'}", given).options["table"] == f"{here}/mine"
    assert source("{glob: 'x/${params.where}'}", given).options["folder"] == "/flows"


def test_an_unknown_picture_column_is_told():
    text = "sources: {a: {table: {file: t.csv, image: @@fil}}}" + STEPS

    assert_complaint(text, "the table has no column 'fil', did you mean 'file'?")


def test_columns_are_the_first_line_of_a_table(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('\ufeffid, "a b" ,c\n1,2,3\n', encoding="utf-8")

    assert read_columns(str(table)) == ("id", '"a b"', "c")


@pytest.mark.parametrize("content", [b"", b"a,,c\n", b"a,a\n", b"\xff\xfe"])
def test_a_table_needs_a_name_for_every_column(tmp_path, content):
    table = tmp_path / "t.csv"
    table.write_bytes(content)

    with pytest.raises(UsageError, match=r"t\.csv"):
        read_columns(str(table))


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_columns(str(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("source", "condition", "message"),
    [
        ("{glob: '*.jpg'}", "@@x.stem > 3", "a text > a number can never be decided"),
        ("{glob: '*.jpg'}", "@@x.index == 'a'", "a number == a text can never be decided"),
        ("{values: [a, b]}", "@@x.value < 3", "a text < a number can never be decided"),
    ],
)
def test_conditions_on_fields_are_checked(source: str, condition: str, message: str) -> None:
    flow = f"""
sources: {{p: {{glob: '*'}}, x: {source}}}
steps: {{code: {{op: invert, in: {{image: p}}, pair: cross, when: "{condition}"}}}}
"""
    assert_complaint(flow, message)
