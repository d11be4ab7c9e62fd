"""Components as directions: found, numbered, saved, and followed exactly."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.codecs import encode
from engine.errors import OpError
from engine.values import Direction, Latent, Network, Scalar, split, stack, take
from models.components import code_components
from models.direction_library import Wish, open_library, take_in
from models.stylegan2 import Generator
from ops.codes import sample_codes, to_style
from ops.components import find_components, follow_direction
from ops.directions import edit


def component(model: Network, k: int = 0) -> Direction:
    return find_components(model, component=k, count=600).direction


def test_component_is_numbered_by_its_share(model: Network, generator: Generator) -> None:
    found = [find_components(model, component=k, count=600) for k in range(4)]
    shares = [one.explained.data[0] for one in found]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]
    stored = code_components(generator, 600, 0)
    assert torch.equal(found[2].direction.data[0], stored.directions[2].float())
    card = json.loads(found[2].direction.card)
    assert (card["component"], card["codes"], card["layer"]) == (2, 600, "w")
    assert card["model"] == "tiny"
    assert card["explained_so_far"] == pytest.approx(sum(shares[:3]), abs=1e-5)  # type: ignore[arg-type]
    with pytest.raises(OpError, match="component 16: there are 16, from 0"):
        find_components(model, component=16, count=600)


def test_step_moves_its_own_coordinate_and_no_other(model: Network, w: Latent) -> None:
    directions = [component(model, k) for k in range(5)]
    data = torch.cat([direction.data for direction in directions]).double()
    sigma = torch.cat([direction.sigma for direction in directions]).double()
    moved = follow_direction(w, stacked(directions[1], 5), model, strength=1.5)
    change = (moved.data - w.data).double() @ data.T / sigma
    expected = torch.tensor([0.0, 1.5, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.allclose(change, expected.expand(5, -1), atol=1e-4)


def stacked(direction: Direction, count: int) -> Direction:
    return stack([direction] * count)


def test_only_the_chosen_rows_move(model: Network, w: Latent) -> None:
    narrow = find_components(model, count=600, rows=[2, 3]).direction
    assert narrow.rows == (2, 3)
    moved = follow_direction(w, stacked(narrow, 5), model, strength=2.0)
    wide = w.data[:, None].expand(-1, 8, -1)
    rest = [0, 1, 4, 5, 6, 7]
    assert torch.equal(moved.data[:, rest], wide[:, rest])
    step = 2.0 * narrow.sigma * narrow.data
    assert torch.allclose(moved.data[:, 2:4] - wide[:, 2:4], step.expand(5, 2, -1), atol=1e-5)
    other = follow_direction(w, stacked(narrow, 5), model, strength=2.0, rows=[5])
    assert torch.equal(other.data[:, :5], wide[:, :5])


def test_setting_to_nothing_takes_the_coordinate_away(model: Network, w: Latent) -> None:
    direction = component(model)
    centred = follow_direction(w, stacked(direction, 5), model, strength=0.0, mode="set_to")
    place = centred.data @ direction.data[0] - direction.offset
    assert torch.allclose(place, torch.zeros(5), atol=1e-4)
    assert torch.equal(follow_direction(w, stacked(direction, 5), model, strength=0.0).data, w.data)


def test_each_item_follows_its_own_direction(model: Network, w: Latent) -> None:
    one, two = (replace(component(model, k), name="any", card="{}") for k in (0, 1))
    together = follow_direction(take(w, 0, 2), stack([one, two]), model)
    apart = [
        follow_direction(take(w, k, k + 1), direction, model).data
        for k, direction in enumerate((one, two))
    ]
    assert torch.allclose(together.data, torch.cat(apart), atol=1e-6)


def test_saved_component_edits_as_it_does_in_the_workflow(
    model: Network, w: Latent, tmp_path: Path
) -> None:
    direction = component(model, 1)
    path = tmp_path / "component.safetensors"
    path.write_bytes(encode(direction))
    by_file = edit(w, model, direction=str(path), strength=-1.0)
    by_wire = follow_direction(w, stacked(direction, 5), model, strength=-1.0)
    assert torch.equal(getattr(by_file, "latent", by_file).data, by_wire.data)


def test_a_component_enters_the_library_with_all_that_is_known_of_it(
    model: Network, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    copy = shutil.copy(model.path, tmp_path / "model")
    direction = find_components(model, component=1, count=600, rows=[2, 3]).direction
    path = tmp_path / "component.safetensors"
    path.write_bytes(encode(direction))
    library = open_library(str(copy))
    take_in(library, path, Wish(name="second", licence="CC0-1.0"))
    kept = library.get("second")
    card = json.loads(kept.card)
    told = {name: card[name] for name in ("method", "component", "model", "codes", "licence")}
    assert told == {
        "method": "components",
        "component": 1,
        "model": "tiny",
        "codes": 600,
        "licence": "CC0-1.0",
    }
    assert (kept.family, kept.rows) == (model.family, (2, 3))
    assert kept.sigma == float(direction.sigma)


@pytest.mark.parametrize("space", ["w", "w_plus", "style"])
def test_given_codes_have_components_in_their_own_space(model: Network, space: str) -> None:
    codes = sample_codes(Scalar(tuple(range(30))), model, seed=9)
    if space == "w_plus":
        codes = Latent(codes.data[:, None].repeat(1, 8, 1), "w_plus", codes.family)
    if space == "style":
        codes = to_style(codes, model)
    found = find_components(model, list(split(codes))).direction
    assert found.space == space
    assert found.data.shape[1:] == codes.data.shape[1:]
    same, other = (
        json.loads(find_components(model, some).direction.card)["data"]
        for some in (list(split(codes)), list(split(codes))[1:])
    )
    assert json.loads(found.card)["data"] == same != other
    place = codes.data.flatten(1) @ found.data.flatten()
    assert float(place.std()) == pytest.approx(float(found.sigma), rel=1e-3)
    assert float(place.mean()) == pytest.approx(float(found.offset), abs=1e-3)


def test_components_at_a_layer_are_directions_in_w(model: Network) -> None:
    found = find_components(model, layer="8.conv1", count=60, component=3)
    assert found.direction.data.shape == (1, 16)
    assert found.direction.name == "8.conv1_component_3"
    assert float(found.direction.data.norm()) == pytest.approx(1, abs=1e-5)
    assert 0 < found.explained.data[0] < 1  # type: ignore[operator]


def test_what_makes_no_components_is_refused(model: Network, w: Latent) -> None:
    codes = list(split(w))
    with pytest.raises(OpError, match="found in `codes`, or in drawn ones"):
        find_components(model, codes, layer="8.conv1")
    with pytest.raises(OpError, match=r"layer '9\.conv1' does not exist"):
        find_components(model, layer="9.conv1")
    with pytest.raises(OpError, match="a style vector has no rows"):
        find_components(model, list(split(to_style(w, model))), rows=[1])
    with pytest.raises(OpError, match="map z first"):
        find_components(model, [Latent(torch.randn(1, 16), "z", w.family)] * 3)
    with pytest.raises(OpError, match="not to 'tiny'"):
        follow_direction(take(w, 0, 1), replace(component(model), family="other"), model)
