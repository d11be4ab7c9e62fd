"""What cannot be learned from, followed or asked for is refused, in words that name the fix."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError, ShapeError, SpecError
from engine.graph import load_graph
from engine.values import Latent, Network, Scalar, Scores, split
from models.directions import StoredDirection, save_direction
from models.readings import draw_codes
from models.stylegan2 import Generator
from ops.dci import measure_dci
from ops.dependencies import measure_dependency, measure_separability
from ops.directions import edit
from ops.flows import edit_flow, fit_flow, sample_flow
from ops.learning import learn_direction
from ops.samplers import learn_sampler
from run_workflow import build_ops, surroundings

COUNT = 120
NAMES = ("smile", "age")


@pytest.fixture(scope="module")
def codes(model: Network, generator: Generator) -> list[Latent]:
    return list(split(Latent(draw_codes(generator, COUNT, 2), "w", model.family)))


@pytest.fixture(scope="module")
def scores(codes: list[Latent]) -> list[Scores]:
    table = torch.cat([code.data[:, :2] for code in codes])
    return list(split(Scores(table, NAMES)))


def numbers(*values: object) -> list[Scalar]:
    return [Scalar((value,)) for value in values]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0] * COUNT, "attribute 'smile': all 120 labels are 1: they must vary"),
        ([None, *[1.0] * (COUNT - 1)], r"1 of 120 labels are missing .*leave those items out"),
        ([float("nan"), *[1.0] * (COUNT - 1)], "1 of 120 labels are missing or not a number"),
        ([float("inf"), *[1.0] * (COUNT - 1)], r"1 of 120 labels are missing .*\(items 0\)"),
        ([1.0, 0.0], "2 labels for 120 codes: gather both over the same axis"),
        (["yes"] * COUNT, "must be numbers or truth values: item 0 is 'yes'$"),
        (["1", "nan", *["2"] * (COUNT - 2)], "item 1 is 'nan'; one such cell makes texts of a"),
        ([1e300, *[-1e300] * (COUNT - 1)], r"labels reach 1e\+300, too far to measure"),
    ],
    ids=["constant", "missing", "nan", "infinite", "fewer", "texts", "a text", "huge"],
)
def test_labels_that_say_nothing(
    labels: list[object], message: str, codes: list[Latent], model: Network
) -> None:
    for method in ("regression", "exemplars"):
        with pytest.raises(OpError, match=message):
            learn_direction(codes, model, labels=numbers(*labels), attribute="smile", method=method)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_scorer_that_gives_no_number(
    codes: list[Latent], scores: list[Scores], model: Network, number: float
) -> None:
    broken = [*scores[:3], Scores(torch.tensor([[0.5, number]]), NAMES), *scores[4:]]
    asked: list[Callable[[], object]] = [
        lambda: learn_direction(codes, model, scores=broken, attribute="age"),
        lambda: learn_direction(codes, model, scores=broken, attribute="smile"),  # holds age
        lambda: fit_flow(codes, broken, model, steps=1),
        lambda: learn_sampler(codes, broken, model, attribute="age", steps=1),
        lambda: measure_dci(codes, broken, share=0.1),
        lambda: measure_separability(codes, broken),
        lambda: measure_dependency(scores, broken, attribute="smile"),
    ]
    for ask in asked:
        with pytest.raises(OpError, match=r"scores are missing or .* \(items \d+; age\): mend the"):
            ask()


def test_a_direction_of_another_model_space_or_size(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    def stored(**changes: object) -> str:
        plain = StoredDirection(torch.eye(16)[0], 1.0, 0.0, "x", "w", model.family)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        save_direction(replace(plain, **changes), path)  # type: ignore[arg-type]
        return str(path)

    one = Latent(w.data[:1], "w", w.family)
    z = Latent(torch.zeros(1, 16), "z", w.family)
    foreign = stored(family="f" * 64)
    with pytest.raises(OpError, match=r"generator ffffffffffff, .*: import or learn it"):
        edit(one, model, direction=foreign)
    with pytest.raises(OpError, match="map it to w first"):
        edit(z, model, direction=stored())
    rows = torch.nn.functional.normalize(torch.ones(18, 16).flatten(), dim=0).reshape(18, 16)
    with pytest.raises(OpError, match=r"18 x 16 numbers in w_plus, where .* has 8 x 16: import"):
        edit(one, model, direction=stored(data=rows, space="w_plus"))
    with pytest.raises(OpError, match=r"7 numbers in w, where .* has 16: import or learn"):
        edit(one, model, direction=stored(data=torch.eye(7)[0]))


def test_a_condition_that_is_the_target(model: Network, w: Latent, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "x", "w", model.family), path)
    with pytest.raises(OpError, match="direction 'x' has no part free of 'x'"):
        edit(w, model, direction=str(path), condition=[str(path)])


def test_a_flow_that_does_not_know_an_attribute(
    codes: list[Latent], scores: list[Scores], model: Network
) -> None:
    with pytest.raises(OpError, match="no attribute 'smyle', did you mean 'smile'"):
        fit_flow(codes, scores, model, attributes=["smyle"], steps=1)
    flow = fit_flow(codes, scores, model, steps=0).model
    with pytest.raises(OpError, match="no attribute 'ages', did you mean 'age'"):
        edit_flow(codes[0], model, flow, scores[0], attribute="ages")


WORKFLOW = """version: 1
sources: {{code: {{samples: {{count: 2, seed: 1}}}}}}
steps:
  picture: {{op: synthesize, in: {{latent: code}}}}
  scores: {{op: score_attributes, in: {{image: picture}}}}
  found: {{op: find_components}}
  flow: {{op: fit_flow, in: {{codes: code, scores: scores}}, gather: {{over: code}}}}
  made: {{op: {op}, in: {{{wires}}}, with: {{{settings}}}{more}}}
