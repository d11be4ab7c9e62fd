"""A scene in another manner, for generators to learn it by fine-tuning.  Source: own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.scenes.shapes import smoothstep

_GREY = (0.30, 0.59, 0.11)
_PAPER = (0.95, 0.91, 0.82)
_INK = (0.16, 0.12, 0.20)


def ink(image: Tensor) -> Tensor:
    """A drawing in sepia ink: washes in three tones, outlines where tones or colours meet.

    Shapes: [N, 3, H, W] in -1..1.
    """
    soft = _blurred(image)
    light = torch.einsum("nchw,c->nhw", soft, soft.new_tensor(_GREY)) / 2 + 0.5
    wash = 0.25 * smoothstep(0.48, 0.40, light) + 0.30 * smoothstep(0.26, 0.20, light)
    across, down = _slopes(soft)
    edge = torch.sqrt(across.square() + down.square() + 1e-8).amax(1)
    cover = 1 - (1 - wash) * (1 - 0.9 * smoothstep(0.18, 0.55, edge))
    paper, pen = (soft.new_tensor(c).view(1, 3, 1, 1) for c in (_PAPER, _INK))
    return (paper + cover[:, None] * (pen - paper)) * 2 - 1


def _blurred(image: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    wide = F.pad(image, (1, 1, 1, 1), mode="replicate")
    across = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]
    return across, wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
