"""Landscapes about to be painted: their factors, their light and the pixels they fall on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from models.scenes.canvas import Grain
from models.scenes.fields import bend, row
from models.scenes.head import span
from models.scenes.palettes import Colour, ramp
from models.scenes.shapes import mix, smoothstep


@dataclass(frozen=True, slots=True)
class Land:
    """The factors of a landscape, each in 0..1, uniform in the population.  Shapes: [N, 1, 1].

    They say what a place is like everywhere; where things stand follows from the noise fields.
    """

    time_of_day: Tensor  # blue hour, sunset, afternoon, noon
    sky_hue: Tensor  # teal .. violet
    cloud_cover: Tensor
    cloud_size: Tensor
    haze: Tensor
    horizon: Tensor  # low .. high in the picture
    ridge_height: Tensor
    ridge_roughness: Tensor
    ridge_hue: Tensor  # slate blue .. red rock
    snow: Tensor  # none .. down to the foot of the ridges
    hill_height: Tensor
    tree_density: Tensor
    tree_height: Tensor
    tree_type: Tensor  # conifers .. round crowns
    season: Tensor  # spring, summer, autumn, winter
    water_level: Tensor
    ripple: Tensor
    ground_hue: Tensor  # sand .. green
    ground_lightness: Tensor
    rocks: Tensor


FACTORS: tuple[str, ...] = tuple(field.name for field in fields(Land))

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

    Shapes: grain and waves [N, H, W]; u [1, 1, W], v [1, H, 1], in 0..1; shore and bank (heights of
    the water's far and near edge) [N, 1, 1]; near_sun (0..1), sun_side (where the sun stands as
    seen from a column, -1 left .. 1 right), sun_gap (signed distance to the nearest sun's column)
    and sun_power (0 where there is no sun near) [N, 1, W]; sun_y [N, 1, 1]; colours [N, 3, 1, 1],
    air [N, 3, 1, W].
    """

    land: Land
    grain: Grain
    waves: Tensor
    u: Tensor
    v: Tensor
    pixel: float
    shore: Tensor
    bank: Tensor
    sun_y: Tensor
    sun_gap: Tensor
    sun_power: Tensor
    sun_side: Tensor
    near_sun: Tensor
    zenith: Tensor
    air: Tensor
    sunlight: Tensor
    ambient: Tensor
    glow: Tensor

    @property
    def size(self) -> int:
        """The picture's side in pixels."""
        return self.u.shape[-1]

    def field(self, level: int) -> Tensor:
        """The noise field of 4 (level 0), 8, 16 or 32 cells across, [N, S, S]."""
        return self.grain.fields[level]


def behold(factors: Tensor, grain: Grain) -> View:
    """Work out the light and the large layout of a batch.  Shapes: factors [N, K]."""
    land = Land(*factors[:, :, None, None].unbind(1))
    size = grain.fine.shape[-1]
    place = (torch.arange(size, device=factors.device, dtype=factors.dtype) + 0.5) / size
    shore = span(land.horizon, 0.67, 0.58)
    time = land.time_of_day
    gap, power, near_sun, side = _sun(grain.fields[0], size)
    glow = ramp(time, _GLOW)
    tint = mix(rgb(factors, 0.72, 1.10, 1.0), rgb(factors, 1.35, 0.84, 1.04), land.sky_hue[:, None])
    low = smoothstep(0.75, 0.1, time)
    air = mix(
        ramp(time, _AIR) * (0.5 + 0.5 * tint), glow, (near_sun * (0.12 + 0.60 * low))[:, None]
    )
    return View(
        land=land,
        grain=grain,
        waves=_waves(grain.fine),
        u=place.view(1, 1, -1),
        v=place.view(1, -1, 1),
        pixel=1 / size,
        shore=shore,
        bank=shore + span(land.water_level, 0.06, 0.24),
        sun_y=span(time, 0.36, 0.15),
        sun_gap=gap,
        sun_power=power,
        sun_side=side,
        near_sun=near_sun,
        zenith=ramp(time, _ZENITH) * tint,
        air=air,
        sunlight=ramp(time, _SUNLIGHT),
        ambient=ramp(time, _AMBIENT),
        glow=glow,
    )


def _sun(field: Tensor, size_px: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Suns stand where a soft line through the coarsest cells has a high peak.

    Gives, each [N, 1, W]: how far the peak is (by one Newton step), whether a sun is there (0..1),
    how bright a column is, and on which side it is brighter.
    """
    line, slope, curve = bend(row(field, 0.3), size_px)
    bent = (-curve).clamp(min=0.25)
    gap = slope / bent
    peak = line + 0.5 * slope * gap
    power = smoothstep(0.55, 0.80, peak) * smoothstep(1.0, 0.5, gap.abs())
    power = power * smoothstep(-0.25, -0.5, curve)
    return gap / field.shape[-1], power, smoothstep(-0.5, 1.7, line), torch.tanh(1.2 * slope)


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


def _waves(fine: Tensor) -> Tensor:
    """Fine grain drawn out sideways, about unit variance."""
    reach = max(1, fine.shape[-1] // 32)
    wide = F.pad(fine[:, None], (reach, reach, 0, 0), mode="replicate")
    side = 2 * reach + 1
    drawn: Tensor = F.avg_pool2d(wide, (1, side), 1)[:, 0] * side**0.5
    return drawn
