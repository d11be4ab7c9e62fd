"""The mapping network: from Gaussian z to the intermediate latent w."""

import itertools
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import GeneratorConfig
from models.errors import ModelError
from models.layers import LEAK, SQRT2, EqualizedLinear, normalize_second_moment


class MappingNetwork(nn.Module):
    """A stack of leaky linear maps.

    Shapes: z [N, z_dim], c [N, c_dim] (only if the network is conditional) -> w [N, w_dim].
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        width_in = config.z_dim
        if config.c_dim:
            self.embed = EqualizedLinear(config.c_dim, config.w_dim)
            width_in += config.w_dim
        widths = [width_in] + [config.w_dim] * config.mapping_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(a, b, lr=config.mapping_lr) for a, b in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = self._inputs(z, c)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LEAK) * SQRT2
        return x

    def _inputs(self, z: Tensor, c: Tensor | None) -> Tensor:
        config = self.config
        if z.dim() != 2 or z.shape[1] != config.z_dim:
            raise ModelError(f"z has shape {tuple(z.shape)}: must be [N, {config.z_dim}]")
        x = normalize_second_moment(z.float()) if config.normalize_z else z.float()
        if not config.c_dim:
            if c is not None and c.shape[-1]:
                raise ModelError("this generator has no classes: c must be None")
            return x
        if c is None or c.dim() != 2 or c.shape[1] != config.c_dim:
            given = "nothing" if c is None else f"shape {tuple(c.shape)}"
            raise ModelError(
                f"c is {given}: this generator needs class vectors [N, {config.c_dim}]"
            )
        embedded = cast(Tensor, self.embed(c.float()))
        return torch.cat([x, normalize_second_moment(embedded)], dim=1)


def truncate(w: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """`w` drawn towards the mean code: psi 1 leaves it, 0 gives the mean.

    Shapes: w [N, D] or w_plus [N, L, D], w_avg [D] -> as w.  `cutoff` limits the pull to the first
    rows of w_plus.  Source: Karras et al. 2019, arXiv:1812.04948.
    """
    pulled = torch.lerp(w_avg.to(w).expand_as(w), w, psi)
    if cutoff is None:
        return pulled
    if w.dim() != 3:
        raise ModelError(f"cutoff {cutoff} needs w_plus [N, L, D], not shape {tuple(w.shape)}")
    return torch.cat([pulled[:, :cutoff], w[:, cutoff:]], dim=1)
