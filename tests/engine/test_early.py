"""What ops say against settings before a run: for every matrix value, never for fields."""

from pathlib import Path

import pytest

from engine.errors import SpecError
from run_workflow import plan

HEAD = "version: 1\nmodels: {m: portraits-128}\nsources: {c: {samples: {count: 2, seed: 1}}}\n"


def complaint(tmp_path: Path, step: str) -> str:
    path = tmp_path / "w.yaml"
    output = "outputs: [{from: p, to: '{c.index}_{k}.png'}]" if "matrix" in step else ""
    output = output or "outputs: [{from: p, to: '{c.index}.png'}]"
    path.write_text(f"{HEAD}steps:\n  p: {step}\n{output}\n")
    try:
        plan(path, out=tmp_path / "out")
    except SpecError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{op: resize_features, in: {latent: c}, with: {width: 250}}", "such as 240 or 256"),
        (
            "{op: learn_direction, in: {codes: c, labels: c.index}, gather: {over: c},"
            " with: {attribute: a, method: exemplars, channels: 3}}",
            "exemplars are compared whole",
        ),
        ("{op: pad_features, in: {latent: c}, with: {left: 8}}", "at most 7 of 16 px"),
        ("{op: pad_features, in: {latent: c}, with: {at: 10}}", "has 4, 8, 16, 32, 64, 128"),
        (
            "{op: shift_features, in: {latent: c}, with: {moves: [[0, 0, 0.5, 0.5, 0.7, 0]]}}",
            "sticks out",
        ),
        (
            "{op: resize_features, in: {latent: c}, with: {width: '${matrix.k}'},"
            " matrix: {k: [128, 200]}}",
            "(matrix k = 200)",
        ),
        (
            "{op: transfer_attribute, in: {target: c, reference: c}, with: {box: [0, 0, 2, 2]}}",
            "",
        ),
        (
            "{op: transfer_attribute, in: {target: c, reference: c}, with: {box: [0, 0, 200, 9]}}",
            "which has 128 px across",
        ),
        (
            "{op: transfer_attribute, in: {target: c, reference: c}, with: {last: 32.conv}}",
            "did you mean '32.conv",
        ),
        (
            "{op: interpolate_features, in: {codes: [c, c]}, with: {layers: 32..8}}",
            "32.conv0 comes after 8.rgb",
        ),
        (
            "{op: collage, in: {target: c, reference: c}, with: {box: [0, 0, 1, 1], levels: [5]}}",
            "resolution 5",
        ),
        (
            "{op: collage, in: {target: c, reference: c},"
            " with: {box: [0, 0, 1, 1], levels: [4, 8]}}",
            "1 strengths for 2 levels",
        ),
        (
            "{op: collage, in: {target: c, reference: c}, with: {box: [0.5, 0, 1, 1]}}",
            "sticks out",
        ),
        (
            "{op: edit_locally, in: {target: c, reference: c},"
            " with: {parts: [12], method: clusters}}",
            "numbered 0 to 11",
        ),
        (
            "{op: weave_panorama, in: {codes: [c, c]}, with: {tile: 100}}",
            "multiples of 32 px, such as 96 or 128",
        ),
        (
            "{op: weave_panorama, in: {codes: [c, c]}, with: {columns: 2}}",
            "only a grid has columns",
        ),
        (
            "{op: weave_panorama, in: {codes: [c, c]}, with: {stitch: soat, closed: true}}",
            "'exact' makes the rest",
        ),
        ("{op: sample_shifts, in: {latent: c}, with: {size: [0.5, 0.2]}}", "the smaller first"),
        ("{op: sample_shifts, in: {latent: c}, with: {at: 6}}", "resolution 6"),
        (
            "{op: transfer_attribute, in: {target: c, reference: c}, with: {edge: soat}}",
            "needs a box",
        ),
        ("{op: sample_shifts, in: {latent: c}, with: {at: []}}", "at least one must be named"),
        ("{op: edit_locally, in: {target: c, reference: c}, with: {parts: []}}", "at least one"),
        (
            "{op: segment_parts, in: {latent: c}, with: {parts: [1], method: clusters, at: 5}}",
            "resolution 5",
        ),
    ],
)
def test_settings_are_judged_where_they_stand(tmp_path: Path, step: str, message: str) -> None:
    found = complaint(tmp_path, step)
    assert message in found
    assert bool(found) == bool(message)
    if message:
        assert "w.yaml:5:" in found


def test_what_a_field_decides_is_left_to_the_run(tmp_path: Path) -> None:
    step = "{op: resize_features, in: {latent: c}, with: {width: '${c.index}'}}"
    assert complaint(tmp_path, step) == ""


def test_a_polygon_has_three_corners_whatever_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        f"{HEAD}steps:\n  i: {{op: synthesize, in: {{latent: c}}}}\n"
        "  p: {op: mask_polygon, in: {image: i}, with: {points: [[0, 0], [1, 1]]}}\n"
        "outputs: [{from: p, to: '{c.index}.png'}]\n"
    )
    with pytest.raises(SpecError, match=r"w\.yaml:6:\d+: .*a polygon of 2 points"):
        plan(path, out=tmp_path / "out")
