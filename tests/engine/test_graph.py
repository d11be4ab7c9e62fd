"""engine/graph.py: whole files, all their mistakes at once, and nothing but SpecError."""

import pickle
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import SpecError, UsageError
from engine.graph import load_graph
from tests.engine.language import SURROUNDINGS, assert_complaint, complaints, load

PANORAMAS = """
version: 1
name: smile-panoramas
params: {photos: ./photos, styles: ./styles, strengths: [-2, 0, 2]}
models:
  portraits: portraits-128
sources:
  photo: {glob: "${params.photos}/**/*.{jpg,jpeg,png,webp}"}
  ref:   {glob: "${params.styles}/*.png"}
steps:
  face:     {op: align,      in: {image: photo}}
  code:     {op: invert,     in: {image: face.image}, with: {method: hybrid, steps: 200}}
  refcode:  {op: invert,     in: {image: ref}}
  smile:    {op: edit,       in: {latent: code}, with: {direction: smile, strength: "${matrix.s}"},
             matrix: {s: "${params.strengths}"}}
  mixed:    {op: mix,        in: {content: code, style: refcode}, with: {rows: fine}, pair: cross}
  picture:  {op: synthesize, in: {latent: smile}}
  strip:    {op: weave,      in: {codes: code},
             gather: {over: photo, by: photo.dir, sort: photo.name}}
outputs:
  - {from: picture, to: "smile/{photo.rel}_{s:+.1f}.png"}
  - {from: strip,   to: "pano/{photo.dir}/strip.jpg"}
run: {retries: 2, timeout: 10m, max_failures: 5%, cache: {max_size: 50GB}}
"""

SHORTEST = """
sources: {photo: {glob: "*.jpg"}}
steps:
  face: {op: align, in: {image: photo}}
outputs:
  - {from: face, to: "{photo.rel}.png"}
"""


def test_axes_are_inferred():
    graph = load(PANORAMAS)

    assert {name: step.axes for name, step in graph.steps.items()} == {
        "face": ("photo",),
        "code": ("photo",),
        "refcode": ("ref",),
        "smile": ("photo", "s"),
        "mixed": ("photo", "ref"),
        "picture": ("photo", "s"),
        "strip": ("photo.dir",),
    }


def test_five_lines_are_a_workflow():
    assert load(SHORTEST).outputs[0].format == "png"


def test_params_change_the_graph():
    assert load(PANORAMAS, {"strengths": [5]}).axes["s"].values == (5,)


def test_a_graph_travels_to_other_processes():
    graph = load(PANORAMAS)

    assert pickle.loads(pickle.dumps(graph)) == graph


def test_a_file_is_read_from_disk(tmp_path):
    file = tmp_path / "flow.yaml"
    file.write_text(SHORTEST, encoding="utf-8")

    graph = load_graph(file, SURROUNDINGS)

    assert graph.name == "flow"
    assert graph.folder == str(tmp_path)
    assert graph.sources["photo"].options["folder"] == str(tmp_path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot read the workflow"):
        load_graph(tmp_path / "none.yaml", SURROUNDINGS)


def test_steps_come_in_the_order_of_their_needs_else_as_written():
    graph = load(
        "steps:\n"
        "  d: {op: average, in: {image: b}}\n"
        "  c: {op: draw}\n"
        "  b: {op: paste, in: {image: a, photo: c}}\n"
        "  a: {op: draw}\n"
    )

    assert list(graph.steps) == ["c", "a", "b", "d"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: {@@a: {op: align, in: {image: a}}}", "need each other in a circle: a -> a"),
        (
            "steps:\n  @@a: {op: align, in: {image: b}}\n  b: {op: align, in: {image: a}}",
            "in a circle: a -> b -> a",
        ),
        (
            "steps:\n  @@a: {op: draw, when: b > 1}\n  b: {op: average, in: {image: a}}",
            "in a circle",
        ),
        ("steps: {@@params: {op: draw}}", "the name 'params' is reserved"),
        (
            "sources: {a: {glob: x}}\nsteps: {@@a: {op: draw}}",
            "'a' is already declared under sources",
        ),
        (
            "models: {a: portraits-128}\nsources: {@@a: {glob: x}}\nsteps: {b: {op: draw}}",
            "'a' is already declared under models",
        ),
    ],
)
def test_names_and_circles(text, message):
    assert_complaint(text, message)


