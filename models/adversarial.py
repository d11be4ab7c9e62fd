"""The rules of the game between generator and discriminator, as StyleGAN2 plays it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.augmentation import Chance, augment
from models.discriminator import Discriminator
from models.stylegan2 import Generator


@dataclass(frozen=True, slots=True)
class Rules:
    """What both players keep to.

    `mixing` is the share of codes of mixed styles; `r1` and `path` are weights, paid every so many
    steps; `steady` the mean sign of real scores at which augmentation is held (0: none).
    """

    mixing: float = 0.25
    r1: float = 1.0
    r1_every: int = 16
    path: float = 0.0
    path_every: int = 8
    steady: float = 0.0


def correct(
    judge: Discriminator,
    real: Tensor,
    fake: Tensor,
    rules: Rules,
    chance: Chance,
    step: int,
    random: torch.Generator,
) -> Tensor:
    """Add the discriminator's gradients of one step; gives back by how much real scores are higher.

    `chance` learns from the scores.  Shapes: real, fake [N, 3, R, R] -> [].
    """
    with torch.autocast(real.device.type, torch.bfloat16):
        seen = [judge(augment(x, chance.value, random)) for x in (real, fake.detach())]
    loss = discriminator_loss(*seen)
    if rules.r1 and step % rules.r1_every == 0:
        shown = augment(real[: (len(real) + 1) // 2], chance.value, random)
        loss = loss + rules.r1 * rules.r1_every * r1_penalty(judge, shown)
    loss.backward()  # type: ignore[no-untyped-call]
    chance.learn(seen[0])
    sure: Tensor = seen[0].mean() - seen[1].mean()
    return sure.detach()


def verdict(judge: Discriminator, fake: Tensor, chance: Chance, random: torch.Generator) -> Tensor:
    """What the generator pays for pictures [N, 3, R, R]; the discriminator gets no gradients."""
    judge.requires_grad_(requires_grad=False)
    with torch.autocast(fake.device.type, torch.bfloat16):
        scores: Tensor = judge(augment(fake, chance.value, random))
    judge.requires_grad_(requires_grad=True)
    return generator_loss(scores)


def smooth(
    generator: Generator,
    w_plus: Tensor,
    rules: Rules,
    mean: Tensor,
    step: int,
    random: torch.Generator,
) -> Tensor:
    """Add the gradients of path length regularisation if it is asked for and due; the new mean."""
    if not rules.path or step % rules.path_every:
        return mean
    penalty, mean = path_penalty(generator, w_plus, mean, random)
    (rules.path * rules.path_every * penalty).backward()  # type: ignore[no-untyped-call]
    return mean


def generator_loss(fake: Tensor) -> Tensor:
    """What a generator pays when its pictures are seen through.  Shapes: scores [N] -> [].

    Source: Goodfellow et al. 2014, arXiv:1406.2661 (the non-saturating form).
    """
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """What a discriminator pays for its mistakes.  Shapes: scores [N], [M] -> [].

    Source: Goodfellow et al. 2014, arXiv:1406.2661.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """Half the squared slope of the scores of real pictures [N, 3, R, R], on average.

    Source: Mescheder et al. 2018, arXiv:1801.04406.
    """
    real = real.detach().requires_grad_(True)
    score = discriminator(real).sum()
    (slope,) = torch.autograd.grad(score, real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


def path_penalty(
    generator: Generator, w_plus: Tensor, mean: Tensor, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """How much the length of the pictures' slope varies with the code; also the lengths' new mean.

    Shapes: w_plus [N, L, D], mean [] -> [], [].
    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2.
    """
    w_plus = w_plus if w_plus.requires_grad else w_plus.detach().requires_grad_(True)
    picture = generator.synthesize(w_plus)
    side = picture.shape[-1]
    drawn = torch.randn(picture.shape, generator=random).to(picture) / side
    (slope,) = torch.autograd.grad((picture * drawn).sum(), w_plus, create_graph=True)
    lengths = slope.square().sum(2).mean(1).sqrt()
    mean = torch.lerp(mean, lengths.mean().detach(), 0.01)
    return (lengths - mean).square().mean(), mean


def mixed(w_plus: Tensor, chance: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Some of the codes with the rows from a random one on taken from their neighbour in the batch.

    Also says which, [N].  Shapes: w_plus [N, L, D].
    Source: Karras et al. 2019, arXiv:1812.04948 (style mixing).
    """
    items, rows = w_plus.shape[:2]
    cut = torch.randint(1, rows, (items,), generator=random)
    chosen = torch.rand(items, generator=random) < chance
    other = (torch.arange(rows) >= cut[:, None]) & chosen[:, None]
    return torch.where(other[:, :, None].to(w_plus.device), w_plus.roll(1, 0), w_plus), chosen
