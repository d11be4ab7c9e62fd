"""Fitting the feature network: attributes, landmarks and parts of renders, clean and disturbed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.perceptual import FeatureNet, FeatureNetConfig, Reading, stage_distances
from models.scenes.canvas import Scene
from models.training.augment import Dice, clutter, develop, move
from models.training.domains import Domain, Render
from models.training.loop import Fit, Job, begin, descend, draw_scene, drive, falling, warm
from models.training.losses import evened

_BATCH = 16


def train(job: Job) -> Fit[FeatureNet]:
    """Fit a feature network to `job.domain`; leaves `features.*` in `job.out`."""
    torch.manual_seed(job.seed)
    domain = job.domain
    network = FeatureNet(FeatureNetConfig(domain.factors, domain.parts, domain.landmarks))
    warm(job, "features", network)
    return drive(job, "features", begin(job, network), train_step, sample_rows)


def draw(
    domain: Domain, items: int, random: torch.Generator, device: torch.device, render: Render
) -> Scene:
    """Renders at 128 px of uniform factors."""
    factors = torch.rand(items, len(domain.factors), generator=random).to(device)
    noise = [torch.randn(items, 1, s, s, generator=random).to(device) for s in domain.sides]
    return draw_scene(factors, noise, 128, render)


def disturb(domain: Domain, scene: Scene, dice: Dice) -> tuple[Scene, Tensor]:
    """Renders as another camera might have taken them; also says whose backdrop changed, [N].

    Only posed pictures are moved and put before patterns: elsewhere both would change factors.
    """
    hidden = torch.zeros(dice.items, device=dice.device)
    if domain.posed:
        scene = move(scene, dice)
        image, hidden = clutter(scene.image, scene.masks[:, :1], dice, 0.35)
        scene = replace(scene, image=image)
    return replace(scene, image=develop(scene.image, dice)), hidden


def train_step(fit: Fit[FeatureNet], used: float, render: Render) -> dict[str, float | int]:
    """One optimiser step; gives back its figures."""
    scene = draw(fit.domain, _BATCH, fit.random, fit.device, render)
    dice = Dice(fit.random, _BATCH, fit.device)
    scene, hidden = disturb(fit.domain, scene, dice)
    image = scene.image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(fit.device.type, torch.bfloat16):
        reading: Reading = fit.network(image)
    attributes, landmarks, parts = errors(fit.domain, reading, scene, hidden)
    loss = 4 * attributes + 60 * landmarks + 0.5 * parts
    descend(fit, loss, falling(2e-3, used, 0.3), _BATCH)
    return {
        "attributes": attributes.item(),
        "landmarks": landmarks.item(),
        "parts": parts.item(),
    }


def errors(
    domain: Domain, reading: Reading, scene: Scene, hidden: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean errors of attributes (squared), landmarks (squared) and parts (cross entropy).

    `hidden` [N] is 1 where the backdrop was replaced, so that its colour cannot be read.
    """
    squared = (reading.attributes.float() - domain.visible_factors(scene.factors)).square()
    backdrop = squared.new_tensor([name.startswith("background") for name in domain.factors])
    squared = squared * (1 - hidden[:, None] * backdrop)
    attributes = evened(squared).mean()
    landmarks = (reading.landmarks.float() - scene.landmarks).square().mean()
    logits = reading.part_logits.float()
    wanted = F.adaptive_avg_pool2d(scene.masks, logits.shape[-1])
    return attributes, landmarks, F.cross_entropy(logits, wanted)


@torch.no_grad()
def calibrate(network: FeatureNet, domain: Domain, items: int = 64) -> None:
    """Set the distance's scales so that two unrelated renders are about 1 apart."""
    device = network.scales.device
    scene = draw(domain, items, torch.Generator().manual_seed(7), device, domain.render)
    network.scales.fill_(1.0)
    network.scales.copy_(stage_distances(network, scene.image, scene.image.roll(1, 0)).mean(0))


@torch.no_grad()
def validate(
    network: FeatureNet, domain: Domain, items: int = 1024, seed: int = 98
) -> dict[str, float]:
    """R^2 of every attribute on held-out clean renders."""
    random = torch.Generator().manual_seed(seed)
    seen, truth = [], []
    for _ in range(items // 32):
        scene = draw(domain, 32, random, network.scales.device, domain.render)
        seen.append(network(scene.image).attributes)
        truth.append(domain.visible_factors(scene.factors))
    found, wanted = torch.cat(seen), torch.cat(truth)
    left = (found - wanted).square().mean(0) / wanted.var(0)
    return {name: 1 - value.item() for name, value in zip(domain.factors, left, strict=True)}


def sample_rows(fit: Fit[FeatureNet]) -> list[Tensor]:
    """Disturbed renders and, below each row, the parts seen in them in colours."""
    dice = Dice(torch.Generator().manual_seed(5), 16, fit.device)
    scene = draw(fit.domain, 16, dice.random, fit.device, fit.domain.render)
    image = disturb(fit.domain, scene, dice)[0].image
    hue = torch.linspace(0, 5, len(fit.domain.parts), device=fit.device)
    palette = torch.stack([torch.cos(hue), torch.cos(hue + 2), torch.cos(hue + 4)])
    logits = F.interpolate(fit.average(image).part_logits, image.shape[-2:], mode="bilinear")
    painted = torch.einsum("cp,nphw->nchw", palette, logits.softmax(1))
    return [row[k : k + 8] for k in (0, 8) for row in (image, painted)]
