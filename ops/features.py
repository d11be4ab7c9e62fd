"""Several codes in one picture: blended in feature space by ramps, shares, masks and boxes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Range, Seed, op
from engine.values import Image, Latent, Mask, Network, Scalar, check_family
from ops.given import (
    checked,
    generator_of,
    judge_box,
    judge_layers,
    region_of,
    rounded,
    styles_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from models.alphas import Axis
    from models.blend import Alpha, Branch
    from models.config import Layer
    from models.stylegan2 import Generator

Share = Annotated[float, Range(0, 1)]
Feather = Annotated[float, Range(0, 0.5)]
Box = tuple[float, float, float, float]
Noise = Literal["const", "seeded", "none"]
#: What "seed" is before the engine fills it in.
UNSEEDED = Seed(())


@dataclass(frozen=True, slots=True)
class LocalEdit:
    """A picture changed in one place, and what that did elsewhere.

    `predicted_reach_px`: no pixel farther than this from the mask can change; `leak_max` and
    `leak_mean`: the measured change outside mask and margin, in levels of 0..255. All three are
    None when no place was named.
    """

    image: Image
    predicted_reach_px: Scalar
    leak_max: Scalar
    leak_mean: Scalar


def _judge_blend(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `interpolate_features`."""
    yield from judge_layers(settings, sides, "layers")
    yield from judge_box(settings, sides)


