"""Generators that learn the manner of a folder of pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from engine.errors import OpError
from engine.op import SILENT, Progress, Range, Scratch, Seed, op
from engine.values import Image, Network, Scalar
from ops.given import carrying, checked, square

Weight = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
#: Without these frozen, codes of the base would mean nothing to the generator that comes out.
_ALWAYS = ("mapping", "affine")


@dataclass(frozen=True, slots=True)
class FinetunedGenerator:
    """What `finetune` gives: the network, and how learning went.

    `gap`: by how much the discriminator scored real pictures higher at the end (near 0: it is
    fooled); `augmented`: the chance of augmentation it took; `change`: how much pictures of random
    codes changed on average, in 0..1 of the range of colours; `size`: bytes of the weight delta.
    """

    model: Network
    gap: Scalar
    augmented: Scalar
    change: Scalar
    size: Scalar


def _judge_freeze(
    settings: Mapping[str, Any], _sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the list of what is frozen."""
    if missing := [name for name in _ALWAYS if name not in settings["freeze"]]:
        yield (
            "freeze",
            f"{' and '.join(missing)} must be frozen: the generator that comes out has to read the "
            "same codes as the one it is made of",
        )


@op(version=1, batch=1, batch_cuda=1, endless=True, check=_judge_freeze, beside=["discriminator"])
def finetune(  # noqa: PLR0913 (settings are declared here and nowhere else)
    images: Sequence[Image],
    model: Network,
    *,
    steps: Annotated[int, Range(0)] = 2000,
    batch: Count = 8,
    learning_rate: Weight = 0.003,
    freeze: list[Literal["mapping", "affine", "coarse", "middle", "fine", "rgb"]] = [  # noqa: B006
        "mapping",
        "affine",
    ],
    mixing: Annotated[float, Range(0, 1)] = 0.25,
    r1: Weight = 1.0,
    path: Weight = 0.0,
    steady: Annotated[float, Range(0, 1)] = 0.6,
    half_life: Weight = 500.0,
    rank: Annotated[int, Range(0)] = 0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    scratch: Scratch = Scratch(""),  # noqa: B008
    progress: Progress = SILENT,
) -> FinetunedGenerator:
    """Teach a generator to draw like a folder of pictures, against a discriminator.

    Gather the pictures: `gather: {over: photo}`. The generator that comes out reads the same codes
    (`model: STEP` draws with it; `translate` blends it with the first one): mapping and affines
    stay, and `freeze` may add rows by name, or `rgb`, the layers that choose colours. The
    discriminator beside the model begins, where there is one; else a new one learns from nothing,
    which takes far longer. `steady` holds overfitting by augmentation: the mean sign of real scores
    to keep (0: no augmentation). `rank` keeps the delta small: 0 keeps every change whole. A run
    that was killed goes on where it was.

    Shapes: images [1, 3, S, S] each, brought to the model's resolution.
    Units: half_life in pictures; r1 and path are weights; 8 pictures of 128 px take about a second
    per step on one core.
    Raises: ItemError bad_input if a picture is not square; OpError for fewer than two pictures, or
    if learning breaks down.
    Source: Karras et al. 2020, arXiv:1912.04958 and arXiv:2006.06676; Chong et al. 2021,
    arXiv:2111.01619, section 3.4 (what is frozen).
    """
    from pathlib import Path

    import torch

    import models
    from models import companions, deltas
    from models.adversarial import Rules
    from models.finetuning import FineTuning
    from models.finetuning import finetune as learn

    base = models.network(model.path, model.device)
    beside = Path(model.path).with_name("discriminator.safetensors")
    judge = companions.discriminator(beside, model.device) if beside.is_file() else None
    tuning = FineTuning(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        rules=Rules(mixing=mixing, r1=r1, path=path, steady=steady),
        layers=_thawed(base, freeze),
        half_life=half_life,
        rank=rank,
        seed=next(iter(seed), 0),
    )
    # A folder may be large: bytes take a quarter of the room that numbers do.
    pictures = torch.cat(
        [((square(x.data, base.resolution) + 1) * 127.5).round().byte() for x in images]
    )
    earlier = deltas.unpack(model.delta, model.digest) if model.delta else None
    with checked():
        found = learn(
            base, judge, pictures, tuning, Path(scratch) if scratch else None, earlier, progress
        )
    tuned = carrying(model, found.packed)
    return FinetunedGenerator(
        tuned,
        Scalar((round(found.gap, 4),)),
        Scalar((round(found.augmented, 5),)),
        Scalar((round(found.change, 5),)),
        Scalar((len(found.packed),)),
    )


def _thawed(base: Any, freeze: Sequence[str]) -> tuple[str, ...]:
    """The names of the layers that may change. Raises: OpError if none is left."""
    from models.codes import choose_rows

    with checked():
        named = [choose_rows(base.config, n) for n in freeze if n in ("coarse", "middle", "fine")]
    frozen = {row for rows in named for row in rows}
    left = tuple(
        layer.name
        for layer in base.layers
        if layer.row not in frozen and not (layer.kind == "rgb" and "rgb" in freeze)
    )
    if not left:
        raise OpError(f"freeze {list(freeze)} leaves nothing to learn")
    return left
