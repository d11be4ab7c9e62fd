"""Pictures of other sizes and makeup from one code: features padded, scaled and shifted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Range, Seed, op
from engine.values import Image, Latent, Network, Scalar, check_family
from ops.given import checked

if TYPE_CHECKING:
    from torch import Tensor

    from models.blend import Edit
    from models.edits import Shift

Feather = Annotated[float, Range(0, 0.5)]
Noise = Literal["const", "seeded", "none"]
#: A box [x, y, w, h] and where its corner goes, [to_x, to_y].
Move = tuple[float, float, float, float, float, float]
Extra = Annotated[int, Range(0, 65536)]
Side = Annotated[int, Range(1, 65536)]
#: What "seed" is before the engine fills it in.
UNSEEDED = Seed(())


@dataclass(frozen=True, slots=True)
class Variant:
    """A picture made anew, and the moves that made it, as `shift_features` takes them (JSON)."""

    image: Image
    moves: Scalar


def _judge_padding(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `pad_features`."""
    from models.errors import ModelError
    from models.grid import padding

    around = {name: settings[name] for name in ("left", "right", "top", "bottom")}
    try:
        padding(sides["model"], settings["at"], around, settings["unit"], settings["mode"])
    except ModelError as error:
        yield _blamed(str(error), around, "at"), str(error)


