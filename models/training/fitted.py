"""The networks that a training folder holds so far, as the next part or the export needs them."""

from __future__ import annotations

import torch
from torch import Tensor

from models.discriminator import Discriminator, DiscriminatorConfig, channels_of
from models.errors import ModelError
from models.perceptual import FeatureNet, FeatureNetConfig
from models.stylegan2 import Generator
from models.training import features
from models.training.domains import Domain
from models.training.loop import Job
from models.training.records import load_checkpoint

_NARROWED = 0.75  # a discriminator's widths beside those of its generator


def judge_config(domain: Domain) -> DiscriminatorConfig:
    """The shape of the discriminator of a domain's generator."""
    config = domain.generator
    return DiscriminatorConfig(config.resolution, channels_of(config.channels, _NARROWED))


def load_fitted(job: Job) -> Generator:
    """The averaged generator of the furthest checkpoint in `job.out`, frozen.

    Raises: ModelError if there is none, or it is older than the one that it went on from.
    """
    generator = Generator(job.domain.generator)
    finished = job.out / "adversarial.pt"
    if finished.exists():
        check_age(job, "adversarial", "generator")
        generator.load_state_dict(_part(load_checkpoint(finished)["average"], "generator."))
    else:
        generator.load_state_dict(load_checkpoint(job.out / "generator.pt")["average"])
    return generator.to(job.device).requires_grad_(requires_grad=False)


def check_age(job: Job, part: str, *made_for: str) -> None:
    """Raise ModelError if the checkpoint of a part is older than one that it was made for."""
    made = (job.out / f"{part}.pt").stat().st_mtime_ns
    for name in made_for:
        other = job.out / f"{name}.pt"
        if other.exists() and other.stat().st_mtime_ns > made:
            raise ModelError(
                f"{job.out / part}.pt is older than {other.name}, so it belongs to another one: "
                "fit it again, or move away the one that should not count"
            )


def load_judge(job: Job) -> Discriminator | None:
    """The discriminator of the adversarial checkpoint in `job.out`, frozen; None if untrained."""
    judge = Discriminator(judge_config(job.domain))
    state = load_checkpoint(job.out / "adversarial.pt")["network"]
    if not state["gap"]:
        return None
    judge.load_state_dict(_part(state, "discriminator."))
    return judge.requires_grad_(requires_grad=False)


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def load_seer(job: Job) -> FeatureNet:
    """The averaged feature network of the checkpoint in `job.out`, its distance calibrated."""
    domain = job.domain
    seer = FeatureNet(FeatureNetConfig(domain.factors, domain.parts, domain.landmarks))
    seer.load_state_dict(load_checkpoint(job.out / "features.pt")["average"])
    seer = seer.to(job.device).requires_grad_(requires_grad=False)
    features.calibrate(seer, domain)
    return seer


@torch.no_grad()
def code_statistics(generator: Generator, items: int = 20_000) -> tuple[Tensor, Tensor]:
    """Mean and spread of w [D] over `items` Gaussian z of a fixed seed."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(items, generator.config.z_dim, generator=random)
    w = generator.mapping(z.to(generator.const.device))
    return w.mean(0), w.std(0).clamp(min=1e-3)
