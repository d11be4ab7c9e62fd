"""Masks: mass, soft edges, and pictures confined to one."""

import pytest
import torch

from models import ModelError
from models.grid import Box, box_px
from models.masks import (
    BadMaskError,
    box_mask,
    confined,
    feathered,
    fitted,
    grown,
    polygon_mask,
    region,
)


def test_a_box_has_the_mass_of_its_area_wherever_it_lies() -> None:
    for box in (Box(3, 4, 10, 5), Box(3.25, 4.5, 0.5, 0.25), Box(0, 0, 40, 30)):
        mask = box_mask(box, 30, 40)
        assert mask.shape == (1, 1, 30, 40)
        assert float(mask.sum()) == pytest.approx(box.width * box.height, rel=1e-5)


def test_a_polygon_covers_what_it_holds() -> None:
    square = polygon_mask([(2, 3), (10, 3), (10, 9), (2, 9)], 20, 24)
    torch.testing.assert_close(square, box_mask(Box(2, 3, 8, 6), 20, 24), atol=0.15, rtol=0)
    triangle = polygon_mask([(0, 0), (20, 0), (0, 20)], 20, 20)
    assert float(triangle.sum()) == pytest.approx(200, rel=0.02)
    with pytest.raises(ModelError, match="nothing of the polygon"):
        polygon_mask([(30, 30), (40, 30), (30, 40)], 20, 20)
    with pytest.raises(ModelError, match="three or more"):
        polygon_mask([(0, 0), (5, 5)], 20, 20)


@pytest.mark.parametrize("radius", [0.5, 1, 2.5, 6])
def test_soft_edges_reach_as_far_as_they_say_and_no_farther(radius: float) -> None:
    hard = box_mask(Box(10, 10, 20, 20), 40, 40)
    soft = feathered(hard, radius)
    row = soft[0, 0, 20]
    assert bool((row.diff()[:20] >= 0).all())
    assert bool((row[: int(10 - radius)] == 0).all())
    assert bool((row[int(10 + radius + 0.5) : 20] == 1).all())
    assert float(soft.sum()) == pytest.approx(400, rel=1e-4)
    assert torch.equal(feathered(torch.ones(1, 1, 8, 8), radius), torch.ones(1, 1, 8, 8))


def test_growing_takes_in_the_neighbours() -> None:
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 0.5
    assert torch.equal(grown(dot, 0), dot)
    big = grown(dot, 2)
    assert float(big.sum()) == pytest.approx(0.5 * 25)
    assert float(big[..., 2:7, 2:7].min()) == 0.5


def test_a_mask_of_another_size_keeps_its_mean() -> None:
    mask = torch.rand(2, 1, 48, 64)
    small = fitted(mask, 12, 16)
    torch.testing.assert_close(small.mean((2, 3)), mask.mean((2, 3)))
    assert fitted(mask, 96, 128).shape == (2, 1, 96, 128)
    assert fitted(mask, 48, 64) is mask
    with pytest.raises(ModelError, match="their shapes differ"):
        fitted(mask, 32, 32)


def test_regions_come_from_a_mask_or_a_box() -> None:
    assert region(None, None, 32, 0.1) is None
    box = region(None, (0.25, 0.25, 0.5, 0.5), 32, 0.0)
    assert box is not None
    assert torch.equal(box, box_mask(Box(8, 8, 16, 16), 32, 32))
    with pytest.raises(BadMaskError, match="empty") as caught:
        region(torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)]), None, 8, 0.0)
    assert caught.value.item == 1


def test_without_a_margin_the_masks_own_edge_leads_over() -> None:
    plain, drawn = torch.zeros(1, 3, 1, 4), torch.ones(1, 3, 1, 4)
    mask = torch.tensor([0, 0.25, 1, 0]).reshape(1, 1, 1, 4)
    held = confined(plain, drawn, mask, 0, protect=True)
    assert held.image[0, 0, 0].tolist() == [0, 0.25, 1, 0]
    assert held.leak_max == held.leak_mean == 0


def test_confined_pictures_leak_what_they_leak() -> None:
    plain, drawn = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)
    drawn[1] = 0
    drawn[1, 0, 0, 0] = 0.5
    mask = box_mask(Box(10, 10, 6, 6), 32, 32)
    free = confined(plain, drawn, mask, 4, protect=False)
    assert torch.equal(free.image, drawn)
    assert free.leak_max.tolist() == [127.5, 63.75]
    assert free.leak_mean[0] == 127.5
    held = confined(plain, drawn, mask, 4, protect=True)
    assert held.leak_max.tolist() == [0, 0]
    assert bool((held.image[0, :, 10:16, 10:16] == 1).all())
    assert bool((held.image[0, :, :6] == 0).all())
    assert bool((held.image[0, :, :, 20:] == 0).all())
    edge = held.image[0, 0, 12]
    assert 0 < float(edge[8]) < 1
    everywhere = confined(plain, drawn, torch.ones(1, 1, 32, 32), 4, protect=True)
    assert torch.equal(everywhere.image, drawn)
    assert everywhere.leak_mean.tolist() == [0, 0]


def test_a_box_is_in_fractions_or_in_pixels() -> None:
    assert box_px((0.5, 0.25, 0.5, 0.5), 40, 80) == Box(40, 10, 40, 20)
    assert box_px((40, 10, 40, 20), 40, 80) == Box(40, 10, 40, 20)
    assert box_px((0, 0, 1, 1), 40, 80) == Box(0, 0, 80, 40)
    for box, message in [
        ((0, 0, 81, 10), "80 px across and 40 px down"),
        ((-0.1, 0, 0.5, 0.5), "sticks out"),
        ((0, 0, 0.5, -0.5), "empty"),
        ((0, 0, float("inf"), 1), "finite"),
    ]:
        with pytest.raises(ModelError, match=message):
            box_px(box, 40, 80)
