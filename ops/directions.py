"""Directions in code space: learned from labels, and followed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import OpError, suggestion
from engine.op import Asset, Range, op
from engine.values import Direction, Image, Latent, Network, Scalar, Scores, check_family

if TYPE_CHECKING:
    from torch import Tensor

    from models.linear import Readout
    from models.perceptual import FeatureNet

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]
Names = str | list[str]


@dataclass(frozen=True, slots=True)
class LearnedDirection:
    """What `learn_direction` gives; the two scalars are held-out accuracies, 0..1."""

    direction: Direction
    accuracy: Scalar
    control: Scalar


@dataclass(frozen=True, slots=True)
class CalibratedDirection:
    """What `calibrate_direction` gives: how far pictures follow it, and what moves along."""

    direction: Direction
    effect: Scalar
    leak: Scalar


@op(version=1, batch=32)
def edit(
    latent: Latent,
    model: Network,
    *,
    direction: Annotated[Names, Asset("directions")],
    strength: float | list[float] = 1.0,
    mode: Literal["add", "set_to"] = "add",
    condition: Annotated[list[str], Asset("directions")] = [],  # noqa: B006 (read only)
    rows: Rows | None = None,
) -> Latent:
    """Move a code along directions that were learned for its generator.

    Several directions are followed at once, each by its own strength; the readings of `condition`
    stay what they are. "set_to" moves to a reading instead of by one. `rows` replaces the rows the
    directions were made for.

    Shapes: latent w [N, D], w_plus [N, L, D] or style [N, S] -> the same, or a wider space when
    only some rows move (w_plus) or the direction is one of style.
    Units: strength in standard deviations of the attribute; 0 changes nothing, bit for bit.
    Raises: OpError if code or direction belong to another generator, or strengths do not match.
    Source: Shen et al. 2020, arXiv:2005.09635 (conditional edits, for any number of directions).
    """
    import torch

    import models
    from models.directions import StoredDirection, load_direction, move

    check_family(latent, model)
    paths = [direction] if isinstance(direction, str) else direction
    amounts = [strength] * len(paths) if isinstance(strength, float | int) else strength
    if len(amounts) != len(paths):
        raise OpError(f"{len(amounts)} strengths for {len(paths)} directions")

    def read(path: str) -> StoredDirection:
        found = load_direction(path)
        if found.family != model.family:
            raise OpError(
                f"direction '{found.name}' was made for the generator {found.family[:12]}, "
                f"not for '{model.name}' ({model.family[:12]})"
            )
        return found

    generator = models.fetch(model)
    targets = [(read(path), float(amount)) for path, amount in zip(paths, amounts, strict=True)]
    with torch.no_grad():
        data, space = move(
            generator,
            latent.data.to(model.device),
            latent.space,
            targets,
            conditions=[read(path) for path in condition],
            rows=rows,
            absolute=mode == "set_to",
        )
    return Latent(data, space, latent.family)


@op(version=1)
def learn_direction(
    codes: Sequence[Latent],
    labels: Sequence[Scalar] | None = None,
    scores: Sequence[Scores] | None = None,
    *,
    attribute: str,
    method: Literal["regression", "mean_difference", "ridge", "logistic", "svm"] = "regression",
    held_out: Annotated[float, Range(0.05, 0.5)] = 0.25,
    quantile: Annotated[float, Range(0.01, 0.5)] = 0.3,
    seed: int = 0,
) -> LearnedDirection:
    """Learn along which direction of code space an attribute changes, from labelled codes.

    Labels are numbers, one per code, or the column `attribute` of `scores`. "regression" is how
    codes differ when the label does and every other score stays; "mean_difference" compares the
    codes of the lowest and highest `quantile`; "ridge", "logistic" and "svm" give the direction
    that tells the label best, which pictures may follow less.

    `accuracy` is the share of held-out codes read on the right side of the median; `control` the
    same after shuffling the labels, which must be near 0.5. The direction's card says how it was
    made.

    Shapes: codes w [1, D], w_plus [1, L, D] or style [1, S] each -> direction of the same space,
    of unit length; sigma is the step that changes the attribute by one standard deviation.
    Raises: OpError without exactly one kind of label, for z, or with fewer than 8 codes.
    Source: Shen et al. 2020, arXiv:2005.09635 (svm); own (calibration).
    """
    import torch

    from models.codes import draw
    from models.errors import ModelError
    from models.linear import fit_readout

    data, values, others = _table(codes, labels, scores, attribute)

    def fit(labels: "Tensor") -> "Readout":
        return fit_readout(
            data.flatten(1),
            labels,
            method,
            others=others,
            held_out=held_out,
            quantile=quantile,
            seed=seed,
        )

    try:
        found = fit(values)
        control = fit(values[draw(seed, len(values)).argsort()])
    except ModelError as error:
        raise OpError(f"attribute '{attribute}': {error}") from error
    card = {
        "attribute": attribute,
        "method": method,
        "codes": len(codes),
        "held_out": held_out,
        "accuracy": round(found.accuracy, 4),
        "correlation": round(found.correlation, 4),
        "shuffled_accuracy": round(control.accuracy, 4),
        "label_mean": round(float(values.mean()), 6),
        "label_std": round(float(values.std()), 6),
    }
    direction = Direction(
        found.direction.float().reshape(1, *data.shape[1:]),
        torch.tensor([found.sigma]),
        torch.tensor([found.offset]),
        attribute,
        codes[0].space,
        codes[0].family,
        (),
        json.dumps(card, sort_keys=True),
    )
    return LearnedDirection(
        direction, Scalar((round(found.accuracy, 6),)), Scalar((round(control.accuracy, 6),))
    )


@op(version=1)
def calibrate_direction(
    direction: Direction,
    model: Network,
    *,
    attribute: str = "",
    count: Annotated[int, Range(8, 4096)] = 48,
    seed: int = 0,
) -> CalibratedDirection:
    """Set a direction's unit by what pictures do: strength 1 is one deviation of the attribute.

    Faces are drawn before and after a step each way, and read by the model's feature network.
    `effect` is the change of the attribute at strength 1 afterwards; `leak` the mean change of all
    other attributes. Both, and the five that leak most, are written on the card.

    Shapes: direction [1, ...] -> direction, the same but for sigma.
    Units: effect, leak in standard deviations; attribute is by default the direction's name.
    Raises: OpError if the feature network does not read the attribute, or nothing moves.
    Source: own.
    """
    import torch

    import models
    from models.directions import StoredDirection, calibrate

    check_family(direction, model)
    net = _features(model)
    wanted = attribute or direction.name
    if wanted not in net.attributes:
        known = ", ".join(net.attributes)
        hint = suggestion(wanted, net.attributes)
        raise OpError(f"there is no attribute '{wanted}'{hint} (there are {known})")
    stored = StoredDirection(
        direction.data[0],
        float(direction.sigma[0]),
        float(direction.offset[0]),
        direction.name,
        direction.space,
        direction.family,
        direction.rows,
    )
    generator = models.fetch(model)
    column = net.attributes.index(wanted)
    sigma, effect = calibrate(generator, net, stored, column, count, seed)
    moved = float(effect[column])
    if moved < 0.2:
        raise OpError(f"pictures hardly follow direction '{direction.name}' ({moved:.2f} at most)")
    others = {n: abs(float(e)) for n, e in zip(net.attributes, effect, strict=True) if n != wanted}
    leak = sum(others.values()) / max(1, len(others))
    most = sorted(others, key=lambda name: -others[name])[:5]
    card = json.loads(direction.card) | {
        "effect": round(moved, 4),
        "leak": round(leak, 4),
        "leaks_most": {name: round(others[name], 4) for name in most},
    }
    done = replace(direction, sigma=torch.tensor([sigma]), card=json.dumps(card, sort_keys=True))
    return CalibratedDirection(done, Scalar((round(moved, 6),)), Scalar((round(leak, 6),)))


@op(version=1, batch=8, batch_cuda=64, fixed=True)
def score_attributes(image: Image, model: Network) -> Scores:
    """Read how much of each attribute pictures show, with the model's own feature network.

    Shapes: image [N, 3, H, W] -> scores [N, K], names as the feature network has them.
    Units: 0..1.  Raises: OpError if the model has no feature network beside it.
    Source: own.
    """
    import torch

    from models.perceptual import score_attributes as score

    net = _features(model)
    with torch.no_grad():
        return Scores(score(net, image.data.to(model.device)), net.attributes)


def _features(model: Network) -> "FeatureNet":
    """The feature network beside the model."""
    from pathlib import Path

    from models import companions

    beside = Path(model.path).with_name("features.safetensors")
    if not beside.is_file():
        raise OpError(f"model '{model.name}' has no feature network ({beside.name} beside it)")
    return companions.features(beside, model.device)


def _table(
    codes: Sequence[Latent],
    labels: Sequence[Scalar] | None,
    scores: Sequence[Scores] | None,
    attribute: str,
) -> tuple["Tensor", "Tensor", "Tensor | None"]:
    """The codes [N, ...], their labels [N], and the other scores [N, K] if there are any."""
    import torch

    if (labels is None) == (scores is None):
        raise OpError("learn_direction takes either `labels` or `scores`")
    if codes[0].space == "z":
        raise OpError("directions are learned in w, w_plus or style: map z first")
    if any((c.family, c.space) != (codes[0].family, codes[0].space) for c in codes):
        raise OpError("the codes belong to different generators or spaces")
    data = torch.cat([code.data for code in codes])
    if scores is not None:
        names = scores[0].names
        if attribute not in names:
            known = ", ".join(names)
            hint = suggestion(attribute, names)
            raise OpError(f"there is no attribute '{attribute}'{hint} (there are {known})")
        table = torch.cat([score.data for score in scores]).double()
        kept = [i for i, name in enumerate(names) if name != attribute]
        return data, table[:, names.index(attribute)], table[:, kept] if kept else None
    numbers = [label.data[0] for label in labels or ()]
    if not all(isinstance(x, int | float) for x in numbers):
        raise OpError("labels must be numbers or truth values")
    values = [float(x) for x in numbers if x is not None]
    return data, torch.tensor(values, dtype=torch.float64), None
