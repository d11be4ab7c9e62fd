"""The adversarial finish: a discriminator judges, beside the render, what a fitted generator draws.

A regression averages what it cannot predict; a discriminator asks for one plausible outcome.  Each
item's render goes on to say what its code means, so that factors, noise and pictures stay paired.
Source: Karras et al. 2020, arXiv:1912.04958 (losses, lazy R1, mixing); the balance of the two
gradients is after Esser et al. 2021, arXiv:2012.09841.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from models.adversarial import Rules, correct, mixed, smooth, verdict
from models.augmentation import Chance
from models.discriminator import Discriminator
from models.errors import ModelError
from models.perceptual import FeatureNet, compare
from models.stylegan2 import Generator
from models.training.domains import Render
from models.training.fitted import judge_config, load_fitted, load_seer
from models.training.generator import draw_pairs, sheet_rows
from models.training.loop import RENDER_BATCH, Fit, Job, advance, begin, drive, falling, shipped
from models.training.losses import evened, picture_loss, psnr, reach

_BATCH = 8
_TWINS = 4  # codes of every drawing that are drawn with two noises, side by side in a batch
_STILL = 0.004  # half a level: what changes less does not change
_SLOWER = 0.35  # the generator's learning rate beside that of the discriminator


@dataclass(frozen=True, slots=True)
class Game:
    """How the finish is played.

    `share` is how hard a discriminator that is sure of itself pulls at a picture beside its render
    (0: there is none; one that cannot tell real pictures from generated ones has no say); pictures
    of mixed styles have no render. What a feature network sees in a picture and not in its render
    has weights: `meaning` for attributes, `looks` for its perceptual distance. `texture` is the
    weight of what other noise changes in the one and not in the other, `calm` by how much more it
    counts where the render stays as it is: on outlines, in eyes, in a clear sky.
    """

    rules: Rules = field(default_factory=Rules)
    share: float = 1.0
    rate: float = 3e-3
    meaning: float = 8.0
    looks: float = 2.0
    texture: float = 4.0
    calm: float = 4.0


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

    Leaves `adversarial.*` there. What the feature network in `job.out` (or, warm, the one that
    ships) reads from pictures has a say if there is one.
    Raises: ModelError if every picture would be of mixed styles.
    """
    torch.manual_seed(job.seed)
    if game.rules.mixing >= 1:
        raise ModelError(f"mixing {game.rules.mixing:g}: some pictures must keep their render, < 1")
    seer = None
    if (job.out / "features.pt").exists():
        seer = load_seer(job)
    elif job.warm:
        seer = _shipped_seer(job)

    def step(fit: Fit[Players], used: float, render: Render) -> dict[str, float | int]:
        return train_step(fit, game, seer, used, render)

    def sheet(fit: Fit[Players]) -> list[Tensor]:
        return sheet_rows(fit.average.generator, fit.domain)

    fit = begin(job, enter(job), memory=1500.0)
    sides = (fit.network.generator, _SLOWER), (fit.network.discriminator, 1.0)
    groups = [{"params": list(side.parameters()), "scale": scale} for side, scale in sides]
    fit.optimizer = torch.optim.Adam(groups, betas=(0.5, 0.99), fused=True)
    return drive(job, "adversarial", fit, step, sheet)


def _shipped_seer(job: Job) -> FeatureNet | None:
    """The feature network that ships, if one does."""
    try:
        seer = cast(FeatureNet, shipped(job.domain, "features"))
    except ModelError:
        return None
    return seer.to(job.device).requires_grad_(requires_grad=False)


def enter(job: Job) -> Players:
    """The players as they are when the game begins; a judge who does not ship begins anew."""
    if job.warm:
        generator = cast(Generator, shipped(job.domain, "generator"))
        try:
            judge = cast(Discriminator, shipped(job.domain, "discriminator"))
        except ModelError:
            judge = Discriminator(judge_config(job.domain))
        players = Players(generator, judge)
    else:
        players = Players(load_fitted(job), Discriminator(judge_config(job.domain)))
    return players.requires_grad_(requires_grad=True)


