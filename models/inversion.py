"""From pictures to codes by descent: which code makes the generator draw this picture.

Every reduction is per item and Adam works number by number, so that no item's path depends on the
others in its batch. An item's answer is its best step, fixed when it has converged.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.codes import Space, draw, spread, to_styles
from models.errors import ModelError
from models.metrics import psnr, pyramid_l1
from models.perceptual import FeatureNet, perceptual_distance
from models.stylegan2 import Generator

_SAMPLES = 2048


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to descend.

    `learning_rate` is in standard deviations of the code per step; `prior` weighs the mean squared
    distance from the mean code, in deviations; `patience` steps without a gain of one in two
    hundred, or `stop_psnr` dB, end an item.
    """

    space: Space = "w_plus"
    steps: int = 200
    learning_rate: float = 0.1
    pixel: float = 1.0
    perceptual: float = 1.0
    prior: float = 0.5
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


@dataclass(frozen=True, slots=True, eq=False)
class CodeScale:
    """Mean and spread of a generator's codes, shaped to broadcast over one space."""

    mean: Tensor
    std: Tensor


def code_scale(generator: Generator, space: Space) -> CodeScale:
    """How the codes of a generator are spread, number by number, from a fixed sample."""
    config = generator.config
    device = generator.w_avg.device
    c = None
    if config.c_dim:
        classes = torch.arange(_SAMPLES, device=device) % config.c_dim
        c = torch.nn.functional.one_hot(classes, config.c_dim).float()
    with torch.no_grad():
        w = generator.mapping(draw(0, _SAMPLES, config.z_dim).to(device), c)
        if space == "style":
            styles = generator.styles(generator.broadcast(w))
            mean = generator.styles(generator.broadcast(generator.w_avg[None]))
            return CodeScale(mean, styles.std(0).clamp(min=1e-4)[None])
        mean, std = generator.w_avg[None], w.std(0).clamp(min=1e-4)[None]
        return CodeScale(mean, std) if space == "w" else CodeScale(mean[:, None], std[:, None])


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate of a step: up in the first twentieth, down in the last quarter.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix D.
    """
    t = step / max(1, recipe.steps)
    fall = min(1.0, (1 - t) / 0.25)
    return (
        recipe.learning_rate * (0.5 - 0.5 * math.cos(math.pi * fall)) * min(1.0, (t + 1e-3) / 0.05)
    )


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


def descend(
    generator: Generator,
    net: FeatureNet | None,
    target: Tensor,
    start: Tensor,
    recipe: Recipe,
) -> Inverted:
    """Codes whose pictures come nearest to `target`, from `start`.

    Shapes: target [N, 3, R, R] at the generator's resolution; start as `recipe.space` has it.
    Source: Abdal et al. 2019, arXiv:1904.03189; Karras et al. 2020, arXiv:1912.04958.
    """
    scale = code_scale(generator, recipe.space)
    best = _Best(start, recipe)
    with torch.enable_grad():
        # In units of spread one learning rate suits every generator and space.
        shift = torch.zeros_like(start, requires_grad=True)
        search = torch.optim.Adam([shift], lr=recipe.learning_rate, betas=(0.9, 0.999))
        for step in _steps(recipe, best):
            code = start + shift * scale.std
            picture = generator.synthesize_styles(to_styles(generator, code, recipe.space))
            loss = _loss(picture, target, net, recipe)
            depth = ((code - scale.mean) / scale.std).square().flatten(1).mean(1)
            loss = loss + recipe.prior * depth
            best.see(step, code, loss, psnr(picture.detach(), target))
            for group in search.param_groups:
                group["lr"] = rate(step, recipe)
            search.zero_grad()
            torch.autograd.backward([loss.sum()])
            search.step()
    return _finish(generator, best, recipe)


def _steps(recipe: Recipe, best: "_Best") -> Iterator[int]:
    """The steps to take, until every item is done; one look more than there are moves."""
    for step in range(recipe.steps + 1):
        if best.all_done():
            return
        yield step


class _Best:
    """The best step of each item so far, and which items are done."""

    def __init__(self, start: Tensor, recipe: Recipe) -> None:
        items = len(start)
        self.recipe = recipe
        self.code = start.clone()
        self.loss = torch.full((items,), math.inf, device=start.device)
        self.step = torch.zeros(items, dtype=torch.long, device=start.device)
        self.mark = self.loss.clone()
        self.marked = self.step.clone()
        self.taken = self.step.clone()
        self.done = torch.zeros(items, dtype=torch.bool, device=start.device)

    def all_done(self) -> bool:
        """Whether no item is left."""
        return bool(self.done.all())

    def see(self, step: int, code: Tensor, loss: Tensor, quality: Tensor) -> None:
        """Keep each item's code if it is the best so far, and tell who is done."""
        loss, code = loss.detach(), code.detach()
        better = ~self.done & (loss < self.loss)
        self.code[better] = code[better]
        self.loss = torch.where(better, loss, self.loss)
        self.step = torch.where(better, step, self.step)
        self.taken = torch.where(self.done, self.taken, step)
        gained = ~self.done & (loss < self.mark * 0.995)
        self.mark = torch.where(gained, loss, self.mark)
        self.marked = torch.where(gained, step, self.marked)
        tired = step - self.marked >= self.recipe.patience
        broken = ~torch.isfinite(loss)
        self.done = self.done | tired | broken | (quality >= self.recipe.stop_psnr)


def _loss(picture: Tensor, target: Tensor, net: FeatureNet | None, recipe: Recipe) -> Tensor:
    """How far pictures are from the target, [N]."""
    loss = recipe.pixel * pyramid_l1(picture, target)
    if net is not None and recipe.perceptual:
        loss = loss + recipe.perceptual * perceptual_distance(net, picture, target)
    return loss


def _finish(generator: Generator, best: _Best, recipe: Recipe) -> Inverted:
    """The pictures of the best codes."""
    with torch.no_grad():
        picture = generator.synthesize_styles(to_styles(generator, best.code, recipe.space))
    return Inverted(best.code, picture.clamp(-1, 1), best.loss, best.taken)
