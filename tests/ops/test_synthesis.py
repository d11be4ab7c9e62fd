"""Pictures from codes: noise, truncation, batches."""

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from engine.errors import OpError
from engine.op import Seed
from engine.values import Latent, Network, Scalar, split, take
from models.codes import number
from models.stylegan2 import Generator
from ops.codes import sample_codes, to_style
from ops.synthesis import map_variation, synthesize, vary_noise


def test_picture_is_the_generators_own(model: Network, w: Latent, generator: Generator) -> None:
    expected = generator.synthesize(generator.broadcast(w.data)).clamp(-1, 1)
    assert torch.equal(synthesize(w, model).data, expected)
    assert torch.allclose(synthesize(to_style(w, model), model).data, expected, atol=1e-5)


def test_z_is_mapped_first(model: Network, generator: Generator) -> None:
    z = torch.randn(2, 16)
    expected = generator.forward(z).clamp(-1, 1)
    assert torch.equal(synthesize(Latent(z, "z", model.family), model).data, expected)


@pytest.mark.parametrize("noise", ["const", "seeded", "none"])
def test_batch_equals_its_items(model: Network, w: Latent, noise: str) -> None:
    seeds = (11, 12, 13, 14, 15)
    together = synthesize(w, model, noise=noise, seed=Seed(seeds)).data  # type: ignore[arg-type]
    apart = [
        synthesize(one, model, noise=noise, seed=Seed((seed,))).data  # type: ignore[arg-type]
        for one, seed in zip(split(w), seeds, strict=True)
    ]
    assert torch.allclose(together, torch.cat(apart), atol=1e-5)


def test_seeded_noise_repeats_with_its_seed_only(model: Network, w: Latent) -> None:
    one = take(w, 0, 1)
    a, b, c = (synthesize(one, model, noise="seeded", seed=Seed((s,))).data for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_truncation_to_nothing_draws_the_mean_for_all(model: Network, w: Latent) -> None:
    drawn = synthesize(w, model, psi=0.0).data
    assert torch.equal(drawn, drawn[:1].expand_as(drawn))
    assert torch.equal(synthesize(w, model, psi=1.0).data, synthesize(w, model).data)


def test_pictures_vary_the_less_the_nearer_to_the_mean(model: Network) -> None:
    codes = sample_codes(Scalar(tuple(range(48))), model, seed=6)
    spread = [
        float(synthesize(codes, model, psi=psi).data.var(0).mean())
        for psi in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert spread[0] == 0
    assert all(a < b for a, b in pairwise(spread))


def test_no_noise_is_noise_of_no_strength(w: Latent, model: Network, generator: Generator) -> None:
    silent = copy.deepcopy(generator)
    with torch.no_grad():
        for name, parameter in silent.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
    expected = silent.synthesize(silent.broadcast(w.data)).clamp(-1, 1)
    assert torch.equal(synthesize(w, model, noise="none").data, expected)


def test_varied_noise_of_no_strength_is_the_usual_picture(model: Network, w: Latent) -> None:
    usual = synthesize(w, model).data
    assert torch.allclose(vary_noise(w, model, rows="all", strength=0.0).data, usual, atol=1e-6)
    assert not torch.allclose(vary_noise(w, model, rows="all").data, usual, atol=1e-2)


def test_noise_of_some_rows_alone_lies_between_all_of_it_and_none(
    model: Network, w: Latent
) -> None:
    def alone(rows: object) -> torch.Tensor:
        done = vary_noise(w, model, rows=rows, strength=0.0, others="none")  # type: ignore[arg-type]
        return done.data

    usual, smooth = synthesize(w, model).data, synthesize(w, model, noise="none").data
    assert torch.allclose(alone("all"), usual, atol=1e-6)
    assert torch.equal(alone([7]), smooth)  # the last row drives no noise
    late = alone([6])
    assert not torch.allclose(late, smooth, atol=1e-3)
    assert not torch.allclose(late, usual, atol=1e-3)
    with_it = vary_noise(w, model, rows=[6], others="none", seed=Seed((1, 2, 3, 4, 5))).data
    assert not torch.allclose(with_it, late, atol=1e-3)


def test_noise_of_fine_rows_leaves_the_coarse_features(
    model: Network, w: Latent, generator: Generator
) -> None:
    from models.noise import fixed_noise, varied_noise

    noise = varied_noise(generator, [1], (4, 5, 6), 1.0)
    same = [torch.equal(a[0, 0], b) for a, b in zip(noise, fixed_noise(generator), strict=True)]
    assert same == [True, True, True, True, False, False, False]


def test_map_of_variation_is_the_deviation_of_varied_pictures(model: Network, w: Latent) -> None:
    one = take(w, 0, 1)
    seeds = [number(3, k) for k in range(6)]
    drawn = torch.cat([vary_noise(one, model, rows="all", seed=Seed((s,))).data for s in seeds])
    deviation = drawn.double().var(0).mean(0).sqrt() / 2
    found = map_variation(one, model, count=6, gain=1.5, seed=Seed((3,)))
    expected = 2 * (1.5 * deviation).clamp(max=1).float() - 1
    assert torch.allclose(found.image.data[0], expected.expand(3, -1, -1), atol=1e-5)
    assert found.mean.data[0] == pytest.approx(255 * float(deviation.mean()), abs=1e-3)


def test_map_of_variation_is_black_where_no_noise_enters(model: Network, w: Latent) -> None:
    one = take(w, 0, 1)
    still = map_variation(one, model, rows=[7], count=3)  # the row of the last rgb alone
    assert torch.equal(still.image.data, -torch.ones_like(still.image.data))
    few = map_variation(one, model, rows=[6], count=8).mean.data[0]
    every = map_variation(one, model, rows="all", count=8).mean.data[0]
    assert 0 < few < every  # type: ignore[operator]


def test_code_of_another_generator_is_refused(model: Network, w: Latent) -> None:
    with pytest.raises(OpError, match="not to 'tiny'"):
        synthesize(replace(w, family="other"), model)
