"""Codes brought to the pose of others: what is taken, what is kept, and what is refused."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models
from engine.errors import OpError
from engine.values import Latent, Network, take
from models import describe
from models.codes import draw
from models.directions import StoredDirection, load_direction, save_direction
from ops.codes import to_style
from ops.directions import score_attributes
from ops.features import transfer_attribute
from ops.pose import align_pose
from ops.synthesis import synthesize

Paths = list[str]


def other(w: Latent) -> Latent:
    return replace(w, data=w.data.flip(0))


@pytest.fixture(scope="module")
def paths(model: Network, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Two directions of w, neither orthogonal nor alike, named as the test network's attributes."""
    folder = tmp_path_factory.mktemp("directions")
    random = torch.Generator().manual_seed(3)
    found = []
    for name, sigma in (("smile", 0.5), ("age", 2.0)):
        vector = torch.nn.functional.normalize(torch.randn(16, generator=random) + 0.3, dim=0)
        direction = StoredDirection(vector, sigma, 0.1, name, "w", model.family)
        save_direction(direction, folder / f"{name}.safetensors")
        found.append(str(folder / f"{name}.safetensors"))
    return found


def test_layers_give_the_reference_that_transfer_takes(model: Network, w: Latent) -> None:
    for by in ("style", "rows"):
        posed = align_pose(other(w), w, model, by=by).latent  # type: ignore[arg-type]
        whole = transfer_attribute(other(w), w, model, align=by, last=32).image.data  # type: ignore[arg-type]
        torch.testing.assert_close(synthesize(posed, model).data, whole, atol=1e-6, rtol=0)
        assert posed.space == {"style": "style", "rows": "w_plus"}[by]


@pytest.mark.parametrize("by", ["style", "rows"])
def test_no_layer_and_every_layer(model: Network, w: Latent, by: str) -> None:
    def pictures(code: Latent) -> torch.Tensor:
        return synthesize(code, model).data

    none = align_pose(other(w), w, model, by=by, layers=0).latent  # type: ignore[arg-type]
    assert torch.equal(pictures(none), pictures(w))
    every = align_pose(other(w), w, model, by=by, layers=99).latent  # type: ignore[arg-type]
    assert torch.equal(pictures(every), pictures(other(w)))


@pytest.mark.parametrize("by", ["style", "rows", "directions"])
@pytest.mark.parametrize("space", ["w", "w_plus", "style"])
def test_a_code_in_its_own_pose_stays(
    companions: Network, paths: Paths, w: Latent, by: str, space: str
) -> None:
    if (by, space) == ("rows", "style"):
        return
    code = w
    if space == "w_plus":
        code = Latent(w.data[:, None].expand(-1, 8, -1).clone(), "w_plus", w.family)
    elif space == "style":
        code = to_style(w, companions)
    chosen = paths if by == "directions" else []
    posed = align_pose(code, code, companions, by=by, direction=chosen)  # type: ignore[arg-type]
    assert torch.equal(synthesize(posed.latent, companions).data, synthesize(w, companions).data)
    if by == "directions":
        assert posed.before.data == posed.after.data == (0.0,) * 5
        assert torch.equal(posed.latent.data, code.data)


def test_directions_make_codes_read_alike_and_keep_the_rest(
    model: Network, paths: Paths, w: Latent
) -> None:
    posed = align_pose(other(w), w, model, by="directions", direction=paths)
    assert posed.before.data == (None,) * 5  # there is no network beside this model
    vectors = torch.stack([load_direction(path).data for path in paths])
    moved, wanted = posed.latent.data - w.data, other(w).data - w.data
    # Each amount is what its own direction reads; together they are the moves along both.
    sigma_free = wanted @ vectors.T
    joint = torch.linalg.solve(vectors @ vectors.T, sigma_free.T).T @ vectors
    torch.testing.assert_close(moved @ vectors.T, sigma_free, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved, joint, atol=1e-4, rtol=0)


def test_one_direction_alone_and_one_code_alone(
    companions: Network, paths: Paths, w: Latent
) -> None:
    whole = align_pose(other(w), w, companions, by="directions", direction=paths[0], refine=1)
    for i in range(5):
        alone = align_pose(
            take(other(w), i, i + 1),
            take(w, i, i + 1),
            companions,
            by="directions",
            direction=paths[:1],
            refine=1,
        )
        torch.testing.assert_close(
            alone.latent.data, whole.latent.data[i : i + 1], atol=1e-4, rtol=1e-4
        )


def test_a_correction_is_kept_only_if_it_helps(
    companions: Network, paths: Paths, w: Latent
) -> None:
    told = [
        align_pose(other(w), w, companions, by="directions", direction=paths, refine=n).after.data
        for n in (0, 1, 3)
    ]
    for earlier, later in itertools.pairwise(told):
        assert all(a >= b for a, b in zip(earlier, later, strict=True))  # type: ignore[operator]


def test_style_vectors_follow_directions_of_w_by_what_pictures_show(
    companions: Network, model: Network, paths: Paths, w: Latent
) -> None:
    style = to_style(w, companions)
    goal = to_style(other(w), companions)
    posed = align_pose(goal, style, companions, by="directions", direction=paths, refine=2)
    assert posed.latent.space == "style"
    assert all(a <= b for a, b in zip(posed.after.data, posed.before.data, strict=True))  # type: ignore[operator]
    assert posed.after.data != posed.before.data
    with pytest.raises(OpError, match="cannot be read along directions of w"):
        align_pose(goal, style, model, by="directions", direction=paths)
    with pytest.raises(OpError, match="cannot be read along directions of w"):
        align_pose(goal, style, companions, by="directions", direction=paths, refine=0)


def test_the_portraits_that_ship_turn_their_heads() -> None:
    info = describe("portraits-128")
    network = Network(
        "portraits-128", str(info.path), info.digest, info.digest, info.resolution, info.num_rows
    )
    generator = models.network(network.path)
    with torch.no_grad():
        w = generator.mapping(draw(5, 6, generator.config.z_dim))
    codes = Latent(w, "w", network.family)
    folder = Path(info.path).parent / "directions"
    paths = [str(folder / f"{name}.safetensors") for name in ("yaw", "pitch")]
    posed = align_pose(other(codes), codes, network, by="directions", direction=paths)
    before, after = (torch.tensor(told.data) for told in (posed.before, posed.after))
    assert after.mean() < 0.1 * before.mean()
    shown, was = (
        score_attributes(synthesize(code, network), network) for code in (posed.latent, codes)
    )
    hair = shown.names.index("hair_lightness")
    assert (shown.data - was.data)[:, hair].abs().mean() < 0.1


def test_settings_that_contradict_each_other(model: Network, paths: Paths, w: Latent) -> None:
    with pytest.raises(OpError, match=r"needs a direction, such as \[yaw, pitch\]"):
        align_pose(w, w, model, by="directions")
    with pytest.raises(OpError, match="say by: directions"):
        align_pose(w, w, model, direction=paths)
    with pytest.raises(OpError, match="has no rows"):
        align_pose(to_style(w, model), w, model, by="rows")
    with pytest.raises(OpError, match="belongs to the generator"):
        align_pose(w, replace(w, family="other"), model)
    strange = replace(model, family="0" * 64)
    code = replace(w, family="0" * 64)
    with pytest.raises(OpError, match="was made for the generator"):
        align_pose(code, code, strange, by="directions", direction=paths)
