"""Conditions as the papers have them: what is kept stays, whatever the angles, in any number."""

import pytest
import torch
import torch.nn.functional as F

from models.config import GeneratorConfig
from models.directions import StoredDirection
from models.linear import Method, fit_readout
from models.moves import move
from models.stylegan2 import Generator

WIDTH = 32
GENERATOR = Generator(GeneratorConfig(16, (4, 4, 4), z_dim=WIDTH, w_dim=WIDTH, mapping_layers=1))
W = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def along(vector: torch.Tensor, name: str, sigma: float = 1.3) -> StoredDirection:
    return StoredDirection(F.normalize(vector, dim=0), sigma, 0.2, name, "w", "f")


def kept_apart(tilt: float) -> list[StoredDirection]:
    """Four conditions that lean on each other and on the target, the nearer the smaller `tilt`."""
    random = torch.Generator().manual_seed(2)
    common = torch.randn(WIDTH, generator=random)
    own = torch.randn(5, WIDTH, generator=random)
    return [along(common + tilt * one, f"d{i}") for i, one in enumerate(own)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("tilt", [1.0, 0.3])
def test_what_is_kept_stays_in_any_number_and_order(count: int, tilt: float) -> None:
    target, *every = kept_apart(tilt)
    kept = every[:count]
    moved, _ = move(GENERATOR, W, "w", [(target, 1.0)], conditions=kept)
    change = moved - W
    for one in kept:
        assert (change @ one.data.double()).abs().max() < 1e-6
    assert torch.allclose(change @ target.data.double(), torch.tensor(1.3).double(), atol=1e-6)
    for again in (kept[::-1], [*kept, *kept]):
        other, _ = move(GENERATOR, W, "w", [(target, 1.0)], conditions=again)
        assert torch.allclose(other, moved, atol=1e-6)


METHODS: tuple[Method, ...] = ("regression", "mean_difference", "ridge", "logistic", "svm")


@pytest.mark.parametrize("method", METHODS)
def test_a_learned_condition_leaks_little_and_costs_the_target_little(method: Method) -> None:
    """Two attributes that lean on each other; the labels of both are noisy."""
    random = torch.Generator().manual_seed(3)
    codes = torch.randn(4000, WIDTH, generator=random)
    first, second = F.normalize(torch.randn(2, WIDTH, generator=random), dim=1)
    second = F.normalize(second - (second @ first) * first, dim=0)
    second = 0.6 * first + 0.8 * second
    found = []
    for name, true in (("first", first), ("second", second)):
        labels = codes @ true + 0.3 * torch.randn(4000, generator=random)
        fit = fit_readout(codes, labels, method)
        found.append(StoredDirection(fit.direction.float(), fit.sigma, fit.offset, name, "w", "f"))
    plain, kept = (
        move(GENERATOR, W, "w", [(found[0], 1.0)], conditions=held)[0] - W
        for held in ([], [found[1]])
    )
    drift = [float((change @ second.double()).mean()) for change in (plain, kept)]
    moved = [float((change @ first.double()).mean()) for change in (plain, kept)]
    assert drift[0] > 0.5 * moved[0]
    assert abs(drift[1]) < 0.2 * abs(drift[0])
    assert moved[1] > 0.7 * moved[0]
