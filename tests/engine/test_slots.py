"""engine/slots.py: which model fills a slot, and whose codes may enter."""

import pytest

from tests.engine.language import assert_complaint, load

HEAD = "sources: {photo: {glob: '*.jpg'}}\nsteps:\n  code: {op: invert, in: {image: photo}%s}\n"
TWO = "models: {a: portraits-128, b: landscapes-128, c: {file: tuned.pt}}\n"


def slots(text: str, step: str) -> dict[str, str]:
    return {slot: ref.name for slot, ref in load(text).steps[step].models.items()}


def test_without_models_the_builtin_is_used():
    graph = load(HEAD % "")

    assert graph.steps["code"].models["model"].name == "portraits-128"
    assert list(graph.models) == ["portraits-128"]


def test_the_only_declared_model_is_used():
    assert slots("models: {b: landscapes-128}\n" + HEAD % "", "code") == {"model": "b"}


def test_the_model_of_the_code_goes_on():
    text = TWO + HEAD % ", model: b" + "  picture: {op: synthesize, in: {latent: code}}"

    assert slots(text, "picture") == {"model": "b"}


def test_a_file_is_relative_to_the_workflow():
    graph = load("models: {m: {file: weights/g.pt}}\n" + HEAD % "")

    assert graph.models["m"].path == "/flows/weights/g.pt"


def test_several_slots_are_named():
    text = (
        TWO + HEAD % ", model: a" + "  t: {op: translate, in: {latent: code}, models: {target: b}}"
    )

    assert slots(text, "t") == {"source": "a", "target": "b"}


def test_codes_of_one_family_are_interchangeable():
    assert slots(
        TWO + HEAD % ", model: a" + "  p: {op: synthesize, in: {latent: code}, model: c}", "p"
    )


def test_a_step_can_train_the_model_and_brings_its_axes():
    text = (
        HEAD % ""
        + "  tuned: {op: tune, in: {image: photo, latent: code}}\n"
        + "  p: {op: synthesize, in: {latent: code}, model: tuned}\n"
        + "  q: {op: draw}\n"
    )
    graph = load(text)

    assert graph.steps["p"].models["model"].step == "tuned"
    assert graph.steps["p"].models["model"].info is None
    assert graph.steps["p"].axes == ("photo",)
    assert graph.steps["tuned"].timeout_s is None
    assert graph.steps["q"].models == {}


def test_a_tuned_models_own_codes_bring_it_along():
    text = (
        HEAD % ""
        + "  tuned: {op: tune, in: {image: photo, latent: code}}\n"
        + "  again: {op: invert, in: {image: photo}, model: tuned}\n"
        + "  p: {op: synthesize, in: {latent: again}}\n"
        + "  s: {op: edit, in: {latent: again}, with: {direction: smile}}\n"
    )
    graph = load(text)

    assert graph.steps["p"].models["model"].step == "tuned"
    assert graph.steps["s"].assets["smile"][1] == "directions smile of portraits"


def test_samples_name_their_model():
    text = (
        TWO
        + "sources: {z: {samples: {count: 3, seed: 5, model: b}}}\n"
        + "steps: {p: {op: synthesize, in: {latent: z}, with: {noise: none}}}"
    )
    graph = load(text)

    assert graph.sources["z"].model.name == "b"
    assert graph.sources["z"].fields == ("index", "seed")
    assert graph.sources["z"].options == {"count": 3, "seed": 5, "truncation": 1.0}
    assert slots(text, "p") == {"model": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO + HEAD % ", model: @@aa", "unknown model 'aa', did you mean 'a'?"),
        (
            HEAD % ", model: @@zz",
            "unknown model 'zz'; declare it: models: {zz: {file: weights.pt}}",
        ),
        (HEAD % ", model: @@photo", "'photo' yields no model"),
        (HEAD % ", models: {@@net: a}", "invert has no model slot 'net'; it has model"),
        (HEAD % "" + "  e: {op: draw, @@model: portraits-128}", "op 'draw' uses no model"),
        (
            TWO + HEAD % ", model: a" + "  t: {op: translate, in: {latent: code}, model: @@b}",
            "translate has source, target: write `models: {...}`",
        ),
        (
            TWO + HEAD % ", model: a" + "  p: {op: synthesize, in: {latent: @@code}, model: b}",
            "this Latent belongs to model 'portraits-128' (12 rows of 512) and step 'p' uses",
        ),
        (
            TWO
            + HEAD % ", model: a"
            + "  other: {op: invert, in: {image: photo}, model: b}\n"
            + "  m: {op: mix, in: {content: code, style: @@other}}",
            "belongs to model 'landscapes-128'",
        ),
        (
            "models: {m: @@portrait-128}\n" + HEAD % "",
            "there is no builtin 'portrait-128', did you",
        ),
        ("models: {m: {file: @@missing.pt}}\n" + HEAD % "", "there is no file"),
        (
            "models: {m: {file: a.pt, sha256: @@'123'}}\n" + HEAD % "",
            "a.pt has sha256 digest of /flows/a.pt, not 123",
        ),
        (
            "sources: {z: {samples: {count: 3, model: @@q}}}\nsteps: {d: {op: draw}}",
            "unknown model 'q'",
        ),
    ],
)
def test_mistakes_are_told(text, message):
    assert_complaint(text, message)


def test_a_digest_may_be_pinned():
    assert load("models: {m: {file: a.pt, sha256: A.PT}}\n" + HEAD % "").models
