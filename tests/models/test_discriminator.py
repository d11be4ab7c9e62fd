"""The discriminator: shapes, what it compares, what it refuses, and its way through a file."""

from pathlib import Path

import pytest
import torch

from models.companions import load_discriminator
from models.discriminator import Discriminator, DiscriminatorConfig, channels_of, detail, deviation
from models.errors import ModelError
from models.loading import save_network


def small(seed: int = 0) -> Discriminator:
    torch.manual_seed(seed)
    return Discriminator(DiscriminatorConfig(16, (12, 8, 8), group=2))


def pictures(items: int, side: int = 16) -> torch.Tensor:
    return torch.randn(items, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_every_picture_gets_one_score() -> None:
    assert small()(pictures(4)).shape == (4,)


def test_a_group_is_compared_within_itself_alone() -> None:
    judge, image = small(), pictures(4)
    changed = image.clone()
    changed[3] += 1  # 1 and 3 are a group, 0 and 2 another
    apart = (judge(image) - judge(changed)).abs()
    assert torch.equal(apart[[0, 2]], torch.zeros(2))
    assert bool((apart[[1, 3]] > 0).all())


def test_equal_pictures_have_no_deviation_and_opposite_ones_their_size() -> None:
    same = torch.ones(4, 5, 3, 3)
    torch.testing.assert_close(deviation(same, 4), torch.full((4, 1, 3, 3), 1e-4))
    apart = torch.cat([same, -same])
    torch.testing.assert_close(deviation(apart, 2), torch.ones(8, 1, 3, 3))


def test_a_batch_that_no_group_divides_is_split_evenly() -> None:
    assert deviation(torch.randn(6, 2, 4, 4), 4).shape == (6, 1, 4, 4)
    assert deviation(torch.randn(1, 2, 4, 4), 4).shape == (1, 1, 4, 4)


def test_activations_keep_their_scale_through_the_blocks() -> None:
    torch.manual_seed(0)
    judge = Discriminator(DiscriminatorConfig(32, (32, 32, 32, 32)))
    x = torch.randn(8, 32, 1, 1).expand(-1, -1, 32, 32)  # a blur leaves what is smooth
    for block in judge.blocks:
        x = block(x)
        assert 0.3 < float(x.detach().square().mean().sqrt()) < 2


def test_smooth_pictures_have_no_detail_and_fine_ones_nothing_else() -> None:
    smooth = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(detail(smooth), torch.zeros_like(smooth))
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    torch.testing.assert_close(detail(board.expand(1, 3, 16, 16)), 5 * board.expand(1, 3, 16, 16))


def test_it_survives_a_file(tmp_path: Path) -> None:
    judge = small()
    path = tmp_path / "discriminator.safetensors"
    save_network(judge, path, "discriminator", judge.config.to_json())
    back = load_discriminator(path)
    assert back.config == judge.config
    assert torch.equal(back(pictures(2)), judge(pictures(2)))


def test_pictures_of_another_size_and_shapes_that_contradict_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[2, 3, 8, 8\]: must be \[N, 3, 16, 16\]"):
        small()(pictures(2, 8))
    with pytest.raises(ModelError, match="64 px needs a width per block"):
        DiscriminatorConfig(64, (8, 8, 8))


def test_its_widths_follow_the_generator() -> None:
    assert channels_of((512, 256, 64)) == (512, 256, 64)
    assert channels_of((192, 64, 8), 0.75) == (144, 48, 8)
