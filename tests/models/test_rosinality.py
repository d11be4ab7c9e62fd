"""rosinality's checkpoints."""

from pathlib import Path

from models.rosinality import read_rosinality
from models.unpickle import read_pickled


def test_sizes_are_read_from_the_tensors(golden: Path) -> None:
    tree = read_pickled(golden / "soat-256.pt")
    assert isinstance(tree, dict)
    config = read_rosinality(tree).config
    assert config.resolution == 256
    assert config.channels == (16, 16, 16, 16, 12, 8, 8)
    assert (config.z_dim, config.w_dim, config.mapping_layers) == (32, 32, 4)


def test_a_bare_state_dict_is_a_generator_without_mean_code(golden: Path) -> None:
    tree = read_pickled(golden / "rosinality-64.pt")
    assert isinstance(tree, dict)
    whole, bare = read_rosinality(tree), read_rosinality(tree["g_ema"])
    assert whole.config == bare.config
    assert set(whole.tensors) - set(bare.tensors) == {"w_avg"}
