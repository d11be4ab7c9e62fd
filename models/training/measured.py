"""What was measured of a model that ships: `quality.json` beside its weights.

Every section of it carries a stamp of the weights that it was measured on; once they are replaced,
it counts no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from models.describe import file_digest

#: What each section of the figures is measured with.
NEEDS: dict[str, tuple[str, ...]] = {
    "speed": ("generator",),
    "reading": ("features",),
    "samples": ("generator", "features"),
    "directions": ("generator", "features", "directions"),
    "channels": ("generator", "features", "channels"),
    "inversion": ("generator", "features", "encoder"),
    "noise": ("generator",),
    "path_length": ("generator", "features"),
    "separability": ("generator", "features"),
}
FILE = "quality.json"
#: How the name of a direction ends that is a few style channels.
CHANNELS = "_channels"

Figures = dict[str, Any]


def missing(folder: Path, section: str) -> tuple[str, ...]:
    """What a section needs that the model in `folder` does not ship."""
    return tuple(kind for kind in NEEDS[section] if not files_of(folder, kind))


def stamp(folder: Path, section: str) -> str:
    """Sixteen hexadecimal digits that change with any weights that a section is measured with."""
    digests = [file_digest(path) for kind in NEEDS[section] for path in files_of(folder, kind)]
    return sha256(" ".join(digests).encode()).hexdigest()[:16]


def load_figures(folder: Path) -> dict[str, Figures]:
    """The sections that were measured on the weights now in `folder`, by name."""
    path = folder / FILE
    if not path.exists():
        return {}
    sections: dict[str, Figures] = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: figures
        for name, figures in sections.items()
        if name in NEEDS
        and not missing(folder, name)
        and figures.get("weights") == stamp(folder, name)
    }


def save_figures(folder: Path, section: str, figures: Mapping[str, Any]) -> None:
    """Put a section, just measured, among those that still hold."""
    held = load_figures(folder)
    held[section] = {**figures, "weights": stamp(folder, section)}
    ordered = {name: held[name] for name in NEEDS if name in held}
    partial = folder / f".{FILE}.partial"
    partial.write_text(json.dumps(ordered, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def files_of(folder: Path, kind: str) -> list[Path]:
    """The files of one kind that a model ships: a network's, or directions of w or of channels."""
    if kind in ("directions", "channels"):
        found = sorted((folder / "directions").glob("*.safetensors"))
        return [path for path in found if path.stem.endswith(CHANNELS) == (kind == "channels")]
    path = folder / f"{kind}.safetensors"
    return [path] if path.is_file() else []