def _judge_scaling(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `resize_features`."""
    from models.errors import ModelError
    from models.grid import scaling

    try:
        scaling(sides["model"], settings["at"], settings["height"], settings["width"])
    except ModelError as error:
        yield _blamed(str(error), ("height", "width"), "at"), str(error)


def _judge_moves(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `shift_features`."""
    from models.errors import ModelError

    try:
        coarsest = min(_resolutions(sides["model"], settings["at"]))
        for move in settings["moves"]:
            _way(move, sides["model"], coarsest)
    except ModelError as error:
        yield "at" if str(error).startswith("resolution") else "moves", str(error)


@op(version=1, batch=1, batch_cuda=8, fixed=True, check=_judge_padding)
def pad_features(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    model: Network,
    *,
    left: Extra = 0,
    right: Extra = 0,
    top: Extra = 0,
    bottom: Extra = 0,
    unit: Literal["cells", "px"] = "cells",
    at: int = 8,
    mode: Literal["replicate", "reflect", "circular"] = "reflect",
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Image:
    """Draw a larger picture: the features of one resolution go on beyond their sides.

    "replicate" draws the background out, "reflect" and "circular" repeat what is there. Coarse
    resolutions redraw what they repeat, fine ones copy it. Features and the small picture are
    padded together, so that shape and colour stay in register.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, H, W].
    Units: sides in cells of resolution `at` (each model resolution / `at` px), or in px.
    Raises: OpError, before the run where the settings are known then, for a resolution the model
    lacks, px that are no whole cells, or a mirror longer than the features.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.1.
    """
    from models.edits import Sides, padded
    from models.grid import padding

    around = {"left": left, "right": right, "top": top, "bottom": bottom}
    with checked():
        sides = Sides(**padding(model.resolution, at, around, unit, mode))
    return _edited(latent, model, {at: padded(sides, mode)}, noise, seed)


@op(version=1, batch=1, batch_cuda=8, fixed=True, check=_judge_scaling)
def resize_features(
    latent: Latent,
    model: Network,
    *,
    width: Side | None = None,
    height: Side | None = None,
    at: int = 8,
    mode: Literal["nearest", "bilinear"] = "nearest",
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Image:
    """Draw a picture of another size: the features of one resolution are drawn out or together.

    Texture keeps its sharpness, which scaling the picture would blur.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, height, width].
    Units: width and height px, whole cells of resolution `at`; left out: the native side.
    Raises: OpError, before the run where the settings are known then, for a size or resolution
    that the model's grid does not allow; the nearest allowed ones are named.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.1.
    """
    from models.edits import scaled
    from models.grid import scaling

    with checked():
        cells = scaling(model.resolution, at, height, width)
    return _edited(latent, model, {at: scaled(*cells, mode)}, noise, seed)


@op(version=1, batch=1, batch_cuda=8, fixed=True, check=_judge_moves)
def shift_features(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    model: Network,
    *,
    moves: list[Move],
    at: int | list[int] = 16,
    feather: Feather = 0.06,
    strength: Annotated[float, Range(0, 1)] = 1.0,
    swap: bool = False,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Image:
    """Copy parts of a picture to other places inside the generator, which redraws the seams.

    Each move [x, y, w, h, to_x, to_y] lays the box at (x, y) softly over the place at (to_x, to_y);
    with `swap` the two change places. Moves follow one another. Coarse resolutions redraw what
    they move, fine ones copy it.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R].
    Units: moves in fractions of the picture (all six at most 1) or px, by whole cells of the
    coarsest resolution of `at`; feather in sides of the picture; strength 0 (no change) .. 1.
    Raises: OpError, before the run where the settings are known then, for boxes that leave the
    picture, ways that are no whole cells (the nearest are named), or an unknown resolution.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.3.
    """
    with checked():
        edits = _shifts(model.resolution, at, moves, feather, strength, swap=swap)
    return _edited(latent, model, edits, noise, seed)


@op(version=1, batch=1)
def sample_shifts(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    model: Network,
    *,
    variant: Annotated[int, Range(0)] = 0,
    count: Annotated[int, Range(1, 64)] = 3,
    size: tuple[float, float] = (0.25, 0.5),
    reach: Annotated[float, Range(0, 1)] = 0.5,
    at: int | list[int] = 8,
    feather: Feather = 0.1,
    axis: Literal["both", "horizontal", "vertical"] = "both",
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Variant:
    """Draw one picture's parts rearranged at random: many variants of it, with no training.

    `count` boxes are copied to places at most `reach` away. Variant k of an item is always the
    same; for many, `matrix: {k: [0, 1, 2]}` and `variant: "${matrix.k}"`.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R].
    Units: size, the smallest and largest side of a box, and reach in sides of the picture.
    Raises: OpError for sizes outside 0..1 or an unknown resolution.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.3, for what Shaham et al. 2019,
    arXiv:1905.01164 (SinGAN) trains a network per picture.
    """
    import torch

    if not 0 < size[0] <= size[1] <= 1:
        raise OpError(f"size {list(size)}: must be two shares of the picture, the smaller first")
    pictures, told = [], []
    seeds = tuple(seed) or (0,) * len(latent.data)
    for i, one in enumerate(seeds):
        item = Latent(latent.data[i : i + 1], latent.space, latent.family)
        with checked():
            coarsest = min(_resolutions(model.resolution, at))
            moves = _drawn_moves(one, variant, count, size, reach, coarsest, axis)
            edits = _shifts(model.resolution, at, moves, feather, 1.0)
        grain = Seed((one,))
        pictures.append(_edited(item, model, edits, noise, grain).data)
        told.append(json.dumps([[round(n, 6) for n in move] for move in moves]))
    return Variant(Image(torch.cat(pictures)), Scalar(tuple(told)))


# --- moves -----------------------------------------------------------------------------------


def _drawn_moves(
    seed: int,
    variant: int,
    count: int,
    size: Sequence[float],
    reach: float,
    cells: int,
    axis: str,
) -> list[Move]:
    """Random boxes and ways, in fractions of the picture, all on a grid of `cells`."""
    from random import Random

    from models.codes import number

    dice = Random(number(seed, "moves", variant))

    def place(side: int, start: int, moved: bool) -> int:
        far = max(1, round(reach * cells)) if moved else 0
        low, high = max(0, start - far), min(cells - side, start + far)
        return dice.choice([to for to in range(low, high + 1) if to != start] or [start])

    found: list[Move] = []
    for _ in range(count):
        width, height = (min(cells, max(1, round(cells * dice.uniform(*size)))) for _ in range(2))
        x, y = dice.randint(0, cells - width), dice.randint(0, cells - height)
        to_x = place(width, x, axis != "vertical")
        to_y = place(height, y, axis != "horizontal")
        found.append(
            (x / cells, y / cells, width / cells, height / cells, to_x / cells, to_y / cells)
        )
    return found


def _resolutions(resolution: int, at: int | Sequence[int]) -> list[int]:
    """The resolutions that are edited. Raises: ModelError if the model lacks one."""
    from models.errors import ModelError
    from models.grid import cell_px

    found = [at] if isinstance(at, int) else list(at)
    if not found:
        raise ModelError("resolution: at least one must be named")
    for side in found:
        cell_px(resolution, side)
    return found


def _way(move: Sequence[float], resolution: int, coarsest: int) -> tuple["Any", int, int]:
    """The box a move lays down, in px, and its way in cells of the coarsest resolution edited.

    Raises: ModelError if a box leaves the picture or the way is no whole number of cells.
    """
    from models import grid

    scale = resolution if max(move) <= 1 else 1
    x, y, w, h, to_x, to_y = (n * scale for n in move)
    # Said in pixels: a box of at most 1 px would be taken for fractions.
    start, end = ([n / resolution for n in box] for box in ((x, y, w, h), (to_x, to_y, w, h)))
    grid.box_px(start, resolution, resolution)
    there = grid.box_px(end, resolution, resolution)
    dx, dy = grid.move(resolution, coarsest, (to_x - x, to_y - y))
    return there, dx, dy


def _shifts(
    resolution: int,
    at: int | Sequence[int],
    moves: Sequence[Sequence[float]],
    feather: float,
    strength: float,
    *,
    swap: bool = False,
) -> "dict[int, Edit]":
    """The edits that make some moves, by resolution."""
    from models.edits import shifted

    sides = _resolutions(resolution, at)
    edits: dict[int, Edit] = {}
    for side in sides:
        shifts = [
            _shift(
                _way(move, resolution, min(sides)),
                resolution,
                side,
                min(sides),
                feather,
                strength,
                swap,
            )
            for move in moves
        ]
        edits[side] = shifted(shifts)
    return edits


def _shift(
    way: tuple["Any", int, int],
    resolution: int,
    side: int,
    coarsest: int,
    feather: float,
    strength: float,
    swap: bool,
) -> "Shift":
    """One move at one resolution."""
    import torch.nn.functional as F

    from models.edits import Shift
    from models.masks import box_mask

    box, dx, dy = way
    dx, dy = dx * side // coarsest, dy * side // coarsest
    soft = box_mask(box, resolution, resolution, feather * resolution)
    alpha = F.interpolate(soft, (side, side), mode="area") * strength
    return Shift(-dy, -dx, _inside(alpha, dy, dx), swap)


def _inside(alpha: "Tensor", dy: int, dx: int) -> "Tensor":
    """Where an alpha would fetch what lies beyond the features, it is nothing."""
    import torch

    rows, columns = (torch.arange(size) for size in alpha.shape[-2:])
    from_row, from_column = rows - dy, columns - dx
    row_there = (from_row >= 0) & (from_row < len(rows))
    column_there = (from_column >= 0) & (from_column < len(columns))
    return alpha * (row_there[:, None] & column_there)


# --- drawing ---------------------------------------------------------------------------------


def _edited(
    latent: Latent, model: Network, edits: "Mapping[int, Edit]", noise: Noise, seed: Seed
) -> Image:
    """The pictures of codes whose features are edited on their way."""
    import torch

    import models
    from models.blend import Branch, draw_blend
    from models.canvas import noise_field
    from models.codes import to_styles

    check_family(latent, model)
    generator = models.fetch(model)
    with torch.no_grad(), checked():
        styles = to_styles(generator, latent.data.to(model.device), latent.space)
        field = noise_field(generator, noise, seed, len(styles))
        return Image(draw_blend([Branch(generator, styles, field)], edits=edits).clamp(-1, 1))


def _blamed(message: str, names: Sequence[str] | Mapping[str, int], other: str) -> str:
    """The setting that a message begins with the name of."""
    return next((name for name in names if message.startswith(name)), other)
