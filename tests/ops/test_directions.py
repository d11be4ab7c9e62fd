"""Learning directions from labelled codes, and editing by them, as ops."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine import settings
from engine.codecs import decode, encode
from engine.errors import OpError, SpecError
from engine.op import read_op
from engine.values import Direction, Image, Latent, Network, Scalar, split
from models import describe
from models.directions import StoredDirection, load_direction, save_direction
from ops.codes import sample_codes
from ops.dependencies import measure_identity
from ops.directions import edit, score_attributes
from ops.learning import learn_direction
from ops.synthesis import synthesize
from run_workflow import plan, run


@pytest.fixture
def codes(model: Network) -> list[Latent]:
    data = torch.randn(200, 16, generator=torch.Generator().manual_seed(2))
    return list(split(Latent(data, "w", model.family)))


def stored(direction: Direction, path: Path) -> str:
    save_direction(
        StoredDirection(
            direction.data[0],
            float(direction.sigma[0]),
            float(direction.offset[0]),
            direction.name,
            direction.space,
            direction.family,
        ),
        path,
    )
    return str(path)


def test_learned_direction_moves_the_label_by_strength(
    model: Network, codes: list[Latent], w: Latent, tmp_path: Path
) -> None:
    labels = [Scalar((float(c.data[0, 3]) * 2 + 1,)) for c in codes]
    learned = learn_direction(codes, model, labels, attribute="third", method="ridge")
    assert learned.accuracy.data[0] > 0.95  # type: ignore[operator]
    assert learned.control.data[0] < 0.8  # type: ignore[operator]
    assert json.loads(learned.direction.card)["method"] == "ridge"
    path = stored(learned.direction, tmp_path / "third.safetensors")
    deviation = torch.cat([c.data for c in codes])[:, 3].std()
    moved = edit(w, model, direction=path, strength=2.0).latent.data[:, 3] - w.data[:, 3]
    assert torch.allclose(moved, (2 * deviation).expand(5), rtol=0.05)
    assert torch.equal(edit(w, model, direction=path, strength=0.0).latent.data, w.data)


def test_direction_of_another_generator_is_refused(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    path = tmp_path / "age.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "age", "w", "someone"), path)
    with pytest.raises(OpError, match="'age' was made for the generator someone, not for 'tiny'"):
        edit(w, model, direction=str(path))
    with pytest.raises(OpError, match="belongs to the generator other"):
        edit(replace(w, family="other"), model, direction=str(path))


def test_strengths_must_match_the_directions(model: Network, w: Latent, tmp_path: Path) -> None:
    path = tmp_path / "age.safetensors"
    save_direction(StoredDirection(torch.eye(16)[0], 1.0, 0.0, "age", "w", model.family), path)
    with pytest.raises(OpError, match="3 strengths for 1 directions"):
        edit(w, model, direction=[str(path)], strength=[1.0, 2.0, 3.0])


@pytest.mark.parametrize("strength", [1e30, [1.0, -101.0]])
def test_a_strength_far_beyond_every_picture_is_told_before_the_run(
    strength: float | list[float],
) -> None:
    _, problems = settings.check(read_op(edit), {"direction": ["smile"], "strength": strength})
    assert [("from -100 to 100" in problem) for problem in problems] == [True]
    assert not settings.check(read_op(edit), {"direction": ["smile"], "strength": [1.0, -100]})[1]


def test_model_without_a_feature_network_cannot_score(model: Network) -> None:
    with pytest.raises(OpError, match="'tiny' has no feature network"):
        score_attributes(Image(torch.zeros(1, 3, 32, 32)), model)


def test_file_a_workflow_wrote_can_be_edited_with(
    model: Network, codes: list[Latent], w: Latent, tmp_path: Path
) -> None:
    from engine.codecs import encode

    labels = [Scalar((float(c.data[0, 3]),)) for c in codes]
    direction = learn_direction(codes, model, labels, attribute="third").direction
    path = tmp_path / "third.safetensors"
    path.write_bytes(encode(direction))
    by_file = edit(w, model, direction=str(path)).latent.data
    by_hand = edit(w, model, direction=stored(direction, tmp_path / "same.safetensors")).latent.data
    assert torch.equal(by_file, by_hand)


def planted(model: Network, folder: Path, axis: int, name: str, tilt: float = 0.0) -> str:
    """A stored direction along one coordinate of w, or a little beside it."""
    data = torch.eye(16)[axis] + tilt * torch.eye(16)[5]
    path = folder / f"{name}.safetensors"
    unit = data / data.norm()
    save_direction(StoredDirection(unit, 2.0, 0.1, name, "w", model.family), path)
    return str(path)


def test_no_limit_applies_what_was_requested(model: Network, w: Latent, tmp_path: Path) -> None:
    a, b = planted(model, tmp_path, 0, "a"), planted(model, tmp_path, 1, "b")
    done = edit(w, model, direction=[a, b], strength=[1.5, -1.0])
    assert done.requested.data == done.applied.data == (1.5,) * 5
    assert done.free.data == (1.0,) * 5


def test_nearly_parallel_directions_are_reported_and_parallel_ones_refused(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    a, near = planted(model, tmp_path, 0, "a"), planted(model, tmp_path, 0, "near", 0.2)
    done = edit(w, model, direction=a, condition=[near])
    assert done.free.data[0] == pytest.approx(0.196, abs=1e-3)
    moved = (done.latent.data - w.data) @ torch.tensor([1, 0, 0, 0, 0, 0.2] + [0] * 10)
    assert moved.abs().max() < 1e-4
    same = planted(model, tmp_path, 0, "same", 0.05)
    with pytest.raises(OpError, match=r"'a' has no part free of 'same' \(5% is left\)"):
        edit(w, model, direction=a, condition=[same])


def test_conditions_in_any_number_and_order_leave_their_readings(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    target = planted(model, tmp_path, 0, "t", 0.7)
    kept = [planted(model, tmp_path, axis, f"c{axis}", 0.5) for axis in (1, 2, 3, 4)]
    once = edit(w, model, direction=target, condition=kept).latent.data
    again = edit(w, model, direction=target, condition=[*reversed(kept), kept[0]]).latent.data
    assert torch.allclose(once, again, atol=1e-5)
    for axis in (1, 2, 3, 4):
        normal = torch.eye(16)[axis] + 0.5 * torch.eye(16)[5]
        assert ((once - w.data) @ normal).abs().max() < 1e-5


@pytest.mark.parametrize("limit", ["identity <= 0.4", "perceptual<=0.05"])
def test_a_limit_draws_the_edit_back_as_far_as_needed(
    companions: Network, w: Latent, tmp_path: Path, limit: str
) -> None:
    path = planted(companions, tmp_path, 0, "far")
    code = replace(w, family=companions.family)
    free = edit(code, companions, direction=path, strength=8.0)
    done = edit(code, companions, direction=path, strength=8.0, limit=limit)
    assert done.requested.data == (8.0,) * 5
    share = torch.tensor([float(x) / 8 for x in done.applied.data])  # type: ignore[arg-type]
    assert 0 < share.min() < 1
    wanted = torch.lerp(code.data, free.latent.data, share[:, None])
    assert torch.allclose(done.latent.data, wanted, atol=1e-4)
    wide = edit(code, companions, direction=path, strength=8.0, limit="identity <= 1000")
    assert torch.equal(wide.latent.data, free.latent.data)
    none = edit(code, companions, direction=path, strength=8.0, limit="identity <= 0")
    assert torch.equal(none.latent.data, code.data)
    assert none.applied.data == (0.0,) * 5


def test_a_limit_holds_for_the_pictures_that_a_run_keeps(
    companions: Network, w: Latent, tmp_path: Path
) -> None:
    path = planted(companions, tmp_path, 0, "far")
    # Far from the mean, where colours reach beyond their range.
    code = Latent(3 * w.data, "w", companions.family)
    done = edit(code, companions, direction=path, strength=8.0, limit="identity <= 0.1")
    assert all(0 < float(x) < 8 for x in done.applied.data)  # type: ignore[arg-type]
    plain, moved = (decode(encode(synthesize(one, companions))) for one in (code, done.latent))
    assert all(float(x) <= 0.1001 for x in measure_identity(plain, moved, companions).data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("identity < 1", "write it as `identity <= 0.5`"),
        ("idenity <= 1", "there is no 'idenity', did you mean 'identity'"),
    ],
)
def test_a_limit_that_says_nothing_is_refused(
    model: Network, w: Latent, tmp_path: Path, limit: str, message: str
) -> None:
    with pytest.raises(OpError, match=message):
        edit(w, model, direction=planted(model, tmp_path, 0, "a"), limit=limit)


@pytest.mark.parametrize("name", ["smile", "hair_lightness", "age"])
def test_a_direction_that_ships_moves_its_score_both_ways(name: str) -> None:
    info = describe("portraits-128")
    people = Network("people", info.path, info.digest, info.digest, info.resolution, info.num_rows)
    path = str(Path(info.path).parent / "directions" / f"{name}.safetensors")
    codes = sample_codes(Scalar(tuple(range(6))), people, seed=31)

    def read(strength: float) -> torch.Tensor:
        moved = edit(codes, people, direction=path, strength=strength).latent
        scores = score_attributes(synthesize(moved, people), people)
        return scores.data[:, scores.names.index(name)]

    told = torch.stack([read(step / 2) for step in range(-4, 5)], 1)
    assert (told[:, 0] < told[:, 4]).all()
    assert (told[:, 4] < told[:, -1]).all()
    # It never falls; at the ends of its range a reading may stand still.
    assert float((told.diff(dim=1) >= 0).double().mean()) >= 0.9


@pytest.mark.parametrize(("name", "other"), [("smile", "lip_colour"), ("yaw", "nose")])
def test_two_deviations_bring_codes_across_and_a_condition_stays(name: str, other: str) -> None:
    info = describe("portraits-128")
    people = Network("people", info.path, info.digest, info.digest, info.resolution, info.num_rows)
    folder = Path(info.path).parent / "directions"
    codes = sample_codes(Scalar(tuple(range(60))), people, seed=37)

    def read(latent: Latent) -> torch.Tensor:
        scores = score_attributes(synthesize(latent, people), people)
        return scores.data[:, [scores.names.index(one) for one in (name, other)]]

    before = read(codes)
    lowest, highest = before.quantile(torch.tensor([0.02, 0.98]), dim=0)
    middle = (lowest + highest)[0] / 2
    for kept in ([], [str(folder / f"{other}.safetensors")]):
        up, down = (
            read(
                edit(
                    codes,
                    people,
                    direction=str(folder / f"{name}.safetensors"),
                    strength=strength,
                    condition=kept,
                ).latent
            )
            for strength in (2.0, -2.0)
        )
        low = before[:, 0] < middle
        across = torch.cat([up[low, 0] > middle, down[~low, 0] < middle])
        assert float(across.double().mean()) >= 0.95
        moved = ((up - down).mean(0) / before.std(0)).abs()
        assert not kept or float(moved[1]) < 0.2 * float(moved[0])


EDITED = """version: 1
sources: {{code: {{samples: {{count: 2, seed: 1}}}}}}
steps:
  moved: {{op: edit, in: {{latent: code}}, with: {{direction: '{path}'}}}}
outputs: [{{from: moved.latent, to: '{{code.index}}.safetensors'}}]
"""


def test_a_changed_card_makes_an_edit_anew_and_a_broken_one_is_told_before(tmp_path: Path) -> None:
    people = Path(describe("portraits-128").path)
    found = load_direction(people.parent / "directions" / "smile.safetensors")
    path, recipe = tmp_path / "smile.safetensors", tmp_path / "w.yaml"
    recipe.write_text(EDITED.format(path=path))

    def left(card: str) -> int:
        save_direction(replace(found, card=card), path)
        flags = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
        count = plan(recipe, **flags).steps["moved"].to_run
        run(recipe, workers=1, **flags)
        assert plan(recipe, **flags).steps["moved"].to_run == 0
        return count

    card = json.loads(found.card)
    assert left(found.card) == 2
    assert left(json.dumps(card | {"moves": card["moves"] | {"age": 0.5}})) == 2
    assert left(found.card) == 0
    save_direction(replace(found, card='{"moves": {"age": "far"}}'), path)
    with pytest.raises(SpecError, match=r"card has moves of 'far' for 'age'.*calibrate it again"):
        plan(recipe, out=tmp_path / "out")
