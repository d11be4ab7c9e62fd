"""The adversarial finish: a discriminator judges, beside the render, what a fitted generator draws.

A regression averages what it cannot predict; a discriminator asks for one plausible outcome.  Each
item's render goes on to say what its code means, so that factors, noise and pictures stay paired.
Source: Karras et al. 2020, arXiv:1912.04958 (losses, lazy R1, mixing); the balance of the two
gradients is after Esser et al. 2021, arXiv:2012.09841.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.adversarial import (
    discriminator_loss,
    generator_loss,
    mixed,
    path_penalty,
    r1_penalty,
)
from models.augmentation import Chance, augment
from models.discriminator import Discriminator
from models.perceptual import FeatureNet
from models.stylegan2 import Generator
from models.training.domains import Render
from models.training.fitted import judge_config, load_fitted, load_seer
from models.training.generator import draw_pairs, sheet_rows
from models.training.loop import RENDER_BATCH, Fit, Job, advance, begin, drive, falling, shipped
from models.training.losses import picture_loss, psnr, reach

_BATCH = 8
_SLOWER = 0.35  # the generator's learning rate beside that of the discriminator


@dataclass(frozen=True, slots=True)
class Game:
    """How the finish is played.

    `share` is how hard a discriminator that is sure of itself pulls at a picture beside its render
    (one that cannot tell real pictures from generated ones has no say); `mixing` the share
    of pictures of mixed styles, which have no render; `r1` and `path` are weights, paid every so
    many steps; `steady` the mean sign of real scores at which augmentation is held (0: none);
    `meaning` the weight of attributes that the feature network misreads.
    """

    share: float = 1.0
    mixing: float = 0.25
    r1: float = 1.0
    r1_every: int = 16
    path: float = 0.0
    path_every: int = 8
    steady: float = 0.0
    rate: float = 3e-3
    meaning: float = 2.0


class Players(nn.Module):
    """A generator and the discriminator that judges it, with what they remember of the game."""

    path_mean: Tensor
    chance: Tensor
    gap: Tensor

    def __init__(self, generator: Generator, discriminator: Discriminator) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.register_buffer("path_mean", torch.zeros(()))
        self.register_buffer("chance", torch.zeros(()))
        self.register_buffer("gap", torch.zeros(()))  # mean score of real less generated pictures


def train(job: Job, game: Game) -> Fit[Players]:
    """Go on with the generator in `job.out` (or, warm, the one that ships) against a discriminator.

    Leaves `adversarial.*` there. What the feature network in `job.out` reads from pictures has a
    say if there is one.
    """
    torch.manual_seed(job.seed)
    seer = load_seer(job) if (job.out / "features.pt").exists() else None

    def step(fit: Fit[Players], used: float, render: Render) -> dict[str, float | int]:
        return train_step(fit, game, seer, used, render)

    def sheet(fit: Fit[Players]) -> list[Tensor]:
        return sheet_rows(fit.average.generator, fit.domain)

    fit = begin(job, enter(job), memory=1500.0)
    sides = (fit.network.generator, _SLOWER), (fit.network.discriminator, 1.0)
    groups = [{"params": list(side.parameters()), "scale": scale} for side, scale in sides]
    fit.optimizer = torch.optim.Adam(groups, betas=(0.5, 0.99), fused=True)
    return drive(job, "adversarial", fit, step, sheet)


def enter(job: Job) -> Players:
    """The players as they are when the game begins."""
    if job.warm:
        generator, judge = shipped(job.domain, "generator"), shipped(job.domain, "discriminator")
        players = Players(cast(Generator, generator), cast(Discriminator, judge))
    else:
        players = Players(load_fitted(job), Discriminator(judge_config(job.domain)))
    return players.requires_grad_(requires_grad=True)


def train_step(
    fit: Fit[Players], game: Game, seer: FeatureNet | None, used: float, render: Render
) -> dict[str, float | int]:
    """Draw renders once and play two rounds with them; gives back the figures of the last."""
    players, generator = fit.network, fit.network.generator
    side = generator.resolution
    z, noise, scene = draw_pairs(generator, fit.domain, RENDER_BATCH, side, fit.random, render)
    care = fit.domain.care_map(scene.masks)
    wanted = fit.domain.visible_factors(scene.factors)
    figures: dict[str, float | int] = {}
    for start in range(0, RENDER_BATCH, _BATCH):
        part = slice(start, start + _BATCH)
        made, mixes = _draw(fit, game, z[part], [n[part] for n in noise])
        fit.optimizer.zero_grad(set_to_none=True)
        figures = _correct_judge(fit, game, scene.image[part], made.detach())
        pull, figures["fooled"] = _judgement(fit, made)
        hold, figures["psnr_db"] = _render_pull(
            made, ~mixes, scene.image[part], care[part], wanted[part], seer, fit, game
        )
        weight = game.share * float(players.gap.clamp(0, 1) * hold.norm() / pull.norm())
        torch.autograd.backward([made], [hold + weight * pull])
        _smooth(fit, game, z[part])
        for player in (generator, players.discriminator):
            torch.nn.utils.clip_grad_norm_(player.parameters(), 1.0)
        advance(fit, falling(game.rate, used, 0.5), _BATCH)
    return figures


def _draw(fit: Fit[Players], game: Game, z: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The generator's pictures, and which of them are of mixed styles and so have no render."""
    generator = fit.network.generator
    codes, mixes = mixed(generator.broadcast(generator.mapping(z)), game.mixing, fit.random)
    with torch.autocast(fit.device.type, torch.bfloat16):
        return generator.synthesize(codes, noise).float(), mixes.to(fit.device)


