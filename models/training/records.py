"""What a training run leaves on disk while it runs: checkpoints, a curve, sheets of samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.errors import ModelError


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` so that a kill at any moment leaves the old file or the new one, whole."""
    partial = path.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote; tensors and plain values only. Raises: ModelError if absent."""
    if not path.exists():
        raise ModelError(f"{path}: no checkpoint to go on from")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def log_line(path: Path, figures: Mapping[str, float | int | str]) -> None:
    """Append one JSON line."""
    with path.open("a") as file:
        file.write(json.dumps({k: _short(v) for k, v in figures.items()}) + "\n")


def _short(value: float | int | str) -> float | int | str:
    return round(value, 5) if isinstance(value, float) else value


def save_sheet(path: Path, rows: list[Tensor], **options: Any) -> None:
    """Write pictures as one sheet, a tensor [N, 3, H, W] in -1..1 per row."""
    lines = [torch.cat(list(row.detach().float().cpu()), 2) for row in rows]
    sheet = torch.cat(lines, 1).clamp(-1, 1).add(1).mul(127.5).round().byte()
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(path, **options)
