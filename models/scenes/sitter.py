"""People about to be painted: their factors, their pose and the pixels they fall on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from models.scenes import palettes
from models.scenes.canvas import Grain
from models.scenes.head import Camera, Pose, frame, pixel_grid, span


@dataclass(frozen=True, slots=True)
class Look:
    """The factors of a portrait, each in 0..1, uniform in the population.  Shapes: [N, 1, 1]."""

    yaw: Tensor  # face turned to the picture's left .. right
    pitch: Tensor  # looking up .. down
    face_width: Tensor
    face_length: Tensor
    jaw: Tensor  # narrow and round .. wide and square
    skin_tone: Tensor  # deep brown .. pale
    hair_lightness: Tensor  # black .. blond
    hair_warmth: Tensor  # ash .. red
    hair_length: Tensor  # cropped .. past the shoulders
    hair_volume: Tensor
    fringe: Tensor  # swept back .. down to the brows
    parting: Tensor  # on the picture's left .. right
    eye_size: Tensor
    eye_colour: Tensor  # brown .. blue
    gaze: Tensor  # to the picture's left .. right
    brow_height: Tensor
    brow_tilt: Tensor  # worried .. stern
    nose: Tensor  # small .. large
    smile: Tensor  # frown .. broad smile
    mouth_open: Tensor
    lip_colour: Tensor  # pale .. deep red
    glasses: Tensor  # worn above 0.7
    beard: Tensor  # grows from 0.6 on
    age: Tensor  # smooth .. lined
    light: Tensor  # from the picture's left .. right
    background_hue: Tensor
    background_lightness: Tensor
    clothes_hue: Tensor
    clothes_lightness: Tensor


FACTORS: tuple[str, ...] = tuple(field.name for field in fields(Look))


@dataclass(frozen=True, slots=True)
class Sitter:
    """Everything the painting functions need, computed once.

    Shapes: x, y (head units), grain [N, H, W]; u, v (picture, 0..1) [1, H, W]; the rest [N, 1, 1],
    colours [N, 3, 1, 1].
    """

    look: Look
    pose: Pose
    camera: Camera
    grain: Grain
    u: Tensor
    v: Tensor
    x: Tensor
    y: Tensor
    pixel: Tensor
    half_width: Tensor  # of the face at the cheeks
    chin_y: Tensor
    light_x: Tensor  # direction towards the light; it always falls from above and in front
    skin: Tensor
    hair: Tensor


def seat(factors: Tensor, grain: Grain) -> Sitter:
    """Work out pose, camera, proportions and colours of a batch.  Shapes: factors [N, K]."""
    look = Look(*factors[:, :, None, None].unbind(1))
    pose = Pose(span(look.yaw, -0.58, 0.58), span(look.pitch, -0.2, 0.2))
    camera = frame(pose)
    size_px = grain.fine.shape[-1]
    u, v, x, y = pixel_grid(camera, size_px)
    return Sitter(
        look=look,
        pose=pose,
        camera=camera,
        grain=grain,
        u=u,
        v=v,
        x=x,
        y=y,
        pixel=camera.width / size_px,
        half_width=span(look.face_width, 0.212, 0.278),
        chin_y=span(look.face_length, 0.395, 0.49),
        light_x=span(look.light, -0.75, 0.75),
        skin=palettes.skin(look.skin_tone),
        hair=palettes.hair(look.hair_lightness, look.hair_warmth),
    )


def skull_radius(sitter: Sitter) -> Tensor:
    """Half the width of the skull as seen: a head is deeper than wide."""
    across = sitter.half_width * torch.cos(sitter.pose.yaw)
    return torch.sqrt(across**2 + (0.27 * torch.sin(sitter.pose.yaw)) ** 2)
