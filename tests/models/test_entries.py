"""Entries of a library, judged by their headers alone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models import ModelError, describe
from models.carried import pack
from models.directions import StoredDirection, save_direction
from models.entries import attributes_known, check_direction, check_scorer

OWNER = SimpleNamespace(
    name="tiny", path="tiny.safetensors", family="f" * 64, num_rows=8, w_dim=16, style_width=40
)
PLAIN = StoredDirection(torch.eye(16)[0], 1.0, 0.0, "x", "w", OWNER.family)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"data": torch.eye(8, 16) / 8**0.5, "space": "w_plus"}, ""),
        ({"data": torch.eye(40)[0], "space": "style"}, ""),
        ({"data": torch.eye(7)[0]}, "is 7 numbers in w, where 'tiny' has 16: import or learn it"),
        ({"data": torch.eye(18, 16) / 4, "space": "w_plus"}, "is 18 x 16 .* has 8 x 16"),
        ({"data": torch.eye(16)[0], "space": "z"}, "16 numbers in z, where 'tiny' has no directi"),
        ({"family": "a" * 64}, "made for the generator aaaaaaaaaaaa, not for 'tiny'"),
        ({"card": '{"moves": {"age": "far"}}'}, "card has moves of 'far' for 'age'.*calibrate it"),
        ({"card": "[]"}, "not a direction file: its card is no JSON object"),
    ],
)
def test_a_direction_is_judged_before_a_run(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    save_direction(replace(PLAIN, **changes), path)  # type: ignore[arg-type]
    if not message:
        check_direction(path, OWNER)
        return
    with pytest.raises(ModelError, match=message):
        check_direction(path, OWNER)


def test_what_files_know_is_told() -> None:
    people = describe("portraits-128")
    known = attributes_known(Path(people.path))
    assert {"smile", "age", "glasses"} < set(known)


@pytest.mark.parametrize(
    ("kind", "config", "known"),
    [
        ("scorer", {"name": "taste"}, ("taste",)),
        ("flow", {"flow": {"attributes": ["smile", "age"]}}, ("smile", "age")),
        ("sampler", {"category": {"attributes": ["age"]}}, ("age",)),
        ("delta", {}, ()),
    ],
)
def test_networks_know_what_their_files_say(
    kind: str, config: dict[str, object], known: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(pack(kind, "base", config, {"a": torch.zeros(1)}))
    assert attributes_known(path) == known


def test_a_scorer_goes_with_the_eyes_it_was_trained_with(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(pack("scorer", "base", {"name": "x", "eyes": "e"}, {"a": torch.zeros(1)}))
    owner = SimpleNamespace(**{**vars(OWNER), "path": str(tmp_path / "generator.safetensors")})
    check_scorer(path, owner)  # no feature network: whoever scores says so
    (tmp_path / "features.safetensors").write_bytes(b"other eyes")
    with pytest.raises(ModelError, match=r"trained with another feature network than .* 'tiny'"):
        check_scorer(path, owner)


def test_a_file_of_another_kind_says_what_it_holds(tmp_path: Path) -> None:
    scorer, direction = tmp_path / "s.safetensors", tmp_path / "d.safetensors"
    scorer.write_bytes(pack("scorer", "base", {"name": "x"}, {"a": torch.zeros(1)}))
    save_direction(PLAIN, direction)
    with pytest.raises(ModelError, match="not a direction file: it holds a network of kind scorer"):
        check_direction(scorer, OWNER)
    with pytest.raises(ModelError, match="holds a value of type Direction, no scorer"):
        check_scorer(direction, OWNER)
