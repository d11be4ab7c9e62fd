"""Breeding as ops."""

from pathlib import Path

import pytest
import torch

from engine.codecs import encode
from engine.errors import OpError
from engine.op import Seed
from engine.values import Image, Latent, Network
from models.directions import StoredDirection, save_direction
from ops.breeding import crossbreed, load_code


@pytest.fixture
def gene(model: Network, tmp_path: Path) -> str:
    data = torch.nn.functional.normalize(torch.randn(16), dim=0)
    path = tmp_path / "gene.safetensors"
    save_direction(StoredDirection(data, 0.7, 0.0, "gene", "w", model.family), path)
    return str(path)


def pair(w: Latent) -> tuple[Latent, Latent]:
    return (
        Latent(w.data[:2], "w", w.family),
        Latent(w.data[2:4], "w", w.family),
    )


def test_parents_come_back_at_the_ends(model: Network, w: Latent) -> None:
    a, b = pair(w)
    one = crossbreed(a, b, model, content=0, style=0).latent
    assert one.space == "w_plus"
    assert torch.equal(one.data, a.data[:, None].expand(-1, 8, -1))
    assert torch.equal(
        crossbreed(a, b, model, content=1, style=1).latent.data,
        b.data[:, None].expand(-1, 8, -1),
    )
    half = crossbreed(a, b, model, crossover=4)
    torch.testing.assert_close(half.latent.data[:, 0], (a.data + b.data) / 2)
    assert len(half.distance.data) == 2


def test_genes_add_up_and_undo_each_other(model: Network, w: Latent, gene: str) -> None:
    a, b = pair(w)
    plain = crossbreed(a, b, model).latent
    assert torch.equal(crossbreed(a, b, model, genes=[gene], strength=0).latent.data, plain.data)
    more = crossbreed(a, b, model, genes=[gene], strength=2).latent
    assert not torch.allclose(more.data, plain.data)
    back = crossbreed(more, more, model, genes=[gene], strength=-2).latent
    torch.testing.assert_close(back.data, plain.data, atol=1e-5, rtol=0)


def test_two_genes_commute(model: Network, w: Latent, gene: str, tmp_path: Path) -> None:
    a, b = pair(w)
    data = torch.nn.functional.normalize(torch.arange(16.0) - 5, dim=0)
    path = tmp_path / "other.safetensors"
    save_direction(StoredDirection(data, 0.4, 0.1, "other", "w", model.family), path)
    other = str(path)
    both = [
        crossbreed(a, b, model, genes=list(genes), strength=list(amounts)).latent.data
        for genes, amounts in (((gene, other), (2.0, -1.0)), ((other, gene), (-1.0, 2.0)))
    ]
    torch.testing.assert_close(*both, atol=1e-5, rtol=0)
    plain = crossbreed(a, b, model).latent
    ends = []
    for steps in (((gene, 2.0), (other, -1.0)), ((other, -1.0), (gene, 2.0))):
        bred = plain
        for name, amount in steps:
            bred = crossbreed(bred, bred, model, genes=[name], strength=amount).latent
        ends.append(bred.data)
    torch.testing.assert_close(*ends, atol=1e-5, rtol=0)


def test_children_differ_by_number_and_come_again_by_seed(model: Network, w: Latent) -> None:
    a, b = pair(w)
    drawn = [
        crossbreed(a, b, model, variation=0.3, child=child, seed=Seed(seed)).latent.data
        for child, seed in ((1, (5, 6)), (1, (5, 6)), (2, (5, 6)), (1, (5, 7)))
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[0][0], drawn[3][0])
    assert not torch.equal(drawn[0][1], drawn[3][1])


def test_items_do_not_depend_on_their_batch(model: Network, w: Latent, gene: str) -> None:
    a, b = pair(w)
    whole = crossbreed(a, b, model, variation=0.4, genes=[gene], cap=0.9, seed=Seed((5, 6)))
    alone = crossbreed(
        Latent(a.data[1:], "w", a.family),
        Latent(b.data[1:], "w", b.family),
        model,
        variation=0.4,
        genes=[gene],
        cap=0.9,
        seed=Seed((6,)),
    )
    torch.testing.assert_close(whole.latent.data[1:], alone.latent.data, atol=1e-6, rtol=0)
    assert max(whole.distance.data) <= 0.9001  # type: ignore[type-var, operator]


def test_what_cannot_be_bred_is_told(model: Network, w: Latent, gene: str) -> None:
    a, b = pair(w)
    with pytest.raises(OpError, match="2 strengths for 1 genes"):
        crossbreed(a, b, model, genes=[gene], strength=[1, 2])
    with pytest.raises(OpError, match="crossover 9"):
        crossbreed(a, b, model, crossover=9)
    with pytest.raises(OpError, match="w or w_plus is needed"):
        crossbreed(Latent(a.data, "z", a.family), b, model)
    with pytest.raises(OpError):
        crossbreed(a, Latent(b.data, "w", "f" * 64), model)


def test_a_saved_code_is_taken_up_again(model: Network, w: Latent, tmp_path: Path) -> None:
    a = Latent(w.data[:1], "w", w.family)
    path = tmp_path / "a.safetensors"
    path.write_bytes(encode(a))
    assert torch.equal(load_code(w, model, file=str(path)).data, a.data.expand(5, -1))
    assert load_code(w, model) is w
    for value, message in (
        (Image(torch.zeros(1, 3, 2, 2)), "'x.safetensors' holds no code"),
        (w, "holds 5 codes, not one"),
        (Latent(a.data, "w", "f" * 64), "another|belong|made for"),
    ):
        other = tmp_path / "x.safetensors"
        other.write_bytes(encode(value))
        with pytest.raises(OpError, match=message):
            load_code(w, model, file=str(other))
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(OpError, match="holds no code"):
        load_code(w, model, file=str(tmp_path / "x.safetensors"))
