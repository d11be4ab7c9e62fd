"""From pictures to codes by descent: which code makes the generator draw this picture.

Every reduction is per item and Adam works number by number, so that no item's path depends on the
others in its batch. An item's answer is its best step; one that has converged leaves the batch, and
what is left of the batch is all that is drawn from then on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.codes import Space, draw, number, spread, to_styles
from models.errors import ModelError
from models.metrics import psnr, pyramid_l1
from models.perceptual import FeatureNet, perceptual_distance
from models.priors import CodeScale, Prior, code_scale, distance_from
from models.stylegan2 import Generator

#: Told how many steps of how many are done.
Watch = Callable[[int, int], None]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to descend.

    `learning_rate` is per step, in standard deviations of the code or in the code's own numbers
    (`units`); `schedule` says whether it rises and falls. `exploration` is noise on the code, as
    a share of the whole spread of codes, which dies away in the first three quarters. `prior`
    says from where a code's distance is taken, `prior_weight` what it costs; `patience` steps
    without a gain of one in two hundred, or `stop_psnr` dB, end an item.
    """

    space: Space = "w_plus"
    steps: int = 200
    learning_rate: float = 0.1
    units: Literal["deviations", "code"] = "deviations"
    schedule: Literal["ramp", "constant"] = "ramp"
    exploration: float = 0.0
    pixel: float = 1.0
    pixel_loss: Literal["pyramid", "squared"] = "pyramid"
    perceptual: float = 1.0
    prior: Prior = "distance"
    prior_weight: float = 0.5
    patience: int = 50
    stop_psnr: float = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Inverted:
    """Codes found, and the pictures they make.

    Shapes: data [N, D], [N, L, D] or [N, S] by space; picture [N, 3, R, R]; loss, steps [N].
    `loss` is not finite where descent broke down.
    """

    data: Tensor
    picture: Tensor
    loss: Tensor
    steps: Tensor


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate of a step: up in the first twentieth, down in the last quarter.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix D.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    t = step / max(1, recipe.steps)
    fall = min(1.0, (1 - t) / 0.25)
    return (
        recipe.learning_rate * (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, (t + 1e-3) / 0.05)
    )


def restlessness(step: int, recipe: Recipe) -> float:
    """How much noise the code gets at a step, as a share of the whole spread of codes.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix D.
    """
    t = step / max(1, recipe.steps)
    return recipe.exploration * max(0.0, 1 - t / 0.75) ** 2


def start_code(generator: Generator, w_plus: Tensor, space: Space) -> Tensor:
    """Codes w_plus [N, L, D] as the nearest of another space. Raises: ModelError for z."""
    if space == "z":
        raise ModelError("space z cannot be descended in: use w, w_plus or style")
    if space == "w":
        return w_plus.mean(1)
    return w_plus if space == "w_plus" else to_styles(generator, w_plus, "w_plus")


def mean_start(generator: Generator, items: int) -> Tensor:
    """The mean code for every item and row, [N, L, D]."""
    return spread(generator.w_avg.expand(items, -1), generator.num_rows)


