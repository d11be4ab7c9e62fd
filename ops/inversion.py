"""Codes of pictures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import ItemError, OpError
from engine.op import Range, op
from engine.values import Image, Latent, Network, Scalar

if TYPE_CHECKING:
    from torch import Tensor

    from models.inversion import Inverted
    from models.perceptual import FeatureNet
    from models.stylegan2 import Generator

Weight = Annotated[float, Range(0)]


@dataclass(frozen=True, slots=True)
class Inversion:
    """What `invert` gives: the code, its picture, how near it comes, and the steps it took.

    `psnr` is in dB; `perceptual` is 0 for the same picture, None without a feature network.
    """

    latent: Latent
    reconstruction: Image
    psnr: Scalar
    perceptual: Scalar
    steps: Scalar


@op(version=1, batch=1, batch_cuda=8, fixed=True)
def invert(  # noqa: PLR0913 (settings are declared here and nowhere else)
    image: Image,
    model: Network,
    *,
    method: Literal["hybrid", "encoder", "optimize"] = "hybrid",
    space: Literal["w", "w_plus", "style"] = "w_plus",
    steps: Annotated[int, Range(1, 100_000)] = 200,
    learning_rate: Annotated[float, Range(0)] = 0.1,
    pixel: Weight = 1.0,
    perceptual: Weight = 1.0,
    prior: Weight = 0.5,
    patience: Annotated[int, Range(1)] = 50,
    stop_psnr: float = 60.0,
) -> Inversion:
    """Find the code from which the generator draws a picture.

    "encoder" reads it off in one pass, "optimize" descends from the mean code, "hybrid" descends
    from what the encoder read. Each picture keeps its best step and stops on its own: after
    `patience` steps without gain, or at `stop_psnr` dB.

    Shapes: image [N, 3, S, S], brought to the model's resolution -> latent of `space`,
    reconstruction [N, 3, R, R].
    Units: learning_rate in standard deviations of the code per step; prior weighs the squared
    distance from the mean code, in deviations: more keeps codes easy to edit, less fits closer.
    Raises: ItemError bad_input if the picture is not square, not_finite if descent breaks down;
    OpError if the model has no encoder.
    Source: Abdal et al. 2019, arXiv:1904.03189; Zhu et al. 2016, arXiv:1609.03552 (hybrid).
    """
    import models
    from models.inversion import Recipe, descend, mean_start, start_code

    generator = models.network(model.path, model.device)
    net = _features(model)
    target = _square(image.data, generator.resolution).to(model.device)
    begin = mean_start(generator, len(target)) if method == "optimize" else _encode(model, target)
    start = start_code(generator, begin, space)
    if method == "encoder":
        return _report(_drawn(generator, start, space), target, net, space, model)
    recipe = Recipe(space, steps, learning_rate, pixel, perceptual, prior, patience, stop_psnr)
    found = descend(generator, net, target, start, recipe)
    return _report(found, target, net, space, model)


def _report(
    found: "Inverted",
    target: "Tensor",
    net: "FeatureNet | None",
    space: Literal["w", "w_plus", "style"],
    model: Network,
) -> Inversion:
    """The ports, or ItemError for the first item whose descent broke down."""
    import torch

    from models.metrics import psnr
    from models.perceptual import perceptual_distance

    for i, data in enumerate(found.data):
        if not bool(torch.isfinite(data).all() and torch.isfinite(found.loss[i])):
            message = f"descent broke down at step {int(found.steps[i])}: lower learning_rate"
            raise ItemError("not_finite", message, item=i)
    near: tuple[float | None, ...] = (None,) * len(target)
    if net is not None:
        with torch.no_grad():
            near = _numbers(perceptual_distance(net, found.picture, target), 4)
    return Inversion(
        Latent(found.data, space, model.family),
        Image(found.picture),
        Scalar(_numbers(psnr(found.picture, target), 2)),
        Scalar(near),
        Scalar(tuple(found.steps.tolist())),
    )


def _numbers(values: "Tensor", digits: int) -> tuple[float, ...]:
    """Tensor values as rounded numbers."""
    return tuple(round(value, digits) for value in values.tolist())


def _drawn(
    generator: "Generator", data: "Tensor", space: Literal["w", "w_plus", "style"]
) -> "Inverted":
    """The pictures of codes that are taken as they are."""
    import torch

    from models.codes import to_styles
    from models.inversion import Inverted

    with torch.no_grad():
        picture = generator.synthesize_styles(to_styles(generator, data, space)).clamp(-1, 1)
    zeros = torch.zeros(len(data), device=data.device)
    return Inverted(data, picture, zeros, zeros.long())


def _square(data: "Tensor", side: int) -> "Tensor":
    """Square pictures at the generator's resolution."""
    import torch.nn.functional as F

    height, width = data.shape[2:]
    if height != width:
        message = f"the picture is {width}x{height}: cut a square first (align_face, align_center)"
        raise ItemError("bad_input", message)
    if height == side:
        return data
    return F.interpolate(data, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def _encode(model: Network, target: "Tensor") -> "Tensor":
    """The encoder's codes w_plus [N, L, D]."""
    from pathlib import Path

    import torch

    from models import companions
    from models.encoder import encode

    beside = Path(model.path).with_name("encoder.safetensors")
    if not beside.is_file():
        raise OpError(
            f"model '{model.name}' has no encoder ({beside.name} beside it): use method: optimize"
        )
    with torch.no_grad():
        return encode(companions.encoder(beside, model.device), target)


def _features(model: Network) -> "FeatureNet | None":
    """The feature network beside the model, if there is one."""
    from pathlib import Path

    from models import companions

    beside = Path(model.path).with_name("features.safetensors")
    return companions.features(beside, model.device) if beside.is_file() else None
