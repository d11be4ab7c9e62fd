"""engine/naming.py: formats, open axes, paths inside the output folder, twins."""

import pytest

from engine.dag import Hole
from tests.engine.language import assert_complaint, load

HEAD = (
    "sources: {photo: {glob: '*.jpg'}, row: {table: rows.csv}, n: {values: [a/b, c]}}\n"
    "steps:\n"
    "  face: {op: align, in: {image: photo}}\n"
    "  code: {op: invert, in: {image: face}}\n"
    "  smile: {op: edit, in: {latent: code}, with: {direction: smile},"
    " matrix: {s: [-0.25, 1, 2]}}\n"
    "  picture: {op: synthesize, in: {latent: smile}}\n"
    "  sheet: {op: sheet, in: {images: face}, gather: {over: photo, by: photo.dir}}\n"
    "  all: {op: sheet, in: {images: face}, gather: {over: photo}}\n"
    "  mean: {op: average, in: {image: face}}\n"
    "  drawn: {op: draw, with: {seed: '${n.index}'}}\n"
    "outputs:\n"
)


def output(text: str):
    return load(f"{HEAD}  - {{{text}}}\n").outputs[0]


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("from: picture, to: '{photo.rel}_{s:+.1f}.png'", "png"),
        ("from: picture, to: '{photo.rel}_{s}.JPG'", "jpeg"),
        ("from: picture, to: 'x/{s}/{photo.index:04d}.jpeg'", "jpeg"),
        ("from: face, to: '{photo.name}', format: webp", "webp"),
        ("from: face, to: '{photo.stem}.TIF'", "tiff"),
        ("from: face, to: '{photo.stem}{photo.ext}', format: jpg", "jpeg"),
        ("from: code, to: '{photo.dir}/{photo.stem}.safetensors'", "safetensors"),
        ("from: sheet, to: 'sheets/{photo.dir}/sheet.jpg'", "jpeg"),
        ("from: all, to: sheet.png", "png"),
        ("from: drawn, to: '{n.value}.png'", "png"),
    ],
)
def test_the_name_says_the_format(text, style):
    assert output(text).format == style


def test_what_an_output_knows():
    found = output("from: picture, to: '{photo.rel}_{s}.jpg', quality: 80, metadata: digest")

    assert found.to.holes == (Hole("field", "photo", "rel"), Hole("matrix", "s"))
    assert (found.quality, found.metadata, found.table) == (80, "digest", False)
    assert found.ref.axes == ("photo", "s")


