"""Fitting a generator by regression: every z stands for factors, the render of them is the target.

Source: own; the network is that of Karras et al. 2020, arXiv:1912.04958.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from models.layers import EqualizedLinear, StyledConv
from models.scenes.canvas import Scene
from models.stylegan2 import Generator
from models.training.domains import Domain, Render, factors_of, projection
from models.training.loop import Fit, Job, begin, descend, draw_scene, drive, falling, warm
from models.training.losses import picture_loss, psnr, reach

COMPILED_PX = 128  # smaller sizes are over before their compilation would have paid


@dataclass(frozen=True, slots=True)
class Stage:
    """Training at one picture size, until this share of the budget is used.

    On few cores the number of steps limits what is learned, so batches are small and much is
    learned at sizes where a step is cheap.
    `drawn` pictures are rendered at once and learned from in batches of `batch`.
    """

    size_px: int
    drawn: int
    batch: int
    until: float


STAGES = (
    Stage(16, 64, 8, 0.12),
    Stage(32, 32, 8, 0.30),
    Stage(64, 16, 4, 0.60),
    Stage(128, 16, 8, 1.0),
)


def train(job: Job) -> Fit[Generator]:
    """Fit a generator to `job.domain`, from 16 px up; leaves `generator.*` in `job.out`."""
    torch.manual_seed(job.seed)
    network = Generator(job.domain.generator)
    _warm_start(network, job.domain)
    warm(job, "generator", network)
    return drive(job, "generator", begin(job, network), train_step, sample_rows)


@torch.no_grad()
def _warm_start(network: Generator, domain: Domain) -> None:
    """Look at the factors' subspace of z from the first step, and let new sizes fade in.

    Only K of z's directions carry factors; a random first layer would spend most of the run on
    learning to ignore the others.
    """
    first = cast(EqualizedLinear, network.mapper.layers[0])
    basis = projection(len(domain.factors), domain.generator.z_dim)
    look = torch.randn(first.weight.shape[0], basis.shape[0]) / first.lr
    first.weight.copy_(look @ basis * math.sqrt(basis.shape[1] / basis.shape[0]))
    first.bias.copy_(torch.randn_like(first.bias) * 0.7 / first.lr)
    for layer in network.layers:
        module = cast(StyledConv, network.convs[f"b{layer.resolution}_{layer.kind}"])
        if layer.kind == "rgb":
            module.weight.mul_(0.3 if layer.resolution <= 16 else 0.0)
        elif layer.kind == "conv0" and layer.resolution >= 64:
            module.noise_strength.fill_(0.1)
        elif layer.kind == "conv0" or layer.index == 0:
            module.noise_strength.fill_(domain.layout_noise)


def draw_pairs(
    network: Generator,
    domain: Domain,
    items: int,
    size_px: int,
    random: torch.Generator,
    render: Render,
    twins: int = 0,
) -> tuple[Tensor, list[Tensor], Scene]:
    """Codes, noise inputs and what they stand for: z [N, D], noise, scene at `size_px`.

    The render gets the first noise input of every size that its domain names. The codes of the
    first `twins` items come again in as many that follow them, with other noise; what lays the
    picture out stays.
    """
    device = network.const.device
    z = torch.randn(items, network.config.z_dim, generator=random).to(device)
    z[twins : 2 * twins] = z[:twins]
    sides = [layer.resolution for layer in network.layers if layer.noise is not None]
    noise = [torch.randn(items, 1, s, s, generator=random).to(device) for s in sides]
    for side, field in zip(sides, noise, strict=True):
        if side in domain.layout_sides:
            field[twins : 2 * twins] = field[:twins]
    basis = projection(len(domain.factors), network.config.z_dim).to(device)
    shown = [noise[sides.index(min(side, sides[-1]))] for side in domain.sides]
    return z, noise, draw_scene(factors_of(z, basis), shown, size_px, render)


def picture_at(network: Generator, z: Tensor, noise: list[Tensor], size_px: int) -> Tensor:
    """The generator's picture when the walk stops at `size_px`."""
    stop = network.layer(f"{size_px}.rgb").index + 1
    styles = network.styles(network.broadcast(network.mapping(z)))
    return cast(Tensor, network.run(styles, noise, stop=stop).skip)


def stage_at(used: float, largest_px: int) -> Stage:
    """The stage a fit is in when `used` of its budget is gone."""
    stages = [stage for stage in STAGES if stage.size_px <= largest_px]
    return next((stage for stage in stages if used < stage.until), stages[-1])


def train_step(fit: Fit[Generator], used: float, render: Render) -> dict[str, float | int]:
    """Draw pictures once and step through them; gives back the figures of the last step."""
    stage = stage_at(used, fit.network.resolution)
    size = stage.size_px
    if size < COMPILED_PX:
        render = fit.domain.render
    # The smallest pictures are averaged from larger ones: eyes of two pixels need that.
    drawn = size if size >= 64 else 2 * size
    z, noise, scene = draw_pairs(fit.network, fit.domain, stage.drawn, drawn, fit.random, render)
    wanted = reach(scene.image, size)
    care = fit.domain.care_map(reach(scene.masks, size))
    for start in range(0, stage.drawn, stage.batch):
        part = slice(start, start + stage.batch)
        with torch.autocast(fit.device.type, torch.bfloat16):
            made = picture_at(fit.network, z[part], [n[part] for n in noise], size).float()
        loss = picture_loss(made, wanted[part], care[part])
        descend(fit, loss, falling(3e-3, used, 0.5), stage.batch)
    quality = psnr(made.detach(), wanted[part]).mean().item()
    return {"size_px": size, "loss": loss.item(), "psnr_db": quality}


def sample_rows(fit: Fit[Generator]) -> list[Tensor]:
    """What the averaged generator draws, as `sheet_rows` shows it."""
    return sheet_rows(fit.average, fit.domain)


def sheet_rows(network: Generator, domain: Domain) -> list[Tensor]:
    """Renders and, below each row, what a generator makes of the same codes."""
    random, size = torch.Generator().manual_seed(1), network.resolution
    z, noise, scene = draw_pairs(network, domain, 24, size, random, domain.render)
    made = picture_at(network, z, noise, size)
    return [row[k : k + 8] for k in (0, 8, 16) for row in (scene.image, made)]


def validate(network: Generator, domain: Domain, items: int = 256, seed: int = 99) -> float:
    """Mean PSNR in dB against renders of codes and noise that no training run has drawn."""
    random = torch.Generator().manual_seed(seed)
    each = []
    with torch.no_grad():
        for _ in range(items // 16):
            size = network.resolution
            z, noise, scene = draw_pairs(network, domain, 16, size, random, domain.render)
            each.append(psnr(picture_at(network, z, noise, size), scene.image))
    return torch.cat(each).mean().item()
