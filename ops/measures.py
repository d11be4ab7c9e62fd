"""Numbers that say how alike pictures are, for `when`, outputs and the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import ItemError, OpError, ShapeError
from engine.op import Range, op
from engine.values import Image, Mask, Network, Scalar
from ops.given import checked, reader_of

if TYPE_CHECKING:
    from torch import Tensor

Axis = Literal["horizontal", "vertical"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What `measure` gives: PSNR in dB, SSIM 0..1, perceptual distance (None without a network)."""

    psnr: Scalar
    ssim: Scalar
    perceptual: Scalar


@dataclass(frozen=True, slots=True)
class Locality:
    """What `measure_locality` gives: the change inside and outside a mask, and their ratio.

    `ratio` is None where nothing changes outside.
    """

    inside: Scalar
    outside: Scalar
    ratio: Scalar


@op(version=1, batch=8, fixed=True, beside=["features"])
def measure(a: Image, b: Image, model: Network) -> Likeness:
    """Measure how alike two pictures are.

    `perceptual` is judged by the feature network beside the model.

    Shapes: a, b [N, 3, H, W].  Units: psnr dB (99 when equal); ssim 1 when equal; perceptual 0 when
    equal, about 1 between two unrelated portraits.
    Raises: ShapeError if the sizes differ.
    Source: Wang et al. 2004 (SSIM); Zhang et al. 2018, arXiv:1801.03924 (perceptual).
    """
    from pathlib import Path

    import torch

    from models import companions
    from models.metrics import psnr, ssim
    from models.perceptual import perceptual_distance

    if a.data.shape != b.data.shape:
        raise ShapeError(f"a is {list(a.data.shape[2:])}, b {list(b.data.shape[2:])}: resize one")
    beside = Path(model.path).with_name("features.safetensors")
    near: tuple[float | None, ...] = (None,) * len(a.data)
    if beside.is_file():
        net = companions.features(beside, model.device)
        with torch.no_grad():
            distance = perceptual_distance(net, a.data.to(model.device), b.data.to(model.device))
        near = tuple(round(value, 4) for value in distance.tolist())
    return Likeness(
        Scalar(tuple(round(value, 3) for value in psnr(a.data, b.data).tolist())),
        Scalar(tuple(round(value, 5) for value in ssim(a.data, b.data).tolist())),
        Scalar(near),
    )


@dataclass(frozen=True, slots=True)
class Seam:
    """What `measure_seam` gives: seam ratios (mean, worst, local), and the step in Lab."""

    ratio: Scalar
    worst: Scalar
    local: Scalar
    step: Scalar


