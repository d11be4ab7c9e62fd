"""The one blend: several codes draw one picture, each where and as much as its alpha says.

At every layer each code convolves the same features, and the results are laid over each other by
`torch.lerp`, which is exact where an alpha is 0 or 1 and where two results are equal. Pictures on
any canvas, panoramas in tiles, local transfer and two generators in one picture are all this walk
with other alphas.
Source: Chong et al. 2021, arXiv:2111.01619 (StyleGAN of All Trades), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from models.canvas import Canvas, NoiseField, Region, repeated
from models.config import Layer
from models.errors import ModelError
from models.stylegan2 import Generator, LayerState

#: How much of what lies below is covered, 0..1, in a window of a layer's result: a number, or
#: a tensor broadcastable to [N, 1, h, w].
Alpha: TypeAlias = Callable[[Layer, Region], "Tensor | float"]

#: Cells around a tile that its exact features hang on, at every resolution but the last.
HALO = 3
#: A code is computed on a part of the window only if that part is smaller than this share of it.
WORTH_CUTTING = 0.75


def everywhere(_layer: Layer, _region: Region) -> float:
    """The alpha of the lowest code."""
    return 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One code: what draws it, with which noise, and how much of those below it covers.

    Shapes: styles [N, S].
    """

    generator: Generator
    styles: Tensor
    noise: NoiseField
    alpha: Alpha = everywhere


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Where a walk over a window stands. `region` is in cells of the features' resolution."""

    state: LayerState
    region: Region


#: What may be done to features and picture after the last layer of a resolution.
Edit: TypeAlias = Callable[[Walk], Walk]


def draw_blend(
    branches: Sequence[Branch],
    canvas: Canvas | None = None,
    tile: Region | None = None,
    edits: Mapping[int, Edit] | None = None,
) -> Tensor:
    """The picture [N, 3, h, w] of a blend, or of one tile of it; not clamped.

    `tile` is in cells of the 4 px level. A tile is computed with the margin that it hangs on, so
    tiles side by side are the whole. `edits` by resolution change the walk on its way; they need
    the whole canvas, and a closed one stays closed at its new size.
    Raises: ModelError if the codes cannot be blended.
    """
    check_branches(branches)
    canvas = canvas or Canvas()
    tile = tile or canvas.whole
    if edits and tile != canvas.whole:
        raise ModelError("features are edited on a whole canvas, not on a tile of one")
    walk, inner = begin(branches, canvas, tile), tile
    layers = branches[0].generator.layers
    for layer in layers:
        walk = step(branches, walk)
        last = layer is layers[-1]
        if not last and layers[layer.index + 1].resolution == layer.resolution:
            continue
        inner = inner if layer.resolution == 4 else inner.times(2)
        if edits and layer.resolution in edits:
            walk = edits[layer.resolution](_cut(walk, inner))
            inner = walk.region
            walk = walk if last else _surrounded(walk, canvas)
        elif last:
            walk = _cut(walk, inner)
        elif edits:
            walk = _cut(walk, _with_margin(inner, canvas))
        else:
            walk = _cut(walk, canvas.clip(inner.grown(HALO), layer.resolution))
    assert walk.state.skip is not None
    return walk.state.skip


def check_branches(branches: Sequence[Branch]) -> None:
    """Raise ModelError unless these codes can share one walk."""
    first = branches[0]
    for branch in branches[1:]:
        if branch.generator.config != first.generator.config:
            raise ModelError(
                "two generators of different shape cannot draw one picture: "
                f"{first.generator.config} and {branch.generator.config}"
            )
        if branch.styles.shape != first.styles.shape:
            raise ModelError(
                f"codes of {tuple(branch.styles.shape)} and {tuple(first.styles.shape)} numbers "
                "cannot be blended"
            )


def begin(branches: Sequence[Branch], canvas: Canvas, tile: Region) -> Walk:
    """The walk before the first layer: the learned constant, repeated over tile and margin.

    Constants of several generators are blended like everything else.
    """
    region = canvas.clip(tile.grown(HALO + 1), 4)
    items = branches[0].styles.shape[0]
    layer = branches[0].generator.layers[0]
    const = repeated(branches[0].generator.const, region)
    for branch in branches[1:]:
        if branch.generator is not branches[0].generator:
            alpha = branch.alpha(layer, region)
            const = torch.lerp(const, repeated(branch.generator.const, region), _as(alpha, const))
    return Walk(branches[0].generator.begin(items, const), region)


