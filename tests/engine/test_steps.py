"""engine/steps.py: axes, pairs, gathers and conditions of whole steps."""

import pytest

from engine.dag import Gather, Hole, Link, Ref
from engine.when import Junction
from tests.engine.language import assert_complaint, load

HEAD = (
    "sources: {photo: {glob: '*.jpg'}, ref: {glob: 'r/*.png'}, row: {table: rows.csv},"
    " shot: {table: {file: shots.csv, image: file}}}\n"
    "steps:\n"
    "  face: {op: align, in: {image: photo}}\n"
    "  code: {op: invert, in: {image: face}}\n"
    "  style: {op: invert, in: {image: ref}}\n"
)
MATCH = "pair: {match: {photo: stem, row: id}}"


def test_a_cross_has_both_axes():
    step = load(HEAD + "  m: {op: mix, in: {content: code, style: style}, pair: cross}").steps["m"]

    assert step.axes == ("photo", "ref")
    assert step.links == ()


def test_a_zip_has_the_first_axis_and_links_the_other():
    text = (
        "  m: {op: mix, in: {content: code, style: style}, pair: zip}\n"
        "  p: {op: synthesize, in: {latent: m}}\n"
        "  q: {op: paste, in: {image: p, photo: ref}}\n"
    )
    graph = load(HEAD + text + "outputs: [{from: q, to: '{photo.stem}--{ref.stem}.png'}]")

    assert graph.steps["m"].axes == graph.steps["q"].axes == ("photo",)
    assert graph.steps["q"].links == (Link("ref", "photo"),)
    assert graph.outputs[0].links == (Link("ref", "photo"),)


def test_a_table_is_matched_for_a_setting_alone():
    text = f"with: {{direction: smile, strength: '${{row.smile}}'}}, {MATCH}"
    step = load(f"{HEAD}  e: {{op: edit, in: {{latent: code}}, {text}}}").steps["e"]

    assert step.axes == ("photo",)
    assert step.links == (Link("row", "photo", "match", "id", "stem"),)


def test_a_table_with_pictures_has_both_kinds_of_fields():
    graph = load(HEAD + "  p: {op: paste, in: {image: shot, photo: shot}, when: 'shot.smile > 1'}")

    assert graph.sources["shot"].fields == (
        *("id", "smile", "file", "stem", "name", "rel", "dir", "ext", "index"),
    )


def test_a_setting_can_bring_the_only_axis():
    step = load(HEAD + "  d: {op: draw, with: {seed: '${row.smile}'}}").steps["d"]

    assert step.axes == ("row",)


def test_groups_come_from_gather_by():
    text = (
        "  p: {op: synthesize, in: {latent: code}}\n"
        "  s: {op: sheet, in: {images: p}, with: {columns: '${photo.dir}'},"
        " gather: {over: photo, by: photo.dir, sort: photo.name, missing: fail}}\n"
        "  q: {op: paste, in: {image: s, photo: photo}}\n"
    )
    graph = load(HEAD + text)

    assert graph.steps["s"].axes == ("photo.dir",)
    assert graph.axes["photo.dir"].source == "photo"
    assert graph.steps["s"].gather == Gather(
        ("photo",), Hole("field", "photo", "dir"), Hole("field", "photo", "name"), "fail"
    )
    assert graph.steps["q"].axes == ("photo",)


def test_groups_of_a_matched_table():
    text = (
        f"  l: {{op: learn, in: {{codes: code, labels: row.smile}}, {MATCH},"
        " gather: {over: photo, by: row.file, sort: row.id}}\n"
    )

    assert load(HEAD + text).steps["l"].axes == ("row.file",)


def test_rows_and_columns_are_gathered_together():
    text = (
        "  m: {op: mix, in: {content: code, style: style}, pair: cross}\n"
        "  p: {op: synthesize, in: {latent: m}}\n"
        "  s: {op: sheet, in: {images: p}, gather: {over: [photo, ref]},"
        " with: {caption: '{photo.stem} {ref.stem}'}}\n"
        "  g: {op: sheet, in: {images: p}, gather: {over: ref}}\n"
    )
    graph = load(HEAD + text)

    assert graph.steps["s"].axes == ()
    assert graph.steps["g"].axes == ("photo",)


