"""engine/given_settings.py: values per matrix entry, captions, files that settings name."""

from pathlib import Path

import pytest

from engine.dag import Hole, Template
from engine.params import AsTyped
from tests.engine.language import assert_complaint, load

HEAD = (
    "params: {where: smile, list: [smile, age]}\n"
    "sources: {photo: {glob: '*.jpg'}, row: {table: rows.csv}}\n"
    "steps:\n"
    "  code: {op: invert, in: {image: photo}}\n"
)


def step(text: str, params: dict[str, object] | None = None):
    return load(f"{HEAD}  x: {text}", params).steps["x"]


def test_settings_are_typed_and_defaults_left_out():
    found = step("{op: invert, in: {image: photo}, with: {rate: 1, method: hybrid, steps: 9}}")

    assert found.settings == {"rate": 1.0, "steps": 9}


def test_values_per_item_stay_holes():
    found = step(
        "{op: edit, in: {latent: code}, pair: {match: {photo: stem, row: id}},"
        " with: {direction: smile, strength: '${row.smile}', rows: '${matrix.r}'},"
        " matrix: {r: [coarse, fine]}}"
    )

    assert found.settings["strength"] == Hole("field", "row", "smile")
    assert found.settings["rows"] == Hole("matrix", "r")
    assert found.axes == ("photo", "r")


def test_a_caption_is_a_template_of_members_and_groups():
    found = step(
        "{op: sheet, in: {images: photo}, gather: {over: photo, by: photo.dir},"
        " with: {caption: '{photo.stem} in {photo.dir}'}}"
    )

    assert isinstance(found.settings["caption"], Template)


def test_every_direction_a_matrix_names_is_found():
    found = step(
        "{op: edit, in: {latent: code}, matrix: {d: [smile, [age, hair]]},"
        " with: {direction: '${matrix.d}'}}"
    )

    assert sorted(found.assets) == ["age", "hair", "smile"]
    assert found.assets["age"] == ("/flows/age", "directions age of portraits")


def test_a_path_from_the_command_line_is_relative_to_the_working_folder():
    text = "{op: draw, with: {mask: '${params.where}'}}"

    assert step(text).assets["smile"][0] == "/flows/smile"
    assert step(text, {"where": AsTyped("m.png")}).assets["m.png"][0] == f"{Path.cwd()}/m.png"
    assert type(step(text, {"where": AsTyped("m.png")}).settings["mask"]) is str


def test_no_file_is_no_asset():
    assert step("{op: draw, with: {mask: null}}").assets == {}
    assert step("{op: draw}").settings == {}


def test_a_default_file_is_found_and_kept():
    found = step("{op: guided}")

    assert found.settings == {"mask": "mask.png"}
    assert found.assets == {"mask.png": ("/flows/mask.png", "file mask.png of any")}
    assert step("{op: guided, with: {mask: mask.png}}").settings == found.settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{op: invert, in: {image: photo}, with: {@@stps: 3}}", "did you mean 'steps'?"),
        ("{op: invert, in: {image: photo}, with: {@@image: 3}}", "which is a wire"),
        ("{op: draw, with: {@@foo: 3}}", "unknown setting 'foo'; draw has seed, mask"),
        ("{op: invert, in: {image: photo}, with: {steps: @@0}}", "from 1 to 10000, not 0"),
        ("{op: @@edit, in: {latent: code}}", "edit needs the setting 'direction'"),
        ("{op: edit, in: {latent: code}, with: {direction: @@simle}}", "did you mean 'smile'?"),
        (
            "{op: edit, in: {latent: code}, with: {direction: @@[smile, ag]}}",
            "unknown direction 'ag'",
        ),
        ("{op: draw, with: {mask: @@missing.png}}", "there is no file 'missing.png'"),
        ("{op: draw, with: {seed: @@'${params.list}'}}", "a whole number from 0, {shared: number}"),
        (
            "{op: edit, in: {latent: code}, with: {direction: smile, strength: @@'${matrix.s}'},"
            " matrix: {s: [1, 99]}}",
            "from -10 to 10, not 99 (matrix s = 99)",
        ),
        (
            "{op: edit, in: {latent: code}, with: {direction: '${matrix.d}'},"
            " matrix: {d: [smile, @@ag]}}",
            "unknown direction 'ag', did you mean 'age'?",
        ),
        (
            "{op: edit, in: {latent: code}, pair: {match: {photo: stem, row: id}},"
            " with: {direction: @@'${row.file}'}}",
            "cannot come from a source's field; use a matrix",
        ),
        ("{op: draw, with: {seed: @@'${matrix.q}'}}", "no matrix is named 'q'"),
        ("{op: draw, with: {seed: @@'${matrix.photo}'}}", "'photo' is a source; write one of"),
        ("{op: draw, with: {seed: @@'${code.latent}'}}", "'code' is a step; only source fields"),
        ("{op: draw, with: {seed: @@'${rwo.smile}'}}", "unknown source 'rwo', did you mean 'row'?"),
        ("{op: draw, with: {seed: @@'${row.smle}'}}", "has no field 'smle', did you mean 'smile'?"),
        (
            "{op: draw, with: {seed: @@'${params.lst}'}}",
            "unknown param 'lst', did you mean 'list'?",
        ),
        (
            "{op: invert, in: @@{image: photo}, with: {seed: '${row.smile}'}}",
            "'photo' and 'row' meet here",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: {over: photo},"
            " with: @@{columns: '${photo.index}'}}",
            "'photo.index' is not known here: 'photo' is gathered",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: {over: photo},"
            " with: {caption: @@'{row.id}'}}",
            "'row.id' is not known here; the axes are photo",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: {over: photo},"
            " with: {caption: @@'{photo.stem:d}'}}",
            "cannot be written as 'd'",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: {over: photo}, with: {caption: @@'{photo'}}",
            "expected '}' before end of string",
        ),
    ],
)
def test_mistakes_are_told(text, message):
    assert_complaint(f"{HEAD}  x: {text}\n", message)


def test_a_matrix_of_another_step_must_be_declared_again():
    text = (
        "  a: {op: edit, in: {latent: code}, with: {direction: smile, strength: '${matrix.s}'},"
        " matrix: {s: [1]}}\n"
        "  b: {op: edit, in: {latent: code}, with: {direction: smile, strength: @@'${matrix.s}'}}\n"
    )

    assert_complaint(HEAD + text, "declare it again: matrix: {s: [...]}")
