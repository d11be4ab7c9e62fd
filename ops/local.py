"""Two older ways to change a picture in one place, to compare `transfer_attribute` with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError, suggestion
from engine.op import Range, Seed, op
from engine.values import Image, Latent, Mask, Network, Scalar
from ops.given import (
    checked,
    exact_generator,
    fault_of_parts,
    generator_of,
    judge_box,
    judge_parts,
    region_of,
    rounded,
    styles_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from models.perceptual import FeatureNet
    from models.stylegan2 import Generator

Share = Annotated[float, Range(0, 1)]
Feather = Annotated[float, Range(0, 0.5)]
Box = tuple[float, float, float, float]
Noise = Literal["const", "seeded", "none"]
Part = str | int
#: What "seed" is before the engine fills it in.
UNSEEDED = Seed(())


@dataclass(frozen=True, slots=True)
class Pasted:
    """A picture changed in one place, how far that can be seen, and the change elsewhere (0..255).

    `predicted_reach_px`: no pixel farther than this from the mask can change.
    """

    image: Image
    predicted_reach_px: Scalar
    leak_max: Scalar
    leak_mean: Scalar


@dataclass(frozen=True, slots=True)
class PartEdit:
    """A picture with one part changed, where that part is, and the change elsewhere (0..255).

    `channels`: how many style channels were taken from the reference; `predicted_reach_px`: the
    whole picture's side if any was, for a style acts everywhere.
    """

    image: Image
    mask: Mask
    predicted_reach_px: Scalar
    leak_max: Scalar
    leak_mean: Scalar
    channels: Scalar


def _judge_collage(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `collage`."""
    from models.errors import ModelError
    from models.grid import cell_px

    if message := _unequal(settings["levels"], settings["strengths"]):
        yield "strengths", message
    try:
        for level in settings["levels"]:
            cell_px(sides["model"], level)
    except ModelError as error:
        yield "levels", str(error)
    yield from judge_box(settings, sides)


@op(version=2, batch=4, batch_cuda=16, fixed=True, check=_judge_collage)
def collage(  # noqa: PLR0913 (settings are declared here and nowhere else)
    target: Latent,
    reference: Latent,
    model: Network,
    mask: Mask | None = None,
    *,
    box: Box | None = None,
    feather: Feather = 0.03,
    levels: list[int] = [4],  # noqa: B006 (read only)
    strengths: list[Share] = [1.0],  # noqa: B006 (read only)
    protect: bool = False,
    margin: Feather = 0.04,
    noise: Noise = "const",
    seed: Seed = UNSEEDED,
) -> Pasted:
    """Paste what another picture has in a mask or box, in feature space: a baseline.

    Both codes are drawn side by side; at each resolution of `levels` the reference's features are
    laid over the target's by the strength that stands at the same place. Poses are not aligned.
    `protect` restores the target's own picture outside mask and margin, bit for bit.

    Shapes: target, reference z, w, w_plus or style of N items; mask [N, 1, H, W] ->
    image [N, 3, R, R].
    Units: box [x, y, w, h] in fractions of the picture (all four at most 1) or px; feather and
    margin in sides of the picture; strengths 0..1.
    Raises: OpError for a resolution the model lacks, without mask and box, or for a code of another
    generator; ItemError bad_input for an empty or broken mask.
    Source: Suzuki et al. 2018, arXiv:1811.10153; its defaults.
    """
    import torch

    from models.blend import Branch
    from models.canvas import noise_field
    from models.collage import draw_collage
    from models.grid import cell_px
    from models.masks import confined

    if message := _unequal(levels, strengths):
        raise OpError(message)
    with checked():
        for level in levels:
            cell_px(model.resolution, level)
    generator = generator_of((target, reference), model)
    where = region_of(mask, box, feather, model)
    if where is None:
        raise OpError("a mask or a box must say what is pasted")
    with torch.no_grad():
        own, other = styles_of(generator, target), styles_of(generator, reference)
        field = noise_field(generator, noise, seed, len(own))
        branches = Branch(generator, own, field), Branch(generator, other, field)
        chosen = dict(zip(levels, strengths, strict=True))
        drawn = draw_collage(*branches, where, chosen).clamp(-1, 1)
        plain = draw_collage(*branches, where, {}).clamp(-1, 1)
        held = confined(plain, drawn, where, round(margin * generator.resolution), protect)
    reach = _reach_px(generator, [level for level, share in chosen.items() if share])
    return Pasted(
        Image(held.image),
        Scalar((reach,) * len(own)),
        rounded(held.leak_max, 4),
        rounded(held.leak_mean, 6),
    )


