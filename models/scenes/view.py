"""Landscapes about to be painted: their factors, their light and the pixels they fall on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Grain
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import mix, smoothstep
from models.scenes.waves import TURN


@dataclass(frozen=True, slots=True)
class Land:
    """The factors of a landscape, each in 0..1, uniform in the population.  Shapes: [N, 1, 1].

    A phase moves a layer once around: 0 and 1 are the same picture.
    """

    time_of_day: Tensor  # blue hour, sunset, afternoon, noon
    sky_hue: Tensor  # teal .. violet
    sun_phase: Tensor
    cloud_cover: Tensor
    cloud_size: Tensor
    cloud_phase: Tensor
    haze: Tensor
    horizon: Tensor  # high .. low in the picture
    ridge_height: Tensor
    ridge_roughness: Tensor
    ridge_hue: Tensor  # slate blue .. red rock
    ridge_phase: Tensor
    snow: Tensor  # none .. down to the foot of the ridges
    hill_height: Tensor
    hill_phase: Tensor
    tree_density: Tensor
    tree_height: Tensor
    tree_type: Tensor  # conifers .. round crowns
    tree_phase: Tensor
    season: Tensor  # spring, summer, autumn, winter
    water_level: Tensor
    ripple: Tensor
    ground_hue: Tensor  # sand .. green
    ground_lightness: Tensor
    ground_phase: Tensor
    rocks: Tensor


FACTORS: tuple[str, ...] = tuple(field.name for field in fields(Land))
CIRCULAR: frozenset[str] = frozenset(name for name in FACTORS if name.endswith("_phase"))

_ZENITH: tuple[Colour, ...] = (
    (0.09, 0.13, 0.33), (0.24, 0.30, 0.55), (0.30, 0.46, 0.72),
    (0.26, 0.49, 0.78), (0.21, 0.46, 0.80),
)  # fmt: skip
_AIR: tuple[Colour, ...] = (
    (0.30, 0.30, 0.50), (0.86, 0.58, 0.50), (0.92, 0.80, 0.68),
    (0.76, 0.87, 0.94), (0.72, 0.87, 0.97),
)  # fmt: skip
_SUNLIGHT: tuple[Colour, ...] = (
    (0.34, 0.30, 0.44), (0.95, 0.46, 0.26), (1.02, 0.74, 0.42),
    (0.98, 0.90, 0.72), (0.95, 0.93, 0.86),
)  # fmt: skip
_AMBIENT: tuple[Colour, ...] = (
    (0.33, 0.37, 0.58), (0.42, 0.38, 0.50), (0.44, 0.46, 0.54),
    (0.46, 0.53, 0.62), (0.50, 0.56, 0.64),
)  # fmt: skip
_GLOW: tuple[Colour, ...] = (
    (0.95, 0.46, 0.34), (1.0, 0.62, 0.28), (1.0, 0.86, 0.54), (1.0, 0.97, 0.84), (1.0, 0.99, 0.92),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """Everything the painting functions need, computed once.

    Shapes: grain and waves [N, H, W]; u [1, 1, W], v [1, H, 1], in 0..1; sun_x, sun_y, shore and
    bank (heights of the water's far and near edge) [N, 1, 1]; sun_side (where the sun stands as
    seen from a column, -1 left .. 1 right) [N, 1, W]; colours [N, 3, 1, 1], air [N, 3, 1, W].
    """

    land: Land
    grain: Grain
    waves: Tensor
    u: Tensor
    v: Tensor
    pixel: float
    shore: Tensor
    bank: Tensor
    sun_x: Tensor
    sun_y: Tensor
    sun_side: Tensor
    near_sun: Tensor
    zenith: Tensor
    air: Tensor
    sunlight: Tensor
    ambient: Tensor
    glow: Tensor


def behold(factors: Tensor, grain: Grain) -> View:
    """Work out the light and the large layout of a batch.  Shapes: factors [N, K]."""
    land = Land(*factors[:, :, None, None].unbind(1))
    size = grain.fine.shape[-1]
    place = (torch.arange(size, device=factors.device, dtype=factors.dtype) + 0.5) / size
    u, v = place.view(1, 1, -1), place.view(1, -1, 1)
    shore = span(land.horizon, 0.70, 0.56)
    time = land.time_of_day
    away = TURN * (u - land.sun_phase)
    near_sun = torch.exp(2.4 * (torch.cos(away) - 1))
    glow = ramp(time, _GLOW)
    tint = mix(rgb(factors, 0.72, 1.10, 1.0), rgb(factors, 1.35, 0.84, 1.04), land.sky_hue[:, None])
    low = smoothstep(0.75, 0.1, time)
    air = mix(
        ramp(time, _AIR) * (0.5 + 0.5 * tint), glow, (near_sun * (0.12 + 0.68 * low))[:, None]
    )
    return View(
        land=land,
        grain=grain,
        waves=_waves(grain.fine),
        u=u,
        v=v,
        pixel=1 / size,
        shore=shore,
        bank=shore + span(land.water_level, 0.05, 0.24),
        sun_x=land.sun_phase,
        sun_y=shore - span(time, 0.02, 0.94) * shore,
        sun_side=-torch.sin(away),
        near_sun=near_sun,
        zenith=ramp(time, _ZENITH) * tint,
        air=air,
        sunlight=ramp(time, _SUNLIGHT),
        ambient=ramp(time, _AMBIENT),
        glow=glow,
    )


def rgb(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    """One colour, [1, 3, 1, 1]."""
    return like.new_tensor([red, green, blue]).view(1, 3, 1, 1)


def lit(view: View, albedo: Tensor, slope: Tensor, top: float = 0.55) -> Tensor:
    """A surface in today's light; `slope` [N, H or 1, W] is how much it faces right, -1..1.

    Shapes: albedo [N, 3, H or 1, W or 1] -> [N, 3, H, W].
    """
    height = view.land.time_of_day
    direct = top * (0.55 + 0.6 * height) + (0.75 - 0.3 * height) * slope * view.sun_side
    return albedo * (view.ambient + view.sunlight * direct.clamp(0, 1.25)[:, None])


def far(view: View, colour: Tensor, distance: float) -> Tensor:
    """What `colour` looks like from `distance` (0..1): the air in front of it takes over."""
    veil = 1 - torch.exp(-distance * span(view.land.haze, 0.12, 2.6))
    return mix(colour, view.air, veil[:, None])


def wrapped(distance: Tensor) -> Tensor:
    """A horizontal distance taken the short way around, -0.5..0.5."""
    return distance - torch.floor(distance + 0.5)


def _waves(fine: Tensor) -> Tensor:
    """Fine grain drawn out sideways, about unit variance."""
    reach = max(1, fine.shape[-1] // 32)
    wide = F.pad(fine[:, None], (reach, reach, 0, 0), mode="circular")
    side = 2 * reach + 1
    drawn: Tensor = F.avg_pool2d(wide, (1, side), 1)[:, 0] * side**0.5
    return drawn
