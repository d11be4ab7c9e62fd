"""engine/wiring.py: names, types and sequences on wires."""

import pytest

from engine.dag import Ref
from tests.engine.language import assert_complaint, load

HEAD = (
    "sources: {photo: {glob: '*.jpg'}, row: {table: rows.csv}, n: {values: [1, 2]}}\n"
    "steps:\n"
    "  face: {op: align, in: {image: photo}}\n"
    "  code: {op: invert, in: {image: face}}\n"
)


def test_a_step_alone_means_its_first_port():
    wires = load(HEAD).steps["code"].wires

    assert wires[0].refs == (Ref("face", "image", axes=("photo",)),)


def test_fields_and_values_are_scalars():
    text = (
        "  l: {op: learn, in: {codes: code, labels: row.smile}, gather: {over: photo},"
        " pair: {match: {photo: stem, row: id}}}\n"
    )
    wires = load(HEAD + text).steps["l"].wires

    assert wires[1].refs == (Ref("row", field="smile", axes=("row",)),)
    assert wires[1].many


def test_a_list_fills_a_sequence():
    wires = (
        load(HEAD + "  s: {op: sheet, in: {images: [photo, face, face.image]}}").steps["s"].wires
    )

    assert [ref.node for ref in wires[0].refs] == ["photo", "face", "face"]


def test_a_list_may_mix_one_picture_with_a_gathered_sweep():
    text = (
        "  smile: {op: edit, in: {latent: code}, with: {direction: smile}, matrix: {s: [1, 2]}}\n"
        "  picture: {op: synthesize, in: {latent: smile}}\n"
        "  sheet: {op: sheet, in: {images: [face, picture]}, gather: {over: s}}\n"
    )

    assert load(HEAD + text).steps["sheet"].axes == ("photo",)


def test_an_optional_wire_may_be_left_out():
    assert (
        len(load(HEAD + "  p: {op: paste, in: {image: face, photo: photo}}").steps["p"].wires) == 2
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "{op: invert, in: {image: @@phto}}",
            "unknown source or step 'phto', did you mean 'photo'?",
        ),
        ("{op: invert, in: {image: @@face.imag}}", "has no port 'imag', did you mean 'image'?"),
        ("{op: invert, in: {image: @@photo.widht}}", "has no field 'widht'; it has stem, name"),
        (
            "{op: invert, in: {image: @@photo.stem}}",
            "wire 'image' takes Image; 'photo.stem' is Scalar",
        ),
        ("{op: invert, in: {image: @@code}}", "takes Image; 'code' is Latent"),
        ("{op: invert, in: {image: @@face.alignment}}", "is Alignment; 'face.image' is one"),
        (
            "{op: invert, in: {image: @@row}}",
            "has columns and no pictures; read a field such as row.id",
        ),
        ("{op: invert, in: {image: @@n}}", "takes Image; 'n' is Scalar"),
        ("{op: invert, in: {image: @@[photo]}}", "takes one Image, not a list"),
        (
            "{op: invert, in: {image: photo, @@imag: photo}}",
            "no wire 'imag', did you mean 'image'?",
        ),
        (
            "{op: invert, in: {image: photo, @@steps: photo}}",
            "is a setting of invert: write it under",
        ),
        ("{op: invert, in: {image: photo, @@model: y}}", "is a model of invert: write it under"),
        ("{op: @@invert}", "invert needs the wire 'image': Image"),
        ("{op: mix, in: @@{content: code}}", "mix needs the wire 'style': Latent"),
        ("{op: @@sheet}", "needs the wire 'images': a sequence of Image"),
        ("{op: sheet, in: @@{images: photo}}", "takes a sequence: gather one of its axes (photo)"),
        (
            "{op: invert, in: {image: photo}, gather: @@{over: photo}}",
            "so 'photo' cannot be gathered",
        ),
        ("{op: sheet, in: {images: photo}, gather: @@{over: phot}}", "did you mean 'photo'?"),
        (
            "{op: sheet, in: {images: photo}, gather: @@{over: photo, by: dir}}",
            "by: 'dir' is a field, did you mean 'photo.dir'?",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: @@{over: photo, by: photo.dri}}",
            "by: source 'photo' has no field 'dri', did you mean 'dir'?",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: @@{over: photo, by: row.id}}",
            "by: 'row' is not among the gathered axes",
        ),
        (
            "{op: sheet, in: {images: photo}, gather: @@{over: photo, sort: photo}}",
            "'photo' is a source; write one of its fields",
        ),
        (
            "{op: learn, in: {codes: code, labels: row.id}, gather: @@{over: row},"
            " pair: {match: {photo: stem, row: id}}}",
            "'row' is paired with 'photo'; gather over photo",
        ),
    ],
)
def test_mistakes_are_told(step, message):
    assert_complaint(f"{HEAD}  x: {step}\n", message)


def test_a_mistake_in_one_step_is_not_told_again_below():
    assert_complaint(HEAD.replace("op: align", "op: @@aling"), "unknown op 'aling'")
