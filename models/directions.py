"""Directions on disk, and what they do to codes."""

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from models.code_files import read_value
from models.codes import Space, choose_rows, spread, to_styles
from models.errors import ModelError
from models.perceptual import FeatureNet
from models.readings import draw_codes, read_codes
from models.stylegan2 import Generator

_KEY, _VERSION = "latentloom", 1
#: Lengths of step tried when a direction is calibrated, in its sigma so far.
_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: By how much the length of a direction in a file may differ from 1.
_UNIT = 1e-3
#: Below this length of what conditions leave of a direction, there is no honest edit.
_LEAST_FREE = 0.1
#: Deviations of its attribute that a direction must move pictures by.
_LEAST_EFFECT = 0.2


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
    """Write a direction as safetensors, in the layout of a workflow's own outputs."""
    tensors = {
        "data": direction.data[None].float().contiguous(),
        "sigma": torch.tensor([direction.sigma]),
        "offset": torch.tensor([direction.offset]),
    }
    names = ("name", "space", "family", "rows", "card")
    fields = {name: getattr(direction, name) for name in names}
    header = {"type": "Direction", "version": _VERSION, "fields": fields}
    save_file(tensors, path, {_KEY: json.dumps(header)})


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
    if not abs(length - 1) < _UNIT:
        raise ModelError(f"{path}: the direction has length {length:g}, must be 1: learn it again")
    if not 0 < found.sigma < math.inf or not math.isfinite(found.offset):
        raise ModelError(
            f"{path}: the direction has sigma {found.sigma:g} and offset {found.offset:g}: must be "
            "finite, sigma above 0; calibrate it, or learn it again"
        )
    if not isinstance(json.loads(found.card), dict):
        raise TypeError("its card is no JSON object")
    return found


def calibrate(
    generator: Generator,
    net: FeatureNet,
    direction: StoredDirection,
    column: int,
    count: int,
    seed: int,
) -> tuple[float, Tensor]:
    """The sigma at which pictures change attribute `column` by one deviation, and what else moves.

    The second value is the change of every attribute at that sigma, [K], in deviations. Where even
    the longest step tried moves the attribute less, the step that moves it most is taken.
    """
    w = draw_codes(generator, count, seed)
    with torch.no_grad():
        deviation = read_codes(generator, net, w, "w").std(0).clamp(min=1e-6)
        sigmas, moved = [0.0], [0.0]
        # Attributes saturate and may turn back: the nearest step that does it is the unit.
        while moved[-1] < 1 and len(sigmas) <= len(_STEPS):
            sigmas.append(direction.sigma * _STEPS[len(sigmas) - 1])
            tried = replace(direction, sigma=sigmas[-1])
            moved.append(float((_effect(generator, net, w, tried) / deviation)[column]))
        if moved[-1] >= 1:
            share = (1 - moved[-2]) / (moved[-1] - moved[-2])
            sigma = sigmas[-2] + share * (sigmas[-1] - sigmas[-2])
        else:
            sigma = sigmas[max(range(1, len(moved)), key=lambda k: moved[k])]
        effect = _effect(generator, net, w, replace(direction, sigma=sigma)) / deviation
    return sigma, effect


def recalibrated(
    generator: Generator,
    net: FeatureNet,
    direction: StoredDirection,
    attribute: str,
    count: int = 48,
    seed: int = 0,
) -> StoredDirection:
    """A direction whose unit moves pictures by one deviation of an attribute; its card says so.

    The card tells `effect`, the change of the attribute at strength 1, and `leak`, the mean change
    of all others, with the five that leak most.
    Raises: ModelError if the network does not read the attribute, or pictures hardly follow.
    """
    if attribute not in net.attributes:
        near = difflib.get_close_matches(attribute, net.attributes, 1)
        guess = f", did you mean '{near[0]}'?" if near else ""
        known = ", ".join(net.attributes)
        raise ModelError(f"there is no attribute '{attribute}'{guess} (there are {known})")
    column = net.attributes.index(attribute)
    sigma, effect = calibrate(generator, net, direction, column, count, seed)
    moved = float(effect[column])
    if moved < _LEAST_EFFECT:
        raise ModelError(
            f"pictures hardly follow direction '{direction.name}' ({moved:.2f} at most)"
        )
    others = {
        name: abs(float(change))
        for name, change in zip(net.attributes, effect, strict=True)
        if name != attribute
    }
    most = sorted(others, key=lambda name: -others[name])[:5]
    card = json.loads(direction.card) | {
        "calibrated_by": attribute,
        "effect": round(moved, 4),
        "leak": round(sum(others.values()) / max(1, len(others)), 4),
        "leaks_most": {name: round(others[name], 4) for name in most},
    }
    return replace(direction, sigma=sigma, card=json.dumps(card, sort_keys=True))


