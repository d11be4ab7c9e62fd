"""engine/spec_parse.py and step_parse.py: every key, its shape, its nearest name."""

import pytest

from engine.dag import RunOptions
from engine.spec_parse import parse_spec
from engine.template import Given
from tests.engine.language import assert_complaint, load

STEPS = "steps: {s: {op: draw}}\n"
STEP = "steps:\n  s: {op: draw, %s}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@@[1]", "must be a mapping with version"),
        ("@@{name: x}", "'steps' is missing"),
        ("@@vresion: 1\n" + STEPS, "unknown key 'vresion', did you mean 'version'?"),
        ("version: @@2\n" + STEPS, "must be 1, the only version of the language, not 2"),
        ("version: @@true\n" + STEPS, "must be 1"),
        ("name: @@[x]\n" + STEPS, "must be text"),
        ("name: @@''\n" + STEPS, "must be text"),
        ("name: @@../elsewhere\n" + STEPS, "must be a plain name, as of a folder"),
        ("name: @@/tmp/elsewhere\n" + STEPS, "must be a plain name"),
        ('name: @@"a\\0b"\n' + STEPS, "must be a plain name"),
        ("name: @@${params.x}\n" + STEPS, "unknown param 'x'"),
        ("sources: {@@1a: {glob: x}}\n" + STEPS, "'1a' is no name"),
        ("sources: {a: @@{}}\n" + STEPS, "exactly one of glob, files, table, samples, values"),
        ("sources: {a: @@{glob: x, files: y}}\n" + STEPS, "exactly one of"),
        ("sources: {a: {@@golb: x, glob: y}}\n" + STEPS, "did you mean 'glob'?"),
        ("sources: {a: {glob: @@1}}\n" + STEPS, "must be a pattern such as"),
        ("sources: {a: {files: [@@1]}}\n" + STEPS, "must be text, not 1"),
        ("sources: {a: {values: @@[[1]]}}\n" + STEPS, "a list of numbers or texts"),
        ("sources: {a: {values: @@[]}}\n" + STEPS, "a list of numbers or texts"),
        ("sources: {a: {table: @@{image: x}}}\n" + STEPS, "'file' is missing"),
        ("sources: {a: {samples: @@{seed: 1}}}\n" + STEPS, "'count' is missing"),
        ("sources: {a: {samples: {count: @@0}}}\n" + STEPS, "a whole number of at least 1, not 0"),
        ("sources: {a: {samples: {count: 1, truncation: @@3}}}\n" + STEPS, "a number from 0 to 2"),
        ("sources: {a: {values: [1, @@'${row.x}']}}\n" + STEPS, "only ${params.name}"),
        ("models: {m: @@{sha256: x}}\n" + STEPS, "'file' is missing"),
        ("models: @@[x]\n" + STEPS, "must be a mapping of models"),
        ("outputs: @@{a: b}\n" + STEPS, "must be a list of outputs"),
        ("outputs: [@@{from: s}]\n" + STEPS, "'to' is missing"),
        ("outputs: [{from: s, to: a.png, metadata: @@all}]\n" + STEPS, "full, digest or none"),
        ("outputs: [{from: s, to: a.jpg, quality: @@101}]\n" + STEPS, "from 1 to 100"),
        ("run: {@@retrys: 1}\n" + STEPS, "did you mean 'retries'?"),
        ("run: {retries: @@-1}\n" + STEPS, "a whole number from 0 to 100, not -1"),
        ("run: {timeout: @@0}\n" + STEPS, "a duration above zero"),
        ("run: {timeout: @@10 minutes}\n" + STEPS, "a duration above zero"),
        ("run: {max_failures: @@many}\n" + STEPS, "a share such as 5%, or a count"),
        ("run: {max_failures: @@1.5}\n" + STEPS, "a whole count"),
        ("run: {max_failures: @@true}\n" + STEPS, "a share such as"),
        ("run: {cache: {max_size: @@big}}\n" + STEPS, "a size such as 500MB"),
        ("run: {cache: {@@size: 1GB}}\n" + STEPS, "unknown key 'size'"),
        ("steps: {s: @@{with: {}}}", "'op' is missing"),
        ("steps: @@{}", "at least one step"),
        ("steps: {s: {op: @@3}}", "must be text, not 3"),
        (STEP % "@@wiht: {}", "did you mean 'with'?"),
        (STEP % "in: @@[x]", "must be a mapping of wires"),
        (STEP % "with: @@3", "must be a mapping of settings"),
        (STEP % "on_error: @@stop", "must be quarantine or fail, not 'stop'"),
        (STEP % "cache: @@1", "must be true or false"),
        (STEP % "batch: @@0", "a whole number from 1"),
        (STEP % "device: @@cuda0", "must be cpu or cuda, not 'cuda0', did you mean 'cuda'?"),
        (STEP % "pair: @@both", "must be cross, zip or {match: field}"),
        (STEP % "pair: {match: @@{a: b}}", "of each of two sources"),
        (STEP % "pair: @@{}", "'match' is missing"),
        (STEP % "gather: @@{by: a.b}", "'over' is missing"),
        (
            "sources: {a: {glob: x}}\n"
            "steps: {s: {op: sheet, in: {images: a}, gather: {over: a, missing: @@drop}}}",
            "must be skip or fail",
        ),
        (STEP % "when: @@3", "must be text"),
        (STEP % "models: {m: @@3}", "must be text"),
    ],
)
def test_wrong_shapes_are_told_at_their_place(text, message):
    assert_complaint(text, message)


