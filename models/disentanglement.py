"""How evenly pictures change along codes, and how far one attribute can be told from the others.

The measures of Karras et al. 2019, arXiv:1812.04948, section 4, with whatever network reads the
pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.codes import slerp
from models.errors import ModelError
from models.linear import separate

_PENALTY = 1e-2


def path_lengths(
    draw: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    end: Tensor,
    epsilon: float = 1e-4,
    *,
    places: Tensor | None = None,
    curve: Literal["linear", "spherical"] = "linear",
) -> Tensor:
    """The perceptual length of a path per unit of its parameter, squared, [N].

    `draw` makes pictures of codes, with one noise for both of a pair; `distance` is squared-like
    (it grows fourfold when differences double). Paths lead from `start` to `end`, straight or on
    great arcs, and are measured over the share `epsilon` from their beginning, or from `places`:
    PPL (end) and PPL (full), once averaged by `trimmed_mean`.

    Shapes: start, end [N, ...]; places [N], 0 at the start and 1 at the end.
    Source: Karras et al. 2019, arXiv:1812.04948, section 4.1.
    """
    begin = [0.0] * len(start) if places is None else places.tolist()

    def at(step: float) -> Tensor:
        walk = torch.lerp if curve == "linear" else slerp
        return torch.cat(
            [walk(a[None], b[None], t + step) for a, b, t in zip(start, end, begin, strict=True)]
        )

    return distance(draw(at(0.0)), draw(at(epsilon))) / epsilon**2


def smoothness(
    distance: Callable[[Tensor, Tensor], Tensor], frames: Tensor
) -> tuple[float | None, float | None]:
    """How unevenly pictures follow one another: the largest step over the mean, and the detour.

    The detour is the length of all steps over that from the first picture straight to the last.
    Both are 1 at best; None where no picture differs, or the first is the last. `distance` is
    squared-like: lengths are its roots.

    Shapes: frames [K, 3, H, W]. Raises: ModelError for fewer than three.
    """
    if len(frames) < 3:
        raise ModelError(f"{len(frames)} pictures: a way has at least three")
    steps = distance(frames[:-1], frames[1:]).double().clamp_min(0).sqrt()
    whole = float(distance(frames[:1], frames[-1:]).double().clamp_min(0).sqrt())
    total = float(steps.sum())
    if total == 0:
        return None, None
    return float(steps.max()) * len(steps) / total, total / whole if whole else None


def trimmed_mean(values: Tensor, share: float = 0.01) -> float:
    """The mean without the lowest and the highest `share` of values [N], as is usual for PPL."""
    if not values.numel():
        raise ModelError("there are no values to average")
    low, high = torch.quantile(values.double(), values.new_tensor([share, 1 - share]).double())
    kept = values[(values >= low) & (values <= high)]
    return float(kept.double().mean())


@dataclass(frozen=True, slots=True, eq=False)
class Separability:
    """What planes leave unknown of attributes.

    Shapes: entropies [K], in nats. `score` is the exponential of their sum: 1 at best, 2 to the
    power of K at worst.
    """

    entropies: Tensor
    score: float


def separability(
    codes: Tensor, scores: Tensor, held_out: float = 0.25, seed: int = 0
) -> Separability:
    """How well planes in code space tell high from low for each attribute.

    The half of the codes whose score is farthest from the attribute's median are split by a linear
    support vector machine; the entropy of the true side given the plane's is measured on codes that
    it was not fitted to (a plane in many dimensions fits few codes by heart).

    Shapes: codes [N, D], scores [N, K].  Raises: ModelError if there are fewer than 32 codes.
    Source: Karras et al. 2019, arXiv:1812.04948, section 4.2.
    """
    if len(codes) < 32:
        raise ModelError(f"{len(codes)} codes: at least 32 are needed to separate them")
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed))
    x, y = codes.double()[order], scores.double()[order]
    each = [_unknown(x, column, held_out) for column in y.T]
    entropies = torch.tensor(each, dtype=torch.float64)
    return Separability(entropies, float(entropies.sum().exp()))


def _unknown(x: Tensor, score: Tensor, held_out: float) -> float:
    """The entropy in nats that is left of one attribute when a plane's side is known."""
    away = score - score.median()
    sure = torch.topk(away.abs(), len(away) // 2).indices.sort().values
    x, high = x[sure], away[sure] > 0
    cut = int(len(x) * (1 - held_out))
    if not 0 < int(high[:cut].sum()) < cut:
        return 0.0  # one side only: nothing is unknown
    mean, scale = x[:cut].mean(0), x[:cut].std(0).clamp_min(1e-9)
    z = (x - mean) / scale
    signs = torch.where(high, 1.0, -1.0).double()
    normal = separate(z[:cut], signs[:cut], "svm", _PENALTY)
    place = z @ normal
    seen = place[cut:] > _best_bound(place[:cut], high[:cut])
    return conditional_entropy(high[cut:], seen)


def _best_bound(place: Tensor, high: Tensor) -> Tensor:
    """The bound above which items count as high, with the fewest mistakes."""
    order = place.argsort()
    wrong_below = high[order].cumsum(0)
    wrong_above = (~high).sum() - (~high[order]).cumsum(0)
    best = int((wrong_below + wrong_above).argmin())
    after = min(best + 1, len(place) - 1)
    return (place[order[best]] + place[order[after]]) / 2


def conditional_entropy(truth: Tensor, seen: Tensor) -> float:
    """H(truth | seen) in nats of two bool columns [N]: 0 if one follows from the other."""
    if not len(truth):
        raise ModelError("there are no items to judge")
    total = 0.0
    for side in (True, False):
        inside = truth[seen == side].double()
        if len(inside):
            share = torch.stack([inside.mean(), 1 - inside.mean()])
            total += len(inside) / len(truth) * float(torch.special.entr(share).sum())
    return total