def step(branches: Sequence[Branch], walk: Walk) -> Walk:
    """The walk after one more layer."""
    layer = branches[0].generator.layers[walk.state.next]
    region = walk.region.times(2) if layer.kind == "conv0" else walk.region
    shown = _visible(branches, layer, region)
    lowest, _, box = shown[0]
    laid = 1
    while laid < len(shown) and _alike(lowest, shown[laid][0], layer):
        box = _around(box, shown[laid][2], region)  # one code so far: drawn once
        laid += 1
    painted = _spread(_draw(lowest, layer, walk.state, region, box), box, region)
    for branch, alpha, box in shown[laid:]:
        made = _draw(branch, layer, walk.state, region, box)
        painted = _lay(painted, made, alpha, region, box)
    if layer.kind != "rgb":
        painted = replace(painted, skip=walk.state.skip)
    else:
        painted = replace(painted, features=walk.state.features)
    return Walk(painted, region)


def reach_px(generator: Generator, first: Layer) -> int:
    """How far beyond itself, in pixels, a change of one cell of a layer's result can be seen.

    Each cell has native resolution / layer resolution pixels. This is the exact support of what
    follows: 3x3 convolutions, doublings, and the low-pass of each doubling.
    """
    cell = generator.resolution // first.resolution
    return {"conv0": 4 * cell - 3, "conv1": 3 * cell - 3, "rgb": cell - 1}[first.kind]


# --- which codes are seen where --------------------------------------------------------------


def _visible(
    branches: Sequence[Branch], layer: Layer, region: Region
) -> list[tuple[Branch, Tensor, Region]]:
    """The codes that show in a window, lowest first, each with its alpha and its part of it.

    The lowest one is what the others are laid upon: it has a part wherever they leave one bare.
    """
    alphas = [_tensor(branch, layer, region) for branch in branches]
    hidden = torch.zeros((), dtype=torch.bool)
    shown = []
    bare = region
    for branch, alpha in reversed(list(zip(branches, alphas, strict=True))):
        hidden = hidden.to(alpha.device)
        box = _box((alpha > 0) & ~hidden, region)
        if box is not None and alpha.shape[0] > 1:
            box = region  # an item's numbers must not hang on its neighbours' masks
        if box is not None:
            shown.append((branch, alpha, box))
            bare = _box(~hidden, region) or region
        hidden = hidden | (alpha >= 1)
    if hidden.dim() == 4 and hidden.shape[0] > 1:
        bare = region
    lowest, alpha, _ = shown.pop()
    return [(lowest, alpha, bare), *reversed(shown)]


def _tensor(branch: Branch, layer: Layer, region: Region) -> Tensor:
    alpha = branch.alpha(layer, region)
    if isinstance(alpha, Tensor):
        return alpha.to(branch.styles.device, torch.float32)
    return torch.full((1, 1, 1, 1), float(alpha), device=branch.styles.device)


def _box(seen: Tensor, region: Region) -> Region | None:
    """The smallest part of a window that holds all that is seen; None if nothing is."""
    spans = []
    for size, dim in ((region.height, 2), (region.width, 3)):
        others = tuple(d for d in range(4) if d != dim)
        places = seen.reshape(*(1,) * (4 - seen.dim()), *seen.shape).amax(others).nonzero()
        if not len(places):
            return None
        whole = seen.dim() < 4 or seen.shape[dim] == 1
        spans.append((0, size) if whole else (int(places[0]), int(places[-1]) + 1))
    (top, bottom), (left, right) = spans
    box = Region(region.top + top, region.left + left, bottom - top, right - left)
    return region if box.area > WORTH_CUTTING * region.area else box


def _around(a: Region, b: Region, region: Region) -> Region:
    """The smallest part of a window that holds two parts of it; all of it when that is large."""
    top, left = min(a.top, b.top), min(a.left, b.left)
    box = Region(top, left, max(a.bottom, b.bottom) - top, max(a.right, b.right) - left)
    return region if box.area > WORTH_CUTTING * region.area else box


def _alike(a: Branch, b: Branch, layer: Layer) -> bool:
    """Whether two codes draw the same at a layer."""
    if a.generator is not b.generator or a.noise is not b.noise:
        return False
    return torch.equal(a.styles[:, layer.style], b.styles[:, layer.style])


# --- one code on a part of a window ----------------------------------------------------------


def _draw(
    branch: Branch, layer: Layer, state: LayerState, region: Region, box: Region
) -> LayerState:
    """What one code makes of a state, in `box` of the result's `region`."""
    y = _reach(layer, state, box.top - region.top, box.height, region.height)
    x = _reach(layer, state, box.left - region.left, box.width, region.width)
    scale = 2 if layer.kind == "conv0" else 1
    made_in = Region(
        region.top + scale * y[0],
        region.left + scale * x[0],
        scale * (y[1] - y[0]),
        scale * (x[1] - x[0]),
    )
    inputs: list[Tensor | None] = [None] * sum(
        each.noise is not None for each in branch.generator.layers
    )
    if layer.noise is not None:
        inputs[layer.noise] = branch.noise(layer, made_in)
    window = LayerState(
        state.next,
        state.features[:, :, y[0] : y[1], x[0] : x[1]],
        None if layer.kind != "rgb" or state.skip is None else _half(state.skip, y, x),
        None if state.shortcut is None else state.shortcut[:, :, y[0] : y[1], x[0] : x[1]],
    )
    made = branch.generator.step(window, branch.styles, inputs)
    top, left = box.top - made_in.top, box.left - made_in.left
    rows, columns = slice(top, top + box.height), slice(left, left + box.width)
    return LayerState(
        made.next,
        made.features[:, :, rows, columns] if layer.kind != "rgb" else made.features,
        None if made.skip is None else made.skip[:, :, rows, columns],
        None if made.shortcut is None else made.shortcut[:, :, rows, columns],
    )


