"""Drawn portraits: people made of known factors, framed the way aligned photographs are.

Source: own.  Signed-distance shapes are painted back to front in head coordinates; the light is
computed from an egg-shaped relief, hair and skin take their texture from noise fields.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes import faces, palettes
from models.scenes.canvas import Canvas, Grain, Scene, grain_from_noise
from models.scenes.head import EYE_X, EYE_Z, MOUTH_Y, MOUTH_Z, span
from models.scenes.shapes import coverage, ellipse, gaussian, mix, rounded_box, smoothstep
from models.scenes.sitter import FACTORS, Sitter, seat, skull_radius

__all__ = ["FACTORS", "LANDMARKS", "PARTS", "VISIBLE", "render", "render_grain"]

PARTS: tuple[str, ...] = (
    "background", "clothes", "skin", "hair", "nose", "mouth", "beard", "eyes", "brows", "glasses",
)  # fmt: skip
LANDMARKS: tuple[str, ...] = (
    "left_eye", "right_eye", "nose", "left_mouth", "right_mouth", "mouth", "chin",
)  # fmt: skip
VISIBLE: dict[str, tuple[float, float]] = {
    "glasses": (0.69, 0.71), "beard": (0.58, 1.0), "mouth_open": (0.25, 1.0), "age": (0.30, 1.0),
}  # fmt: skip
_CROWN_Y = -0.11  # of the widest part of the skull, in head units


def render(factors: Tensor, noise_64: Tensor, noise_128: Tensor, size_px: int) -> Scene:
    """Portraits of the given factors; the noise fields draw strands and grain.

    Shapes: factors [N, K] in 0..1 in the order of FACTORS; noise_64 [N, 1, 64, 64] and
    noise_128 [N, 1, 128, 128] standard normal.  Source: own.
    """
    return render_grain(factors, grain_from_noise(noise_64, noise_128, size_px))


def render_grain(factors: Tensor, grain: Grain) -> Scene:
    """Portraits with texture fields made beforehand: the part of `render` worth compiling."""
    sitter = seat(factors, grain)
    canvas = Canvas(_backdrop(sitter), PARTS)
    _paint_back_hair(canvas, sitter)
    _paint_neck_and_clothes(canvas, sitter)
    _paint_ears(canvas, sitter)
    outline = faces.face_distance(sitter)
    brows = faces.brow_distance(sitter, outline)
    lit = faces.paint_skin(canvas, sitter, outline)
    faces.paint_nose(canvas, sitter)
    faces.paint_mouth(canvas, sitter, lit)
    faces.paint_beard(canvas, sitter, outline)
    faces.paint_eyes(canvas, sitter, lit)
    faces.paint_brows(canvas, sitter, brows)
    faces.paint_glasses(canvas, sitter)
    _paint_front_hair(canvas, sitter, outline, brows)
    image = canvas.image.clamp(0, 1) * 2 - 1
    return Scene(image, factors, canvas.masks(), _landmarks(sitter))


def _backdrop(s: Sitter) -> Tensor:
    """A studio wall: lit from one side, darker towards the corners."""
    value = span(s.look.background_lightness, 0.16, 0.90)
    colour = palettes.hsv(span(s.look.background_hue, 0.02, 0.88), 0.25, value)
    across = (s.u - 0.5) * s.light_x * 0.55 - (s.v - 0.45) * 0.25
    corner = (s.u - 0.5) ** 2 + (s.v - 0.45) ** 2
    glow = 1.06 + across - 0.55 * corner + 0.010 * s.grain.fine
    return colour * glow[:, None]


def _hair_colour(s: Sitter, depth: Tensor | float) -> Tensor:
    """Strands that run from the parting outwards and then fall, with a band of gloss."""
    root = s.pose.project(_parting_x(s), -0.36, 0.05)
    x, y = s.x - root.x, s.y - root.y
    flow = x / (0.16 + torch.sqrt(x * x + (y * y) * 0.6 + 1e-4))
    locks = torch.sin(30 * flow + 5 * x) + 0.6 * torch.sin(67 * flow - 9 * x + 1.7)
    reach = torch.sqrt(x * x + 0.8 * y * y + 1e-6)
    gloss = torch.exp(-(((reach - 0.16 - 0.02 * locks) / 0.05) ** 2))
    gloss = gloss * (0.55 + 0.6 * torch.tanh(3 * x * s.light_x * 6)).clamp(0.2, 1.2)
    light = 0.60 + 0.42 * faces.relief_low(s) + 0.075 * locks + 0.055 * s.grain.strands
    light = (light + 0.03 * s.grain.fine) * depth
    shine = 0.16 * gloss * (1 + 0.25 * s.grain.strands) * depth
    return s.hair * light[:, None] + (0.35 * s.hair + 0.30) * shine[:, None]


def _parting_x(s: Sitter) -> Tensor:
    return span(s.look.parting, -0.15, 0.15)


def _hair_reach(s: Sitter) -> Tensor:
    """How far the hair stands off the skull, in head units."""
    return span(s.look.hair_volume, 0.004, 0.108) * (
        0.55 + 0.45 * smoothstep(0.0, 0.25, s.look.hair_length)
    )


def _curtain_end(s: Sitter) -> Tensor:
    """How far down the hair falls, in head units."""
    return span(s.look.hair_length, -0.06, 0.66)


def _curtain(s: Sitter, x: Tensor, half: Tensor, blur: Tensor) -> Tensor:
    """Coverage of hair that hangs to its length, with a wavy lower edge."""
    end = _curtain_end(s) + 0.014 * torch.sin(34 * x) + 0.006 * s.grain.strands
    half = half + 0.010 * torch.sin(19 * s.y)
    top = _CROWN_Y - 0.10
    box = rounded_box(x, s.y - (end + top) / 2, half, (end - top) / 2, 0.08)
    return coverage(box, blur) * smoothstep(_CROWN_Y - 0.01, _CROWN_Y + 0.01, s.y)


def _paint_back_hair(canvas: Canvas, s: Sitter) -> None:
    back = s.pose.project(0.0, _CROWN_Y, -0.02)
    grown = smoothstep(0.05, 0.45, s.look.hair_length)
    flare = _hair_reach(s) - 0.012 + 0.045 * smoothstep(-0.08, 0.25, s.y)
    half = skull_radius(s) * mix(0.8, 1.0, grown) + flare * grown
    alpha = _curtain(s, s.x - back.x, half, s.pixel + 0.008)
    canvas.paint("hair", alpha, _hair_colour(s, 0.62))


def _paint_neck_and_clothes(canvas: Canvas, s: Sitter) -> None:
    middle = 0.35 * s.pose.project(0.0, 0.3, 0.05).x
    x = s.x - middle
    lit = 0.62 + 0.30 * (x / 0.2 * s.light_x).clamp(-1, 1)
    neck_half = s.half_width * 0.62 + 0.5 * (s.y - 0.42).clamp(min=0)
    neck = coverage(x.abs() - neck_half, s.pixel) * smoothstep(0.1, 0.11, s.y)
    chin = s.pose.project(0.0, s.chin_y, 0.16)
    shadow = smoothstep(0.12, 0.0, s.y - chin.y - 0.2 * s.light_x * x)
    canvas.paint(
        "skin", neck, s.skin * (lit * (1 - 0.42 * shadow) * (1 + 0.018 * s.grain.fine))[:, None]
    )
    shoulder = 0.40 + 0.42 * (x.abs() - 0.13).clamp(min=0) ** 1.25
    collar = ellipse(x, s.y - 0.385, s.half_width * 0.66, 0.105)
    cloth = coverage(torch.maximum(shoulder - s.y, -collar), s.pixel)
    value = span(s.look.clothes_lightness, 0.14, 0.82)
    colour = palettes.hsv(span(s.look.clothes_hue, 0.0, 0.86), 0.46, value)
    weave = 1 + 0.035 * s.grain.fine + 0.02 * s.grain.strands
    folds = (
        0.84 + 0.30 * (x * s.light_x * 1.6).clamp(-0.6, 0.6) + 0.06 * torch.sin(26 * x + 30 * s.y)
    )
    canvas.paint("clothes", cloth, colour * (folds * weave)[:, None])
    canvas.shade(1 - 0.30 * canvas.mask("clothes") * torch.exp(-((collar / 0.012) ** 2)))


def _paint_ears(canvas: Canvas, s: Sitter) -> None:
    for side in (-1.0, 1.0):
        at = s.pose.project(side * (s.half_width + 0.008), 0.055, -0.03)
        x, y = (s.x - at.x) * side, s.y - at.y
        seen = smoothstep(-0.35, 0.1, -side * s.pose.yaw + 0.3)
        ear = coverage(ellipse(x - 0.12 * y, y, 0.040, 0.075), s.pixel) * seen
        inner = gaussian(x - 0.12 * y - 0.004, y + 0.005, 0.013, 0.036)
        tone = (0.74 + 0.25 * side * s.light_x) * (1 - 0.30 * inner)
        canvas.paint("skin", ear, s.skin * tone[:, None])


def _paint_front_hair(canvas: Canvas, s: Sitter, outline: Tensor, brows: Tensor) -> None:
    """The cap of hair around the face: hairline, fringe with its parting, locks at the sides.

    `outline` and `brows` are distances to face and brows, [N, H, W]: hair leaves no gap beside the
    face, and brows are seen through the fringe.
    """
    reach = _hair_reach(s)
    crown = s.pose.project(0.0, _CROWN_Y, -0.02 - 0.7 * reach)
    cap = ellipse(s.x - crown.x, s.y - crown.y, skull_radius(s) + reach, 0.305 + 0.6 * reach)
    inside = coverage(cap + 0.004 * s.grain.strands, s.pixel + 0.006)
    end = _curtain_end(s)
    sides = smoothstep(end + 0.03, end - 0.03, s.y + 0.006 * s.grain.strands)
    grown = smoothstep(0.05, 0.40, s.look.hair_length)
    half = skull_radius(s) - 0.012 + reach * grown
    hang = _curtain(s, s.x - crown.x, half, s.pixel + 0.006)
    body = torch.maximum(inside * torch.maximum(sides, s.y < -0.12), hang)
    opening = torch.maximum(_opening(s), outline + 0.006 - 0.25 * smoothstep(0.04, 0.14, s.y))
    alpha = body * coverage(-opening, s.pixel + 0.008)
    behind = canvas.mask("background") + canvas.mask("hair")
    alpha = alpha * (1 - 0.85 * smoothstep(0.020, 0.0, brows) * (1 - behind))
    # Hair throws a soft shadow on the face just inside its edge.
    near = smoothstep(0.055, 0.0, -opening) * (1 - alpha) * body.clamp(0, 1)
    canvas.shade(1 - 0.34 * near * canvas.mask("skin"))
    edge = 0.80 + 0.20 * smoothstep(0.0, 0.05, opening)
    canvas.paint("hair", alpha, _hair_colour(s, edge))
    part = s.pose.project(_parting_x(s), -0.25, 0.20)
    scalp = torch.exp(-(((s.x - part.x) / 0.0075) ** 2)) * smoothstep(-0.37, -0.32, s.y)
    canvas.tint(0.6 * scalp * canvas.mask("hair") * (s.y < -0.12), s.skin * 0.72)


def _opening(s: Sitter) -> Tensor:
    """Distance to the part of the head that hair leaves free: negative on the face."""
    face = s.pose.project(0.0, 0.10, 0.15)
    part = s.pose.project(_parting_x(s), -0.25, 0.20)
    long = smoothstep(0.2, 0.5, s.look.hair_length)
    x, y = s.x - face.x, s.y - face.y
    wide = s.half_width * mix(0.97, 0.88, long)
    lower = wide + 0.10 * smoothstep(0.08, 0.30, s.y)
    walls = rounded_box(x, y - 0.5, lower, 0.86, 0.20)
    away = (s.x - part.x).abs()
    fall = span(s.look.fringe, 0.0, 1.0)
    drop = fall * 0.150 * smoothstep(0.0, 0.16, away + 0.05 * fall)
    comb = (0.005 + 0.009 * fall) * (torch.sin(46 * s.x + 2 * part.x) + 0.5 * s.grain.strands)
    line = face.y - 0.345 + drop + 0.9 * (1 - fall) * away**2 + comb
    return torch.maximum(walls, line - s.y)


def _landmarks(s: Sitter) -> Tensor:
    half, lift = faces.mouth_corner(s)
    points = (
        s.pose.project(-EYE_X, 0.0, EYE_Z),
        s.pose.project(EYE_X, 0.0, EYE_Z),
        faces.nose_tip(s),
        s.pose.project(-half, MOUTH_Y - lift, MOUTH_Z),
        s.pose.project(half, MOUTH_Y - lift, MOUTH_Z),
        s.pose.project(0.0, MOUTH_Y, MOUTH_Z),
        s.pose.project(0.0, s.chin_y, 0.16),
    )
    return torch.stack([s.camera.to_picture(point) for point in points], 1)
