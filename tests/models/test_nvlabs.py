"""NVlabs' network pickles."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelError
from models.nvlabs import read_nvlabs
from models.unpickle import ModuleRecord, read_pickled

Change = Callable[[dict[str, Any]], object]


def attributes(network: ModuleRecord, *path: str) -> dict[str, Any]:
    """The state of the part at `path`, to be changed in place."""
    for name in path:
        found = network.child(name)
        assert found is not None
        network = found
    return dict_of(network)


def dict_of(record: ModuleRecord) -> dict[str, Any]:
    assert isinstance(record.attributes, dict)
    return record.attributes


def test_the_configuration_is_in_the_pickle(golden: Path) -> None:
    tree = read_pickled(golden / "nvlabs-stylegan2-cond-32.pkl")
    assert isinstance(tree, dict)
    found = read_nvlabs(tree)
    assert found.config.channels == (24, 24, 24, 16)
    assert (found.config.c_dim, found.config.conv_clamp) == (5, 256.0)
    assert (found.config.mapping_lr, found.config.blur) == (0.01, (1.0, 3.0, 3.0, 1.0))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ((), lambda a: a.update(img_channels=1), "1 image channels: must be 3"),
        ((), lambda a: a["_modules"].pop("mapping"), "must be a StyleGAN generator"),
        (("synthesis", "b4"), lambda a: a.update(architecture="orig"), "skip or resnet"),
        (("synthesis", "b8", "conv1"), lambda a: a.update(activation="relu"), "leaky ReLU"),
        (("synthesis", "b8", "conv1"), lambda a: a.update(conv_clamp=9), "same in all layers"),
        (("synthesis", "b8"), lambda a: a["_modules"].pop("conv1"), "no part 'conv1'"),
        (("synthesis", "b8", "conv0"), lambda a: a["_parameters"].pop("bias"), "bias are missing"),
        (("mapping", "fc0"), lambda a: a.pop("bias_gain"), "no attribute 'bias_gain'"),
    ],
)
def test_other_networks_are_refused(
    golden: Path, part: tuple[str, ...], change: Change, message: str
) -> None:
    tree = read_pickled(golden / "nvlabs-stylegan2-64.pkl")
    assert isinstance(tree, dict)
    changed = copy.deepcopy(tree["G_ema"])
    change(attributes(changed, *part))
    with pytest.raises(ModelError, match=message):
        read_nvlabs({"G_ema": changed})