def _half(skip: Tensor, y: tuple[int, int], x: tuple[int, int]) -> Tensor:
    """The part of the smaller picture that lies under a part of the features."""
    return skip[:, :, y[0] // 2 : y[1] // 2, x[0] // 2 : x[1] // 2]


def _reach(layer: Layer, state: LayerState, start: int, length: int, size: int) -> tuple[int, int]:
    """The cells of a layer's input, along one axis, that a part of its result hangs on.

    A 3x3 convolution reaches one cell, one that doubles the side (transposed, then low-passed)
    one cell of its input; an rgb layer adds a picture that was doubled.
    """
    if (start, length) == (0, size):
        return 0, size // 2 if layer.kind == "conv0" else size
    end = start + length
    if layer.kind == "conv1":
        return max(0, start - 1), min(size, end + 1)
    if layer.kind == "rgb" and state.skip is None:
        return start, end
    low, high = max(0, -((3 - start) // 2)), min(size // 2, (end + 1) // 2 + 1)
    return (low, high) if layer.kind == "conv0" else (2 * low, 2 * high)


def _spread(state: LayerState, box: Region, region: Region) -> LayerState:
    """What was drawn on a part of a window, with room around it for what will hide the rest."""
    if box == region:
        return state
    left, top = box.left - region.left, box.top - region.top
    room = (left, region.width - left - box.width, top, region.height - top - box.height)

    def widened(x: Tensor | None) -> Tensor | None:
        return None if x is None else F.pad(x, room)

    if state.skip is not None:
        return replace(state, skip=widened(state.skip))
    return replace(state, features=F.pad(state.features, room), shortcut=widened(state.shortcut))


def _lay(
    below: LayerState, above: LayerState, alpha: Tensor, region: Region, box: Region
) -> LayerState:
    """One result laid over the part of another that it covers."""
    rows = slice(box.top - region.top, box.bottom - region.top)
    columns = slice(box.left - region.left, box.right - region.left)
    cut = alpha
    if alpha.shape[-2] > 1:
        cut = cut[..., rows, :]
    if alpha.shape[-1] > 1:
        cut = cut[..., columns]

    def over(lower: Tensor | None, upper: Tensor | None) -> Tensor | None:
        if lower is None or upper is None:
            return lower
        if box == region:
            return torch.lerp(lower, upper, _as(cut, upper))
        part = lower[:, :, rows, columns]
        result = lower.clone() if torch.is_grad_enabled() else lower  # it belongs to this layer
        result[:, :, rows, columns] = torch.lerp(part, upper, _as(cut, upper))
        return result

    features = over(below.features, above.features) if below.skip is None else below.features
    assert features is not None
    return LayerState(
        below.next, features, over(below.skip, above.skip), over(below.shortcut, above.shortcut)
    )


def _as(alpha: Tensor | float, like: Tensor) -> Tensor:
    """An alpha as a tensor of the kind and shape that `lerp` takes beside another one."""
    return torch.as_tensor(alpha, device=like.device).to(like.dtype).expand_as(like)


# --- tiles -----------------------------------------------------------------------------------


def _cut(walk: Walk, wanted: Region) -> Walk:
    """Only a part of a window."""
    if wanted == walk.region:
        return walk
    top, left = wanted.top - walk.region.top, wanted.left - walk.region.left
    rows, columns = slice(top, top + wanted.height), slice(left, left + wanted.width)
    state = walk.state
    return Walk(
        LayerState(
            state.next,
            state.features[:, :, rows, columns],
            None if state.skip is None else state.skip[:, :, rows, columns],
        ),
        wanted,
    )


def _with_margin(whole: Region, canvas: Canvas) -> Region:
    """A whole canvas of any size with what its next layers hang on beyond closed sides."""
    y, x = (HALO * closed for closed in (canvas.closed_y, canvas.closed_x))
    return Region(whole.top - y, whole.left - x, whole.height + 2 * y, whole.width + 2 * x)


def _surrounded(walk: Walk, canvas: Canvas) -> Walk:
    """A whole canvas with what lies at its other side added beyond closed sides."""
    wide = _with_margin(walk.region, canvas)
    around = replace(wide, top=wide.top - walk.region.top, left=wide.left - walk.region.left)
    skip = walk.state.skip
    state = replace(
        walk.state,
        features=repeated(walk.state.features, around),
        skip=None if skip is None else repeated(skip, around),
    )
    return Walk(state, wide)
