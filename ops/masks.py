"""Masks: drawn as boxes and polygons, read from files, or found in pictures and features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import ItemError, OpError, suggestion
from engine.op import Asset, Range, op
from engine.values import Image, Latent, Mask, Network, Scalar, check_family
from ops.given import checked, exact_generator, fault_of_parts, judge_parts

if TYPE_CHECKING:
    from torch import Tensor

Feather = Annotated[float, Range(0, 0.5)]
Box = tuple[float, float, float, float]
Point = tuple[float, float]
Part = str | int


@dataclass(frozen=True, slots=True)
class Segment:
    """Where parts of a picture are, and the share of the picture they take (0..1)."""

    mask: Mask
    share: Scalar


def _judge_box(settings: Mapping[str, Any], _sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with a box in fractions; one in pixels depends on the picture."""
    from models.errors import ModelError
    from models.grid import box_px

    try:
        if max(settings["box"]) <= 1:
            box_px(settings["box"], 1, 1)
    except ModelError as error:
        yield "box", str(error)


@op(version=1, batch=8, cache=False, check=_judge_box)
def mask_box(image: Image, *, box: Box, feather: Feather = 0.0) -> Mask:
    """Select a rectangle of a picture; pixels at its edges count by the share it covers.

    Shapes: image [N, 3, H, W] -> mask [N, 1, H, W].
    Units: box [x, y, w, h] in fractions of the picture (all four at most 1) or px; feather, the
    reach of the soft edge both ways, in sides of the picture (the shorter one).
    Raises: OpError for a box in fractions that is empty or sticks out; ItemError bad_input for one
    in px that does not fit the picture.
    Source: own.
    """
    from models.grid import box_px
    from models.masks import box_mask

    height, width = image.data.shape[2:]

    def drawn() -> "Tensor":
        return box_mask(box_px(box, height, width), height, width, feather * min(height, width))

    return _repeated(image, _judged(drawn, fractions=max(box) <= 1))


