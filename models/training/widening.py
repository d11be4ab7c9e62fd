"""Codes drawn wider apart where a generator shows less of an attribute than its renders do.

A generator that is fitted to pictures draws faint attributes too faintly. How much too faintly is
a number per attribute, so it is put right in closed form: one linear map of W, before the affines.
Source: own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from models.encoder import Encoder
from models.layers import EqualizedLinear
from models.perceptual import FeatureNet
from models.stylegan2 import Generator
from models.training.domains import Domain
from models.training.generator import draw_pairs

_BATCH = 32
_RIDGE = 1e-3  # of the mean variance of w
_LEAST = 0.5  # an attribute that is shown less than this is not stretched further than by this
_ALIKE = 0.5  # pictures and renders must agree so far, as a correlation
_ABRUPT = 0.1  # what comes into sight within so little is there or not: no matter of more or less


@dataclass(frozen=True, slots=True, eq=False)
class Widening:
    """w -> centre + matrix (w - centre).  Shapes: matrix [D, D], centre [D], float64."""

    matrix: Tensor
    centre: Tensor

    def inverse(self) -> Widening:
        """The way back."""
        return Widening(torch.linalg.inv(self.matrix), self.centre)

    def move(self, w: Tensor) -> Tensor:
        """Codes [..., D] moved."""
        centred = w.double() - self.centre
        return (self.centre + centred @ self.matrix.T).to(w.dtype)


@torch.no_grad()
def measure(
    generator: Generator, seer: FeatureNet, domain: Domain, items: int = 2048, seed: int = 5
) -> Widening:
    """How codes must be stretched for pictures to show of each attribute what renders show.

    Along the way that codes differ when one reading does and the others stay, by what the slope of
    readings over those of renders lacks.
    """
    w, made, wanted = _readings(generator, seer, domain, items, seed)
    centre = w.mean(0)
    codes, shown, due = w - centre, made - made.mean(0), wanted - wanted.mean(0)
    slope = (shown * due).sum(0) / due.square().sum(0).clamp(min=1e-9)
    alike = slope * (due.square().sum(0) / shown.square().sum(0).clamp(min=1e-9)).sqrt()
    spans = [domain.visible.get(name, (0.0, 1.0)) for name in domain.factors]
    graded = torch.tensor([high - low >= _ABRUPT for low, high in spans])
    lacking = (1 - slope.clamp(_LEAST, 1)) * (graded & (alike > _ALIKE))
    steps = _fit(shown, codes)  # [K, D]: a step of one reading, the others held
    tells = _fit(codes, due)  # [D, K]: what a code should show
    matrix = torch.eye(w.shape[1], dtype=w.dtype) + steps.T @ (lacking[:, None] * tells.T)
    return Widening(matrix, centre)


def widen(generator: Generator, by: Widening) -> None:
    """Let a generator draw what it drew of the codes that `by` moves codes to."""
    with torch.no_grad():
        for affine in _affines(generator):
            there = affine(by.move(torch.zeros(1, len(by.centre))))[0]
            affine.weight.copy_(affine.weight.double() @ by.matrix)
            affine.bias.copy_(there / affine.lr)


def narrow(encoder: Encoder, by: Widening) -> None:
    """Let an encoder give the codes that `by` moves to those that it gave."""
    back = by.inverse()
    spread = encoder.w_std.double()
    turned = back.matrix * spread / spread[:, None]
    with torch.no_grad():
        encoder.w_avg.copy_(back.move(encoder.w_avg))
        encoder.base.weight.copy_(turned @ encoder.base.weight.double())
        encoder.base.bias.copy_(turned @ encoder.base.bias.double())
        encoder.rows.copy_(encoder.rows.double() @ turned.T)


def _affines(generator: Generator) -> Iterator[EqualizedLinear]:
    for layer in generator.layers:
        yield cast(EqualizedLinear, generator.get_submodule(f"{layer.key}.affine"))


def _fit(x: Tensor, y: Tensor) -> Tensor:
    """The map [A, B] that takes x [N, A] to y [N, B] best, slightly shrunk."""
    variance = x.square().mean(0).mean()
    within = x.T @ x + _RIDGE * len(x) * variance * torch.eye(x.shape[1], dtype=x.dtype)
    return cast(Tensor, torch.linalg.solve(within, x.T @ y))


def _readings(
    generator: Generator, seer: FeatureNet, domain: Domain, items: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Codes [N, D], and what is read [N, K] in their pictures and in their renders."""
    random, device = torch.Generator().manual_seed(seed), generator.const.device
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(-(-items // _BATCH)):
        z, noise, scene = draw_pairs(
            generator, domain, _BATCH, generator.resolution, random, domain.render
        )
        w = generator.mapping(z)
        with torch.autocast(device.type, torch.bfloat16):
            image = generator.synthesize(generator.broadcast(w), noise).float().clamp(-1, 1)
            rows.append((w, seer.read(image), seer.read(scene.image)))
    w, made, wanted = (torch.cat(column).double().cpu() for column in zip(*rows, strict=True))
    return w, made, wanted
