"""DCI as an op: perfect where codes are the attributes, and what it refuses."""

import pytest
import torch

from engine.errors import OpError
from engine.values import Latent, Scores
from ops.dci import measure_dci

NAMES = ("smile", "age", "yaw")


def scores(data: torch.Tensor) -> list[Scores]:
    return [Scores(row[None], NAMES) for row in data]


@pytest.fixture
def readings() -> torch.Tensor:
    return torch.randn(20, 3, generator=torch.Generator().manual_seed(0))


def test_codes_that_are_the_attributes_are_disentangled(readings: torch.Tensor) -> None:
    data = torch.randn(400, 3, generator=torch.Generator().manual_seed(2))
    codes = [Latent(row[None], "w", "f") for row in data]
    found = measure_dci(codes, scores(data), share=0.1, trees=20)
    assert found.disentanglement.data[0] > 0.9  # type: ignore[operator]
    assert found.completeness.data[0] > 0.9  # type: ignore[operator]
    assert found.informativeness.data[0] == 1.0
    assert found.all.names == ("disentanglement", "completeness", "informativeness")
    assert found.all.data[0, 2] == 1.0
    two = measure_dci(codes, scores(data), attributes=["smile", "yaw"], share=0.1, trees=20)
    assert two.disentanglement.data[0] > 0.9  # type: ignore[operator]


def test_what_cannot_be_measured_is_told(readings: torch.Tensor) -> None:
    codes = [Latent(row[None], "w", "f") for row in readings]
    with pytest.raises(OpError, match="8 are needed"):
        measure_dci(codes, scores(readings))
    with pytest.raises(OpError, match="19 codes and 20 scores"):
        measure_dci(codes[1:], scores(readings))
    with pytest.raises(OpError, match="no attribute 'smiel', did you mean 'smile'"):
        measure_dci(codes, scores(readings), attributes=["smiel"])
