"""From z to w, and towards the mean."""

import pytest
import torch

from models.config import GeneratorConfig
from models.errors import ModelError
from models.mapping import MappingNetwork, truncate


def test_truncation_by_hand() -> None:
    w = torch.tensor([[[2.0, 4.0], [2.0, 4.0]]])
    average = torch.tensor([0.0, 2.0])
    torch.testing.assert_close(
        truncate(w, average, 0.5, cutoff=1), torch.tensor([[[1.0, 3.0], [2.0, 4.0]]])
    )


def test_psi_one_changes_no_bit() -> None:
    w = torch.randn(4, 8)
    assert torch.equal(truncate(w, torch.randn(8), 1.0), w)


def test_cutoff_needs_rows() -> None:
    with pytest.raises(ModelError, match="w_plus"):
        truncate(torch.zeros(2, 8), torch.zeros(8), 0.5, cutoff=1)


@pytest.mark.parametrize("normalize", [True, False])
def test_only_a_normalising_network_ignores_the_length_of_z(normalize: bool) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(8, (4, 4), z_dim=8, w_dim=8, normalize_z=normalize)
    z = torch.randn(2, 8)
    mapping = MappingNetwork(config)
    assert torch.allclose(mapping(z), mapping(3 * z), atol=1e-6) == normalize


def test_wrong_inputs_are_refused() -> None:
    mapping = MappingNetwork(GeneratorConfig(8, (4, 4), z_dim=8, w_dim=8))
    classes = MappingNetwork(GeneratorConfig(8, (4, 4), z_dim=8, w_dim=8, c_dim=3))
    with pytest.raises(ModelError, match=r"must be \[N, 8\]"):
        mapping(torch.zeros(2, 9))
    with pytest.raises(ModelError, match="no classes"):
        mapping(torch.zeros(2, 8), torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"\[N, 3\]"):
        classes(torch.zeros(2, 8))