def _effect(generator: Generator, net: FeatureNet, w: Tensor, direction: StoredDirection) -> Tensor:
    """Half the change of the scores from one sigma below to one above, [K]."""
    up, down = (
        read_codes(generator, net, *move(generator, w, "w", [(direction, strength)]))
        for strength in (1.0, -1.0)
    )
    return (up - down).mean(0) / 2


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """A direction as one flat vector [M] of the space an edit works in."""

    name: str
    vector: Tensor
    sigma: float
    offset: float


def move(
    generator: Generator,
    data: Tensor,
    space: Space,
    targets: Sequence[tuple[StoredDirection, float]],
    *,
    conditions: Sequence[StoredDirection] = (),
    rows: str | Sequence[int] | None = None,
    absolute: bool = False,
) -> tuple[Tensor, Space]:
    """Codes moved so that each target's score changes by (or becomes) its number of sigmas.

    All targets are met at once and the conditions' scores stay, whatever angles they form: the
    smallest move that does it is taken. The score of a w_plus code is the mean over its rows.
    `rows` replaces the directions' own. A w code stays in w as long as every row moves.

    Shapes: data [N, D], [N, L, D] or [N, S] -> the same, or the wider space that is returned.
    Raises: ModelError if the spaces do not meet, or conditions leave no room for a target.
    Source: Shen et al. 2020, arXiv:2005.09635, section 2.3, for any number of directions.
    """
    if not absolute and all(strength == 0 for _, strength in targets):
        return data, space
    used = [direction for direction, _ in targets] + list(conditions)
    work = _work_space(generator, space, used, rows)
    if absolute and space == "style" and work != "style":
        raise ModelError("a style vector cannot be set to a score in w: edit the code before")
    axes = [_axis(generator, direction, work, rows) for direction in used]
    for axis in axes[: len(targets)]:
        _check_free(axis, [other for other in axes if other is not axis])
    if space == "w" and work == "w_plus":
        data, space = spread(data, generator.num_rows), "w_plus"
    elif space != "style" and work == "style":
        data, space = to_styles(generator, data, space), "style"
    vectors = torch.stack([axis.vector for axis in axes])
    wanted = torch.zeros(len(data) if absolute else 1, len(axes), dtype=torch.float64)
    for j, (axis, (_, strength)) in enumerate(zip(axes, targets, strict=False)):
        wanted[:, j] = strength * axis.sigma
        if absolute:
            wanted[:, j] += axis.offset - data.flatten(1).double().cpu() @ axis.vector
    if absolute and conditions:
        wanted[:, len(targets) :] = 0
    change = wanted @ torch.linalg.pinv(vectors @ vectors.T, rtol=1e-9) @ vectors
    return _add(generator, data, space, work, change), space


def _work_space(
    generator: Generator,
    space: Space,
    used: Sequence[StoredDirection],
    rows: str | Sequence[int] | None,
) -> Space:
    """The space in which the move is solved."""
    spaces = {direction.space for direction in used}
    if space == "z":
        raise ModelError("a code in z has no straight directions: map it to w first")
    if "style" in spaces:
        if spaces != {"style"}:
            raise ModelError("directions in style and in w do not mix in one edit: use two")
        if rows is not None:
            raise ModelError("a direction in style has no rows to choose")
        return "style"
    partial = any(len(_rows(generator, d, rows)) < generator.num_rows for d in used)
    return "w" if space == "w" and spaces == {"w"} and not partial else "w_plus"


