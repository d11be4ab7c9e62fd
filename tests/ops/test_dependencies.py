"""Dependency, identity, path length, separability and editability, as ops."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError, ShapeError
from engine.values import Image, Latent, Network, Scores, split
from models.directions import StoredDirection, save_direction
from ops.dependencies import (
    measure_dependency,
    measure_disentanglement,
    measure_editability,
    measure_identity,
    measure_path_length,
    measure_separability,
)

NAMES = ("smile", "age", "light")


def readings(seed: int = 0) -> list[Scores]:
    data = torch.rand(30, 3, generator=torch.Generator().manual_seed(seed))
    return list(split(Scores(data, NAMES)))


def random_codes(model: Network, count: int, space: str = "w") -> list[Latent]:
    data = torch.randn(count, 16, generator=torch.Generator().manual_seed(3))
    return list(split(Latent(data, space, model.family)))  # type: ignore[arg-type]


def test_dependency_is_in_deviations_of_what_was_before() -> None:
    before = readings()
    spread = torch.cat([score.data for score in before]).std(0)
    moved = torch.tensor([2.0, 0.5, -0.1]) * spread
    after = [replace(score, data=score.data + moved) for score in before]
    told = measure_dependency(before, after, attribute="smile")
    assert told.reached.data[0] == pytest.approx(2, abs=1e-4)
    assert told.mean.data[0] == pytest.approx(0.3, abs=1e-4)
    assert told.most.data[0] == pytest.approx(0.5, abs=1e-4)
    assert torch.allclose(told.change.data, torch.tensor([[2.0, 0.5, -0.1]]), atol=1e-4)
    none = measure_dependency(before, before, attribute="age")
    assert (none.mean.data, none.reached.data) == ((0.0,), (0.0,))


def test_dependency_names_what_does_not_meet() -> None:
    with pytest.raises(OpError, match="no attribute 'smlie', did you mean 'smile'"):
        measure_dependency(readings(), readings(), attribute="smlie")
    with pytest.raises(OpError, match="30 scores before and 29 after"):
        measure_dependency(readings(), readings()[1:], attribute="smile")


def test_identity_is_zero_for_the_same_picture(companions: Network) -> None:
    a, b = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert measure_identity(Image(a), Image(a), companions).data == (0.0,) * 3
    assert all(x > 0 for x in measure_identity(Image(a), Image(b), companions).data)  # type: ignore[operator]
    with pytest.raises(ShapeError, match="resize one"):
        measure_identity(Image(a), Image(a[..., :16]), companions)


def test_path_length_hardly_depends_on_the_step(companions: Network) -> None:
    for space in ("w", "z"):
        codes = random_codes(companions, 12, space)
        near, far = (
            measure_path_length(codes, companions, epsilon=e, trim=0).data[0] for e in (5e-4, 2e-3)
        )
        assert far == pytest.approx(near, rel=0.1)
    with pytest.raises(OpError, match="3 codes in w: at least 4"):
        measure_path_length(random_codes(companions, 3), companions)


def test_full_paths_begin_where_their_seed_says(companions: Network) -> None:
    codes = random_codes(companions, 12)
    told = [
        measure_path_length(codes, companions, sampling=sampling, seed=seed).data[0]  # type: ignore[arg-type]
        for sampling, seed in (("end", 0), ("end", 1), ("full", 0), ("full", 0), ("full", 1))
    ]
    assert told[0] == told[1]
    assert told[2] == told[3]
    assert len({told[0], told[2], told[4]}) == 3


def test_path_length_grows_with_the_square_of_the_way(companions: Network) -> None:
    codes = random_codes(companions, 8)
    start = [codes[2 * (i // 2)] for i in range(8)]
    half = [
        code if i % 2 == 0 else replace(code, data=(code.data + start[i].data) / 2)
        for i, code in enumerate(codes)
    ]
    whole = measure_path_length(codes, companions, trim=0).data[0]
    assert measure_path_length(half, companions, trim=0).data[0] == pytest.approx(
        float(whole) / 4,  # type: ignore[arg-type]
        rel=0.1,
    )


def test_what_is_a_coordinate_is_separable_and_noise_is_not(model: Network) -> None:
    codes = random_codes(model, 300)
    noise = torch.randn(300, 1, generator=torch.Generator().manual_seed(9))
    table = torch.cat([torch.cat([code.data[:, :1] for code in codes]), noise], 1)
    told = measure_separability(codes, list(split(Scores(table, ("told", "noise")))))
    easy, hard = told.entropies.data[0].tolist()
    assert easy < 0.2
    assert hard > 0.5
    assert told.score.data[0] == pytest.approx(math.exp(easy + hard), rel=1e-3)
    with pytest.raises(OpError, match="2 scores for 300 codes"):
        measure_separability(codes, list(split(Scores(table[:2], ("told", "noise")))))


def stored(folder: Path, model: Network, name: str, axis: int) -> str:
    path = folder / f"{name}.safetensors"
    save_direction(StoredDirection(torch.eye(16)[axis], 1.0, 0.0, name, "w", model.family), path)
    return str(path)


def test_an_edit_of_nothing_is_as_consistent_as_encoding_twice(
    companions: Network, tmp_path: Path
) -> None:
    picture = Image(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1)
    path = stored(tmp_path, companions, "smile", 0)
    none, more = (
        measure_editability(picture, companions, direction=path, strength=s).data
        for s in (0.0, 30.0)
    )
    assert all(0 < a < b for a, b in zip(none, more, strict=True))  # type: ignore[operator]
    single = measure_editability(Image(picture.data[:1]), companions, direction=path, strength=30.0)
    assert single.data[0] == pytest.approx(more[0], abs=1e-4)
    foreign = stored(tmp_path, replace(companions, family="other"), "age", 1)
    with pytest.raises(OpError, match="was made for the generator"):
        measure_editability(picture, companions, direction=foreign)


def test_disentanglement_gives_a_page_and_numbers(companions: Network, tmp_path: Path) -> None:
    paths = [stored(tmp_path, companions, name, i) for i, name in enumerate(("smile", "age"))]
    told = measure_disentanglement(random_codes(companions, 6), companions, directions=paths)
    assert told.page.data.shape[:2] == (1, 3)
    assert told.page.data.min() >= -1
    assert told.page.data.max() == 1
    assert str(told.suggested.data[0]).startswith("smile: ")
    assert told.leak_kept.data[0] <= told.leak.data[0]  # type: ignore[operator]
    with pytest.raises(OpError, match="names must be different"):
        measure_disentanglement(
            random_codes(companions, 6), companions, directions=[paths[0], paths[0]]
        )