def test_the_run_block():
    graph = load(
        "run: {retries: 0, timeout: 1.5h, max_failures: 5%, cache: {max_size: 1.5GiB}}\n" + STEPS
    )

    assert graph.run == RunOptions(0, 5400.0, "5%", 1_610_612_736)
    assert load("run: {max_failures: 12, timeout: 3}\n" + STEPS).run.max_failures == "12"
    assert load("run: {cache: {max_size: 50GB}}\n" + STEPS).run.max_size_bytes == 50 * 10**9


def test_what_a_step_says_wins_over_the_run_block():
    graph = load(
        "run: {retries: 5, timeout: 1m}\n"
        "steps:\n"
        "  a: {op: draw}\n"
        "  b: {op: draw, retries: 0, timeout: 90s, cache: false, batch: 4, device: cpu,"
        " on_error: fail}\n"
        "  c: {op: draw, batch: auto}\n"
    )
    a, b, c = graph.steps.values()

    assert (a.retries, a.timeout_s, a.cache, a.batch, a.on_error) == (
        5,
        60.0,
        True,
        None,
        "quarantine",
    )
    assert (b.retries, b.timeout_s, b.cache, b.batch, b.on_error) == (0, 90.0, False, 4, "fail")
    assert (b.device, c.batch) == ("cpu", None)


def test_params_reach_every_block():
    text = (
        "params: {n: 2, name: x, where: a, list: [1, 2]}\n"
        "name: '${params.name}-flow'\n"
        "sources: {v: {values: '${params.list}'}, f: {glob: '${params.where}/*.jpg'}}\n"
        "steps: {s: {op: draw, retries: '${params.n}', when: 'v.value < ${params.n}'}}\n"
    )
    spec = parse_spec(text, "flow.yaml", {"where": "b"})

    assert spec.problems.found == []
    assert spec.name == "x-flow"
    assert spec.sources["v"].options == {"values": [1, 2]}
    assert spec.steps["s"].retries == 2
    assert spec.steps["s"].when == "v.value < 2"
    assert isinstance(spec.sources["f"].options["glob"], Given)


def test_a_nameless_workflow_is_named_after_its_file():
    assert parse_spec(STEPS, "/a/portraits.yaml", {}).name == "portraits"


def test_a_model_may_say_how_precise_it_is() -> None:
    text = "models: {a: {builtin: toy, precision: bf16}, b: {file: x.pt}}\nsteps: {s: {op: blur}}\n"
    models = parse_spec(text, "w.yaml", {}).models
    assert (models["a"].builtin, models["a"].precision) == ("toy", "bf16")
    assert (models["b"].file, models["b"].precision) == ("x.pt", "fp32")
    wrong = parse_spec(text.replace("bf16", "half"), "w.yaml", {})
    assert [p.message for p in wrong.problems.found] == ["must be fp32, bf16 or fp16, not 'half'"]