def _judge_transfer(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `transfer_attribute`."""
    if settings["edge"] == "soat" and settings["box"] is None:
        yield "edge", "edge 'soat' needs a box"
    if settings["edge"] == "soat" and settings["align"] == "rows":
        yield "align", "edge 'soat' is aligned by style or none; 'rows' goes with edge 'exact'"
    yield from judge_layers(settings, sides, "last")
    yield from judge_box(settings, sides)


@op(version=2, check=_judge_blend)
def interpolate_features(  # noqa: PLR0913 (settings are declared here and nowhere else)
    codes: Sequence[Latent],
    model: Network,
    mask: Mask | None = None,
    *,
    alpha: Literal["horizontal", "vertical"] | Share | list[Share] | None = None,
    plateau: Feather = 0.25,
    ramp: Literal["places", "cells"] = "places",
    box: Box | None = None,
    feather: Feather = 0.0,
    layers: str | int = "all",
    protect: bool = False,
    margin: Feather = 0.04,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> LocalEdit:
    """Let two or more codes draw one picture together, each where and as much as `alpha` says.

    `alpha`: a ramp from the first code to the last ("horizontal" or "vertical"), the second code's
    share, or one share per code. A mask or box keeps the first code outside it; inside, `alpha`
    is 1 unless given. Left out without either: a horizontal ramp. `ramp: cells` counts plateaus in
    cells of each layer, as the reference does. `layers` ("all", 32, "8..32.conv1") are those that
    are blended; the others are the first code's. `protect` restores the first code's picture
    outside mask and margin, bit for bit.

    Shapes: codes, each z, w, w_plus or style of one item; mask [1, 1, H, W] -> image [1, 3, R, R].
    Units: box [x, y, w, h] in fractions of the picture (all four at most 1) or px; plateau, feather
    and margin in sides of the picture.
    Raises: OpError for settings that contradict each other or a code of another generator;
    ItemError bad_input for an empty or broken mask.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.2.
    """
    from models.alphas import up_to, within
    from models.blend import Branch
    from models.canvas import noise_field
    from models.config import choose_layers

    if len(codes) < 2:
        raise OpError("interpolate_features needs two codes or more")
    generator = generator_of(codes, model)
    with checked():
        first, last = choose_layers(generator.config, layers)
    where = region_of(mask, box, feather, model)
    alphas = _alphas(len(codes), alpha, plateau, ramp, inside=where is not None)
    if where is not None:
        alphas = [within(over, _masked(where)) for over in alphas]
    field = noise_field(generator, noise, seed, 1)
    styles = [styles_of(generator, code) for code in codes]
    branches = [
        Branch(generator, styles[0], field),
        *(
            Branch(generator, other, field, up_to(over, last, first))
            for other, over in zip(styles[1:], alphas, strict=True)
        ),
    ]
    return _local(branches, where, generator.layers[first : last + 1], margin, protect)


@op(version=2, batch=4, batch_cuda=16, fixed=True, check=_judge_transfer)
def transfer_attribute(  # noqa: PLR0913 (settings are declared here and nowhere else)
    target: Latent,
    reference: Latent,
    model: Network,
    mask: Mask | None = None,
    *,
    box: Box | None = None,
    feather: Feather = 0.03,
    strength: Share = 1.0,
    align: Literal["style", "rows", "none"] = "style",
    pose_layers: Annotated[int, Range(0)] = 4,
    last: str | int = "32.conv1",
    edge: Literal["exact", "soat"] = "exact",
    protect: bool = False,
    margin: Feather = 0.04,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> LocalEdit:
    """Give a picture what another one has inside a mask or box: its mouth, its eyes, its tower.

    The reference first takes the target's pose: the style vectors of its first `pose_layers` layers
    (`align: style`), or as many rows of its w_plus ("rows", which goes further). Layers after
    `last` stay the target's, and with them its colours. `protect` restores the target's own
    picture outside mask and margin, bit for bit; with margin 0 the mask's own soft edge leads over.
    Without mask and box the whole picture is meant. `edge: soat` is a box as first released, for
    comparison: blurred by half its size and looked up in each layer, where small ones vanish, and
    the very first layer is the reference's inside it whatever the alignment.

    Shapes: target, reference z, w, w_plus or style of N items; mask [N, 1, H, W] ->
    image [N, 3, R, R].
    Units: box [x, y, w, h] in fractions of the picture (all four at most 1) or px; feather and
    margin in sides of the picture; strength 0 (the target) .. 1.
    Raises: OpError for settings that contradict each other or a code of another generator;
    ItemError bad_input for an empty or broken mask.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.5; `last` 32.conv1 is style index 9.
    """
    from models.alphas import constant, up_to, within
    from models.blend import Branch
    from models.canvas import noise_field
    from models.config import choose_layers

    generator = generator_of((target, reference), model)
    with checked():
        end = choose_layers(generator.config, last)[1]
    own = styles_of(generator, target)
    where: Tensor | None
    if edge == "soat":
        if mask is not None or align == "rows":
            raise OpError("edge 'soat' is for a box, aligned by style or none; 'exact' is for all")
        where, over = _as_released(box, generator, align, pose_layers)
        other, start = styles_of(generator, reference), 0
    else:
        where = region_of(mask, box, feather, model)
        other, start = _posed(generator, target, reference, align, pose_layers)
        over = constant(1.0) if where is None else _masked(where)
    over = within(over, constant(strength))
    field = noise_field(generator, noise, seed, len(own))
    branches = [
        Branch(generator, own, field),
        Branch(generator, other, field, up_to(over, end)),
    ]
    if start > end:
        raise OpError(
            f"pose_layers {pose_layers} ({align}) leaves nothing to blend up to layer '{last}': "
            f"the first layer that differs is {generator.layers[start].name}"
        )
    return _local(branches, where, generator.layers[start : end + 1], margin, protect)


@op(version=2, batch=4, batch_cuda=16, fixed=True, check=judge_box)
def translate(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    source: Network,
    target: Network,
    reference: Latent | None = None,
    mask: Mask | None = None,
    *,
    alpha: Literal["horizontal", "vertical"] | Share = 0.7,
    early_alpha: Share = 0.0,
    swap: Annotated[int, Range(0)] = 6,
    box: Box | None = None,
    feather: Feather = 0.03,
    protect: bool = False,
    margin: Feather = 0.04,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> LocalEdit:
    """Draw a code as another generator would: photograph to painting, with its pose and identity.

    The two generators must read codes alike: `target` tuned from `source` with its mapping and
    affines frozen, which is checked. The first `swap` layers blend by `early_alpha` and keep the
    structure; the others by `alpha`. `reference` gives the target's layers a code of their own,
    and with it another variety of its style. A mask or box translates one place only.

    Shapes: latent, reference z, w, w_plus or style of N items; mask [N, 1, H, W] ->
    image [N, 3, R, R].
    Units: alpha 0 (the source's picture) .. 1 (the target's), or a ramp from the one to the other;
    box [x, y, w, h] in fractions of the picture (all four at most 1) or px; feather and margin in
    sides of the picture.
    Raises: OpError if the generators do not belong together (the first tensor that differs is
    named) or are one and the same; ItemError bad_input for an empty or broken mask.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.4.
    """
    import models
    from models.alphas import constant, ramp, stepped, within
    from models.blend import Branch
    from models.canvas import noise_field
    from models.pairs import check_pair

    if (source.digest, source.delta) == (target.digest, target.delta):
        raise OpError("source and target are one model: say `models: {source: ..., target: ...}`")
    mine, theirs = generator_of((latent,), source), models.fetch(target)
    with checked():
        check_pair(mine, theirs, (source.name, target.name))
    if reference is not None:
        check_family(reference, source)
    where = region_of(mask, box, feather, source)
    own = styles_of(mine, latent)
    other = own if reference is None else styles_of(mine, reference)
    late = ramp(alpha) if isinstance(alpha, str) else constant(alpha)
    over = stepped(constant(early_alpha), late, swap)
    if where is not None:
        over = within(over, _masked(where))
    branches = [
        Branch(mine, own, noise_field(mine, noise, seed, len(own))),
        Branch(theirs, other, noise_field(theirs, noise, seed, len(own)), over),
    ]
    blended = mine.layers[0 if early_alpha else swap :]
    return _local(branches, where, blended, margin, protect)


# --- codes -----------------------------------------------------------------------------------


def _posed(
    generator: "Generator",
    target: Latent,
    reference: Latent,
    align: Literal["style", "rows", "none"],
    pose: int,
) -> tuple["Tensor", int]:
    """The reference's styles with the target's pose, and the first layer that may still differ."""
    from models.pose import pose_layers, with_layers

    own, other = styles_of(generator, target), styles_of(generator, reference)
    if align == "none" or pose == 0:
        return other, 0
    if align == "rows" and "style" in (target.space, reference.space):
        raise OpError("align: rows needs codes in z, w or w_plus: a style vector has no rows")
    kept = pose_layers(generator, pose, align)
    left = [layer.index for layer in generator.layers if layer not in kept]
    return with_layers(own, other, kept), min(left, default=len(generator.layers) - 1)


# --- alphas ----------------------------------------------------------------------------------


def _alphas(
    count: int,
    alpha: "Axis | float | list[float] | None",
    plateau: float,
    ramp: str,
    *,
    inside: bool,
) -> list["Alpha"]:
    """One alpha for each code but the first, as the settings say."""
    from models.alphas import cells, constant, even, tents

    if inside and count != 2:
        raise OpError(f"a mask or box chooses between two codes, here are {count}")
    if alpha is None:
        alpha = 1.0 if inside else "horizontal"
    if isinstance(alpha, str):
        if ramp == "places":
            return tents(count, alpha, plateau)[1:]
        if count != 2:
            raise OpError(f"ramp: cells is for two codes, here are {count}")
        return [cells(alpha, plateau)]
    if isinstance(alpha, list):
        if len(alpha) != count:
            raise OpError(f"alpha has {len(alpha)} shares for {count} codes")
        with checked():
            return even(alpha)[1:]
    if count != 2:
        raise OpError(f"one alpha is for two codes, here are {count}: give a list of {count}")
    return [constant(alpha)]


def _masked(where: "Tensor") -> "Alpha":
    from models.alphas import from_mask

    return from_mask(where)


def _as_released(
    box: Box | None, generator: "Generator", align: str, pose: int
) -> tuple["Tensor", "Alpha"]:
    """The soft box of the release, and its alpha: none in the layers of the pose but the first."""
    from models.alphas import blurred_box, looked_up, stepped, up_to
    from models.grid import box_px

    if box is None:
        raise OpError("edge 'soat' needs a box")
    side = generator.resolution
    with checked():
        where = blurred_box(box_px(box, side, side), side).to(generator.w_avg.device)
    over = looked_up(where)
    return where, over if align == "none" else stepped(up_to(over, 0), over, pose)


# --- places ----------------------------------------------------------------------------------


def _local(
    branches: Sequence["Branch"],
    where: "Tensor | None",
    blended: "Sequence[Layer]",
    margin: float,
    protect: bool,
) -> LocalEdit:
    """The blend, held against the lowest code's own picture where a place was named."""
    import torch

    from models.blend import draw_blend, reach_px
    from models.masks import confined

    generator = branches[0].generator
    with torch.no_grad():
        drawn = draw_blend(branches).clamp(-1, 1)
        if where is None:
            if protect:
                raise OpError("protect needs a mask or a box: what lies outside is restored")
            nothing = Scalar((None,) * len(drawn))
            return LocalEdit(Image(drawn), nothing, nothing, nothing)
        plain = draw_blend(branches[:1]).clamp(-1, 1)
        side = generator.resolution
        held = confined(plain, drawn, where, round(margin * side), protect)
    # A mask that only touches a cell of a layer blends all of the cell.
    reaches = [reach_px(generator, layer) + side // layer.resolution - 1 for layer in blended]
    reach = min(side, max(reaches, default=0))
    if blended and blended[0].index == 0 and any(b.generator is not generator for b in branches):
        reach = side  # learned constants are blended before the first layer
    return LocalEdit(
        Image(held.image),
        Scalar((reach,) * len(drawn)),
        rounded(held.leak_max, 4),
        rounded(held.leak_mean, 6),
    )