def _judge_points(
    settings: Mapping[str, Any], _sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the corners of a polygon, whatever the picture."""
    if len(settings["points"]) < 3:
        yield "points", f"a polygon of {len(settings['points'])} points: must be three or more"


@op(version=1, batch=8, cache=False, check=_judge_points)
def mask_polygon(image: Image, *, points: list[Point], feather: Feather = 0.0) -> Mask:
    """Select the inside of a polygon in a picture; what lies beyond the picture is left out.

    Shapes: image [N, 3, H, W] -> mask [N, 1, H, W].
    Units: points [x, y] in fractions of the picture (all at most 1) or px; feather, the reach of
    the soft edge both ways, in sides of the picture (the shorter one).
    Raises: OpError for fewer than three points or a polygon in fractions that misses the picture;
    ItemError bad_input for one in px that does.
    Source: own; even-odd filling, antialiased.
    """
    from models.grid import point_px
    from models.masks import polygon_mask

    height, width = image.data.shape[2:]
    fractions = all(number <= 1 for point in points for number in point)
    corners = [point_px(point, height, width, fractions) for point in points]

    def drawn() -> "Tensor":
        return polygon_mask(corners, height, width, feather * min(height, width))

    return _repeated(image, _judged(drawn, fractions=fractions or len(points) < 3))


@op(version=1, batch=8, cache=False)
def load_mask(
    image: Image,
    *,
    file: Annotated[str | None, Asset("file")] = None,
    invert: bool = False,
    threshold: Annotated[float, Range(0, 1)] | None = None,
    feather: Feather = 0.0,
) -> Mask:
    """Read a picture as a mask: white selects, black does not.

    Without `file` the picture itself is the mask: one per item from a source of mask files. With
    it the one in the file is used for every item, at the size of the picture.

    Shapes: image [N, 3, H, W] -> mask [N, 1, H, W].
    Units: threshold 0..1, from which a pixel is wholly selected; feather, the reach of the soft
    edge both ways, in sides of the picture (the shorter one).
    Raises: ItemError bad_input if nothing is selected or a file's mask has another shape; OpError
    for a file that is no picture.
    Source: own; brightness as in ITU-R BT.601.
    """
    import torch

    from models.errors import ModelError
    from models.masks import feathered, fitted, read_mask

    height, width = image.data.shape[2:]
    weights = image.data.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    found = (((image.data + 1) / 2) * weights).sum(1, keepdim=True).clamp(0, 1)
    if file is not None:
        with checked():
            found = read_mask(file).to(found.device)
    if threshold is not None:
        found = (found >= threshold).float()
    found = 1 - found if invert else found
    try:
        found = fitted(found, height, width).expand(len(image.data), -1, -1, -1)
    except ModelError as error:
        raise ItemError("bad_input", str(error)) from error
    for item, one in enumerate(found):
        if not bool((one > 0).any()):
            raise ItemError("bad_input", "the mask is empty: nothing is selected", item=item)
    return Mask(feathered(torch.clone(found), feather * min(height, width)))


@op(version=2, batch=4, batch_cuda=32, fixed=True, check=judge_parts, beside=["features"])
def segment_parts(  # noqa: PLR0913 (settings are declared here and nowhere else)
    model: Network,
    image: Image | None = None,
    latent: Latent | None = None,
    *,
    parts: Part | list[Part],
    method: Literal["network", "clusters"] = "network",
    clusters: Annotated[int, Range(2, 64)] = 12,
    at: int = 16,
    grow: Feather = 0.0,
    feather: Feather = 0.0,
) -> Segment:
    """Find parts of a picture by name, or parts that the generator's own features fall into.

    "network" asks the feature network beside the model where `parts` (such as hair, mouth) are in
    `image`. "clusters" sorts the features of `latent` at one resolution into `clusters` kinds, the
    same for all codes of the model and numbered by size, and takes those whose numbers are listed.

    Shapes: image [N, 3, H, W] -> mask [N, 1, H, W]; latent of N items -> mask [N, 1, R, R].
    Units: grow (the mask reaches farther) and feather in sides of the picture.
    Raises: OpError for an unknown part, a model without a feature network, or a wire that is not
    there.
    Source: Collins et al. 2020, arXiv:2004.14367, section 3.1 (clusters).
    """
    from models.masks import feathered, grown

    named = parts if isinstance(parts, list) else [parts]
    if message := fault_of_parts(named, method, clusters):
        raise OpError(message)
    if method == "network":
        if image is None:
            raise OpError("segment_parts: method network needs the wire `image`")
        soft = _by_network(image, model, named)
    else:
        if latent is None:
            raise OpError("segment_parts: method clusters needs the wire `latent`")
        soft = _by_clusters(latent, model, named, clusters, at)
    side = min(soft.shape[2:])
    share = tuple(round(float(one.mean()), 5) for one in soft)
    mask = feathered(grown(soft, round(grow * side)), feather * side)
    return Segment(Mask(mask), Scalar(share))


def _by_network(image: Image, model: Network, parts: Sequence[Part]) -> "Tensor":
    """Soft masks of named parts, together."""
    from pathlib import Path

    import torch

    from models import companions
    from models.perceptual import segment_parts as segmented

    beside = Path(model.path).with_name("features.safetensors")
    if not beside.is_file():
        raise OpError(
            f"model '{model.name}' has no feature network ({beside.name} beside it): use method: "
            "clusters"
        )
    net = companions.features(beside, model.device)
    known = net.config.parts
    for part in parts:
        if part not in known:
            near = suggestion(str(part), known) or f"; there are {', '.join(known)}"
            raise OpError(f"part '{part}' does not exist{near}")
    with torch.no_grad():
        found = segmented(net, image.data.to(model.device))
    return found[:, [known.index(str(part)) for part in parts]].sum(1, keepdim=True).clamp(0, 1)


def _by_clusters(
    latent: Latent, model: Network, parts: Sequence[Part], clusters: int, at: int
) -> "Tensor":
    """Masks of numbered kinds of features, together."""
    import torch
    import torch.nn.functional as F

    import models
    from models.codes import to_styles
    from models.grid import cell_px
    from models.parts import catalogue, memberships

    check_family(latent, model)
    with checked():
        cell_px(model.resolution, at)
    generator = models.fetch(model)
    with torch.no_grad():
        centers = catalogue(exact_generator(model), at, clusters)
        styles = to_styles(generator, latent.data.to(model.device), latent.space)
        found = memberships(generator, styles, at, centers)[:, [int(part) for part in parts]]
        size = (model.resolution, model.resolution)
        return F.interpolate(found.sum(1, keepdim=True), size, mode="bilinear").clamp(0, 1)


def _judged(draw: "Callable[[], Tensor]", *, fractions: bool) -> "Tensor":
    """A drawn mask; what is wrong with fractions is wrong for all items, with pixels for one."""
    from models.errors import ModelError

    try:
        return draw()
    except ModelError as error:
        if fractions:
            raise OpError(str(error)) from error
        raise ItemError("bad_input", str(error)) from error


def _repeated(image: Image, mask: "Tensor") -> Mask:
    """The same mask for every picture of a batch."""
    return Mask(mask.to(image.data.device).repeat(len(image.data), 1, 1, 1))