def _correct_judge(
    fit: Fit[Players], game: Game, real: Tensor, fake: Tensor
) -> dict[str, float | int]:
    """The discriminator's gradients, and how well it tells the two kinds apart."""
    judge, chance = fit.network.discriminator, Chance(float(fit.network.chance), game.steady)
    with torch.autocast(fit.device.type, torch.bfloat16):
        seen = [judge(augment(x, chance.value, fit.random)) for x in (real, fake)]
    loss = discriminator_loss(*seen)
    if fit.step % game.r1_every == 0:
        shown = augment(real[: len(real) // 2], chance.value, fit.random)
        loss = loss + game.r1 * game.r1_every * r1_penalty(judge, shown)
    loss.backward()  # type: ignore[no-untyped-call]
    chance.learn(seen[0])
    fit.network.chance.fill_(chance.value)
    sure = (seen[0].mean() - seen[1].mean()).detach()
    fit.network.gap.lerp_(sure, 0.1)
    return {"gap": float(fit.network.gap), "augmented": chance.value}


def _judgement(fit: Fit[Players], made: Tensor) -> tuple[Tensor, float]:
    """Where the discriminator would move the pictures, as a gradient, and what they cost."""
    judge = fit.network.discriminator.requires_grad_(requires_grad=False)
    with torch.autocast(fit.device.type, torch.bfloat16):
        loss = generator_loss(judge(augment(made, float(fit.network.chance), fit.random)))
    (pull,) = torch.autograd.grad(loss, made)
    judge.requires_grad_(requires_grad=True)
    return pull, float(loss.detach())


def _render_pull(
    made: Tensor,
    paired: Tensor,
    image: Tensor,
    care: Tensor,
    wanted: Tensor,
    seer: FeatureNet | None,
    fit: Fit[Players],
    game: Game,
) -> tuple[Tensor, float]:
    """Where the renders would move their pictures, as a gradient, and how near these are in dB."""
    mine, theirs = made[paired], image[paired]
    if not len(mine):
        return torch.zeros_like(made), 0.0
    side = fit.domain.paired_px
    loss = picture_loss(reach(mine, side), reach(theirs, side), reach(care[paired], side))
    if seer is not None:
        with torch.autocast(fit.device.type, torch.bfloat16):
            seen = seer(mine).attributes.float()
        loss = loss + game.meaning * (seen - wanted[paired]).square().mean()
    (hold,) = torch.autograd.grad(loss, made)
    return hold, psnr(mine.detach(), theirs).mean().item()


def _smooth(fit: Fit[Players], game: Game, z: Tensor) -> None:
    """Path length regularisation, if it is asked for and due."""
    if not game.path or fit.step % game.path_every:
        return
    generator, players = fit.network.generator, fit.network
    codes = generator.broadcast(generator.mapping(z[: _BATCH // 2]))
    penalty, mean = path_penalty(generator, codes, players.path_mean, fit.random)
    (game.path * game.path_every * penalty).backward()  # type: ignore[no-untyped-call]
    players.path_mean.copy_(mean)
