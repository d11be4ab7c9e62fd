"""Scorers fitted to what is known of pictures."""

import math
from dataclasses import replace

import pytest
import torch

from models.errors import ModelError
from models.perceptual import FeatureNet, FeatureNetConfig
from models.scorer import fit_scorer, look, pack, unpack


def pictures(count: int = 240) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of different strength on grey, and the strength."""
    random = torch.Generator().manual_seed(1)
    strength = torch.rand(count, generator=random)
    noise = torch.randn(count, 3, 32, 32, generator=random)
    return 0.6 * strength[:, None, None, None] * noise, strength


@pytest.fixture(scope="module")
def seen() -> torch.Tensor:
    torch.manual_seed(2)
    config = FeatureNetConfig(("smile",), ("face",), ("nose",), (8, 8, 8, 8, 8))
    return look(FeatureNet(config).eval().requires_grad_(False), pictures()[0])


def test_yes_or_no_is_a_share_that_tells_the_kinds_apart(seen: torch.Tensor) -> None:
    labels = (pictures()[1] > 0.5).float()
    scorer, found = fit_scorer(seen, labels, "noisy", "eyes")
    scores = scorer.score(seen)
    assert 0 <= scores.min() <= scores.max() <= 1
    assert float(((scores > 0.5).float() == labels).float().mean()) > 0.9
    assert found.accuracy > 0.85
    assert found.chance < 1e-3


def test_a_number_is_scored_in_its_units(seen: torch.Tensor) -> None:
    labels = 40 * pictures()[1] + 10
    scorer, found = fit_scorer(seen, labels, "noise", "eyes")
    assert found.correlation > 0.9
    error = (scorer.score(seen) - labels).abs().mean()
    assert float(error) < 4


def test_labels_that_mean_nothing_are_not_learned(seen: torch.Tensor) -> None:
    labels = (torch.rand(240, generator=torch.Generator().manual_seed(9)) > 0.5).float()
    assert 0.2 < fit_scorer(seen, labels, "x", "eyes")[1].accuracy < 0.8


def test_packed_scorer_is_the_same_and_nothing_else_is_one(seen: torch.Tensor) -> None:
    scorer, _ = fit_scorer(seen, pictures()[1], "noise", "eyes")
    back = unpack(pack(scorer, "base"))
    assert (back.name, back.eyes, back.graded) == ("noise", "eyes", True)
    assert torch.equal(back.score(seen), scorer.score(seen))
    for damaged in (b"", b"nonsense" * 9, pack(scorer, "base")[:-9]):
        with pytest.raises(ModelError, match="a scorer is damaged"):
            unpack(damaged)
    for broken in (replace(scorer, weight=scorer.weight / 0), replace(scorer, bias=math.nan)):
        with pytest.raises(ModelError, match="'noise' has weights that are not finite: train it"):
            unpack(pack(broken, "base"))
    with pytest.raises(ModelError, match="'noise' reads 80 features, not 7"):
        scorer.score(seen[:, :7])
