import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest

from engine.op import Asset, Caption, Range, Seed, op, read_op
from engine.oplist import as_json, document, listing, markdown, type_text, with_coalesce
from engine.values import Image, Mask, Scalar


@op(version=3)
def stamp(
    image: Image,
    mask: Mask | None = None,
    *,
    strength: Annotated[float, Range(0, 1)] = 0.5,
    mode: Literal["over", "under"],
    seed: Seed = Seed(()),  # noqa: B008
    caption: Caption = (),
) -> Image:
    """Stamp a mark on a picture.

    Shapes: image [N, 3, H, W].  Source: own.
    """
    return image


SPEC = read_op(stamp)


def test_one_op_is_told_in_full() -> None:
    text = document(SPEC)
    assert "stamp  (version 3)" in text
    assert "mask   Mask, may be left out" in text
    assert "strength  number 0..1 [0.5]" in text
    assert "mode      over | under [required]" in text
    assert "seed      seed: a number, or {shared: number} [from the item]" in text
    assert "made: {op: stamp, in: {image: image_step}, with: {mode: ...}}" in text


def test_the_list_has_a_line_per_op() -> None:
    assert listing({"stamp": SPEC}) == "stamp  Stamp a mark on a picture."


def test_an_op_without_a_docstring_is_told_by_its_signature() -> None:
    bare = replace(SPEC, doc="")
    assert listing({"stamp": bare}).startswith(
        "stamp  (image: Image, mask: Mask, may be left out, "
    )
    assert listing({"stamp": bare}).endswith("-> Image")


def test_one_op_is_json_in_full() -> None:
    told = as_json(SPEC)
    assert told["in"][0] == {"name": "image", "type": "Image", "list": False, "required": True}
    strength, mode, *_ = told["with"]
    assert (strength["default"], strength["schema"]["maximum"]) == (0.5, 1)
    assert (mode["required"], mode["schema"]["enum"]) == (True, ["over", "under"])
    assert told["gives"] == [{"name": "image", "type": "Image"}]
    assert json.loads(json.dumps(told)) == told


@dataclass(frozen=True)
class Stamped:
    """What it gives: the picture, and `ink`, in grams."""

    image: Image
    ink: Scalar


@dataclass(frozen=True)
class Silent:
    image: Image
    ink: Scalar


def test_what_outputs_mean_is_told_where_they_are_listed() -> None:
    @op(version=1)
    def told(image: Image) -> Stamped:
        """Stamp."""
        raise NotImplementedError

    @op(version=1)
    def silent(image: Image) -> Silent:
        """Stamp."""
        raise NotImplementedError

    spec, bare = read_op(told), read_op(silent)
    assert as_json(spec)["gives_doc"] == "What it gives: the picture, and `ink`, in grams."
    assert document(spec).index("gives:") < document(spec).index("and `ink`, in grams")
    assert "and `ink`, in grams" in markdown({"told": spec})
    assert as_json(bare)["gives_doc"] == as_json(SPEC)["gives_doc"] == ""


def test_coalesce_is_listed_with_the_others() -> None:
    found = with_coalesce({"stamp": SPEC})
    assert "coalesce  The first of several values" in listing(found)
    assert "in: {values: [one_step, another_step]}" in document(found["coalesce"])


def test_a_bare_mark_says_what_to_write() -> None:
    for bare in ((), (stamp,)):
        with pytest.raises(TypeError, match=r"write @op\(version=1\)"):
            op(*bare)


def test_bars_are_escaped_in_tables() -> None:
    assert r"| with | `mode` | over \| under | required |" in markdown({"stamp": SPEC})


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "integer"),
        (Annotated[float, Range(0)], "number from 0"),
        (Annotated[int, Range(high=3)], "integer up to 3"),
        (Sequence[int], "list of integer"),
        (list[str], "list of text"),
        (Literal[True, "auto"], "true | auto"),
        (Annotated[str, Asset("directions")], "name in directions, or a file"),
        (Annotated[list[str], Asset("directions")], "list of names in directions, or of files"),
        (Annotated[str | list[str], Asset("x")], "name in x, or a file, or a list of them"),
        (Annotated[str | None, Asset("file")], "file"),
        (Annotated[list[str], Asset("file")], "list of files"),
        (bool, "true | false"),
        (dict[str, float], "mapping"),
    ],
)
def test_types_read_like_yaml(annotation: object, text: str) -> None:
    assert type_text(annotation) == text
