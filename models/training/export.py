"""From the checkpoints of a training folder to the weights that ship."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from models.discriminator import Discriminator
from models.encoder import Encoder, EncoderConfig
from models.library import BUILTIN
from models.loading import save_generator, save_network
from models.perceptual import FeatureNet
from models.stylegan2 import Generator
from models.training import features, generator
from models.training.encoder import invert_renders
from models.training.fitted import check_age, code_statistics, load_fitted, load_judge, load_seer
from models.training.loop import Job
from models.training.losses import psnr
from models.training.records import load_checkpoint
from models.training.widening import Widening, measure, narrow, widen

Companion = Discriminator | FeatureNet | Encoder
_ROUNDS = 2  # of widening: the second puts right what was not quite linear


def export(job: Job, folder: Path | None = None, held_out: int = 1024) -> None:
    """Write what is fitted as half precision safetensors, with `model.json` beside them.

    Held-out pictures are measured: `held_out` read by the feature network, a quarter as many drawn
    by the generator, an eighth inverted. The encoder needs generator and features. With a feature
    network, what the generator shows too faintly of an attribute is put right. Nothing is written
    before all is loaded and measured; a discriminator or encoder in `folder` that belongs to an
    earlier generator and has no successor is removed.
    Raises: ModelError if a checkpoint is missing, or older than what it was made for.
    """
    job = replace(job, device="cpu")
    network = load_fitted(job)
    name = f"{job.domain.name}-{network.resolution}"
    seer = load_seer(job) if (job.out / "features.pt").exists() else None
    wider: list[Widening] = []
    for _ in range(_ROUNDS if seer is not None else 0):
        wider.append(measure(network, cast(FeatureNet, seer), job.domain, 2 * held_out))
        widen(network, wider[-1])
    network.w_avg, w_std = code_statistics(network)
    companions: dict[str, Companion] = {}
    quality = generator.validate(network, job.domain, held_out // 4)
    facts: dict[str, Any] = {
        "name": name,
        "factors": list(job.domain.factors),
        "parts": list(job.domain.parts),
        "landmarks": list(job.domain.landmarks),
        "w_std": [round(value, 4) for value in w_std.tolist()],
        "trained_on": f"{os.cpu_count()} {platform.machine()} cores, torch {torch.__version__}",
        "generator": _progress(job, "generator") | {"held_out_psnr_db": round(quality, 2)},
    }
    if (job.out / "adversarial.pt").exists():
        facts["discriminator"] = _progress(job, "adversarial")
        if (judge := load_judge(job)) is not None:
            companions["discriminator"] = judge
    if seer is not None:
        companions["features"] = seer
        reading = _rounded(features.validate(seer, job.domain, held_out))
        facts["features"] = _progress(job, "features") | {"held_out_r2": reading}
        if (job.out / "encoder.pt").exists():
            encoder = companions["encoder"] = _load_encoder(job, network)
            for by in wider:
                narrow(encoder, by)
            pictures, made = invert_renders(encoder, network, job.domain, held_out // 8)
            near = {"held_out_psnr_db": round(psnr(made, pictures).mean().item(), 2)}
            facts["encoder"] = _progress(job, "encoder") | near
    _write(folder or BUILTIN / name, network, companions, facts)


def _write(
    folder: Path, network: Generator, companions: Mapping[str, Companion], facts: Mapping[str, Any]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_generator(network, folder / "generator.safetensors", torch.float16)
    for kind in ("discriminator", "encoder"):
        (folder / f"{kind}.safetensors").unlink(missing_ok=True)
    for kind, made in companions.items():
        path = folder / f"{kind}.safetensors"
        save_network(made, path, kind, made.config.to_json(), torch.float16)
    (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n")


def _load_encoder(job: Job, maker: Generator) -> Encoder:
    check_age(job, "encoder", "generator", "adversarial")
    network = Encoder(EncoderConfig(maker.num_rows, maker.config.w_dim))
    network.load_state_dict(load_checkpoint(job.out / "encoder.pt")["average"])
    return network.requires_grad_(requires_grad=False)


def _progress(job: Job, part: str) -> dict[str, float]:
    state = load_checkpoint(job.out / f"{part}.pt")
    return {
        "steps": state["step"],
        "pictures": state["pictures"],
        "minutes": round(state["seconds"] / 60, 1),
        "seed": state.get("seed", job.seed),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}
