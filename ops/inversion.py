"""Codes of pictures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import ItemError, OpError
from engine.op import SILENT, Progress, Range, Seed, op
from engine.values import Image, Latent, Network, Scalar, Space
from ops.given import encoder_of, features_of, square

if TYPE_CHECKING:
    from torch import Tensor

    from models.inversion import Inverted
    from models.perceptual import FeatureNet
    from models.stylegan2 import Generator

Weight = Annotated[float, Range(0)]


@dataclass(frozen=True, slots=True)
class Inversion:
    """What `invert` gives: the code, its picture, how near it comes, and the steps it took.

    `psnr` is in dB; `perceptual` is 0 for the same picture, None without a feature network;
    `distance` says how unusual the code is: the mean squared deviation of its styles, about 1 for
    codes the model draws itself.
    """

    latent: Latent
    reconstruction: Image
    psnr: Scalar
    perceptual: Scalar
    distance: Scalar
    steps: Scalar


def _judge_prior(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a prior, or with where descent begins."""
    space = settings["space"] or ("style" if settings["preset"] == "soat" else "")
    if settings["prior"] == "w_gaussian" and space == "style":
        yield "prior", "w_gaussian needs space w or w_plus: a style has no w to be had back"
    way = settings["method"] or ("hybrid" if settings["preset"] == "own" else "optimize")
    if settings["start"] != "mean" and way != "optimize":
        yield "start", f"{way} begins with what the encoder reads: use method: optimize"


@op(
    version=2, batch=1, batch_cuda=8, fixed=True, check=_judge_prior, beside=["encoder", "features"]
)
def invert(  # noqa: PLR0913 (settings are declared here and nowhere else)
    image: Image,
    model: Network,
    *,
    preset: Literal["own", "soat", "image2stylegan", "nvlabs", "pti"] = "own",
    method: Literal["hybrid", "encoder", "optimize"] | None = None,
    start: Literal["mean", "uniform"] = "mean",
    space: Literal["w", "w_plus", "style"] | None = None,
    steps: Annotated[int, Range(1, 100_000)] | None = None,
    learning_rate: Weight | None = None,
    schedule: Literal["ramp", "constant"] | None = None,
    exploration: Weight | None = None,
    pixel: Weight | None = None,
    pixel_loss: Literal["pyramid", "squared"] | None = None,
    perceptual: Weight | None = None,
    prior: Literal["none", "distance", "w_gaussian", "style_gaussian"] | None = None,
    prior_weight: Weight | None = None,
    patience: Annotated[int, Range(1)] | None = None,
    stop_psnr: float | None = None,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    progress: Progress = SILENT,
) -> Inversion:
    """Find the code from which the generator draws a picture.

    "encoder" reads it off in one pass, "optimize" descends from the mean code, or with `start:
    uniform` from numbers drawn evenly about it, as far as codes spread; "hybrid" descends from what
    the encoder read. Each picture keeps its best step and stops on its own: after
    `patience` steps without gain, or at `stop_psnr` dB; what is done is no longer computed.

    `preset` gives every setting that is left out. "own": hybrid, w_plus, 200 steps of 0.1
    (deviations), ramp, pixel 1 (pyramid), perceptual 1, prior distance 0.5, patience 50. Those of
    papers optimize, to the end: "soat": style, 3000 constant steps of 0.05, pixel 1 (squared),
    perceptual 20, prior style_gaussian 8.7. "image2stylegan": w_plus, 5000 constant steps of
    0.01, pixel 0.25 (squared), perceptual 1. "nvlabs": w, 1000 steps of 0.1 in a ramp, perceptual
    1, exploration 0.05. "pti": as nvlabs, 450 steps of 0.01. The model's feature network stands in
    for their VGG16 or LPIPS. Noise maps are no part of a code and stay as they are:
    `tune_generator` optimises them and keeps them.

    `prior` holds codes where the generator knows them; each is a mean over the code's numbers,
    about 1 for the model's own codes. "distance": squared deviations from the mean code in its own
    space. "w_gaussian": (v - mean)^T cov^-1 (v - mean), v = w before its last bend, averaged over
    rows. "style_gaussian": squared deviations of the styles, mean and variances from S = A w + b.

    Shapes: image [N, 3, S, S], brought to the model's resolution -> latent of `space`,
    reconstruction [N, 3, R, R].
    Units: learning_rate per step, in standard deviations of the code with "own", in the code's own
    numbers with the papers'; exploration as a share of the spread of codes; prior_weight: more
    keeps codes easy to edit, less fits closer.
    Raises: ItemError bad_input if the picture is not square, not_finite if descent breaks down;
    OpError if the model has no encoder, the prior does not fit the space, nothing is compared.
    Source: Abdal et al. 2019, arXiv:1904.03189; Zhu et al. 2016, arXiv:1609.03552 (hybrid); Chong
    et al. 2021, arXiv:2111.01619 (soat); Karras et al. 2020, arXiv:1912.04958 (nvlabs); Roich et
    al. 2021, arXiv:2106.05744 (pti); Wulff and Torralba 2020, arXiv:2009.06529 (w_gaussian).
    """
    import models
    from models.errors import ModelError
    from models.inversion import descend, start_code
    from models.presets import choose

    recipe = choose(
        preset,
        space=space,
        steps=steps,
        learning_rate=learning_rate,
        schedule=schedule,
        exploration=exploration,
        pixel=pixel,
        pixel_loss=pixel_loss,
        perceptual=perceptual,
        prior=prior,
        prior_weight=prior_weight,
        patience=patience,
        stop_psnr=stop_psnr,
    )
    way = method or ("hybrid" if preset == "own" else "optimize")
    generator = models.fetch(model)
    net = features_of(model)
    target = square(image.data, generator.resolution).to(model.device)
    begin = start_code(generator, _begun(way, start, model, target, seed), recipe.space)
    try:
        found = (
            _drawn(generator, begin, recipe.space)
            if way == "encoder"
            else descend(generator, net, target, begin, recipe, tuple(seed), watch=progress)
        )
    except ModelError as error:
        raise OpError(f"model '{model.name}': {error}") from error
    return _report(found, target, net, recipe.space, model)


