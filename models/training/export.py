"""From the checkpoints of a training folder to the weights that ship."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from models.encoder import Encoder, EncoderConfig
from models.library import BUILTIN
from models.loading import save_generator, save_network
from models.training import features, generator
from models.training.encoder import Teachers, code_statistics, invert_renders, load_teachers
from models.training.loop import Job
from models.training.losses import psnr
from models.training.records import load_checkpoint


def export(job: Job, folder: Path | None = None, held_out: int = 1024) -> None:
    """Write generator, features and encoder as half precision safetensors, with `model.json`.

    Quality is measured on `held_out` pictures. The encoder is left out while there is none.
    """
    teachers = load_teachers(job)
    name = f"{job.domain.name}-{teachers.generator.resolution}"
    folder = folder or BUILTIN / name
    folder.mkdir(parents=True, exist_ok=True)
    teachers.generator.w_avg, w_std = code_statistics(teachers.generator)
    save_generator(teachers.generator, folder / "generator.safetensors", torch.float16)
    seer = teachers.features
    _save(seer, folder, "features", seer.config.to_json())
    quality = generator.validate(teachers.generator, job.domain, held_out // 4)
    reading = features.validate(seer, job.domain, held_out)
    facts: dict[str, Any] = {
        "name": name,
        "factors": list(job.domain.factors),
        "parts": list(job.domain.parts),
        "landmarks": list(job.domain.landmarks),
        "w_std": [round(value, 4) for value in w_std.tolist()],
        "trained_on": f"{os.cpu_count()} {platform.machine()} cores, torch {torch.__version__}",
        "generator": _progress(job, "generator") | {"held_out_psnr_db": round(quality, 2)},
        "features": _progress(job, "features") | {"held_out_r2": _rounded(reading)},
    }
    if (job.out / "encoder.pt").exists():
        facts["encoder"] = _progress(job, "encoder") | _export_encoder(
            job, teachers, folder, held_out // 8
        )
    (folder / "model.json").write_text(json.dumps(facts, indent=1) + "\n")


def _export_encoder(job: Job, teachers: Teachers, folder: Path, items: int) -> dict[str, float]:
    network = Encoder(EncoderConfig(teachers.generator.num_rows, teachers.generator.config.w_dim))
    network.load_state_dict(load_checkpoint(job.out / "encoder.pt")["average"])
    _save(network, folder, "encoder", network.config.to_json())
    pictures, made = invert_renders(network, teachers.generator, job.domain, items)
    return {"held_out_psnr_db": round(psnr(made, pictures).mean().item(), 2)}


def _save(network: torch.nn.Module, folder: Path, kind: str, config: dict[str, object]) -> None:
    save_network(network, folder / f"{kind}.safetensors", kind, config, torch.float16)


def _progress(job: Job, part: str) -> dict[str, float]:
    state = load_checkpoint(job.out / f"{part}.pt")
    return {
        "steps": state["step"],
        "pictures": state["pictures"],
        "minutes": round(state["seconds"] / 60, 1),
        "seed": job.seed,
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}
