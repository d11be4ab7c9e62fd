"""Pivotal tuning: a generator bent slightly, until it draws one picture from that picture's code.

The code stays. What the generator draws from other codes is held where it was, so that directions
go on working. Source: Roich et al. 2021, arXiv:2106.05744.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize

from models.codes import draw, number, spread
from models.deltas import Added, AddedFactors, Delta, apply, merged, pack, unpack
from models.errors import ModelError
from models.metrics import psnr
from models.perceptual import FeatureNet, perceptual_distance
from models.priors import style_gaussian
from models.stylegan2 import Generator

_ANCHORS = 16
#: Noise maps are of unit size, weights change by hundredths.
_NOISE_RATE = 5.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to tune.

    `what` may change: the convolutions' weights, their noise maps, or both. `rank` 0 changes
    weights freely, otherwise by matrices of that rank. `layers` are names such as "16.conv0" (none:
    all). `locality` weighs how much the pictures of other codes change, taken `reach` spreads of
    the style space away from the pivot; `whiteness` keeps noise maps free of pictures.
    """

    steps: int = 350
    learning_rate: float = 0.01
    pixel: float = 10.0
    perceptual: float = 1.0
    locality: float = 0.1
    reach: float = 0.5
    what: Literal["both", "weights", "noise"] = "both"
    whiteness: float = 0.0
    rank: int = 16
    layers: tuple[str, ...] = ()
    stop_psnr: float = 38.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A weight delta as bytes (see `models.deltas`), and what the generator draws with it.

    Shapes: picture [1, 3, R, R].
    Units: before, after in dB; drift, how much pictures of other codes change: mean absolute, in
    0..1 of the range of colours.
    """

    packed: bytes
    picture: Tensor
    before: float
    after: float
    drift: float
    steps: int


def tune(
    generator: Generator,
    net: FeatureNet | None,
    styles: Tensor,
    target: Tensor,
    tuning: Tuning,
    earlier: Delta | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Tuned:
    """The delta after which `generator` draws `target` from `styles`; the best step is kept.

    With an `earlier` delta tuning goes on from there, and the new delta holds both. `watch` is
    told, before every step, how many of how many are done.

    Shapes: styles [1, S]; target [1, 3, R, R].
    Raises: ModelError if the generator has no digest, a layer does not exist, nothing compares.
    """
    if generator.digest is None:
        raise ModelError("a generator that lies in no file cannot be tuned: save it first")
    begin = apply(generator, earlier) if earlier else generator
    bent, changes = _bend(begin, tuning)
    anchors = _anchors(begin, styles, tuning)
    search = torch.optim.Adam(_groups(changes, tuning), betas=(0.9, 0.99))
    best, kept, taken, before = math.inf, _snapshot(changes), 0, 0.0
    with torch.enable_grad():
        for step in range(tuning.steps + 1):
            if watch is not None:
                watch(step, tuning.steps)
            which = [step % _ANCHORS] if tuning.locality else []
            pictures = bent.synthesize_styles(torch.cat([styles, anchors.styles[which]]))
            near = _near(pictures[:1], target, net, tuning) + _colour(bent, tuning)
            quality = float(psnr(pictures[:1].detach(), target))
            before = quality if step == 0 else before
            if float(near.detach()) < best:
                best, kept = float(near.detach()), _snapshot(changes)
            taken = step
            if quality >= tuning.stop_psnr or not bool(torch.isfinite(near)):
                break
            for group in search.param_groups:
                group["lr"] = group["top"] * pace(step / max(1, tuning.steps))
            search.zero_grad()
            # A picture weighs the same among others as it does at the pivot.
            held = _near(pictures[1:], anchors.pictures[which], net, tuning) if which else 0.0
            torch.autograd.backward([near + tuning.locality * held])
            search.step()
    delta = Delta(generator.digest, kept, asdict(tuning))
    packed = pack(merged(earlier, delta) if earlier else delta)
    picture, drift = _drawn(generator, packed, styles, anchors)
    after = float(psnr(picture, target))
    return Tuned(packed, picture.clamp(-1, 1), before, after, drift, taken)


def pace(t: float) -> float:
    """The share of the learning rate at `t` in 0..1: up at once, down over the second half."""
    return (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / 0.5))) * min(1.0, (t + 0.005) / 0.05)


def picture_in_noise(noise: Tensor) -> Tensor:
    """How much neighbours in a noise map [r, r] are alike, at all scales down to 8 px: 0 if white.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix D.
    """
    level, total = noise[None, None], noise.new_zeros(())
    while True:
        for axis in (2, 3):
            total = total + (level * level.roll(1, axis)).mean().square()
        if level.shape[-1] <= 8:
            return total
        level = F.avg_pool2d(level, 2)


@dataclass(frozen=True, slots=True, eq=False)
class _Anchors:
    """Codes near the pivot and the pictures the untouched generator draws of them."""

    styles: Tensor
    pictures: Tensor


def _anchors(generator: Generator, styles: Tensor, tuning: Tuning) -> _Anchors:
    """Codes on the way from the pivot to random ones, as in the paper but in the style space."""
    config = generator.config
    z = draw(number(tuning.seed, "anchors"), _ANCHORS, config.z_dim).to(styles)
    c = None
    if config.c_dim:
        c = F.one_hot(torch.arange(_ANCHORS) % config.c_dim, config.c_dim).to(z)
    with torch.no_grad():
        away = generator.styles(spread(generator.mapping(z, c), generator.num_rows)) - styles
        whole = style_gaussian(generator).spread.sum().sqrt()
        points = styles + tuning.reach * whole * F.normalize(away)
        pictures = torch.cat([generator.synthesize_styles(p) for p in torch.split(points, 1)])
    return _Anchors(points, pictures)


Change = Added | AddedFactors


def _bend(generator: Generator, tuning: Tuning) -> tuple[Generator, dict[str, Change]]:
    """A copy of the generator whose chosen tensors are what they were plus a change, by name."""
    chosen = [generator.layer(name) for name in tuning.layers] or list(generator.layers)
    bent = copy.deepcopy(generator).requires_grad_(requires_grad=False)
    changes: dict[str, Change] = {}
    for layer in chosen:
        module = bent.get_submodule(layer.key)
        names = ["weight", "bias"] if tuning.what != "noise" else []
        if layer.noise is not None:
            names += ["noise_strength"]
            names += ["noise_const"] if tuning.what != "weights" else []
        for name in names:
            tensor = cast(Tensor, getattr(module, name))
            full = f"{layer.key}.{name}"
            if name == "weight" and 0 < tuning.rank < len(tensor):
                change: Change = AddedFactors(tensor, tuning.rank, number(tuning.seed, full))
            else:
                change = Added(tensor)
            parametrize.register_parametrization(module, name, change)
            changes[full] = change
    return bent, changes


def _groups(changes: Mapping[str, Change], tuning: Tuning) -> list[dict[str, object]]:
    """What Adam moves, and how fast."""
    groups: list[dict[str, object]] = []
    for name, change in changes.items():
        faster = _NOISE_RATE if name.endswith("noise_const") else 1.0
        top = tuning.learning_rate * faster
        groups.append({"params": list(change.parameters()), "lr": top, "top": top})
    return groups


def _snapshot(changes: Mapping[str, Change]) -> dict[str, Tensor]:
    """All changes as they are now."""
    return {
        key: tensor.detach().clone()
        for name, change in changes.items()
        for key, tensor in change.tensors(name).items()
    }


def _near(picture: Tensor, target: Tensor, net: FeatureNet | None, tuning: Tuning) -> Tensor:
    """How far one picture is from another."""
    loss = tuning.pixel * (picture - target).square().mean()
    if net is not None and tuning.perceptual:
        loss = loss + tuning.perceptual * perceptual_distance(net, picture, target).sum()
    return loss


def _colour(bent: Generator, tuning: Tuning) -> Tensor | float:
    """What noise maps cost that have become pictures."""
    if not tuning.whiteness or tuning.what == "weights":
        return 0.0
    convs = (bent.get_submodule(x.key) for x in bent.layers if x.noise is not None)
    maps = [cast(Tensor, conv.noise_const) for conv in convs]
    return tuning.whiteness * torch.stack([picture_in_noise(noise) for noise in maps]).sum()


def _drawn(
    generator: Generator, packed: bytes, styles: Tensor, anchors: _Anchors
) -> tuple[Tensor, float]:
    """What the generator draws with the delta as later steps read it, and how far others moved."""
    with torch.no_grad():
        tuned = apply(generator, unpack(packed))
        picture = tuned.synthesize_styles(styles)
        moved = torch.cat(
            [tuned.synthesize_styles(point) for point in torch.split(anchors.styles, 1)]
        )
    return picture, float((moved - anchors.pictures).abs().mean()) / 2