def _rows(
    generator: Generator, direction: StoredDirection, rows: str | Sequence[int] | None
) -> tuple[int, ...]:
    """The rows a direction moves: those asked for, else its own, else all."""
    return choose_rows(generator.config, rows or direction.rows or "all")


def _axis(
    generator: Generator,
    direction: StoredDirection,
    work: Space,
    rows: str | Sequence[int] | None,
) -> _Axis:
    """A direction as the work space sees it; in w_plus it moves each of its rows alike."""
    _check_size(generator, direction)
    vector = direction.data.double()
    if direction.space == work and work != "w_plus":
        return _Axis(direction.name, vector, direction.sigma, direction.offset)
    full = spread(vector[None], generator.num_rows)[0] if vector.dim() == 1 else vector
    kept = torch.zeros_like(full)
    chosen = list(_rows(generator, direction, rows))
    kept[chosen] = full[chosen]
    length = float(kept.norm())
    if length < 1e-9:
        raise ModelError(f"direction '{direction.name}' does nothing in rows {chosen}")
    # A step of one sigma moves each row as it would move a w code: by sigma along the direction.
    return _Axis(
        direction.name,
        kept.flatten() / length,
        direction.sigma * length,
        direction.offset * length,
    )


def _check_size(generator: Generator, direction: StoredDirection) -> None:
    """Raise ModelError unless a direction is as wide, and has as many rows, as the codes."""
    width, rows = generator.config.w_dim, generator.num_rows
    sizes = {
        "w": (width,),
        "w_plus": (rows, width),
        "style": (generator.layers[-1].style.stop,),
    }
    found, needed = tuple(direction.data.shape), sizes.get(direction.space)
    if found != needed:
        have = " x ".join(map(str, found))
        want = " x ".join(map(str, needed)) if needed else "no directions"
        raise ModelError(
            f"direction '{direction.name}' is {have} numbers in {direction.space}, where this "
            f"generator has {want}: import or learn it for this one"
        )


def freedom(
    generator: Generator,
    space: Space,
    targets: Sequence[StoredDirection],
    conditions: Sequence[StoredDirection] = (),
    rows: str | Sequence[int] | None = None,
) -> list[float]:
    """How much of each target's direction is free of all others, 1 (at right angles) .. 0.

    Near 0 the codes must go far to meet the target without touching the others.
    """
    used = [*targets, *conditions]
    work = _work_space(generator, space, used, rows)
    axes = [_axis(generator, direction, work, rows) for direction in used]
    return [_free(axis, [o for o in axes if o is not axis]) for axis in axes[: len(targets)]]


def _free(axis: _Axis, others: Sequence[_Axis]) -> float:
    """The length of what the other directions leave of this one."""
    if not others:
        return 1.0
    basis = torch.stack([other.vector for other in others])
    shadow = axis.vector @ basis.T @ torch.linalg.pinv(basis @ basis.T, rtol=1e-9) @ basis
    return float((axis.vector - shadow).norm())


def _check_free(axis: _Axis, others: Sequence[_Axis]) -> None:
    """Raise ModelError when the other directions leave next to nothing of this one."""
    free = _free(axis, others)
    if free < _LEAST_FREE:
        names = ", ".join(f"'{other.name}'" for other in others)
        raise ModelError(
            f"direction '{axis.name}' has no part free of {names} ({free:.0%} is left): it cannot "
            "move while they stay or go elsewhere; leave out what goes along with it"
        )


def _add(generator: Generator, data: Tensor, space: Space, work: Space, change: Tensor) -> Tensor:
    """The codes with the change [1 or N, M] of the work space added."""
    if space == "style" and work == "w_plus":
        shape = (-1, generator.num_rows, generator.config.w_dim)
        rows = change.reshape(shape).to(data)
        # Styles are affine in w_plus, so a change of rows is a change of styles anywhere.
        return data + generator.styles(rows) - generator.styles(torch.zeros_like(rows))
    return data + change.reshape(-1, *data.shape[1:]).to(data)