def test_a_condition_reads_ports_and_fields():
    when = "face.faces == 1 and (photo.index < 3 or not face.sharpness < 0.1)"
    step = load(f"{HEAD}  x: {{op: invert, in: {{image: face}}, when: '{when}'}}").steps["x"]

    assert step.when.refs == (
        Ref("face", "faces", axes=("photo",)),
        Ref("photo", field="index", axes=("photo",)),
        Ref("face", "sharpness", axes=("photo",)),
    )
    assert isinstance(step.when.tree, Junction)


def test_a_condition_reads_the_group_of_an_item():
    text = (
        "  s: {op: sheet, in: {images: photo}, gather: {over: photo, by: photo.dir}}\n"
        "  v: {op: average, in: {image: s}}\n"
        "  x: {op: invert, in: {image: photo}, when: v > 0.5}\n"
    )

    assert load(HEAD + text).steps["x"].axes == ("photo",)


def test_coalesce_joins_its_inputs():
    text = (
        "  a: {op: edit, in: {latent: code}, with: {direction: age}, matrix: {s: [1, 2]}}\n"
        "  c: {op: coalesce, in: {values: [a, code]}}\n"
        "  p: {op: synthesize, in: {latent: c}}\n"
    )
    graph = load(HEAD + text)

    assert graph.steps["c"].coalesce
    assert graph.steps["c"].axes == ("photo", "s")
    assert [port.name for port in graph.steps["c"].op.ports] == ["latent"]
    assert graph.steps["p"].models["model"].name == "portraits-128"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{op: mix, in: @@{content: code, style: style}}",
            "count(photo) x count(ref) items; write",
        ),
        ("{op: mix, in: {content: code, style: code}, pair: @@zip}", "there is nothing to pair"),
        ("{op: mix, in: {content: code, style: code}, pair: @@cross}", "there is nothing to pair"),
        (
            "{op: mix, in: {content: code, style: style}, pair: @@{match: stm}}",
            "source 'ref' has no field 'stm', did you mean 'stem'?",
        ),
        (
            "{op: mix, in: {content: code, style: style}, pair: @@{match: {photo: stem, row: id}}}",
            "no source axis 'row'",
        ),
        (
            "{op: invert, in: {image: face}, when: '@@face.image == 1'}",
            "'face.image' is Image; face",
        ),
        ("{op: invert, in: {image: face}, when: not @@face.fces}", "did you mean 'faces'?"),
        ("{op: invert, in: {image: face}, when: 'face.faces @@= 1'}", "'=' means nothing here"),
        (
            "{op: invert, in: {image: ref}, when: @@face.faces == 1}",
            "along 'photo'; the step's axes",
        ),
        (
            "{op: sheet, in: {images: face}, gather: {over: photo}, when: @@face.faces == 1}",
            "along 'photo'; the step's axes are none",
        ),
        (
            "{op: sheet, in: {images: face}, gather: @@{over: s}, matrix: {s: [1]}}",
            "no sequence wire has the axis 's'",
        ),
        ("{op: @@coalesce}", "coalesce needs the wire 'values'"),
        (
            "{op: coalesce, in: {values: [code, @@face]}}",
            "wire 'values' takes Latent; 'face' is Image",
        ),
        ("{op: coalesce, in: {values: [code]}, @@when: photo.index > 1}", "has no condition"),
        ("{op: coalesce, in: {values: [@@cod, code]}}", "unknown source or step 'cod'"),
        ("{op: coalesce, in: {values: code}, @@gather: {over: photo}}", "coalesce gathers nothing"),
        ("{op: coalesce, in: {values: [code, code]}, @@model: a}", "op 'coalesce' uses no model"),
    ],
)
def test_mistakes_are_told(text, message):
    assert_complaint(f"{HEAD}  x: {text}\n", message)


def test_two_pairings_of_one_source_do_not_mix():
    text = (
        "  a: {op: mix, in: {content: code, style: style}, pair: zip}\n"
        "  b: {op: mix, in: {content: code, style: style}, pair: {match: stem}}\n"
        "  c: {op: mix, in: @@{content: a, style: b}}\n"
    )

    assert_complaint(HEAD + text, "inputs pair 'ref' in two different ways")
