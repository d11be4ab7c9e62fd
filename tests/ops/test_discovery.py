"""Directions that a recogniser can name, as ops."""

from dataclasses import replace

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Network
from ops.components import follow_direction
from ops.discovery import Discovered, discover_directions, pick_direction


@pytest.fixture(scope="module")
def found(model: Network) -> Discovered:
    return discover_directions(model, count=3, steps=20, batch=8)


def test_each_direction_can_be_picked_and_followed(
    found: Discovered, model: Network, w: Latent
) -> None:
    assert 0 <= found.information.data[0] <= 1.585  # type: ignore[operator]
    picked = [pick_direction(model, found.model, number=k) for k in range(3)]
    told = [one.accuracy.data[0] for one in picked]
    assert told == sorted(told, reverse=True)  # type: ignore[type-var]
    every = torch.cat([one.direction.data for one in picked])
    torch.testing.assert_close(every @ every.T, torch.eye(3), atol=1e-5, rtol=0)
    moved = follow_direction(w, picked[1].direction, model, strength=2.0)
    step = (moved.data - w.data) @ picked[1].direction.data[0]
    torch.testing.assert_close(step, 2 * picked[1].direction.sigma.expand(5))


def test_what_cannot_be_is_told(found: Discovered, model: Network) -> None:
    with pytest.raises(OpError, match="number 3: there are 3 directions"):
        pick_direction(model, found.model, number=3)
    with pytest.raises(OpError, match="no directions are given"):
        pick_direction(model, model)
    with pytest.raises(OpError, match="found for another generator"):
        pick_direction(model, replace(found.model, family="f" * 64))
    with pytest.raises(OpError, match="at most 16 directions"):
        discover_directions(model, count=17)