@op(version=2, batch=4, batch_cuda=16, fixed=True, check=judge_parts, beside=["features"])
def edit_locally(  # noqa: PLR0913 (settings are declared here and nowhere else)
    target: Latent,
    reference: Latent,
    model: Network,
    *,
    parts: Part | list[Part],
    method: Literal["network", "clusters"] = "network",
    clusters: Annotated[int, Range(2, 64)] = 12,
    at: int = 16,
    strategy: Literal["sequential", "simultaneous"] = "sequential",
    rho: Share = 0.1,
    epsilon: Annotated[float, Range(0)] = 50.0,
    early_epsilon: Annotated[float, Range(0)] = 5.0,
    strength: Share = 1.0,
    protect: bool = False,
    margin: Feather = 0.04,
) -> PartEdit:
    """Give a part of a picture another one's look by the style channels that serve it: a baseline.

    A catalogue over typical codes says which share of each channel's energy lies in `parts`: named
    parts of the feature network, or numbered kinds of features ("clusters", see `segment_parts`).
    The channels that serve them most are taken from the reference. `protect` restores the target's
    own picture outside the parts and the margin, bit for bit.

    Shapes: target, reference z, w, w_plus or style of N items -> image [N, 3, R, R],
    mask [N, 1, R, R].
    Units: rho, the share a channel must give the parts; epsilon (early_epsilon in the first four
    layers), the leak allowed per layer of 512 channels, or the factor of "simultaneous"; margin in
    sides of the picture; strength 0 (the target) .. 1.
    Raises: OpError for unknown parts or a code of another generator.
    Source: Collins et al. 2020, arXiv:2004.14367; rho and epsilons of its portraits.
    """
    import torch

    from models.masks import confined
    from models.parts import catalogue, channel_shares

    generator = generator_of((target, reference), model)
    net = _network(model) if method == "network" else None
    numbers = _numbers(parts if isinstance(parts, list) else [parts], net, clusters)
    with torch.no_grad(), checked():
        exact = exact_generator(model)
        centers = catalogue(exact, at, clusters) if net is None else None
        mine = _catalogued(exact, net, at, clusters)[numbers].sum(0)
        budgets = [early_epsilon if layer.index < 4 else epsilon for layer in generator.layers]
        shares = channel_shares(generator, mine, strategy, rho, budgets) * strength
        own, other = styles_of(generator, target), styles_of(generator, reference)
        mixed = torch.lerp(own, other, shares.expand_as(own))
        plain, drawn = (generator.synthesize_styles(s).clamp(-1, 1) for s in (own, mixed))
        where = _members(generator, net, own, plain, at, centers)[:, numbers].sum(1, keepdim=True)
        where = torch.nn.functional.interpolate(where, plain.shape[2:], mode="bilinear")
        held = confined(
            plain, drawn, (where > 0.5).float(), round(margin * model.resolution), protect
        )
    taken = int((shares > 0).sum())
    return PartEdit(
        Image(held.image),
        Mask(where.clamp(0, 1)),
        Scalar((generator.resolution if taken else 0,) * len(own)),
        rounded(held.leak_max, 4),
        rounded(held.leak_mean, 6),
        Scalar((taken,) * len(own)),
    )


# --- levels ----------------------------------------------------------------------------------


def _unequal(levels: Sequence[int], strengths: Sequence[float]) -> str:
    """What is wrong with strengths that do not go with levels, or ""."""
    if len(levels) == len(strengths):
        return ""
    return f"{len(strengths)} strengths for {len(levels)} levels: one each"


def _reach_px(generator: "Generator", levels: Sequence[int]) -> int:
    """How far beyond the mask a collage can be seen."""
    from models.blend import reach_px

    side = generator.resolution
    # What is pasted is what the last convolution of a level makes, in whole cells.
    reaches = [
        reach_px(generator, generator.layer(f"{level}.conv1")) + side // level - 1
        for level in levels
    ]
    return min(side, max(reaches, default=0))


# --- parts -----------------------------------------------------------------------------------


def _network(model: Network) -> "FeatureNet":
    """The feature network beside a model."""
    from pathlib import Path

    from models import companions

    beside = Path(model.path).with_name("features.safetensors")
    if not beside.is_file():
        raise OpError(
            f"model '{model.name}' has no feature network ({beside.name} beside it): use method: "
            "clusters"
        )
    return companions.features(beside, model.device)


def _numbers(parts: Sequence[Part], net: "FeatureNet | None", clusters: int) -> list[int]:
    """The numbers of parts given by name or number."""
    if message := fault_of_parts(parts, "clusters" if net is None else "network", clusters):
        raise OpError(message)
    if net is None:
        return [int(part) for part in parts]
    known = net.config.parts
    for part in parts:
        if part not in known:
            near = suggestion(str(part), known) or f"; there are {', '.join(known)}"
            raise OpError(f"part '{part}' does not exist{near}")
    return [known.index(str(part)) for part in parts]


def _members(
    generator: "Generator",
    net: "FeatureNet | None",
    styles: "Tensor",
    pictures: "Tensor",
    at: int,
    centers: "Tensor | None",
) -> "Tensor":
    """The share of each place in each part, [N, K, h, w]; of centers, to the nearest."""
    from models.parts import memberships

    if net is not None:
        found: Tensor = net(pictures).part_logits.softmax(1)
        return found
    assert centers is not None
    return memberships(generator, styles, at, centers)


@lru_cache(maxsize=2)
def _catalogued(
    generator: "Generator", net: "FeatureNet | None", at: int, clusters: int
) -> "Tensor":
    """How much of each style channel's energy lies in each part, over typical codes."""
    import torch

    from models.parts import catalogue, contributions, typical_styles

    styles = typical_styles(generator)
    centers = catalogue(generator, at, clusters) if net is None else None
    members = torch.cat(
        [
            _members(generator, net, part, generator.synthesize_styles(part), at, centers)
            for part in torch.split(styles, 4)
        ]
    )
    return contributions(generator, styles, members)
