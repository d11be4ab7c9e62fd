"""Directions on disk."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from models.code_files import read_value
from models.codes import Space
from models.entries import check_numbers, read_card
from models.errors import ModelError
from models.native import VALUE_KEY, VALUE_VERSION


@dataclass(frozen=True, slots=True, eq=False)
class StoredDirection:
    """One direction of a library.

    Shapes: data float32 [D] (w), [L, D] (w_plus) or [S] (style), unit length; score of a code =
    (code . data - offset) / sigma.  `rows` are those it applies to (empty: all); `card` is JSON
    text that says how it was made and how well it reads.
    """

    data: Tensor
    sigma: float
    offset: float
    name: str
    space: Space
    family: str
    rows: tuple[int, ...] = ()
    card: str = "{}"


def save_direction(direction: StoredDirection, path: str | Path) -> None:
    """Write a direction as safetensors, in the layout of a workflow's own outputs.

    Raises: OSError where nothing can be written.
    """
    tensors = {
        "data": direction.data[None].float().contiguous(),
        "sigma": torch.tensor([direction.sigma]),
        "offset": torch.tensor([direction.offset]),
    }
    names = ("name", "space", "family", "rows", "card")
    fields = {name: getattr(direction, name) for name in names}
    header = {"type": "Direction", "version": VALUE_VERSION, "fields": fields}
    Path(path).write_bytes(save(tensors, {VALUE_KEY: json.dumps(header)}))


def load_direction(path: str | Path) -> StoredDirection:
    """The direction in a file.

    Raises: ModelError if it is damaged or something else, or points nowhere: not finite, not of
    unit length, or without a unit.
    """
    try:
        return _load(str(path), Path(path).stat().st_mtime_ns)
    except (OSError, SafetensorError, LookupError, ValueError, TypeError) as error:
        other = Path(path).suffix.lower() != ".safetensors"
        hint = "; other formats come in by `run_workflow.py directions import`" if other else ""
        raise ModelError(f"{path}: not a direction file: {error!r}{hint}") from error


@lru_cache(maxsize=256)
def _load(path: str, _modified: int) -> StoredDirection:
    fields, tensors = read_value(path, "Direction")
    found = StoredDirection(
        data=tensors["data"][0].float(),
        sigma=float(tensors["sigma"][0]),
        offset=float(tensors["offset"][0]),
        name=fields["name"],
        space=fields["space"],
        family=fields["family"],
        rows=tuple(fields["rows"]),
        card=fields["card"],
    )
    length = float(found.data.double().norm())
    check_numbers(Path(path), length, found.sigma, found.offset)
    read_card(found.card, Path(path))
    return found
