"""Fitting the encoder: first to the codes that pictures stand for, then to the pictures themselves.

Source: own, after Tov et al. 2021, arXiv:2102.02766.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from models.encoder import Encoder, EncoderConfig
from models.perceptual import FeatureNet, perceptual_distance
from models.stylegan2 import Generator
from models.training.augment import Dice, clutter, develop
from models.training.domains import Domain, Render
from models.training.fitted import code_statistics, load_fitted, load_seer
from models.training.generator import draw_pairs
from models.training.loop import Fit, Job, begin, descend, drive, falling, warm
from models.training.losses import picture_loss, psnr

_CODES_UNTIL = 0.5  # of the budget; pictures judge from there on
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Teachers:
    """The finished networks that say what a good code is."""

    generator: Generator
    features: FeatureNet


def train(job: Job) -> Fit[Encoder]:
    """Fit an encoder to the other two networks in `job.out`; leaves `encoder.*` there."""
    torch.manual_seed(job.seed)
    teachers = load_teachers(job)
    config = EncoderConfig(teachers.generator.num_rows, teachers.generator.config.w_dim)
    network = Encoder(config)
    # Whoever can read attributes has seen most of what a code needs.
    network.backbone.load_state_dict(teachers.features.backbone.state_dict())
    torch.nn.init.normal_(network.rows, std=config.rank**-0.5)
    torch.nn.init.zeros_(network.steps.weight)
    torch.nn.init.zeros_(network.steps.bias)
    warm(job, "encoder", network)
    network.w_avg, network.w_std = code_statistics(teachers.generator)

    def step(fit: Fit[Encoder], used: float, render: Render) -> dict[str, float | int]:
        return train_step(fit, teachers, used, render)

    def sheet(fit: Fit[Encoder]) -> list[Tensor]:
        return sample_rows(fit, teachers)

    return drive(job, "encoder", begin(job, network), step, sheet)


def load_teachers(job: Job) -> Teachers:
    """The averaged generator and feature network of the checkpoints in `job.out`."""
    return Teachers(load_fitted(job), load_seer(job))


def draw(
    fit: Fit[Encoder], teachers: Teachers, render: Render
) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Renders, half of them disturbed, with the codes they stand for.

    Shapes: image [N, 3, H, W], w_plus [N, L, D], the noise inputs, care [N, 1, H, W].
    """
    network, half = teachers.generator, _BATCH // 2
    side = network.resolution
    z, noise, scene = draw_pairs(network, fit.domain, _BATCH, side, fit.random, render)
    with torch.no_grad():
        w_plus = network.broadcast(network.mapping(z))
    dice = Dice(fit.random, half, fit.device)
    drawn = scene.image[:half]
    if fit.domain.posed:
        drawn, _ = clutter(drawn, scene.masks[:half, :1], dice, 0.15)
    image = torch.cat([develop(drawn, dice), scene.image[half:]])
    return image, w_plus, noise, fit.domain.care_map(scene.masks)


def train_step(
    fit: Fit[Encoder], teachers: Teachers, used: float, render: Render
) -> dict[str, float | int]:
    """One optimiser step; gives back its figures."""
    image, w_plus, noise, care = draw(fit, teachers, render)
    network = fit.network
    with torch.autocast(fit.device.type, torch.bfloat16):
        base, steps = network.base_and_steps(image.contiguous(memory_format=torch.channels_last))
    found = base.float()[:, None] + steps.float()
    codes = (found - (w_plus - network.w_avg) / network.w_std).square().mean()
    spread = steps.float().square().mean()
    loss = codes + 0.02 * spread
    figures: dict[str, float | int] = {"codes": codes.item(), "steps_spread": spread.item()}
    if used >= _CODES_UNTIL:
        with torch.autocast(fit.device.type, torch.bfloat16):
            codes_found = network.w_avg + network.w_std * found
            made = teachers.generator.synthesize(codes_found, noise).float()
        looks = perceptual_distance(teachers.features, made, image).mean()
        pixels = picture_loss(made, image, care)
        loss = 0.4 * loss + pixels + 2 * looks
        figures["psnr_db"] = psnr(made.detach(), image).mean().item()
        figures["looks"] = looks.item()
    descend(fit, loss, falling(1e-3, used, 0.5), _BATCH)
    return figures


def sample_rows(fit: Fit[Encoder], teachers: Teachers) -> list[Tensor]:
    """Renders and, below each row, what the generator makes of the codes read from them."""
    image, made = invert_renders(fit.average, teachers.generator, fit.domain, 16)
    return [row[k : k + 8] for k in (0, 8) for row in (image, made)]


@torch.no_grad()
def invert_renders(
    network: Encoder, generator: Generator, domain: Domain, items: int, seed: int = 97
) -> tuple[Tensor, Tensor]:
    """Held-out renders and their reconstructions, [N, 3, H, W] each."""
    random = torch.Generator().manual_seed(seed)
    side = generator.resolution
    _, noise, scene = draw_pairs(generator, domain, items, side, random, domain.render)
    return scene.image, generator.synthesize(cast(Tensor, network(scene.image)), noise)