def test_a_table_has_a_row_per_item():
    found = output("from: mean, to: scores.csv")

    assert found.table
    assert found.format == "csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from: @@pictur, to: a.png", "unknown source or step 'pictur', did you mean 'picture'?"),
        ("from: @@photo, to: a.png", "'photo' is a source; outputs write what steps make"),
        (
            "from: @@face.alignment, to: a.png",
            "an Alignment, which cannot be written to a file; 'face.image'",
        ),
        (
            "from: picture, to: @@'{photo.rel}_{s}'",
            "needs an extension that says the format; all that 'picture', an Image, can be: .png, ",
        ),
        (
            "from: picture, to: @@'{photo.rel}_{s}.gif'",
            "'picture' is an Image, which cannot be written as 'gif'; it can as .png, .jpg, .jpeg,",
        ),
        (
            "from: picture, to: @@'{photo.rel}_{s}.bmp'",
            "'.bmp' is no format that can be written; all that 'picture', an Image",
        ),
        (
            "from: code, to: @@'{photo.rel}.png'",
            "Latent, which cannot be written as 'png'; it can as .safe",
        ),
        (
            "from: mean, to: @@'{photo.rel}.png'",
            "Scalar, which cannot be written as 'png'; it can as .csv",
        ),
        ("from: face, to: '{photo.rel}.png', format: @@jpg", "and the name's '.png' differ"),
        ("from: face, to: '{photo.rel}', format: @@gif", "cannot be written as 'gif'"),
        ("from: face, to: '{photo.rel}.png', quality: @@80", "png has no quality"),
        ("from: picture, to: @@'{photo.rel}.png'", "omits the axis 's': add {s}"),
        ("from: picture, to: @@'all_{s}.png'", "omits the axis 'photo': add {photo.rel}"),
        ("from: picture, to: @@'all.png'", "omits the axis 'photo', 's': add {photo.rel} and {s}"),
        ("from: face, to: @@'{photo.dir}.png'", "omits the axis 'photo'"),
        ("from: sheet, to: @@'sheet.png'", "omits the axis 'photo.dir': add {photo.dir}"),
        ("from: sheet, to: @@'{photo.stem}.png'", "{photo.stem} is not known for 'sheet'"),
        (
            "from: face, to: @@'{row.id}.png'",
            "{row.id} is not known for 'face'; its axes are photo",
        ),
        ("from: drawn, to: @@'{n.index:d}_${matrix.s}.png'", "{s} is not known for 'drawn'"),
        ("from: face, to: @@'{photo}.png'", "'photo' is a source; write one of its fields"),
        ("from: face, to: @@'{photo.stm}.png'", "has no field 'stm', did you mean 'stem'?"),
        ("from: face, to: @@'{strength}.png'", "no matrix is named 'strength'"),
        ("from: face, to: @@'{photo.rel:.2f}.png'", "'x' cannot be written as '.2f'"),
        ("from: picture, to: @@'{photo.rel}_{s:d}.png'", "-0.25 cannot be written as 'd'"),
        ("from: picture, to: @@'{photo.rel}_{s:09999d}.png'", "width of more than 999"),
        ("from: face, to: @@'../{photo.rel}.png'", "leaves the output folder"),
        ("from: face, to: @@'a/../../{photo.rel}.png'", "leaves the output folder"),
        ("from: face, to: @@'/tmp/{photo.rel}.png'", "must be relative to the output folder"),
        ("from: face, to: @@'C:/{photo.rel}.png'", "must be relative to the output folder"),
        ("from: face, to: @@'a//{photo.rel}.png'", "an empty folder or file name"),
        ("from: face, to: @@'.run/{photo.rel}.png'", "reserved for the run's records"),
        ("from: face, to: @@'.RUN/{photo.rel}.png'", "reserved for the run's records"),
        ("from: face, to: @@'{photo.rel.png'", "expected '}'"),
    ],
)
def test_mistakes_are_told(text, message):
    assert_complaint(f"{HEAD}  - {{{text}}}\n", message)


FILM = HEAD.replace(
    "  mean:", "  film: {op: play, in: {images: face}, gather: {over: photo}}\n  mean:"
)


@pytest.mark.parametrize(("name", "style"), [("a.webp", "webp"), ("a.GIF", "gif")])
def test_a_film_is_written_to_play(name, style):
    assert load(f"{FILM}  - {{from: film, to: {name}}}\n").outputs[0].format == style


@pytest.mark.parametrize("style", ["png", "jpeg", "tiff", "safetensors"])
def test_a_film_is_no_still_picture(style):
    assert_complaint(
        f"{FILM}  - {{from: film, to: @@a.{style}}}\n",
        f"a Film, which cannot be written as '{style}'; it can as .webp, .gif",
    )


def test_matrix_values_that_look_alike_collide():
    text = HEAD.replace("[-0.25, 1, 2]", "[0.1, 0.2]")

    assert_complaint(
        text + "  - {from: picture, to: @@'{photo.rel}_{s:.0f}.png'}\n", "two matrix values give"
    )


def test_matrix_values_cannot_climb_out():
    text = HEAD.replace("[-0.25, 1, 2]", "['..', a]")

    assert_complaint(
        text + "  - {from: picture, to: @@'{s}/{photo.rel}.png'}\n", "leaves the output folder"
    )


def test_two_outputs_with_the_same_names_collide_whatever_their_case():
    text = (
        "  - {from: picture, to: 'A/{photo.rel}_{s:.1f}.png'}\n"
        "  - {from: face, to: @@'a/{photo.rel}_1.0.PNG'}\n"
    )

    assert_complaint(HEAD + text, "writes the same names as the output on line 12")
