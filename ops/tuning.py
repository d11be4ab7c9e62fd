"""Generators bent to one photograph."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import ItemError, OpError
from engine.op import SILENT, Progress, Range, Seed, op
from engine.values import Image, Latent, Network, Scalar, check_family
from ops.given import carrying, features_of, square

if TYPE_CHECKING:
    pass

Weight = Annotated[float, Range(0)]
Rows = Literal["all", "coarse", "middle", "fine"] | list[int]


@dataclass(frozen=True, slots=True)
class TunedGenerator:
    """What `tune_generator` gives: the network, its picture of the code, and how near that is.

    `before` and `psnr` are in dB; `drift` is how much pictures of other codes changed on average,
    in 0..1 of the range of colours; `size` is that of the weight delta in bytes.
    """

    model: Network
    reconstruction: Image
    before: Scalar
    psnr: Scalar
    drift: Scalar
    steps: Scalar
    size: Scalar


@op(version=1, batch=1, batch_cuda=1, beside=["features"])
def tune_generator(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    image: Image,
    model: Network,
    *,
    steps: Annotated[int, Range(0, 100_000)] = 350,
    learning_rate: Weight = 0.01,
    pixel: Weight = 10.0,
    perceptual: Weight = 1.0,
    locality: Weight = 0.1,
    reach: Weight = 0.5,
    what: Literal["both", "weights", "noise"] = "both",
    whiteness: Weight = 0.0,
    rank: Annotated[int, Range(0)] = 16,
    rows: Rows = "all",
    stop_psnr: float = 38.0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    progress: Progress = SILENT,
) -> TunedGenerator:
    """Bend a generator until it draws a photo from the photo's code (pivotal tuning).

    The network that comes out is for this one photo: `model: STEP` makes later steps draw with it.
    It understands the same codes and directions, for mapping and affines stay untouched; only the
    difference is kept. `what` may change: the convolutions, their noise maps, or both; `rank` 0
    changes convolutions freely, otherwise by matrices of that rank, which are small to keep. `rows`
    are those whose layers may change. `whiteness` keeps noise maps free of pictures. What tuning
    adds sits where the photo has it: edits of colour and expression carry it along, large turns of
    the head tear it.

    Shapes: latent w, w_plus or style of one item, image [1, 3, S, S] -> reconstruction
    [1, 3, R, R].
    Units: stop_psnr in dB; pixel, perceptual, locality are weights; locality is for what other
    codes show, `reach` spreads of the style space away. steps 0 changes nothing, bit for bit.
    Raises: ItemError bad_input if the picture is not square, not_finite if tuning breaks down;
    OpError if the code is of another generator or nothing is compared.
    Source: Roich et al. 2021, arXiv:2106.05744; Karras et al. 2020, arXiv:1912.04958 (noise maps);
    Hu et al. 2021, arXiv:2106.09685 (rank).
    """
    import models
    from models import deltas
    from models.codes import choose_rows, to_styles
    from models.tuning import Tuning, tune

    check_family(latent, model)
    base = models.network(model.path, model.device)
    net = features_of(model)
    if not pixel and (net is None or not perceptual):
        raise OpError("nothing compares the pictures: give pixel, or perceptual with a network")
    chosen = choose_rows(base.config, rows)
    tuning = Tuning(
        steps=steps,
        learning_rate=learning_rate,
        pixel=pixel,
        perceptual=perceptual,
        locality=locality,
        reach=reach,
        what=what,
        whiteness=whiteness,
        rank=rank,
        layers=tuple(layer.name for layer in base.layers if layer.row in chosen),
        stop_psnr=stop_psnr,
        seed=next(iter(seed), 0),
    )
    target = square(image.data, base.resolution).to(model.device)
    styles = to_styles(base, latent.data.to(model.device), latent.space).detach()
    earlier = deltas.unpack(model.delta, model.digest) if model.delta else None
    found = tune(base, net, styles, target, tuning, earlier, progress)
    if not math.isfinite(found.after):
        message = f"tuning broke down at step {found.steps}: lower learning_rate"
        raise ItemError("not_finite", message, item=0)
    tuned = carrying(model, found.packed)
    return TunedGenerator(
        tuned,
        Image(found.picture),
        Scalar((round(found.before, 2),)),
        Scalar((round(found.after, 2),)),
        Scalar((round(found.drift, 5),)),
        Scalar((found.steps,)),
        Scalar((len(found.packed),)),
    )