def _judge_joints(
    settings: Mapping[str, Any], _sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the joints of `measure_seam`."""
    if not settings["period"] and not settings["columns"]:
        yield "period", "no joint is named: give a period, or columns"


@op(version=3, batch=4, check=_judge_joints)
def measure_seam(
    image: Image,
    *,
    period: Annotated[int, Range(0)] = 0,
    offset: Annotated[int, Range(0)] = 0,
    columns: list[int] = [],  # noqa: B006 (read, never changed)
    axis: Axis = "horizontal",
    closed: bool = False,
) -> Seam:
    """Measure how visible the joints of a picture are.

    They lie at every `period` from `offset` on, or as listed in `columns`: a joint at column c is
    between c - 1 and c. With `axis: vertical`, columns are rows.

    Shapes: image [N, 3, H, W].  Units: period, offset, columns px; ratio and worst, the jump at
    joints over the median jump elsewhere (1: invisible); local, over the jumps of the 4 columns on
    each side, where pictures are not equally rich in detail everywhere; step, standard deviations
    of the change from 8 columns before to 8 after in Lab.
    Raises: OpError if there is no joint, or it has no two sides.  Source: own.
    """
    from models import ModelError
    from models.seams import measure_seams

    data = _lying(image.data, axis)
    first = offset if offset or closed or not period else period
    found = [*columns, *(range(first, data.shape[3], period) if period else ())]
    try:
        seams = measure_seams(data, sorted(set(found)), closed)
    except ModelError as error:
        raise OpError(str(error)) from error
    told = (seams.ratio, seams.worst, seams.local, seams.step)
    return Seam(*(Scalar(tuple(round(x, 4) for x in each.tolist())) for each in told))


@op(version=1)
def measure_high_band(
    image: Image,
    parents: Sequence[Image],
    *,
    period: Annotated[int, Range(0)] = 0,
    start: Annotated[float, Range(-1, 2)] = 0.25,
    end: Annotated[float, Range(-1, 2)] = 0.75,
    axis: Axis = "horizontal",
) -> Scalar:
    """Measure how much fine detail is left where codes mix, against the pictures of codes alone.

    The place of mixture lies from `start` to `end` of every `period`: 0.75 to 1.25 is about the
    joints of a panorama.

    Shapes: image [N, 3, H, W], parents [1, 3, H, period] -> value.
    Units: period px (0: the picture's width); start, end in periods; value 1 where nothing is lost,
    0.5 after a cross-fade of unrelated textures (variance of the Laplacian).
    Raises: ShapeError if a parent is not of one period's size, or nothing lies in between.
    Source: own, after Pech-Pacheco et al. 2000 (variance of the Laplacian).
    """
    from models import ModelError
    from models.seams import high_band

    data = _lying(image.data, axis)
    pictures = [_lying(parent.data, axis) for parent in parents]
    try:
        kept = high_band(data, pictures, period or data.shape[3], start, end)
    except ModelError as error:
        raise ShapeError(str(error)) from error
    return Scalar(tuple(round(x, 4) for x in kept.tolist()))


def _lying(data: "Tensor", axis: Axis) -> "Tensor":
    """A picture turned so that what was measured along `axis` is measured along its columns."""
    return data if axis == "horizontal" else data.transpose(2, 3)


@dataclass(frozen=True, slots=True)
class Smoothness:
    """What `measure_smoothness` gives: the largest step over the mean step, and the detour taken.

    Both are 1 at best. None where no picture differs from the next; `detour` also where the last
    picture is the first.
    """

    unevenness: Scalar
    detour: Scalar


@op(version=1, beside=["features"])
def measure_smoothness(images: Sequence[Image], model: Network) -> Smoothness:
    """Measure how smoothly pictures follow one another: frames of a path, an edit, a translation.

    Gather them in their order: `gather: {over: t}`. Steps are judged by the feature network beside
    the model.

    Shapes: images [1, 3, H, W] each -> values.
    Units: unevenness, the largest step over the mean step; detour, the length of all steps over
    that straight from the first picture to the last.
    Raises: OpError for fewer than three pictures, or without a feature network; ShapeError if their
    sizes differ.
    Source: own, after Karras et al. 2019, arXiv:1812.04948 (distances of pictures along a path).
    """
    import torch

    from models.disentanglement import smoothness
    from models.perceptual import perceptual_distance

    sizes = {tuple(image.data.shape[2:]) for image in images}
    if len(sizes) > 1:
        raise ShapeError(f"the pictures have several sizes, {sorted(sizes)}: resize them")
    net = reader_of(model)
    frames = torch.cat([image.data for image in images]).to(model.device)

    def distance(a: "Tensor", b: "Tensor") -> "Tensor":
        parts = zip(torch.split(a, 8), torch.split(b, 8), strict=True)
        return torch.cat([perceptual_distance(net, *part) for part in parts])

    with torch.no_grad(), checked():
        found = smoothness(distance, frames)
    return Smoothness(*(Scalar((None if x is None else round(x, 4),)) for x in found))


@op(version=1, batch=8)
def measure_locality(
    image: Image,
    reference: Image,
    mask: Mask,
    *,
    margin: Annotated[float, Range(0, 0.5)] = 0.04,
) -> Locality:
    """Measure how local an edit is: how much it changed inside a mask, and how much outside.

    Outside begins `margin` beyond anything the mask holds; the inside is weighed by the mask.

    Shapes: image (edited), reference (as it was) [N, 3, H, W]; mask [N, 1, H, W].
    Units: mean squared differences of CIELAB divided by 255 per channel (L stretched to 0..255);
    margin in sides of the picture.
    Raises: ShapeError if the sizes differ; ItemError bad_input for an empty or broken mask.
    Source: Collins et al. 2020, arXiv:2004.14367 (in- and out-MSE).
    """
    from models.masks import fault, grown
    from models.metrics import masked_lab_error

    sizes = {tuple(v.data.shape[2:]) for v in (image, reference, mask)}
    if len(sizes) > 1:
        raise ShapeError(f"image, reference and mask must have one size, not {sorted(sizes)}")
    for item, one in enumerate(mask.data):
        if message := fault(one):
            raise ItemError("bad_input", message, item=item)
    reach = round(margin * min(image.data.shape[2:]))
    outside = (grown(mask.data, reach) <= 0).float()
    near, far = (
        masked_lab_error(image.data, reference.data, weight).tolist()
        for weight in (mask.data, outside)
    )
    return Locality(
        Scalar(tuple(round(value, 8) for value in near)),
        Scalar(tuple(round(value, 8) for value in far)),
        Scalar(
            tuple(round(a / b, 3) if b > 1e-8 else None for a, b in zip(near, far, strict=True))
        ),
    )
