"""One code brought to the pose of another: by the layers that hold it, or along directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.codes import Space, spread, to_styles, to_w_plus
from models.config import Layer
from models.directions import StoredDirection
from models.errors import ModelError
from models.moves import move
from models.perceptual import FeatureNet
from models.stylegan2 import Generator

_BATCH = 8
#: How far a direction is tried to see what it does, and the longest correction, in its sigma.
_NUDGE, _FARTHEST = 0.1, 1.0
#: Added where two directions move the readings alike.
_RIDGE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """Codes after a turn, and how far their readings were, and are, from those wanted.

    Shapes: before, after [N], root mean squares over the directions; None without a network that
    reads them.
    """

    data: Tensor
    space: Space
    before: Tensor | None
    after: Tensor | None


def pose_layers(
    generator: Generator, count: int, by: Literal["style", "rows"] = "style"
) -> list[Layer]:
    """The layers that hold the pose: the first `count`, or all that as many rows of w_plus drive.

    Source: Chong et al. 2021, arXiv:2111.01619, section 3.5: "the first 2048 numbers", four times
    the width of w.
    """
    if by == "style":
        return [layer for layer in generator.layers if layer.index < count]
    return [layer for layer in generator.layers if layer.row < count]


def with_layers(own: Tensor, other: Tensor, layers: Sequence[Layer]) -> Tensor:
    """The styles `other` [N, S] with those of some layers taken from `own`."""
    posed = torch.clone(other)
    for layer in layers:
        posed[:, layer.style] = own[:, layer.style]
    return posed


def turn(
    generator: Generator,
    net: FeatureNet | None,
    data: Tensor,
    space: Space,
    wanted: Tensor,
    wanted_space: Space,
    directions: Sequence[StoredDirection],
    steps: int,
) -> Turned:
    """Codes moved along directions until they show as much of them as the codes `wanted`.

    First by what the directions read in both codes, then by `steps` of Gauss-Newton on what the
    network reads in the pictures; the best of them is kept, item by item. Codes in style, in which
    directions of w cannot be read, start where they are. All else stays as the directions leave it.
    Shapes: data, wanted [N, ...] of their spaces -> the space that `move` gives.
    Raises: ModelError if the directions do not fit the space, or style vectors cannot be read
    without a network.
    """
    if space == "z":
        data, space = generator.mapping(data), "w"
    reads = net is not None and all(d.name in net.attributes for d in directions)
    apart = _code_distance(generator, (wanted, wanted_space), (data, space), directions)
    if apart is None and not (reads and steps):
        raise ModelError(
            "a style vector cannot be read along directions of w: this needs codes in z, w or "
            "w_plus, or a feature network that reads the directions, and steps"
        )
    amounts = data.new_zeros(len(data), len(directions)) if apart is None else apart
    if net is None or not reads:
        return Turned(*_moved(generator, data, space, directions, amounts), None, None)
    columns = [net.attributes.index(direction.name) for direction in directions]

    def read(codes: Tensor, where: Space) -> Tensor:
        pictures = (
            generator.synthesize_styles(to_styles(generator, part, where)).clamp(-1, 1)
            for part in torch.split(codes, _BATCH)
        )
        return torch.cat([net(picture).attributes[:, columns] for picture in pictures])

    goal = read(wanted, wanted_space)
    before = _rms(goal - read(data, space))
    best, least = amounts, torch.full_like(before, torch.inf)
    for step in range(steps + 1):
        shown = read(*_moved(generator, data, space, directions, amounts))
        left = goal - shown
        nearer = _rms(left) < least
        best = torch.where(nearer[:, None], amounts, best)
        least = torch.where(nearer, _rms(left), least)
        if step == steps:
            break
        slopes = []
        for j in range(len(directions)):
            nudged = amounts.clone()
            nudged[:, j] += _NUDGE
            slopes.append(read(*_moved(generator, data, space, directions, nudged)) - shown)
        amounts = amounts + _correction(torch.stack(slopes, 2) / _NUDGE, left)
    found, where = _moved(generator, data, space, directions, best)
    return Turned(found, where, before, least)


def _correction(slopes: Tensor, left: Tensor) -> Tensor:
    """The step [N, J] that makes up for what is left [N, K], given slopes [N, K, J]."""
    turned = slopes.transpose(1, 2)
    ridge = _RIDGE * torch.eye(slopes.shape[2], device=slopes.device)
    found = torch.linalg.solve(turned @ slopes + ridge, turned @ left[:, :, None])
    step: Tensor = found[:, :, 0].clamp(-_FARTHEST, _FARTHEST)
    return step


def _moved(
    generator: Generator,
    data: Tensor,
    space: Space,
    directions: Sequence[StoredDirection],
    amounts: Tensor,
) -> tuple[Tensor, Space]:
    """Each code by its own amounts [N, J], in sigma."""
    parts = []
    for one, mine in zip(torch.split(data, 1), amounts.tolist(), strict=True):
        part, where = move(generator, one, space, list(zip(directions, mine, strict=True)))
        parts.append((part, where))
    spaces = {where for _, where in parts}
    if len(spaces) > 1:  # a code that need not move stayed in the narrower space
        wide: Space = "style" if "style" in spaces else "w_plus"
        widen = to_styles if wide == "style" else to_w_plus
        parts = [(widen(generator, part, where), wide) for part, where in parts]
    return torch.cat([part for part, _ in parts]), parts[0][1]


def _code_distance(
    generator: Generator,
    to: tuple[Tensor, Space],
    start: tuple[Tensor, Space],
    directions: Sequence[StoredDirection],
) -> Tensor | None:
    """How many sigma of each direction lie between codes, [N, J]; None if codes do not tell."""
    found = []
    for direction in directions:
        vector = direction.data.to(start[0])
        if direction.space != "style":
            if "style" in (to[1], start[1]):
                return None
            rows = list(direction.rows or range(generator.num_rows))
            full = spread(vector[None], generator.num_rows)[0] if vector.dim() == 1 else vector
            vector = torch.zeros_like(full)
            vector[rows] = full[rows]
        ends = [
            to_styles(generator, *side)
            if direction.space == "style"
            else to_w_plus(generator, *side).flatten(1)
            for side in (to, start)
        ]
        flat = vector.flatten()
        found.append((ends[0] - ends[1]) @ flat / flat.square().sum() / direction.sigma)
    return torch.stack(found, 1)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(1).sqrt()