def test_all_mistakes_are_told_at_once_with_line_and_caret():
    text = (
        "nam: x\n"
        "sources: {photo: {golb: '*.jpg'}, ref: {glob: '*.png'}}\n"
        "steps:\n"
        "  face: {op: aling, in: {image: photo}}\n"
        "  code: {op: invert, in: {image: ref}, with: {method: hybird, stps: 3}}\n"
        "  a: {op: average, in: {image: b}}\n"
        "  b: {op: align, in: {image: a}}\n"
        "outputs: [{from: code, to: ../x.png}, {from: fce, to: '{photo.rel}.png'}]\n"
    )

    assert complaints(text) == [
        "1:1: unknown key 'nam', did you mean 'name'?",
        "2:19: unknown key 'golb', did you mean 'glob'?",
        "4:14: unknown op 'aling', did you mean 'align'?",
        "5:55: 'method' must be 'encoder', 'optimize' or 'hybrid', not 'hybird', did you mean"
        " 'hybrid'?",
        "5:63: unknown setting 'stps', did you mean 'steps'?",
        "6:3: steps need each other in a circle: a -> b -> a",
        "8:28: 'code' is a Latent, which cannot be written as 'png'; it can as .safetensors",
        "8:46: unknown source or step 'fce', did you mean 'face'?",
    ]
    with pytest.raises(SpecError) as caught:
        load(text)
    assert caught.value.exit_code == 2
    assert "<workflow>:4:14: unknown op" in str(caught.value)
    assert "    " + text.splitlines()[3] + "\n" + " " * 17 + "^" in str(caught.value)


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, engine.graph, engine.schema\n"
        "print({'torch', 'sklearn', 'PIL', 'dask', 'distributed', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


WORDS = PANORAMAS.replace("\n", " \n ").split(" ")
SPICE = [
    *("photo", "s", "strength", "${matrix.s}", "${params.photos}", "${row.x}", "{photo.rel}", "{}"),
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        "-",
        "null",
        "true",
        "1e9",
        "-1",
        "'",
        '"',
        "&a",
        "*a",
        "!!x",
        "<<:",
    ),
    *(
        "op:",
        "in:",
        "with:",
        "matrix:",
        "pair:",
        "gather:",
        "when:",
        "zip",
        "cross",
        "over:",
        "by:",
    ),
    *("coalesce", "tune", "sheet", "learn", "model:", "models:", "samples:", "table:", "values:"),
    *("exclude:", "include:", "../x.png", ".run/x.png", "10m", "\t", "\n", "\u2028", "é", "\x00"),
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_files_raise_nothing_but_spec_errors(data):
    words = list(WORDS)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(words) - 1))
        word = data.draw(st.sampled_from(SPICE) | st.sampled_from(WORDS))
        action = data.draw(st.sampled_from(["replace", "insert", "delete"]))
        words[place : place + (action != "insert")] = [] if action == "delete" else [word]
    found = complaints(" ".join(words))

    assert all(line[0].isdigit() for line in found)


TREE = st.recursive(
    st.sampled_from(SPICE) | st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["op", "in", "over", "by", "match", "a", "image"]), inner)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["op", "in", "with", "matrix", "pair", "gather", "when", "models", "model", "timeout", "batch"]
)


@settings(max_examples=100)
@given(
    st.dictionaries(KEYS, TREE),
    st.sampled_from(["align", "invert", "edit", "sheet", "learn", "tune", "draw", "coalesce"]),
    TREE,
    TREE,
)
def test_any_values_raise_nothing_but_spec_errors(step, op, source, run):
    import yaml

    text = yaml.safe_dump(
        {
            "sources": {"photo": {"glob": "*.jpg"}, "x": source},
            "steps": {"code": {"op": "invert", "in": {"image": "photo"}}, "s": {"op": op} | step},
            "outputs": [{"from": "s", "to": source}, {"from": "code", "to": run}],
            "run": run,
        },
        allow_unicode=True,
    )

    assert complaints(text) is not None


BESIDES = """\
sources: {photo: {glob: "*.jpg"}}
steps:
  face: {op: align, in: {image: photo}}
  code: {op: invert, in: {image: face}}
"""


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("{op: alien, in: {imag: p}}", ["unknown op 'alien'", "unknown source or step 'p'"]),
        ("{op: align, in: {imag: p}}", ["align needs the wire", "has no wire 'imag'", "step 'p'"]),
        (
            "{op: edit, in: {latent: code}, with: {direction: smil, strenght: 1}}",
            ["unknown direction 'smil'", "unknown setting 'strenght'"],
        ),
        ("{op: edit, in: {latent: code}, wiht: {direction: smile}}", ["did you mean 'with'?"]),
        ("{op: draw, pair: {mach: a}}", ["nothing to pair", "did you mean 'match'?"]),
        ("{coalesce: [face, photo]}", ["write {op: coalesce, in: {values: [first, second]}}"]),
    ],
)
def test_one_mistake_hides_no_other_and_makes_none(step, found):
    told = complaints(f"{BESIDES}  last: {step}\n")

    assert len(told) == len(found), told
    for message in found:
        assert any(message in one for one in told), (message, told)
