"""Codes moved along directions, any number at once, while others stay.

An edit of strengths t along directions d_j, each sigma_j long, is a sum of them by shares a:

    w' = w + sum_j a_j sigma_j d_j,    P a = t,    P_ij = how far score i goes by one sigma of d_j

Where pictures were measured, on the card of d_j, P_ij is what they said; elsewhere the scores are
projections and P_ij = d_i . d_j sigma_j / sigma_i, which is the edit of Shen et al. 2020,
arXiv:2005.09635, section 2.3, for any number of directions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.codes import Space, choose_rows, spread, to_styles
from models.directions import StoredDirection
from models.errors import ModelError
from models.stylegan2 import Generator

#: Below this length of what conditions leave of a direction, there is no honest edit.
_LEAST_FREE = 0.1
#: Rounding of the length of an edit.
_MOST_LENGTH = 1.001


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """A direction as one flat vector [M] of the space an edit works in.

    `reads` is the attribute that its unit was measured by, `moves` how far one sigma moved each
    attribute, in deviations; both are empty where nothing was measured.
    """

    name: str
    vector: Tensor
    sigma: float
    offset: float
    reads: str
    moves: Mapping[str, float]


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

    All targets are met at once and the conditions' scores stay, whatever angles they form. The
    score of a w_plus code is the mean over its rows. `rows` replaces the directions' own, and what
    was measured of all their rows no longer holds. A w code stays in w as long as every row moves.

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
    pull = _pull(axes)
    for j in range(len(targets)):
        _check_free(pull, j, axes)
    if space == "w" and work == "w_plus":
        data, space = spread(data, generator.num_rows), "w_plus"
    elif space != "style" and work == "style":
        data, space = to_styles(generator, data, space), "style"
    wanted = torch.zeros(len(data) if absolute else 1, len(axes), dtype=torch.float64)
    for j, (axis, (_, strength)) in enumerate(zip(axes, targets, strict=False)):
        wanted[:, j] = strength
        if absolute:
            wanted[:, j] -= (
                data.flatten(1).double().cpu() @ axis.vector - axis.offset
            ) / axis.sigma
    steps = torch.stack([axis.sigma * axis.vector for axis in axes])
    change = wanted @ torch.linalg.pinv(pull, rtol=1e-9).T @ steps
    _check_length(change, wanted, steps, axes)
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
    card = json.loads(direction.card)
    measured = card.get("moves", {}) if rows is None else {}
    told = card.get("calibrated_by", "") if measured else "", measured
    vector = direction.data.double()
    if direction.space == work and work != "w_plus":
        return _Axis(direction.name, vector, direction.sigma, direction.offset, *told)
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
        *told,
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
    """How much of each target is free of all others, 1 (they have nothing in common) .. 0.

    Near 0 the codes must go far to meet the target without touching the others.
    """
    used = [*targets, *conditions]
    work = _work_space(generator, space, used, rows)
    pull = _pull([_axis(generator, direction, work, rows) for direction in used])
    return [_free(pull, j) for j in range(len(targets))]


def _pull(axes: Sequence[_Axis]) -> Tensor:
    """How far one sigma of each axis (column) moves the score of each (row), in its sigmas."""
    pull = torch.eye(len(axes), dtype=torch.float64)
    for i, one in enumerate(axes):
        for j, other in enumerate(axes):
            if i != j and one.reads in other.moves:
                pull[i, j] = other.moves[one.reads]
            elif i != j:
                pull[i, j] = one.vector @ other.vector * other.sigma / one.sigma
    return pull


def _free(pull: Tensor, target: int) -> float:
    """What is left of a target when all others are held: of vectors, the length at right angles."""
    rest = [j for j in range(len(pull)) if j != target]
    held = torch.linalg.pinv(pull[rest][:, rest], rtol=1e-9)
    left = 1 - pull[target, rest] @ held @ pull[rest, target]
    return float(left.clamp(0, 1).sqrt())


def _check_free(pull: Tensor, target: int, axes: Sequence[_Axis]) -> None:
    """Raise ModelError when the others leave next to nothing of a target."""
    free = _free(pull, target)
    if not free >= _LEAST_FREE:
        names = ", ".join(f"'{axis.name}'" for j, axis in enumerate(axes) if j != target)
        raise ModelError(
            f"direction '{axes[target].name}' has no part free of {names} ({free:.0%} is left): it "
            "cannot move while they stay or go elsewhere; leave out what goes along with it"
        )


def _check_length(change: Tensor, wanted: Tensor, steps: Tensor, axes: Sequence[_Axis]) -> None:
    """Raise ModelError when codes go so far as no part free enough of straight vectors makes them.

    What was measured can contradict itself, as of conditions that read one attribute.
    """
    plain = (wanted.abs() @ steps.norm(dim=1)[:, None]).squeeze(1)
    far = float((change.norm(dim=1) / plain.clamp(min=1e-12)).max())
    if not far <= _MOST_LENGTH / _LEAST_FREE:
        names = ", ".join(f"'{axis.name}'" for axis in axes)
        raise ModelError(
            f"what was measured of {names} leaves no edit: the code would go {far:.3g} times as "
            "far as the strengths say; leave out what reads the same, or calibrate it again"
        )


def _add(generator: Generator, data: Tensor, space: Space, work: Space, change: Tensor) -> Tensor:
    """The codes with the change [1 or N, M] of the work space added."""
    if space == "style" and work == "w_plus":
        shape = (-1, generator.num_rows, generator.config.w_dim)
        rows = change.reshape(shape).to(data)
        # Styles are affine in w_plus, so a change of rows is a change of styles anywhere.
        return data + generator.styles(rows) - generator.styles(torch.zeros_like(rows))
    return data + change.reshape(-1, *data.shape[1:]).to(data)
