"""Random changes before judgement: none at chance 0, more with more, and a chance that learns."""

import pytest
import torch

from models.augmentation import Chance, augment


def pictures(items: int = 64) -> torch.Tensor:
    return torch.rand(items, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_chance_leaves_pictures_bit_for_bit() -> None:
    image = pictures()
    assert augment(image, 0.0, dice()) is image


def test_the_same_dice_make_the_same_changes() -> None:
    image = pictures()
    assert torch.equal(augment(image, 0.7, dice(3)), augment(image, 0.7, dice(3)))


def test_more_chance_changes_more_pictures() -> None:
    image = pictures(256)
    shares = []
    for chance in (0.05, 0.3, 1.0):
        apart = (augment(image, chance, dice()) - image).abs().amax((1, 2, 3))
        shares.append(float((apart > 1e-3).float().mean()))
    assert 0 < shares[0] < shares[1] < shares[2] == 1


def test_gradients_reach_the_pictures() -> None:
    image = pictures().requires_grad_()
    augment(image, 1.0, dice()).square().sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert bool((image.grad.abs().amax((1, 2, 3)) > 0).all())


def test_the_chance_rises_while_real_pictures_are_recognised_and_falls_again() -> None:
    chance = Chance(0.0, target=0.6)
    for _ in range(100):
        chance.learn(torch.ones(50))
    assert chance.value == pytest.approx(5000 / 500_000)
    for _ in range(200):
        chance.learn(torch.cat([torch.ones(25), -torch.ones(25)]))
    assert chance.value == 0.0


def test_without_a_target_the_chance_stays() -> None:
    chance = Chance(0.25)
    chance.learn(torch.ones(50))
    assert chance.value == 0.25