def uniform_start(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Codes whose every number is drawn evenly, with the mean and spread of codes, [N, L, D].

    Each follows from its own seed.
    Source: Abdal et al. 2019, arXiv:1904.03189, section 4 (for pictures of other things than the
    generator knows; there from -1 to 1).
    """
    scale = code_scale(generator, "w_plus")
    shape = (1, generator.num_rows, generator.config.w_dim)
    drawn = [
        torch.rand(shape, generator=torch.Generator().manual_seed(number(seed, "start")))
        for seed in seeds
    ]
    # From -sqrt(3) to sqrt(3): numbers with a deviation of 1.
    even = (2 * torch.cat(drawn) - 1) * math.sqrt(3)
    return scale.mean + scale.std * even.to(generator.w_avg)


def descend(
    generator: Generator,
    net: FeatureNet | None,
    target: Tensor,
    start: Tensor,
    recipe: Recipe,
    seeds: Sequence[int] = (),
    together: int | None = None,
    watch: Watch | None = None,
) -> Inverted:
    """Codes whose pictures come nearest to `target`, from `start`.

    `seeds`, one per item, are for exploration. `together` items are drawn at once: by default one
    on a CPU, where a batch gains nothing and would change the rounding, and all on a GPU. `watch`
    is told, before every step, how many of how many are done.

    Shapes: target [N, 3, R, R] at the generator's resolution; start as `recipe.space` has it.
    Raises: ModelError if the prior does not fit the space, or nothing would be compared.
    Source: Abdal et al. 2019, arXiv:1904.03189; Karras et al. 2020, arXiv:1912.04958.
    """
    if not recipe.pixel and (net is None or not recipe.perceptual):
        raise ModelError("nothing compares the pictures: give pixel, or perceptual with a network")
    size = together or (1 if start.device.type == "cpu" else len(start))
    climb = _Climb(generator, start, recipe, tuple(seeds) or (0,) * len(start))
    with torch.enable_grad():
        for step in range(recipe.steps + 1):  # one look more than there are moves
            if watch is not None:
                watch(step, recipe.steps)
            parts = torch.split(climb.active, size) if len(climb.active) else ()
            looks = [_look(climb, net, target[part], part, step) for part in parts]
            if not looks:
                break
            climb.see(step, looks)
            climb.move(step, looks)
    return _finish(generator, climb.best, recipe)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Some items at one step: codes, losses [n], qualities [n] in dB, and the slope of the loss."""

    items: Tensor
    code: Tensor
    loss: Tensor
    quality: Tensor
    slope: Tensor


class _Climb:
    """Where the descent of every item stands, and which items are still under way."""

    def __init__(
        self, generator: Generator, start: Tensor, recipe: Recipe, seeds: Sequence[int]
    ) -> None:
        self.generator, self.recipe, self.start, self.seeds = generator, recipe, start, seeds
        self.scale = code_scale(generator, recipe.space)
        # In units of spread one learning rate suits every generator and space.
        self.unit = self.scale.std if recipe.units == "deviations" else 1.0
        self.distance = distance_from(generator, recipe.prior, recipe.space)
        self.shift = torch.zeros_like(start)
        self.first, self.second = torch.zeros_like(start), torch.zeros_like(start)
        self.best = _Best(start, recipe)
        self.active = torch.arange(len(start), device=start.device)

    def noise(self, items: Tensor, step: int) -> Tensor | float:
        """What exploration adds to the codes of some items."""
        amount = restlessness(step, self.recipe)
        if not amount:
            return 0.0
        shape = (1, *self.start.shape[1:])
        drawn = [draw(number(self.seeds[i], "explore", step), *shape) for i in items.tolist()]
        return amount * _whole(self.scale) * torch.cat(drawn).to(self.start)

    def see(self, step: int, looks: Sequence[_Look]) -> None:
        """Keep what is best, and let go of the items that are done."""
        for look in looks:
            self.best.see(step, look)
        self.active = self.active[~self.best.done[self.active]]

    def move(self, step: int, looks: Sequence[_Look]) -> None:
        """One step of Adam for the items that are left."""
        at = self.active
        slope = torch.zeros_like(self.start)
        for look in looks:
            slope[look.items] = look.slope
        self.first[at] = self.first[at].lerp(slope[at], 1 - _BETA1)
        self.second[at] = self.second[at] * _BETA2 + slope[at].square() * (1 - _BETA2)
        length = rate(step, self.recipe) / (1 - _BETA1 ** (step + 1))
        second = self.second[at] / (1 - _BETA2 ** (step + 1))
        self.shift[at] -= length * self.first[at] / (second.sqrt() + _EPSILON)


def _whole(scale: CodeScale) -> float:
    """How far codes lie from their mean altogether: the root of the summed variances of a row."""
    return float(scale.std.square().sum(-1).mean().sqrt())


def _look(climb: _Climb, net: FeatureNet | None, target: Tensor, items: Tensor, step: int) -> _Look:
    """Draw some items and compare them with their targets."""
    recipe, generator = climb.recipe, climb.generator
    shift = climb.shift[items].requires_grad_(True)
    code = climb.start[items] + shift * climb.unit + climb.noise(items, step)
    styles = to_styles(generator, code, recipe.space)
    picture = generator.synthesize_styles(styles)
    loss = _loss(picture, target, net, recipe)
    if recipe.prior_weight:
        loss = loss + recipe.prior_weight * climb.distance(code, styles)
    slope = torch.autograd.grad([loss.sum()], [shift])[0]
    return _Look(items, code.detach(), loss.detach(), psnr(picture.detach(), target), slope)


class _Best:
    """The best step of each item so far, and which items are done."""

    def __init__(self, start: Tensor, recipe: Recipe) -> None:
        items = len(start)
        self.recipe = recipe
        self.code = start.clone()
        self.loss = torch.full((items,), math.inf, device=start.device)
        self.mark = self.loss.clone()
        self.marked = torch.zeros(items, dtype=torch.long, device=start.device)
        self.taken = self.marked.clone()
        self.done = torch.zeros(items, dtype=torch.bool, device=start.device)

    def see(self, step: int, look: _Look) -> None:
        """Keep each item's code if it is the best so far, and tell who is done."""
        at, loss = look.items, look.loss
        better = loss < self.loss[at]
        self.code[at[better]] = look.code[better]
        self.loss[at] = torch.where(better, loss, self.loss[at])
        self.taken[at] = step
        gained = loss < self.mark[at] * 0.995
        self.mark[at] = torch.where(gained, loss, self.mark[at])
        self.marked[at] = torch.where(gained, step, self.marked[at])
        tired = step - self.marked[at] >= self.recipe.patience
        self.done[at] = tired | ~torch.isfinite(loss) | (look.quality >= self.recipe.stop_psnr)


def _loss(picture: Tensor, target: Tensor, net: FeatureNet | None, recipe: Recipe) -> Tensor:
    """How far pictures are from the target, [N]."""
    loss = picture.new_zeros(len(picture))
    if recipe.pixel and recipe.pixel_loss == "squared":
        loss = recipe.pixel * (picture - target).square().flatten(1).mean(1)
    elif recipe.pixel:
        loss = recipe.pixel * pyramid_l1(picture, target)
    if net is not None and recipe.perceptual:
        loss = loss + recipe.perceptual * perceptual_distance(net, picture, target)
    return loss


def _finish(generator: Generator, best: _Best, recipe: Recipe) -> Inverted:
    """The pictures of the best codes."""
    with torch.no_grad():
        picture = generator.synthesize_styles(to_styles(generator, best.code, recipe.space))
    return Inverted(best.code, picture.clamp(-1, 1), best.loss, best.taken)
