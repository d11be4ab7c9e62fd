"""Pairs of generators: what is compared, and what is said of the first difference."""

import copy
from collections.abc import Callable

import pytest
import torch

from models import GeneratorConfig, ModelError
from models.pairs import check_pair, reading_tensors
from models.stylegan2 import Generator


def test_what_draws_may_differ_and_what_reads_may_not(tiny: Generator) -> None:
    other = copy.deepcopy(tiny)
    other.const.add_(1)
    other.convs["b4_conv1"].weight.mul_(2)  # type: ignore[operator, union-attr]
    check_pair(tiny, other, ("a", "b"))
    for name in reading_tensors(tiny):
        changed = copy.deepcopy(tiny)
        with torch.no_grad():
            # The smallest change that a number can take is a difference.
            tensor = changed.state_dict()[name].view(-1)
            tensor[0] = torch.nextafter(tensor[0], torch.tensor(9.0))
        with pytest.raises(ModelError, match=rf"'a' and 'b' .*: {name} differs"):
            check_pair(tiny, changed, ("a", "b"))


def test_shapes_are_compared_first(
    tiny: Generator, make_generator: Callable[[GeneratorConfig], Generator]
) -> None:
    wide = GeneratorConfig(32, (12, 8, 8, 7), z_dim=8, w_dim=8, mapping_layers=2)
    with pytest.raises(ModelError, match=r"channels is \(12, 8, 8, 6\) and \(12, 8, 8, 7\)"):
        check_pair(tiny, make_generator(wide), ("a", "b"))
