"""Scorers of one's own, from labelled pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import OpError, suggestion
from engine.op import Range, op
from engine.values import Image, Network, Scalar, Scores
from ops.given import base_of, carrying, checked, features_file, reader_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainedScorer:
    """What `train_scorer` gives: the scorer, and shares of pictures it had not seen, 0..1.

    `accuracy` is the share told right, `control` the same with shuffled labels, `chance` how
    probable so many right ones are by guessing.
    """

    model: Network
    accuracy: Scalar
    control: Scalar
    chance: Scalar


def _judge_name(
    settings: Mapping[str, Any], _sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the name that a scorer is to have."""
    if not settings["name"].strip():
        yield "name", "no name is given: it is what other steps call the score"


@op(
    version=3,
    endless=True,
    check=_judge_name,
    one_of=("labels", "without"),
    names=[("name",)],
    beside=["features"],
)
def train_scorer(
    images: Sequence[Image],
    model: Network,
    labels: Sequence[Scalar] | None = None,
    without: Sequence[Image] | None = None,
    *,
    name: str,
    positive: str = "",
    held_out: Annotated[float, Range(0.05, 0.5)] = 0.25,
    seed: int = 0,
) -> TrainedScorer:
    """Learn from labelled pictures to score something, with the eyes of the feature network.

    Labels are numbers, truth values, or texts such as the folder (`photo.dir`), of which `positive`
    is the one that means yes; or `images` have it and those `without` have not. `score_with` uses
    the scorer: `models: {scorer: STEP}`, or a model of the file that an output wrote; such files
    are what `score_attributes` and `calibrate_direction` take as `scorers`.

    Shapes: images, each [1, 3, H, W] of any size -> model, a reference that carries the scorer.
    Raises: OpError without labels, if they are missing or do not vary, for fewer than 8 pictures,
    or without a feature network beside the model.
    Source: own; linear probes after Alain and Bengio 2016, arXiv:1610.01644.
    """
    import torch

    from models import file_digest
    from models.codes import draw
    from models.scorer import fit_scorer, look, pack

    if (labels is None) == (without is None):
        raise OpError("train_scorer takes either `labels` or `without`")
    net = reader_of(model)
    every = [*images, *(without or ())]
    if labels is None:
        values = torch.tensor([1.0] * len(images) + [0.0] * (len(every) - len(images)))
    else:
        values = _values([label.data[0] for label in labels], len(images), positive)
    seen = torch.cat([look(net, image.data.to(model.device)) for image in every]).cpu()
    eyes = file_digest(features_file(model))
    with checked(f"scorer '{name}'"):
        scorer, found = fit_scorer(seen, values, name, eyes, held_out, seed)
        mixed = values[draw(seed, len(values)).argsort()]
        _, control = fit_scorer(seen, mixed, name, eyes, held_out, seed)
    told = (round(found.accuracy, 6), round(control.accuracy, 6), float(f"{found.chance:.6g}"))
    trained = carrying(model, pack(scorer, base_of(model)))
    return TrainedScorer(trained, *(Scalar((number,)) for number in told))


@op(
    version=1,
    batch=8,
    fixed=True,
    names=[("scorer",)],
    beside=["features"],
    carried=["scorer"],
)
def score_with(image: Image, model: Network, scorer: Network) -> Scores:
    """Score pictures with a scorer that `train_scorer` made.

    Shapes: image [N, 3, H, W] -> scores [N, 1], named as the scorer is.
    Units: 0..1 for yes or no, else those of the labels.
    Raises: OpError without a scorer, or one that was trained with another feature network.
    Source: own.
    """
    from models import file_digest
    from models.scorer import FOREIGN, look, unpack

    if not scorer.delta:
        raise OpError(
            "no scorer is given: write `models: {scorer: STEP}` of a step that trains one"
        )
    net = reader_of(model)
    with checked("scorer"):
        found = unpack(scorer.delta)
        if found.eyes != file_digest(features_file(model)):
            raise OpError(f"scorer '{found.name}' {FOREIGN}")
        scores = found.score(look(net, image.data.to(model.device)))
    return Scores(scores[:, None], (found.name,))


def _values(labels: Sequence[object], images: int, positive: str) -> "Tensor":
    """Labels as numbers, [N]."""
    import torch

    if len(labels) != images:
        raise OpError(f"{len(labels)} labels for {images} pictures: gather both over one axis")
    missing = sum(label is None for label in labels)
    if missing:
        raise OpError(f"{missing} of {len(labels)} labels are missing: leave those out with `when`")
    texts = sorted({label for label in labels if isinstance(label, str)})
    if texts and positive not in texts:
        near, there = suggestion(positive, texts), ", ".join(texts)
        raise OpError(f"positive '{positive}': must be one of the labels ({there}){near}")
    return torch.tensor([float(x == positive) if texts else float(x) for x in labels])  # type: ignore[arg-type]
