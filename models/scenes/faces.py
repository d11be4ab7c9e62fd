"""Painting a face: skin and its light, nose, mouth, beard, eyes, brows and glasses."""

from __future__ import annotations

import torch
from torch import Tensor

from models.scenes import palettes
from models.scenes.canvas import Canvas
from models.scenes.head import EYE_X, EYE_Z, MOUTH_Y, MOUTH_Z, Point, span
from models.scenes.shapes import (
    coverage,
    ellipse,
    gaussian,
    mix,
    rounded_box,
    segment,
    smooth_union,
    smoothstep,
)
from models.scenes.sitter import Sitter, skull_radius

_SIDES = (-1.0, 1.0)


def _rgb(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    return like.new_tensor([red, green, blue]).view(1, 3, 1, 1)


def face_distance(s: Sitter) -> Tensor:
    """Distance to the outline of the bare head: skull, cheeks and chin rounded into one."""
    jaw_width = s.half_width * span(s.look.jaw, 0.34, 0.84)
    skull = s.pose.project(0.0, -0.11, -0.02)
    cheeks = s.pose.project(0.0, 0.12, 0.06)
    chin = s.pose.project(0.0, s.chin_y - 0.12, 0.11)
    head = ellipse(s.x - skull.x, s.y - skull.y, skull_radius(s), 0.30)
    cheek = ellipse(
        s.x - cheeks.x, s.y - cheeks.y, s.half_width * 0.95, s.chin_y - span(s.look.jaw, 0.20, 0.17)
    )
    across = s.x - chin.x
    drop = s.y - chin.y + 0.7 * across * across
    tip = rounded_box(across, drop, jaw_width, 0.115, span(s.look.jaw, 0.065, 0.100))
    return smooth_union(smooth_union(head, cheek, 0.06), tip, 0.09)


def nose_tip(s: Sitter) -> Point:
    """Where the nose ends."""
    return s.pose.project(0.0, span(s.look.nose, 0.125, 0.170), span(s.look.nose, 0.26, 0.34))


def relief(s: Sitter) -> Tensor:
    """How brightly the skin is lit, [N, H, W]: an egg with sockets, cheeks, a nose and a chin."""
    centre = s.pose.project(0.0, 0.02, 0.05)
    slope_x = (s.x - centre.x) / (skull_radius(s) * 1.06)
    slope_y = (s.y - centre.y) / 0.50
    facing = torch.sqrt((1 - slope_x**2 - slope_y**2).clamp(min=0.04))
    for x, y, z, wide, high, depth in (
        (-0.125, 0.005, 0.20, 0.060, 0.040, -0.26), (0.125, 0.005, 0.20, 0.060, 0.040, -0.26),
        (-0.150, 0.135, 0.17, 0.065, 0.060, 0.26), (0.150, 0.135, 0.17, 0.065, 0.060, 0.26),
        (0.0, 0.225, 0.25, 0.045, 0.035, 0.14), (0.0, -0.17, 0.22, 0.14, 0.09, 0.16),
    ):  # fmt: skip
        spot = s.pose.project(x, y, z)
        dx, dy = (s.x - spot.x) / (wide * spot.narrow), (s.y - spot.y) / high
        bump = depth * torch.exp(-0.5 * (dx * dx + dy * dy))
        slope_x, slope_y = slope_x + bump * dx, slope_y + bump * dy
    chin = s.pose.project(0.0, s.chin_y - 0.055, 0.20)
    dx, dy = (s.x - chin.x) / 0.055, (s.y - chin.y) / 0.04
    bump = 0.26 * torch.exp(-0.5 * (dx * dx + dy * dy))
    nose_x, nose_y = _nose_slope(s)
    slope_x, slope_y = slope_x + bump * dx + nose_x, slope_y + bump * dy + nose_y
    length = torch.sqrt(slope_x**2 + slope_y**2 + facing**2)
    lit = (slope_x * s.light_x - slope_y * 0.42 + facing * 0.80) / length
    return 0.50 + 0.58 * lit.clamp(min=0) - 0.10 * smoothstep(0.85, 1.05, slope_x.abs())


def _nose_slope(s: Sitter) -> tuple[Tensor, Tensor]:
    """Slope of the nose's ridge, from between the brows to the tip, wider downwards."""
    root, tip = s.pose.project(0.0, -0.03, 0.215), nose_tip(s)
    along = ((s.y - root.y) / (tip.y - root.y)).clamp(0, 1.3)
    ridge_x = mix(root.x, tip.x, along)
    width = mix(0.021, span(s.look.nose, 0.030, 0.052), along**1.5)
    ends = smoothstep(-0.05, 0.6, along) * smoothstep(tip.y + 0.034, tip.y + 0.006, s.y)
    dx = (s.x - ridge_x) / width
    return 0.95 * dx * torch.exp(-0.5 * dx * dx) * ends, torch.zeros_like(dx)


def paint_skin(canvas: Canvas, s: Sitter, outline: Tensor) -> Tensor:
    """The face without features, lit; gives back the skin's brightness for what lies on it.

    `outline` is `face_distance`, [N, H, W]; what is behind lies in the shadow of the head, so that
    the jaw stands out from neck, hair and beard alike.
    """
    lit = relief(s)
    face = coverage(outline, s.pixel)
    behind = canvas.mask("skin") + canvas.mask("hair")
    canvas.shade(1 - 0.34 * behind * smoothstep(0.075, 0.0, outline) * (s.y > 0.1))
    flush = _rgb(s.x, 0.94, 0.60, 0.55)
    colour = s.skin * lit[:, None] * (1 + 0.02 * s.grain.fine[:, None])
    # Light that has passed through skin is red, so shadows are warmer than a plain multiple.
    warm = s.skin.new_tensor([0.06, 0.0, -0.03]).view(1, 3, 1, 1)
    colour = colour + warm * (1 - lit).clamp(min=0)[:, None] * s.skin
    canvas.paint("skin", face, colour)
    for side in _SIDES:
        cheek = s.pose.project(side * 0.15, 0.13, 0.17)
        spot = gaussian(s.x - cheek.x, s.y - cheek.y, 0.05 * cheek.narrow, 0.038)
        canvas.tint(0.22 * spot * canvas.mask("skin"), canvas.image * flush)
    _paint_lines(canvas, s)
    return lit


def _paint_lines(canvas: Canvas, s: Sitter) -> None:
    """Age: furrows on the forehead, folds from nose to mouth, bags under the eyes."""
    skin, depth = canvas.mask("skin"), smoothstep(0.30, 1.0, s.look.age) * 0.52
    brow = s.pose.project(0.0, -0.185, 0.22)
    wave = s.y - brow.y + 0.25 * (s.x - brow.x) ** 2 + 0.004 * s.grain.strands
    rows = torch.exp(-(((torch.remainder(wave, 0.036) - 0.018) / 0.0062) ** 2))
    rows = rows * gaussian(s.x - brow.x, s.y - brow.y, 0.10, 0.038)
    smile = smile_of(s)
    folds = torch.zeros_like(s.x)
    for side in _SIDES:
        top = s.pose.project(side * 0.055, 0.155, 0.24)
        end = s.pose.project(side * (0.122 + 0.014 * smile), 0.262, 0.20)
        fold = segment(s.x - top.x, s.y - top.y, end.x - top.x, end.y - top.y)
        folds = folds + torch.exp(-((fold / 0.0075) ** 2)) * (0.75 + 0.30 * smile)
        bag = s.pose.project(side * EYE_X, 0.043, EYE_Z)
        sag = s.y - bag.y + 3.0 * (s.x - bag.x) ** 2
        folds = folds + 0.9 * gaussian(s.x - bag.x, sag, 0.035 * bag.narrow, 0.006)
    fold_base = 0.10 * smile.clamp(min=0)
    canvas.shade(1 - skin * ((rows + folds) * depth + folds * fold_base).clamp(0, 0.5))


def paint_nose(canvas: Canvas, s: Sitter) -> None:
    """Wings, nostrils, the shadow below and the light on the tip."""
    tip = nose_tip(s)
    size = span(s.look.nose, 0.70, 1.35)
    x, y = s.x - tip.x, s.y - tip.y
    skin = canvas.mask("skin")
    under = gaussian(x + 0.02 * s.light_x, y - 0.034, 0.034 * size, 0.013)
    wings = torch.zeros_like(s.x)
    holes = torch.zeros_like(s.x)
    for side in _SIDES:
        wing = s.pose.project(side * 0.040 * size, span(s.look.nose, 0.138, 0.182), 0.235)
        wx, wy = s.x - wing.x, s.y - wing.y
        ring = torch.sqrt(wx**2 + wy**2 + 1e-9) - 0.019 * size
        wings = wings + torch.exp(-((ring / 0.007) ** 2)) * smoothstep(-0.012, 0.02, side * wx + wy)
        hole = s.pose.project(side * 0.020 * size, span(s.look.nose, 0.150, 0.194), 0.255)
        gap = ellipse(s.x - hole.x, s.y - hole.y, 0.0125 * size * hole.narrow, 0.0065 * size)
        holes = holes + coverage(gap, s.pixel + 0.006)
    canvas.shade(1 - skin * (0.26 * under + 0.24 * wings).clamp(0, 0.45))
    canvas.paint("nose", 0.72 * holes.clamp(0, 1) * skin, s.skin * 0.28)
    shine = gaussian(x - 0.012 * s.light_x, y + 0.006, 0.013, 0.012)
    canvas.tint(0.30 * shine * skin, _rgb(x, 1.0, 0.97, 0.93))
    body = smoothstep(0.062, 0.048, torch.sqrt((x / size) ** 2 + (0.8 * y / size) ** 2 + 1e-9))
    canvas.paint("nose", canvas.mask("skin") * body, canvas.image)


def smile_of(s: Sitter) -> Tensor:
    """How far the corners of the mouth go up: negative when they hang, 1 for a broad smile."""
    return span(s.look.smile, -0.70, 1.0)


def mouth_corner(s: Sitter) -> tuple[Tensor, Tensor]:
    """Half the width of the mouth of a frontal face, and how much its corners are raised."""
    smile = smile_of(s)
    return 0.087 + 0.023 * smile, 0.058 * 0.62 * smile


def paint_mouth(canvas: Canvas, s: Sitter, lit: Tensor) -> None:
    """Lips bent by the smile, parted by smile and opening, with teeth and tongue between."""
    smile, grin = smile_of(s), smoothstep(0.62, 1.0, s.look.smile)
    gape = 0.060 * ((s.look.mouth_open - 0.25) / 0.75).clamp(0, 1) + 0.028 * grin
    at = s.pose.project(0.0, MOUTH_Y, MOUTH_Z)
    half = mouth_corner(s)[0] * at.narrow
    x = (s.x - at.x) / half
    arc = (1 - x * x).clamp(min=0)
    middle = at.y + 0.058 * smile * (0.38 - x * x) - 0.004
    bow = 1 - 0.34 * torch.exp(-((x / 0.16) ** 2))
    upper, lower = middle - gape * 0.36 * arc, middle + gape * 0.64 * arc
    top = upper - 0.0270 * arc**0.75 * bow
    bottom = lower + 0.0330 * arc**0.65 * (1 - 0.12 * smile)
    inside_x = (1 - x.abs()) * half
    lips = coverage(torch.maximum(torch.maximum(top - s.y, s.y - bottom), -inside_x), s.pixel)
    gap = coverage(torch.maximum(torch.maximum(upper - s.y, s.y - lower), -inside_x), s.pixel)
    corner = gaussian(x.abs() - 1.05, (s.y - middle + 0.02 * smile) / half, 0.09, 0.12)
    below = gaussian(x, (s.y - bottom - 0.014) / 0.009, 0.55, 1.0)
    canvas.shade(1 - canvas.mask("skin") * (0.42 * corner + 0.22 * below).clamp(0, 0.5))
    colour = palettes.lips(s.look.lip_colour, s.skin) * (0.25 + 0.75 * lit)[:, None]
    darker = torch.where(s.y < middle, 0.84, 1.0)
    canvas.paint("mouth", lips, colour * (darker * (1 + 0.03 * s.grain.fine))[:, None])
    gloss = gaussian(x - 0.25 * s.light_x, (s.y - lower - 0.013) / 0.006, 0.30, 1.0)
    canvas.tint(0.22 * gloss * lips, _rgb(s.x, 1.0, 0.93, 0.92))
    canvas.paint("mouth", gap, _rgb(s.x, 0.16, 0.03, 0.04))
    tongue = gap * smoothstep(0.55, 0.95, (s.y - upper) / (lower - upper + 1e-3))
    canvas.tint(0.80 * tongue * smoothstep(0.045, 0.07, gape), _rgb(s.x, 0.70, 0.27, 0.28))
    edge = upper + torch.minimum(0.62 * (lower - upper), 0.024 * arc**0.5)
    teeth = gap * coverage(s.y - edge, s.pixel) * smoothstep(1.0, 0.88, x.abs())
    canvas.tint(teeth * (0.97 - 0.20 * x * x), _rgb(s.x, 0.97, 0.96, 0.93))
    seam = torch.exp(-(((s.y - middle) / 0.0055) ** 2)) * coverage(-inside_x, s.pixel)
    canvas.shade(1 - 0.65 * seam * smoothstep(0.014, 0.0, gape))


def paint_beard(canvas: Canvas, s: Sitter, outline: Tensor) -> None:
    """From stubble to a full beard with a moustache, around the mouth and along the jaw.

    It ends where the face does (`outline`, its distance): a beard shows the jaw it grows on.
    """
    full = ((s.look.beard - 0.58) / 0.42).clamp(0, 1)
    mouth = s.pose.project(0.0, MOUTH_Y, MOUTH_Z)
    x = s.x - mouth.x
    rise = mix(0.08, 0.19, full) * smoothstep(0.04, 0.28, x.abs() / mouth.narrow)
    jaw = smoothstep(-0.010, 0.022, s.y - mouth.y - 0.040 + rise)
    lip = ellipse(x, s.y - mouth.y + 0.052 - 1.6 * x * x, 0.095, 0.021)
    where = torch.maximum(jaw, smoothstep(0.012, -0.008, lip))
    hide = (canvas.mask("skin") + canvas.mask("nose") * (s.y > mouth.y - 0.07)).clamp(0, 1)
    hide = hide * coverage(outline - 0.004, s.pixel)
    alpha = hide * where * smoothstep(0.0, 0.1, full) * mix(0.25, 0.96, full)
    streak = 1 + 0.13 * s.grain.strands + 0.08 * s.grain.fine
    colour = (s.hair * 0.74 + s.skin * 0.04) * (streak * (0.75 + 0.35 * relief_low(s)))[:, None]
    canvas.paint("beard", alpha, colour)


def relief_low(s: Sitter) -> Tensor:
    """A broad fall-off of light across the head, for whatever grows on it."""
    centre = s.pose.project(0.0, 0.0, 0.05)
    side = (s.x - centre.x) / 0.30 * s.light_x - (s.y - centre.y) / 0.60 * 0.45
    return (0.62 + 0.5 * side).clamp(0.15, 1.15)


def paint_eyes(canvas: Canvas, s: Sitter, lit: Tensor) -> None:
    """Two almond eyes: white, iris, pupil, a spark of light, lids and lashes."""
    smile = smile_of(s).clamp(min=0)
    for side in _SIDES:
        at = s.pose.project(side * EYE_X, 0.0, EYE_Z)
        half = span(s.look.eye_size, 0.054, 0.078) * at.narrow
        x = (s.x - at.x) / half
        arc = (1 - x * x).clamp(min=0)
        tilt = -0.006 * side * x
        upper = s.y - at.y - tilt + span(s.look.eye_size, 0.024, 0.044) * arc**0.7
        lower = s.y - at.y - tilt - (span(s.look.eye_size, 0.017, 0.028) - 0.005 * smile) * arc**0.8
        ends = (x.abs() - 1) * half
        opening = coverage(torch.maximum(torch.maximum(-upper, lower), ends), s.pixel)
        fold = torch.exp(-(((upper + 0.013) / 0.006) ** 2)) * smoothstep(1.25, 0.7, x.abs())
        socket = gaussian(x, (upper + 0.02) / 0.02, 0.8, 1.0)
        canvas.shade(1 - canvas.mask("skin") * (0.34 * fold + 0.10 * socket).clamp(0, 1))
        white = _rgb(s.x, 0.95, 0.94, 0.93) * (0.55 + 0.45 * lit)[:, None]
        canvas.paint("eyes", opening, white * (1 - 0.22 * (x * x).clamp(0, 1))[:, None])
        _paint_iris(canvas, s, at, half, opening)
        shadow = opening * smoothstep(0.016, 0.0, upper)
        canvas.shade(1 - 0.40 * shadow)
        reach = smoothstep(1.12, 0.9, x.abs())
        lash = smoothstep(0.0085 + 0.25 * s.pixel, 0.002, upper.abs()) * reach
        rim = smoothstep(0.006, 0.001, lower.abs()) * reach
        canvas.paint("eyes", 0.88 * lash, s.hair * 0.22 + 0.02)
        canvas.tint(0.42 * rim * (1 - lash), s.skin * 0.42)


def _paint_iris(canvas: Canvas, s: Sitter, at: Point, half: Tensor, opening: Tensor) -> None:
    """Iris, pupil and spark; the gaze takes them from one corner of the eye to the other."""
    look = half * span(s.look.gaze, -0.53, 0.53)
    x, y = (s.x - at.x - look) / at.narrow.clamp(min=0.7), s.y - at.y + 0.004
    reach = torch.sqrt(x * x + y * y + 1e-9)
    radius = span(s.look.eye_size, 0.0245, 0.0325)
    disc = coverage(reach - radius, s.pixel) * opening
    colour = palettes.iris(s.look.eye_colour)
    rays = (
        1.24 - 0.80 * smoothstep(radius * 0.70, radius, reach) + 0.35 * smoothstep(-0.01, 0.02, y)
    )
    canvas.tint(disc, colour * rays[:, None])
    canvas.tint(coverage(reach - 0.40 * radius, s.pixel) * disc, _rgb(x, 0.02, 0.015, 0.02))
    spark = coverage(
        torch.sqrt((x - 0.011 * torch.tanh(3 * s.light_x)) ** 2 + (y + 0.010) ** 2 + 1e-9) - 0.0062,
        s.pixel,
    )
    canvas.tint(0.92 * spark * opening, _rgb(x, 1.0, 1.0, 1.0))


def brow_distance(s: Sitter, outline: Tensor) -> Tensor:
    """Distance to the brows, [N, H, W]: strokes that thin outwards, raised and turned.

    They stay within the face, whose distance is `outline`.
    """
    height, tilt = span(s.look.brow_height, -0.072, -0.132), span(s.look.brow_tilt, -0.42, 0.44)
    brows = torch.full_like(s.x, 1.0)
    for side in _SIDES:
        at = s.pose.project(side * 0.128, height, 0.205)
        half = 0.074 * at.narrow
        x = (s.x - at.x) * side / half  # from the nose (-1) outwards (1)
        arch = -0.016 * (1 - (x - 0.2) ** 2) - tilt * x * 0.074
        thick = 0.0165 * (1 - 0.45 * ((x + 0.5) / 1.5).clamp(0, 1)) * smoothstep(1.06, 0.8, x.abs())
        stroke = (s.y - at.y - arch).abs() - thick + 0.03 * (thick < 1e-4)
        brows = torch.minimum(brows, stroke)
    return torch.maximum(brows, outline + 0.004)


def paint_brows(canvas: Canvas, s: Sitter, brows: Tensor) -> None:
    """Brows in the colour of the hair, but always much darker than the skin."""
    colour = torch.minimum(s.hair * 0.55, s.skin * 0.40) * (1 + 0.10 * s.grain.strands)[:, None]
    canvas.paint("brows", 0.94 * coverage(brows, s.pixel + 0.005), colour)


def paint_glasses(canvas: Canvas, s: Sitter) -> None:
    """Dark frames with a bridge, temples and a hint of a reflection."""
    worn = smoothstep(0.69, 0.71, s.look.glasses)
    frame = torch.full_like(s.x, 1.0)
    glass = torch.zeros_like(s.x)
    for side in _SIDES:
        at = s.pose.project(side * 0.126, 0.014, 0.235)
        lens = rounded_box(s.x - at.x, s.y - at.y, 0.100 * at.narrow, 0.078, 0.052)
        frame = torch.minimum(frame, lens.abs() - 0.0115)
        glass = torch.maximum(glass, coverage(lens, s.pixel))
        hinge = s.pose.project(side * 0.226, -0.01, 0.17)
        ear = s.pose.project(side * 0.262, -0.005, 0.0)
        arm = segment(s.x - hinge.x, s.y - hinge.y, ear.x - hinge.x, ear.y - hinge.y) - 0.0105
        frame = torch.minimum(frame, arm)
    left, right = s.pose.project(-0.026, -0.006, 0.26), s.pose.project(0.026, -0.006, 0.26)
    bridge = segment(s.x - left.x, s.y - left.y, right.x - left.x, right.y - left.y) - 0.0115
    rim = coverage(torch.minimum(frame, bridge), s.pixel) * worn
    streak = smoothstep(0.03, 0.0, (s.x + 0.7 * s.y - 0.10 * s.light_x - 0.06).abs() - 0.012)
    sheen = glass * worn * (0.08 + 0.12 * streak)
    canvas.tint(sheen, _rgb(s.x, 0.86, 0.93, 1.0))
    canvas.paint("glasses", rim, _rgb(s.x, 0.06, 0.045, 0.05))
