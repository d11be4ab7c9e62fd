"""Attributes that settings name, told before a run by those that would have to know them."""

from pathlib import Path

import pytest

from engine.errors import SpecError
from run_workflow import plan

WORKFLOW = """version: 1
models: {{g: portraits-128}}
sources: {{c: {{samples: {{count: 8, seed: 1}}}}}}
steps:
  p: {{op: synthesize, in: {{latent: c}}}}
  s: {{op: score_attributes, in: {{image: p}}}}
  flow:
    op: fit_flow
    in: {{codes: c, scores: s}}
    gather: {{over: c}}
    with: {{attributes: {knows}}}
  own:
    op: train_scorer
    in: {{images: p, labels: c.index}}
    gather: {{over: c}}
    with: {{name: taste}}
  rated: {{op: score_with, in: {{image: p}}, models: {{scorer: own}}}}
  any: {{op: coalesce, in: {{values: [s, rated]}}}}
  d: {{op: find_components}}
  x: {step}
outputs: [{{from: d, to: d.safetensors}}]
"""
GATHER = "gather: {over: c}"


def complaint(tmp_path: Path, step: str, knows: str = "[]") -> str:
    path = tmp_path / "w.yaml"
    path.write_text(WORKFLOW.format(step=step, knows=knows))
    try:
        plan(path, out=tmp_path / "out")
    except SpecError as error:
        return str(error)
    return ""


def learn(scores: str, settings: str, more: str = "") -> str:
    wires = f"codes: c, scores: {scores}"
    return f"{{op: learn_direction, in: {{{wires}}}, {GATHER}, with: {{{settings}}}{more}}}"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (learn("s", "attribute: smile"), ""),
        (learn("s", "attribute: smyle"), "'smyle', did you mean 'smile'? (there are yaw, "),
        (learn("s", "attribute: smile, hold: [agee]"), "'agee', did you mean 'age'"),
        (learn("s", "attribute: smile, balance: [age, jawe]"), "'jawe', did you mean 'jaw'"),
        (
            learn("s", "attribute: '${matrix.a}'", ", matrix: {a: [age, bear]}"),
            ":20:126: there is no attribute 'bear', did you mean 'beard'",
        ),
        (learn("rated", "attribute: taste"), ""),
        (learn("rated", "attribute: smile"), "'smile' (there are taste)"),
        (learn("any", "attribute: whatever"), ""),
        (
            "{op: learn_sampler, in: {codes: c, scores: s}, gather: {over: c},"
            " with: {attribute: [age, glases]}}",
            "'glases', did you mean 'glasses'",
        ),
        (
            "{op: measure_dependency, in: {before: s, after: s}, gather: {over: c},"
            " with: {attribute: smil}}",
            "'smil', did you mean 'smile'",
        ),
        ("{op: calibrate_direction, in: {direction: d}}", ""),
        (
            "{op: calibrate_direction, in: {direction: d}, with: {attribute: tooth}}",
            "there is no attribute 'tooth'",
        ),
        (
            "{op: measure_dci, in: {codes: c, scores: s}, gather: {over: c},"
            " with: {attributes: [age, eye]}}",
            "there is no attribute 'eye'",
        ),
    ],
)
def test_attributes_are_known_or_told(step: str, message: str, tmp_path: Path) -> None:
    told = complaint(tmp_path, step)
    assert message in told if message else not told


@pytest.mark.parametrize(
    ("knows", "attribute", "message"),
    [
        ("[]", "jaw", ""),
        ("[smile, age]", "age", ""),
        ("[smile, age]", "jaw", "there is no attribute 'jaw' (there are smile, age)"),
        ("[smile, age]", "aeg", "'aeg', did you mean 'age'"),
    ],
)
def test_a_flow_knows_what_it_is_fitted_to(
    knows: str, attribute: str, message: str, tmp_path: Path
) -> None:
    for step in (
        "{op: edit_flow, in: {latent: c}, models: {flow: flow},"
        f" with: {{attribute: {attribute}}}}}",
        "{op: sample_flow, in: {index: c.index}, models: {flow: flow},"
        f" with: {{attribute: [{attribute}]}}}}",
    ):
        told = complaint(tmp_path, step, knows)
        assert message in told if message else not told


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (learn("s", "attribute: ' '"), "no attribute is given"),
        (learn("s", "attribute: age, hold: [jaw, age]"), "'age' is the attribute that is learned"),
        (learn("s", "attribute: age, balance: [age]"), "'age' is the attribute that is learned"),
        (
            "{op: train_scorer, in: {images: p, labels: c.index}, gather: {over: c},"
            " with: {name: ''}}",
            "no name is given",
        ),
        ("{op: discover_directions, with: {px: 24}}", "grow through 4, 8, 16, 32, 64, 128 px"),
        ("{op: discover_directions, with: {px: 256}}", "grow through 4, 8, 16, 32, 64, 128 px"),
        ("{op: discover_directions, with: {px: 64}}", ""),
        ("{op: discover_directions, with: {count: 65}}", "from 2 to 64, not 65"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(step: str, message: str, tmp_path: Path) -> None:
    told = complaint(tmp_path, step)
    assert message in told if message else not told


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            "{op: edit_flow, in: {latent: c}, with: {attribute: age}}",
            "needs what a step learned as its flow, and none is",
        ),
        ("{op: sample_flow, in: {index: c.index}}", "write `models: {flow: STEP}`"),
        ("{op: score_with, in: {image: p}}", "as its scorer, and none is given"),
        ("{op: sample_category, in: {index: c.index}}", "as its sampler, and none is given"),
        ("{op: pick_direction}", "as its discovered, and none is given"),
        (
            "{op: score_with, in: {image: p}, models: {scorer: g}}",
            "as its scorer, and 'g' is a generator",
        ),
        ("{op: score_with, in: {image: p}, models: {scorer: own}}", ""),
    ],
)
def test_what_a_step_learned_is_not_left_out(step: str, message: str, tmp_path: Path) -> None:
    told = complaint(tmp_path, step)
    assert message in told if message else not told
