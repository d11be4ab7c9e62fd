"""The loop that all fits share: budget, moving average, checkpoints, curve and sheets."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.companions import load_discriminator, load_encoder, load_features
from models.loading import load_generator
from models.scenes.canvas import Scene, grain_of
from models.training.domains import Domain, Render
from models.training.records import load_checkpoint, log_line, save_checkpoint, save_sheet

Network = TypeVar("Network", bound=nn.Module)
RENDER_BATCH = 16  # one size everywhere, so that a compiled renderer is compiled once
_WARM_SHARE = 0.25  # of the schedule that weights which ship have behind them
_PAUSE_S = 8.0  # a step that took longer was not working but stopped
_SHARE_EVERY = 16  # rounds that processes work alone before they take the mean of their networks


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train in all: minutes of work, or a number of steps (repeatable)."""

    minutes: float | None = None
    steps: int | None = None

    def used(self, step: int, seconds: float) -> float:
        """The share of the budget that is gone, 0..1."""
        if self.steps is not None:
            return step / self.steps if self.steps else 1.0
        return seconds / 60 / self.minutes if self.minutes else 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for: which domain, how long, where its checkpoints lie, on which machine."""

    domain: Domain
    out: Path
    budget: Budget
    seed: int = 0
    device: str = "cpu"
    resume: bool = False
    warm: bool = False  # start from the weights that ship, with a fresh optimiser
    compile_render: bool = False
    save_every_s: float = 120.0


@dataclass(slots=True)
class Fit(Generic[Network]):
    """Everything that changes while a network is fitted."""

    domain: Domain
    network: Network
    average: Network
    optimizer: torch.optim.Optimizer
    random: torch.Generator
    device: torch.device
    memory: float  # pictures over which the average forgets half
    step: int = 0
    pictures: int = 0
    seconds: float = 0.0

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on as if nothing had happened."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.get_state(),
            "step": self.step,
            "pictures": self.pictures,
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `state` gave."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.set_state(state["random"])
        self.step, self.pictures = state["step"], state["pictures"]
        self.seconds = state["seconds"]


Step = Callable[[Fit[Network], float, Render], dict[str, float | int]]
"""One optimiser step: the fit, the share of the budget that is gone, the renderer -> figures."""


def begin(job: Job, network: Network, *, memory: float = 1000.0) -> Fit[Network]:
    """A fit of `network` that has taken no step."""
    place = torch.device(job.device)
    network = network.to(place).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    random = torch.Generator().manual_seed(job.seed)
    return Fit(job.domain, network, average, optimizer, random, place, memory)


def descend(fit: Fit[Network], loss: Tensor, rate: float, pictures: int) -> None:
    """One clipped step down the gradient of `loss`; the average follows."""
    fit.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(fit.network.parameters(), 1.0)
    advance(fit, rate, pictures)


def advance(fit: Fit[Network], rate: float, pictures: int) -> None:
    """One step down the gradients that the network holds; the average follows."""
    for group in fit.optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)
    fit.optimizer.step()
    fit.step += 1
    fit.pictures += pictures * (dist.get_world_size() if dist.is_initialized() else 1)
    half_life = min(fit.memory, 0.05 * fit.pictures)
    with torch.no_grad():
        new = [p.detach() for p in fit.network.parameters()]
        old: list[Tensor] = list(fit.average.parameters())
        torch._foreach_lerp_(old, new, 1 - 0.5 ** (pictures / half_life))


def falling(rate: float, used: float, start: float) -> float:
    """A learning rate that stays, then falls along a half cosine from `start` of the budget on."""
    late = min(max((used - start) / (1 - start), 0.0), 1.0)
    return rate * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * late)))


def drive(
    job: Job,
    name: str,
    fit: Fit[Network],
    step: Step[Network],
    sheet: Callable[[Fit[Network]], list[Tensor]],
) -> Fit[Network]:
    """Step until the budget is used; leave `name`.pt, `name`.jsonl and `name`.png in `job.out`.

    A fit that is resumed keeps the seed it began with.
    """
    out, seed = job.out, job.seed
    out.mkdir(parents=True, exist_ok=True)
    writes = not dist.is_initialized() or dist.get_rank() == 0
    if job.resume:
        state = load_checkpoint(out / f"{name}.pt")
        seed = state.get("seed", seed)
        fit.restore(state)
    elif writes:
        (out / f"{name}.jsonl").unlink(missing_ok=True)
    if dist.is_initialized():  # each process draws its own pictures
        fit.random.manual_seed(seed + 1000 * fit.step + dist.get_rank())
    eager = job.domain.render
    compiled = torch.compile(eager, dynamic=False) if job.compile_render else eager
    alone_for = _SHARE_EVERY if dist.is_initialized() else 1
    saved, rounds = fit.seconds, 0
    while (used := job.budget.used(fit.step, fit.seconds)) < 1 or rounds % alone_for:
        started, before = time.perf_counter(), fit.step
        gone = _WARM_SHARE + (1 - _WARM_SHARE) * used if job.warm else used
        figures = step(fit, min(gone, 1.0), compiled)
        fit.seconds += min(time.perf_counter() - started, _PAUSE_S)
        rounds += 1
        if writes and fit.step // 20 > before // 20:
            progress = {"step": fit.step, "pictures": fit.pictures, "seconds": fit.seconds}
            log_line(out / f"{name}.jsonl", progress | figures)
        if rounds % alone_for == 0:
            share(fit)
        if writes and fit.seconds - saved > job.save_every_s:
            saved = fit.seconds
            save_checkpoint(out / f"{name}.pt", fit.state() | {"seed": seed})
            with torch.no_grad():
                save_sheet(out / f"{name}.png", sheet(fit))
    if writes and (rounds or not (out / f"{name}.pt").exists()):
        save_checkpoint(out / f"{name}.pt", fit.state() | {"seed": seed})
    return fit


def warm(job: Job, part: str, network: nn.Module) -> None:
    """Give `network` the weights that ship, if the job asks for that."""
    if job.warm:
        network.load_state_dict(shipped(job.domain, part).state_dict())


def shipped(domain: Domain, part: str) -> nn.Module:
    """The network of `domain` that comes with the project. Raises: ModelError if there is none."""
    name = f"{domain.name}-{domain.generator.resolution}"
    load: dict[str, Callable[[str], nn.Module]] = {
        "generator": load_generator,
        "discriminator": load_discriminator,
        "encoder": load_encoder,
        "features": load_features,
    }
    return load[part](name)


@torch.no_grad()
def share(fit: Fit[Network]) -> None:
    """Give every process the mean of all networks, if there are several (`torchrun`).

    Source: Lin et al. 2020, "Don't use large mini-batches, use local SGD", arXiv:1808.07217.
    """
    if not dist.is_initialized():
        return
    clocks = torch.tensor([fit.step, fit.seconds], dtype=torch.float64)
    dist.all_reduce(clocks)
    clocks /= dist.get_world_size()
    fit.step, fit.seconds = int(clocks[0]), clocks[1].item()
    parameters = [*fit.network.parameters(), *fit.average.parameters()]
    flat = torch.cat([p.reshape(-1) for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for parameter, mean in zip(
        parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True
    ):
        parameter.copy_(mean.view(parameter.shape))


def draw_scene(factors: Tensor, noise: Sequence[Tensor], size_px: int, render: Render) -> Scene:
    """Renders of any number of factors [N, K], in batches of the one compiled size.

    Shapes: noise [N, 1, S, S] each, as many and as large as the domain's `sides`.
    """
    grain = grain_of(noise, size_px)
    scenes = []
    with torch.no_grad():
        for start in range(0, len(factors), RENDER_BATCH):
            part = slice(start, start + RENDER_BATCH)
            scenes.append(render(factors[part], grain.part(part)))
    columns = zip(*((s.image, s.factors, s.masks, s.landmarks) for s in scenes), strict=True)
    return Scene(*(torch.cat(column) for column in columns))
