"""Two generators that read codes alike: one was tuned from the other, its mapping kept."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.errors import ModelError
from models.stylegan2 import Generator


def check_pair(source: Generator, target: Generator, names: tuple[str, str]) -> None:
    """Raise ModelError unless every code has the same styles in both, bit for bit.

    The message names the first tensor that differs.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.4 (both come from one mapping network
    and one set of affine maps).
    """
    first, second = names
    if source.config != target.config:
        for field, value in source.config.to_json().items():
            other = target.config.to_json()[field]
            if value != other:
                raise ModelError(
                    f"'{first}' and '{second}' cannot share codes: {field} is {value} and {other}"
                )
    mine, theirs = reading_tensors(source), reading_tensors(target)
    for name, tensor in mine.items():
        if not torch.equal(tensor, theirs[name].to(tensor.device)):
            apart = float((tensor - theirs[name].to(tensor.device)).abs().max())
            raise ModelError(
                f"'{first}' and '{second}' read codes differently: {name} differs by up to "
                f"{apart:.3g}; the target must be tuned from the source with its mapping and "
                "affines frozen"
            )


def reading_tensors(generator: Generator) -> Mapping[str, Tensor]:
    """The tensors that turn a code into styles: the mapping network and all affine maps."""
    return {
        name: tensor
        for name, tensor in generator.state_dict().items()
        if name.startswith("mapper.") or ".affine." in name
    }
