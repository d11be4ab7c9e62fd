"""What a feature network reads off pictures of codes: spreads, attribute dependency, identity."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.codes import Space, draw, number, to_styles
from models.errors import ModelError
from models.perceptual import FeatureNet, Reader, score_attributes
from models.stylegan2 import Generator

#: Attributes that tell people apart whatever their pose, expression, light and hair style.
TRAITS = (
    "face_width",
    "face_length",
    "jaw",
    "nose",
    "eye_size",
    "eye_colour",
    "brow_height",
    "skin_tone",
)
_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Dependency:
    """How far other attributes move when an edit moves one.

    Shapes: each [K], the mean change of every attribute with its sign.  Units: deviations of the
    attributes; `mean` and `most` are averages over items of the mean and the largest absolute
    change of the other attributes, `reached` the mean change of the target.
    """

    mean: float
    most: float
    reached: float
    each: Tensor


def read_codes(generator: Generator, net: Reader, data: Tensor, space: Space) -> Tensor:
    """The attributes of the pictures of codes, [N, K]."""
    with torch.no_grad():
        parts = [
            net.read(generator.synthesize_styles(to_styles(generator, part, space)).clamp(-1, 1))
            for part in torch.split(data, _BATCH)
        ]
    return torch.cat(parts)


def draw_codes(generator: Generator, count: int, seed: int) -> Tensor:
    """Codes w [count, D] that depend on the seed and their place only."""
    z = torch.cat([draw(number(seed, i), 1, generator.config.z_dim) for i in range(count)])
    with torch.no_grad():
        return generator.mapping(z.to(generator.w_avg.device))


def spreads(generator: Generator, net: FeatureNet, count: int = 64, seed: int = 0) -> Tensor:
    """The standard deviation of each attribute over the generator's pictures, [K]."""
    read = read_codes(generator, net, draw_codes(generator, count, seed), "w")
    return read.std(0).clamp(min=1e-6)


def dependency(before: Tensor, after: Tensor, spread: Tensor, target: int) -> Dependency:
    """The attribute dependency (AD) of an edit of attribute `target`.

    Shapes: before, after [N, K] readings of the same items; spread [K], their deviations in the
    population.
    Raises: ModelError if there is no other attribute, or the shapes differ.
    Source: Wu et al. 2021, arXiv:2011.12799, section 5 (mean-AD and max-AD).
    """
    if before.shape != after.shape or spread.shape != before.shape[1:]:
        raise ModelError(f"readings {list(before.shape)} and {list(after.shape)} do not meet")
    if before.shape[1] < 2:
        raise ModelError("attribute dependency needs at least two attributes")
    change = (after - before).double() / spread.double().clamp(min=1e-9)
    others = change[:, [k for k in range(change.shape[1]) if k != target]].abs()
    return Dependency(
        float(others.mean()),
        float(others.amax(1).mean()),
        float(change[:, target].mean()),
        change.mean(0),
    )


def stray(before: Tensor, after: Tensor, spread: Tensor, wanted: Tensor) -> float:
    """What an edit changes besides a wanted change of readings, for every unit of that: AD / reach.

    Shapes: before, after [N, K], spread and wanted [K], the wanted change in any length.
    Units: 0, nothing else; infinity, nothing of what is wanted.
    Source: own, after Wu et al. 2021, arXiv:2011.12799 (AD), for targets without a reading.
    """
    change = (after - before).double() / spread.double().clamp(min=1e-9)
    aim = wanted.double() / spread.double().clamp(min=1e-9)
    unit = aim / aim.norm().clamp(min=1e-12)
    reach = change @ unit
    rest = (change - reach[:, None] * unit).abs().mean()
    return float(rest) / max(float(reach.mean()), 1e-9)


def identity_distance(net: FeatureNet, a: Tensor, b: Tensor, spread: Tensor) -> Tensor:
    """How unlike two persons look: 0 for the same face, about 1 for two drawn at random, [N].

    The root mean square difference of the attributes that tell people apart (`TRAITS`, those that
    the network reads; all if it reads none of them), over what chance makes it.
    Shapes: a, b [N, 3, H, W] in -1..1; spread [K] as `spreads` gives it.
    """
    known = [k for k, name in enumerate(net.attributes) if name in TRAITS]
    columns = known or list(range(len(net.attributes)))
    with torch.no_grad():
        apart = (score_attributes(net, a) - score_attributes(net, b)) / spread
    return (apart[:, columns].square().mean(1) / 2).sqrt()


def largest_share(
    distance: Callable[[Tensor], Tensor], most: float, items: int, steps: int = 10
) -> Tensor:
    """The largest share 0..1 of an edit at which each item stays within a budget, by bisection.

    `distance` maps shares [N] to distances [N]. What is returned was tried and found within the
    budget (0, where nothing is); where distances are not monotone there may be a larger one.
    """
    full = torch.ones(items)
    low = torch.where(distance(full).cpu() <= most, full, 0 * full)
    high = full.clone()
    for _ in range(steps):
        if bool((low == 1).all()):
            break
        middle = torch.where(low == 1, low, (low + high) / 2)
        within = distance(middle).cpu() <= most
        low = torch.where(within, middle, low)
        high = torch.where(within, high, middle)
    return low
