"""Codes from pictures in one pass: a base code for all rows and a small step from it for each.

Source: own, after Tov et al. 2021, arXiv:2102.02766.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import Backbone


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The codes an encoder gives, and how wide it is. `rank` limits each row's own step."""

    num_rows: int
    w_dim: int = 512
    widths: tuple[int, ...] = (24, 40, 72, 112, 144)
    hidden: int = 256
    rank: int = 32

    def to_json(self) -> dict[str, object]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "EncoderConfig":
        """The configuration that `to_json` gave."""
        frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**frozen)  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Picture -> w_plus.

    Shapes: image [N, 3, H, W] in -1..1, any side -> w_plus [N, num_rows, w_dim].
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.widths)
        self.squeeze = nn.Conv2d(config.widths[-1], 48, 1)
        self.hidden = nn.Linear(48 * 16, config.hidden)
        self.base = nn.Linear(config.hidden, config.w_dim)
        self.steps = nn.Linear(config.hidden, config.num_rows * config.rank)
        self.rows = nn.Parameter(torch.zeros(config.num_rows, config.rank, config.w_dim))
        # Codes are predicted in units of their own spread.
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("w_std", torch.ones(config.w_dim))

    def forward(self, image: Tensor) -> Tensor:
        base, steps = self.base_and_steps(image)
        return self.w_avg + self.w_std * (base[:, None] + steps)

    def base_and_steps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The code common to all rows [N, D] and each row's step [N, L, D], in units of spread."""
        features = self.backbone(image)[-1]
        x = F.leaky_relu(self.squeeze(features), 0.2).flatten(1)
        hidden = F.leaky_relu(self.hidden(x), 0.2)
        config = self.config
        steps = self.steps(hidden).unflatten(1, (config.num_rows, config.rank))
        return self.base(hidden), torch.einsum("nlr,lrd->nld", steps, self.rows)


def encode(encoder: Encoder, image: Tensor) -> Tensor:
    """The codes of pictures.  Shapes: [N, 3, H, W] in -1..1 -> [N, L, D]."""
    return cast(Tensor, encoder(image))
