"""Codes of a generator: from one space to the next, and the rows of w_plus by name."""

import weakref
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor

from models.config import GeneratorConfig, layer_table
from models.errors import ModelError
from models.stylegan2 import Generator

Space = Literal["z", "w", "w_plus", "style"]
#: Codes that the mean code of a class is taken over.
_SAMPLE = 10_000
#: Pixels up to which a row is called coarse and middle; above it is fine.
_NAMED = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1 << 30), "all": (4, 1 << 30)}


def row_resolutions(config: GeneratorConfig) -> tuple[int, ...]:
    """The side in pixels of the first layer that each row of w_plus drives.

    Row 3 drives the 8 px picture and the first 16 px convolution: it counts as 8.
    """
    sides = [config.resolution] * config.num_rows
    for layer in layer_table(config):
        sides[layer.row] = min(sides[layer.row], layer.resolution)
    return tuple(sides)


def choose_rows(config: GeneratorConfig, rows: str | Sequence[int]) -> tuple[int, ...]:
    """The numbers of rows given by name ("all", "coarse" to 8 px, "middle" to 32, "fine") or list.

    Raises: ModelError for an unknown name, a row that does not exist, or an empty choice.
    Source: Karras et al. 2019, arXiv:1812.04948 (coarse, middle and fine styles).
    """
    if isinstance(rows, str):
        if rows not in _NAMED:
            raise ModelError(f"rows '{rows}': must be a list or one of {', '.join(_NAMED)}")
        low, high = _NAMED[rows]
        chosen = tuple(
            row for row, side in enumerate(row_resolutions(config)) if low <= side <= high
        )
        if not chosen:
            raise ModelError(f"a generator of {config.resolution} px has no {rows} rows")
        return chosen
    wrong = [row for row in rows if not 0 <= row < config.num_rows]
    if wrong or not rows:
        given = f"{wrong} do not exist" if wrong else "none are given"
        raise ModelError(f"rows: {given}; this generator has rows 0 to {config.num_rows - 1}")
    return tuple(dict.fromkeys(rows))


def spread(w: Tensor, rows: int) -> Tensor:
    """w [N, D] in every row, [N, rows, D]; w_plus as it is."""
    return w if w.dim() == 3 else w[:, None].expand(-1, rows, -1)


def to_w_plus(generator: Generator, data: Tensor, space: Space) -> Tensor:
    """Codes of any space before the styles as w_plus [N, L, D].

    Raises: ModelError for style vectors, from which no w can be had back.
    """
    if space == "style":
        raise ModelError("a style vector has no rows: this needs a code in z, w or w_plus")
    w = generator.mapping(data) if space == "z" else data
    return spread(w, generator.num_rows)


def to_styles(generator: Generator, data: Tensor, space: Space) -> Tensor:
    """Codes of any space as style vectors [N, S]."""
    if space == "style":
        return data
    return generator.styles(to_w_plus(generator, data, space))


def mean_code(generator: Generator, space: Space) -> Tensor:
    """The generator's mean code as one item of `space`. Raises: ModelError for z."""
    if space == "z":
        raise ModelError("z has no mean code to draw towards: map it to w first")
    mean = generator.w_avg[None]
    if space == "w":
        return mean
    w_plus = spread(mean, generator.num_rows)
    return w_plus if space == "w_plus" else generator.styles(w_plus)


_class_means: "weakref.WeakKeyDictionary[Generator, dict[int, Tensor]]" = (
    weakref.WeakKeyDictionary()
)


def class_mean(generator: Generator, label: int) -> Tensor:
    """The mean code w [D] of one class, over a fixed sample. Raises: ModelError without it."""
    config = generator.config
    if not 0 <= label < config.c_dim:
        classes = f"0 to {config.c_dim - 1}" if config.c_dim else "none"
        raise ModelError(f"label {label}: the classes of this generator are {classes}")
    known = _class_means.setdefault(generator, {})
    if label not in known:
        z = draw(0, _SAMPLE, config.z_dim).to(generator.w_avg.device)
        c = torch.zeros(len(z), config.c_dim, device=z.device)
        c[:, label] = 1
        with torch.no_grad():
            known[label] = generator.mapping(z, c).mean(0)
    return known[label].to(generator.w_avg.device)


def number(*parts: object) -> int:
    """A 63-bit number that depends on every part, the same on every machine."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers that depend on the seed and shape only."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """The point at `t` on the great arc from a to b [N, D], its length between theirs.

    Equal directions, and opposite ones (which no arc joins), fall back to the straight line.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp(min=1e-12), b / length_b.clamp(min=1e-12)
    # atan2 of chord sums keeps its precision where acos loses it, near 0 and pi.
    angle = 2 * torch.atan2(
        (unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True)
    )
    sine = torch.sin(angle)
    usable = sine > 1e-6
    divisor = torch.where(usable, sine, torch.ones_like(sine))
    arc = (torch.sin((1 - t) * angle) * unit_a + torch.sin(t * angle) * unit_b) / divisor
    arc = arc * torch.lerp(length_a, length_b, t)
    return torch.where(usable, arc, torch.lerp(a, b, t))
