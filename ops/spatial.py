"""Pictures of other sizes and makeup from one code: features padded, scaled and shifted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Range, Seed, op
from engine.values import Image, Latent, Network, Scalar, check_family
from ops.given import checked, rounded

if TYPE_CHECKING:
    from models.blend import Edit

Feather = Annotated[float, Range(0, 0.5)]
Noise = Literal["const", "seeded", "none"]
Closed = Literal["none", "horizontal", "vertical", "both"]
#: A box [x, y, w, h] and where its corner goes, [to_x, to_y].
Move = tuple[float, float, float, float, float, float]
Extra = Annotated[int, Range(0, 65536)]
Side = Annotated[int, Range(1, 65536)]
#: What "seed" is before the engine fills it in.
UNSEEDED = Seed(())


@dataclass(frozen=True, slots=True)
class Rearranged:
    """A picture rearranged, and what that did beyond the places that something was laid over.

    `predicted_reach_px`: no pixel farther than this from them can change; `leak_max` and
    `leak_mean`: the measured change outside of them and the margin, in levels of 0..255.
    """

    image: Image
    predicted_reach_px: Scalar
    leak_max: Scalar
    leak_mean: Scalar


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
    from models.grid import several, way

    try:
        coarsest = min(several(sides["model"], settings["at"]))
        for move in settings["moves"]:
            way(move, sides["model"], coarsest)
    except ModelError as error:
        yield "at" if str(error).startswith("resolution") else "moves", str(error)


def _judge_random_moves(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `sample_shifts`."""
    from models.errors import ModelError
    from models.grid import several

    if message := _fault_of_sizes(settings["size"]):
        yield "size", message
    try:
        several(sides["model"], settings["at"])
    except ModelError as error:
        yield "at", str(error)


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
    closed: Closed = "none",
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Image:
    """Draw a larger picture: the features of one resolution go on beyond their sides.

    "replicate" draws the background out, "reflect" and "circular" repeat what is there. Coarse
    resolutions redraw what they repeat, fine ones copy it. Features and the small picture are
    padded together, so that shape and colour stay in register. `closed` sides go on at the opposite
    ones, as tiles do.

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
    size = (at + sides.top + sides.bottom, at + sides.left + sides.right)
    edits = {at: padded(sides, mode)}
    return _edited(latent, model, edits, noise, seed, _Around(closed, at, *size))


@op(version=1, batch=1, batch_cuda=8, fixed=True, check=_judge_scaling)
def resize_features(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    model: Network,
    *,
    width: Side | None = None,
    height: Side | None = None,
    at: int = 8,
    mode: Literal["nearest", "bilinear"] = "nearest",
    closed: Closed = "none",
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Image:
    """Draw a picture of another size: the features of one resolution are drawn out or together.

    Texture keeps its sharpness, which scaling the picture would blur. `closed` sides go on at the
    opposite ones: a picture that can be laid side by side.

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
    edits = {at: scaled(*cells, mode)}
    return _edited(latent, model, edits, noise, seed, _Around(closed, at, *cells))


