"""Paths through points of code space: lines, great arcs and smooth curves, closed if wanted."""

from typing import Literal

import torch
from torch import Tensor

from models.codes import slerp

Curve = Literal["linear", "spherical", "cubic"]

#: Nearer than this to a point of the path, in segments, is at it.
_AT = 1e-9


def along(points: Tensor, t: float, curve: Curve, *, closed: bool) -> Tensor:
    """Where a path through points [K, ...] is at `t`: 0 at the first, 1 at its end, as [1, ...].

    The end is the last point, or the first one again if the path is closed; points are passed at
    even distances of t, and exactly. "linear" goes straight, "spherical" on great arcs about the
    origin, "cubic" on the spline with continuous curvature (without any at open ends).
    """
    count = len(points)
    segments = count if closed else count - 1
    place = t * segments
    nearest = round(place)
    if segments == 0 or abs(place - nearest) < _AT:
        return points[nearest % count][None]
    start = int(place)
    share = place - start
    a, b = points[start][None], points[(start + 1) % count][None]
    if curve == "linear":
        return torch.lerp(a, b, share)
    if curve == "spherical":
        return slerp(a, b, share)
    bends = curvatures(points, closed=closed)
    bend_a, bend_b = bends[start], bends[(start + 1) % count]
    rest = 1 - share
    bent = (rest**3 - rest) / 6 * bend_a + (share**3 - share) / 6 * bend_b
    return (rest * a.double() + share * b.double() + bent[None]).to(points.dtype)


def curvatures(points: Tensor, *, closed: bool) -> Tensor:
    """The second derivatives, float64 [K, ...], of the cubic spline through points [K, ...].

    Its parameter grows by one from point to point; an open spline is straight at its ends.
    """
    count = len(points)
    flat = points.double().flatten(1)
    steps = torch.eye(count, dtype=torch.float64)
    if count < 3:
        return torch.zeros_like(flat).reshape(count, *points.shape[1:])
    after, before = steps.roll(-1, 0).T, steps.roll(1, 0).T
    system = 4 * steps + after + before
    known = 6 * (flat.roll(-1, 0) - 2 * flat + flat.roll(1, 0))
    if not closed:
        ends = [0, count - 1]
        system[ends] = steps[ends]
        known[ends] = 0
    solved: Tensor = torch.linalg.solve(system.to(flat.device), known)
    return solved.reshape(count, *points.shape[1:])