def _report(
    found: "Inverted",
    target: "Tensor",
    net: "FeatureNet | None",
    space: Space,
    model: Network,
) -> Inversion:
    """The ports, or ItemError for the first item whose descent broke down."""
    import torch

    import models
    from models.codes import to_styles
    from models.metrics import psnr
    from models.perceptual import perceptual_distance
    from models.priors import distance_from

    for i, data in enumerate(found.data):
        if not bool(torch.isfinite(data).all() and torch.isfinite(found.loss[i])):
            message = f"descent broke down at step {int(found.steps[i])}: lower learning_rate"
            raise ItemError("not_finite", message, item=i)
    near: tuple[float | None, ...] = (None,) * len(target)
    if net is not None:
        with torch.no_grad():
            near = _numbers(perceptual_distance(net, found.picture, target), 4)
    generator = models.fetch(model)
    with torch.no_grad():
        styles = to_styles(generator, found.data, space)
        distance = distance_from(generator, "style_gaussian", space)(found.data, styles)
    return Inversion(
        Latent(found.data, space, model.family),
        Image(found.picture),
        Scalar(_numbers(psnr(found.picture, target), 2)),
        Scalar(near),
        Scalar(_numbers(distance, 4)),
        Scalar(tuple(found.steps.tolist())),
    )


def _numbers(values: "Tensor", digits: int) -> tuple[float, ...]:
    """Tensor values as rounded numbers."""
    return tuple(round(value, digits) for value in values.tolist())


def _drawn(generator: "Generator", data: "Tensor", space: Space) -> "Inverted":
    """The pictures of codes that are taken as they are."""
    import torch

    from models.codes import to_styles
    from models.inversion import Inverted

    with torch.no_grad():
        picture = generator.synthesize_styles(to_styles(generator, data, space)).clamp(-1, 1)
    zeros = torch.zeros(len(data), device=data.device)
    return Inverted(data, picture, zeros, zeros.long())


def _begun(way: str, start: str, model: Network, target: "Tensor", seed: Seed) -> "Tensor":
    """Where descent begins, w_plus [N, L, D]."""
    import models
    from models.inversion import mean_start, uniform_start

    if way != "optimize":
        if start != "mean":
            raise OpError(f"start {start}: {way} begins with what the encoder reads")
        return _encode(model, target)
    generator = models.fetch(model)
    if start == "uniform":
        return uniform_start(generator, tuple(seed) or (0,) * len(target))
    return mean_start(generator, len(target))


def _encode(model: Network, target: "Tensor") -> "Tensor":
    """The encoder's codes w_plus [N, L, D]."""
    import torch

    from models.encoder import encode

    with torch.no_grad():
        return encode(encoder_of(model, "use method: optimize"), target)