def train_step(
    fit: Fit[Players], game: Game, seer: FeatureNet | None, used: float, render: Render
) -> dict[str, float | int]:
    """Draw renders once and play two rounds with them; gives back the figures of the last."""
    players, generator = fit.network, fit.network.generator
    side = generator.resolution
    z, noise, scene = draw_pairs(
        generator, fit.domain, RENDER_BATCH, side, fit.random, render, _TWINS
    )
    care = fit.domain.care_map(scene.masks)
    for start in range(0, RENDER_BATCH, _BATCH):
        part = slice(start, start + _BATCH)
        made, mixes = _draw(fit, game, z[part], [n[part] for n in noise])
        fit.optimizer.zero_grad(set_to_none=True)
        hold, quality = _render_pull(fit, game, seer, made, scene.image[part], care[part], ~mixes)
        if start == 0:
            hold = hold + _noise_pull(game, made, scene.image[part], ~mixes)
        if game.share:
            pull = _judge_pull(fit, game, made, scene.image[part])
            weight = game.share * float(players.gap.clamp(0, 1) * hold.norm() / pull.norm())
            hold = hold + weight * pull
        torch.autograd.backward([made], [hold])
        codes = generator.broadcast(generator.mapping(z[part][: _BATCH // 2]))
        mean = smooth(generator, codes, game.rules, players.path_mean, fit.step, fit.random)
        players.path_mean.copy_(mean)
        for player in (generator, players.discriminator):
            torch.nn.utils.clip_grad_norm_(player.parameters(), 1.0)
        advance(fit, falling(game.rate, used, 0.5), _BATCH)
    known = {"gap": float(players.gap), "augmented": float(players.chance)}
    return known | {"psnr_db": quality}


def _draw(fit: Fit[Players], game: Game, z: Tensor, noise: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The generator's pictures, and which of them are of mixed styles and so have no render."""
    generator = fit.network.generator
    codes, mixes = mixed(generator.broadcast(generator.mapping(z)), game.rules.mixing, fit.random)
    with torch.autocast(fit.device.type, torch.bfloat16):
        return generator.synthesize(codes, noise).float(), mixes.to(fit.device)


def _judge_pull(fit: Fit[Players], game: Game, made: Tensor, image: Tensor) -> Tensor:
    """Teach the discriminator; where it would then move pictures [N, 3, R, R], as a gradient."""
    players = fit.network
    chance = Chance(float(players.chance), game.rules.steady)
    judge = players.discriminator
    sure = correct(judge, image, made, game.rules, chance, fit.step, fit.random)
    players.gap.lerp_(sure, 0.1)
    players.chance.fill_(chance.value)
    (pull,) = torch.autograd.grad(verdict(judge, made, chance, fit.random), made)
    return pull


def _render_pull(
    fit: Fit[Players],
    game: Game,
    seer: FeatureNet | None,
    made: Tensor,
    image: Tensor,
    care: Tensor,
    paired: Tensor,
) -> tuple[Tensor, float]:
    """Where the renders would move their pictures, as a gradient, and how near these are in dB."""
    mine, theirs = made[paired], image[paired]
    if not len(mine):
        return torch.zeros_like(made), 0.0
    side = fit.domain.paired_px if game.share else made.shape[-1]
    loss = picture_loss(reach(mine, side), reach(theirs, side), reach(care[paired], side))
    if seer is not None:
        with torch.autocast(fit.device.type, torch.bfloat16):
            misread, apart = compare(seer, mine, theirs)
        loss = loss + game.meaning * evened(misread.square()).mean() + game.looks * apart.mean()
    (hold,) = torch.autograd.grad(loss, made)
    return hold, psnr(mine.detach(), theirs).mean().item()


def _noise_pull(game: Game, made: Tensor, image: Tensor, paired: Tensor) -> Tensor:
    """Where pictures should move so that other noise changes what it changes in renders.

    The first items of a batch and those that follow them have the same codes.
    """
    both = (paired[:_TWINS] & paired[_TWINS : 2 * _TWINS])[:, None, None, None]
    change, wanted = (x[:_TWINS] - x[_TWINS : 2 * _TWINS] for x in (made, image))
    weight = torch.where(wanted.abs() < _STILL, game.calm, 1.0) * both
    loss = game.texture * (weight * (change - wanted).abs()).mean()
    (hold,) = torch.autograd.grad(loss, made)
    return hold
