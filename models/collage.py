"""Collage in feature space: each code draws its own picture, and pieces of one are pasted over.

A baseline to compare `models.blend` with: what is pasted was made by convolutions that saw the
other picture around it, not this one.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from models.alphas import from_mask
from models.blend import Branch, Walk, begin, step
from models.canvas import Canvas


def draw_collage(
    target: Branch, reference: Branch, mask: Tensor, levels: Mapping[int, float]
) -> Tensor:
    """The target's pictures [N, 3, R, R] with the reference's features laid over them in a mask.

    After the last layer of each resolution in `levels`, features and small picture are replaced by
    that much (0..1); the reference's own features are never changed.
    Shapes: mask [1 or N, 1, R, R].
    Source: Suzuki et al. 2018, arXiv:1811.10153 (feature blending), on StyleGAN2.
    """
    canvas = Canvas()
    own, other = (begin([branch], canvas, canvas.whole) for branch in (target, reference))
    layers = target.generator.layers
    alpha = from_mask(mask)
    last = max((side for side, share in levels.items() if share), default=0)
    for layer in layers:
        own = step([target], own)
        if layer.resolution <= last:
            other = step([reference], other)
        ends = layer is layers[-1] or layers[layer.index + 1].resolution != layer.resolution
        if ends and levels.get(layer.resolution):
            over = alpha(layer, own.region) * levels[layer.resolution]
            own = _pasted(own, other, torch.as_tensor(over))
    assert own.state.skip is not None
    return own.state.skip


def _pasted(own: Walk, other: Walk, alpha: Tensor) -> Walk:
    """One walk with another's features and picture laid over its own."""

    def over(lower: Tensor | None, upper: Tensor | None) -> Tensor | None:
        if lower is None or upper is None:
            return lower
        return torch.lerp(lower, upper, alpha.to(lower).expand_as(lower))

    features = over(own.state.features, other.state.features)
    assert features is not None
    skip = over(own.state.skip, other.state.skip)
    return replace(own, state=replace(own.state, features=features, skip=skip))
