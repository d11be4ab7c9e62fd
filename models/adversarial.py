"""The rules of the game between generator and discriminator, as StyleGAN2 plays it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.discriminator import Discriminator
from models.stylegan2 import Generator


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
    w_plus = w_plus.detach().requires_grad_(True)
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
