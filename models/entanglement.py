"""What each of some directions drags along, which others to hold still meanwhile, if it helps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.codes import Space
from models.directions import StoredDirection
from models.errors import ModelError
from models.moves import freedom, move
from models.perceptual import FeatureNet
from models.readings import read_codes, spreads
from models.stylegan2 import Generator

#: Deviations per deviation of the target from which a change is worth a condition.
_WORTH = 0.1
#: Least part of a direction that conditions must leave.
_LEAST_FREE = 0.5
_MOST_CONDITIONS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Entanglement:
    """How edits along n directions change n attributes, those of the same names.

    Shapes: change and kept [n, n], row: direction, column: attribute, mean over codes, in
    deviations per step; cosine [n, n]; leak and leak_kept [n], the mean absolute change of all
    other attributes per deviation that the target moved. `kept` are the edits with the conditions
    of `suggested`, which are left out where they make nothing better.
    """

    names: tuple[str, ...]
    change: Tensor
    kept: Tensor
    cosine: Tensor
    leak: Tensor
    leak_kept: Tensor
    suggested: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What judges codes: `read` tells their attributes [N, K], and `scale` how far these spread.

    Shapes: scale [K].
    """

    attributes: tuple[str, ...]
    read: Callable[[Tensor, Space], Tensor]
    scale: Tensor


def judge_by(generator: Generator, net: FeatureNet) -> Judge:
    """What a feature network sees in the pictures of codes."""
    scale = spreads(generator, net)
    return Judge(net.attributes, lambda data, space: read_codes(generator, net, data, space), scale)


def examine(
    generator: Generator,
    judge: Judge,
    codes: Tensor,
    directions: Sequence[StoredDirection],
    strength: float = 1.0,
) -> Entanglement:
    """Measure directions on codes w [N, D] they were not learned from, `strength` each way.

    Raises: ModelError if a direction's attribute is not read, or two have one name.
    Source: Wu et al. 2021, arXiv:2011.12799 (attribute dependency); Shen et al. 2020,
    arXiv:2005.09635 (conditions).
    """
    names = tuple(direction.name for direction in directions)
    unread = [name for name in names if name not in judge.attributes]
    if unread or len(set(names)) < len(names):
        known = ", ".join(judge.attributes)
        raise ModelError(
            f"directions {', '.join(unread or names)}: names must be different and of {known}"
        )
    columns = [judge.attributes.index(name) for name in names]
    plain, plain_leak = _measure(generator, judge, codes, directions, {}, strength)
    near = plain[:, columns]
    cosine = _cosines(generator, directions)
    wanted = {i: _worth_keeping(generator, directions, near[i], i) for i in range(len(names))}
    kept, leak = _measure(generator, judge, codes, directions, wanted, strength)
    better = (leak < plain_leak) & torch.tensor([bool(wanted[i]) for i in range(len(names))])
    suggested = tuple(
        tuple(names[j] for j in wanted[i]) if bool(better[i]) else () for i in range(len(names))
    )
    return Entanglement(
        names,
        near,
        torch.where(better[:, None], kept[:, columns], near),
        cosine,
        plain_leak,
        torch.where(better, leak, plain_leak),
        suggested,
    )


def _measure(
    generator: Generator,
    judge: Judge,
    codes: Tensor,
    directions: Sequence[StoredDirection],
    conditions: dict[int, list[int]],
    strength: float,
) -> tuple[Tensor, Tensor]:
    """The change of every attribute by every direction [n, K], and the leaks [n]."""
    rows, leaks = [], []
    for i, direction in enumerate(directions):
        held = [directions[j] for j in conditions.get(i, [])]
        up, down = (
            judge.read(
                *move(generator, codes, "w", [(direction, sign * strength)], conditions=held)
            )
            for sign in (1, -1)
        )
        each = (up - down) / 2 / judge.scale
        target = judge.attributes.index(direction.name)
        others = torch.arange(each.shape[1], device=each.device) != target
        reached = float(each[:, target].mean())
        leaks.append(float(each[:, others].abs().mean()) / max(abs(reached), 1e-6))
        rows.append(each.mean(0).cpu())
    return torch.stack(rows), torch.tensor(leaks)


def _cosines(generator: Generator, directions: Sequence[StoredDirection]) -> Tensor:
    """The cosines between directions, as a whole edit in w_plus sees them, [n, n]."""
    if any(direction.space == "style" for direction in directions):
        raise ModelError("directions in style have no cosine with those in w")
    flat = []
    for one in directions:
        rows = one.data if one.data.dim() == 2 else one.data.expand(generator.num_rows, -1)
        kept = torch.zeros_like(rows)
        chosen = list(one.rows or range(generator.num_rows))
        kept[chosen] = rows[chosen]
        flat.append(kept.flatten() / kept.norm())
    stacked = torch.stack(flat)
    return stacked @ stacked.T


def _worth_keeping(
    generator: Generator, directions: Sequence[StoredDirection], change: Tensor, target: int
) -> list[int]:
    """The directions whose attributes move most along, as far as they leave room for the edit."""
    per_target = change.abs() / change[target].abs().clamp(min=1e-6)
    found: list[int] = []
    for j in per_target.argsort(descending=True).tolist():
        if j == target or float(per_target[j]) < _WORTH or len(found) == _MOST_CONDITIONS:
            continue
        held = [directions[k] for k in (*found, j)]
        if freedom(generator, "w", [directions[target]], held)[0] >= _LEAST_FREE:
            found.append(j)
    return found