outputs: [{{from: found, to: found.safetensors}}]
"""
WIRES = {
    "crossbreed": "latent: code, other: code",
    "mix_styles": "content: code, style: code",
    "find_components": "",
    "follow_direction": "latent: code, direction: found",
    "sample_flow": "index: code.index",
    "learn_sampler": "codes: code, scores: scores",
    "measure_seam": "image: picture",
    "transfer_attribute": "target: code, reference: code",
}
MORE = {
    "edit_flow": ", models: {flow: flow}",
    "sample_flow": ", models: {flow: flow}",
    "learn_sampler": ", gather: {over: code}",
}


@pytest.mark.parametrize(
    ("op", "settings", "message"),
    [
        ("edit", "direction: [smile, smile], strength: [1, 2]", "'smile' is named twice"),
        ("edit", "direction: [smile, age], strength: [1]", "1 numbers for 2 in `direction`"),
        ("edit", "direction: smile, condition: [age, smile]", "'smile' is what the edit moves"),
        ("edit", "direction: [smile, age_channels]", "'age_channels' is in style and 'smile' in w"),
        ("edit", "direction: smile_channels, condition: [age]", "'age' is in w and 'smile_ch"),
        ("edit", "direction: smile_channels, rows: fine", "in style, which has no rows"),
        ("edit", "direction: smile, rows: [3, 12]", r"rows \[12\] do not exist; .* rows 0 to 11"),
        ("edit", "direction: smile, rows: []", "no row is named"),
        ("crossbreed", "genes: [smile, age], strength: [1]", "1 numbers for 2 in `genes`"),
        ("crossbreed", "crossover: 13", "crossover 13: this generator has 12 rows"),
        ("mix_styles", "crossover: 13", "crossover 13: this generator has 12 rows"),
        ("mix_styles", "rows: [-1]", r"rows \[-1\] do not exist"),
        ("truncate", "psi: [0.5, 0.7]", "2 psi: one per row is needed, 12"),
        ("truncate", "rows: fine, cutoff: 3", "rows are chosen twice"),
        ("edit_channels", "channels: '17.conv1:3'", "'17.conv1:3' is no layer and number, .*'16"),
        ("edit_channels", "channels: 16.conv1", "'16.conv1' is no layer and number"),
        ("edit_channels", "channels: ['16.conv1:1', '16.conv1:1']", "named twice"),
        ("edit_channels", "channels: ['16.conv1:1'], strength: [1, 2]", "2 numbers for 1"),
        ("find_components", "layer: 9.conv1", "layer '9.conv1' does not exist; did you mean"),
        ("find_components", "layer: 8.conv1, component: 100", "100 components .* 0 to 99"),
        ("follow_direction", "rows: [40]", r"rows \[40\] do not exist"),
        ("vary_noise", "rows: [12]", r"rows \[12\] do not exist"),
        ("map_variation", "rows: [-1]", r"rows \[-1\] do not exist"),
        ("measure_seam", "closed: true", "no joint is named: give a period, or columns"),
        (
            "transfer_attribute",
            "edge: soat, align: rows, box: [0.2, 0.2, 0.4, 0.4]",
            "'soat' is aligned by style or none",
        ),
        ("edit_flow", "attribute: [smile, smile]", "'smile' is named twice"),
        ("edit_flow", "attribute: smile, rows: [12]", r"rows \[12\] do not exist"),
        ("sample_flow", "attribute: [age, smile], value: [1]", "1 numbers for 2 in `attribute`"),
        ("learn_sampler", "attribute: [age, smile], bound: [1]", "1 numbers for 2"),
    ],
)
def test_what_settings_alone_show_is_told_before_a_run(
    op: str, settings: str, message: str
) -> None:
    wires = WIRES.get(op, "latent: code")
    text = WORKFLOW.format(op=op, wires=wires, settings=settings, more=MORE.get(op, ""))
    with pytest.raises(SpecError, match=message):
        load_graph(text, surroundings(build_ops()))


@pytest.mark.parametrize(
    ("op", "wires", "message"),
    [
        ("learn_direction", "codes: code", "one of the wires 'labels', .*'without', not none"),
        (
            "learn_direction",
            "codes: code, scores: scores, without: code",
            "exactly one of the wires .*, not 'scores', 'without'",
        ),
        ("train_scorer", "images: picture", "one of the wires 'labels', 'without', not none"),
    ],
)
def test_labels_of_no_kind_or_of_two(op: str, wires: str, message: str) -> None:
    named = "attribute: smile" if op == "learn_direction" else "name: smile"
    more = ", gather: {over: code}"
    text = WORKFLOW.format(op=op, wires=wires, settings=named, more=more)
    with pytest.raises(SpecError, match=message):
        load_graph(text, surroundings(build_ops()))


def test_a_flow_of_another_generator(
    codes: list[Latent], scores: list[Scores], model: Network
) -> None:
    fitted = fit_flow(codes, scores, model, steps=0).model
    other = replace(model, family="f" * 64)
    with pytest.raises(OpError, match="the flow was fitted for another generator"):
        sample_flow(Scalar((0,)), other, fitted)


def test_scores_of_one_name_twice() -> None:
    with pytest.raises(ShapeError, match=r"Scores\.names has 'age' more than once"):
        Scores(torch.zeros(2, 3), ("age", "smile", "age"))