@op(version=2, batch=1, batch_cuda=8, fixed=True, check=_judge_moves)
def shift_features(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    model: Network,
    *,
    moves: list[Move],
    at: int | list[int] = 16,
    feather: Feather = 0.06,
    strength: Annotated[float, Range(0, 1)] = 1.0,
    swap: bool = False,
    picture: bool = True,
    protect: bool = False,
    margin: Feather = 0.04,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Rearranged:
    """Copy parts of a picture to other places inside the generator, which redraws the seams.

    Each move [x, y, w, h, to_x, to_y] lays the box at (x, y) softly over the place at (to_x, to_y);
    with `swap` the two change places. Moves follow one another. Coarse resolutions redraw what
    they move, fine ones copy it. `picture: false` leaves behind the small picture that the features
    are added to, and with it their colours, as the release does. `protect` restores the plain
    picture outside the places laid over and the margin, bit for bit.

    Shapes: latent z, w, w_plus or style of N items -> image [N, 3, R, R].
    Units: moves in fractions of the picture (all six at most 1) or px, by whole cells of the
    coarsest resolution of `at`; feather and margin in sides of the picture; strength 0 (no change)
    .. 1.
    Raises: OpError, before the run where the settings are known then, for boxes that leave the
    picture, ways that are no whole cells (the nearest are named), or an unknown resolution.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.3.
    """
    import torch

    import models
    from models.masks import confined
    from models.rearranging import Softness, moving, reach_of_edits, touched

    soft = Softness(feather, strength, swap, picture)
    with checked():
        edits = moving(model.resolution, at, moves, soft)
        laid = touched(model.resolution, at, moves, soft).to(model.device)
        reach = reach_of_edits(models.fetch(model), at) if bool(laid.any()) else 0
    drawn, plain = (_edited(latent, model, each, noise, seed).data for each in (edits, {}))
    with torch.no_grad():
        held = confined(plain, drawn, laid, round(margin * model.resolution), protect)
    return Rearranged(
        Image(held.image),
        Scalar((reach,) * len(drawn)),
        rounded(held.leak_max, 4),
        rounded(held.leak_mean, 6),
    )


@op(version=1, batch=1, check=_judge_random_moves)
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

    from models.grid import several
    from models.rearranging import Softness, moving, random_moves

    if message := _fault_of_sizes(size):
        raise OpError(message)
    pictures, told = [], []
    seeds = tuple(seed) or (0,) * len(latent.data)
    for i, one in enumerate(seeds):
        item = Latent(latent.data[i : i + 1], latent.space, latent.family)
        with checked():
            coarsest = min(several(model.resolution, at))
            moves = random_moves(one, variant, count, size, reach, coarsest, axis)
            edits = moving(model.resolution, at, moves, Softness(feather))
        grain = Seed((one,))
        pictures.append(_edited(item, model, edits, noise, grain).data)
        told.append(json.dumps([[round(n, 6) for n in move] for move in moves]))
    return Variant(Image(torch.cat(pictures)), Scalar(tuple(told)))


def _fault_of_sizes(size: Sequence[float]) -> str:
    """What is wrong with the smallest and largest side of random boxes, or ""."""
    if 0 < size[0] <= size[1] <= 1:
        return ""
    return f"size {list(size)}: must be two shares of the picture, the smaller first"


# --- drawing ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Around:
    """Which sides of a picture are closed, and its height and width in cells from `at` on."""

    closed: Closed = "none"
    at: int = 4
    height: int = 4
    width: int = 4

    def sized(self, resolution: int) -> tuple[int, int]:
        """Height and width in cells at a resolution: edits come after the layers of `at`."""
        if resolution <= self.at:
            return resolution, resolution
        return self.height * resolution // self.at, self.width * resolution // self.at


def _edited(
    latent: Latent,
    model: Network,
    edits: "Mapping[int, Edit]",
    noise: Noise,
    seed: Seed,
    around: _Around = _Around(),
) -> Image:
    """The pictures of codes whose features are edited on their way."""
    import torch

    import models
    from models.blend import Branch, draw_blend
    from models.canvas import Canvas, noise_field, wrapped
    from models.codes import to_styles

    check_family(latent, model)
    generator = models.fetch(model)
    with torch.no_grad(), checked():
        styles = to_styles(generator, latent.data.to(model.device), latent.space)
        field = noise_field(generator, noise, seed, len(styles))
        canvas = Canvas(
            closed_x=around.closed in ("horizontal", "both"),
            closed_y=around.closed in ("vertical", "both"),
        )
        if around.closed != "none":
            field = wrapped(field, canvas, around.sized)
        drawn = draw_blend([Branch(generator, styles, field)], canvas, edits=edits)
        return Image(drawn.clamp(-1, 1))


def _blamed(message: str, names: Sequence[str] | Mapping[str, int], other: str) -> str:
    """The setting that a message begins with the name of."""
    return next((name for name in names if message.startswith(name)), other)
