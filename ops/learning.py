"""Directions in code space, learned from labelled codes, and measured on pictures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Asset, KnownTo, Range, op
from engine.values import Direction, Latent, Network, Scalar, Scores, check_family
from ops.given import checked, column_of, digest_of, features_of, panel_of, table_of

if TYPE_CHECKING:
    from torch import Tensor

    from models.exemplars import Choice
    from models.linear import Readout

Method = Literal[
    "regression", "mean_difference", "pair_difference", "ridge", "logistic", "svm", "exemplars"
]


@dataclass(frozen=True, slots=True)
class LearnedDirection:
    """What `learn_direction` gives; the scalars are shares and a probability, 0..1.

    `accuracy` and `control` are those of held-out codes, with labels as they are and shuffled;
    `chance` is how probable so many right answers would be by guessing.
    """

    direction: Direction
    accuracy: Scalar
    control: Scalar
    chance: Scalar


@dataclass(frozen=True, slots=True)
class CalibratedDirection:
    """What `calibrate_direction` gives: how far pictures follow it, and what moves along."""

    direction: Direction
    effect: Scalar
    leak: Scalar


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Labelled codes. Shapes: codes [N, ...], labels [N], scores [N, K] in the order of `names`."""

    codes: "Tensor"
    labels: "Tensor"
    scores: "Tensor | None" = None
    names: tuple[str, ...] = ()

    def examples(self, quantile: float) -> "_Table":
        """The codes with the lowest and highest labels, labelled 0 and 1."""
        from models.linear import extremes

        low, high = extremes(self.labels, quantile)
        kept = low | high
        return _Table(self.codes[kept], high[kept].double())

    def columns(self, wanted: Sequence[str], setting: str, target: str = "") -> "Tensor | None":
        """Some of the scores, [N, k], or None. Raises: OpError for a name that is not there."""
        if target and target in wanted:
            raise OpError(f"{setting}: '{target}' is the attribute that is learned: leave it out")
        places = [column_of(self.names, name, setting) for name in wanted]
        return None if self.scores is None or not places else self.scores[:, places]


def _judge_learning(
    settings: Mapping[str, Any], _sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with settings that do not go together."""
    if settings["channels"] and settings["method"] == "exemplars":
        yield "channels", "exemplars are compared whole: leave it at 0, or choose another method"
    target = settings["attribute"]
    if not target.strip():
        yield "attribute", "no attribute is given"
    for name in [name for name in ("hold", "balance") if target in (settings[name] or [])]:
        yield name, f"'{target}' is the attribute that is learned: leave it out"


@op(
    version=6,
    one_of=("labels", "scores", "without"),
    check=_judge_learning,
    beside=["features:method"],
)
def learn_direction(  # noqa: PLR0913 (settings are declared here and nowhere else)
    codes: Sequence[Latent],
    model: Network,
    labels: Sequence[Scalar] | None = None,
    scores: Sequence[Scores] | None = None,
    without: Sequence[Latent] | None = None,
    *,
    attribute: Annotated[str, KnownTo(("scores",))],
    method: Method = "regression",
    hold: Annotated[list[str] | None, KnownTo(("scores",))] = None,
    balance: Annotated[list[str], KnownTo(("scores",))] = [],  # noqa: B006 (read only)
    held_out: Annotated[float, Range(0.05, 0.5)] = 0.25,
    quantile: Annotated[float, Range(0.01, 0.5)] = 0.3,
    gap: Annotated[float, Range(0, 3)] = 0.2,
    folds: Annotated[int, Range(2, 50)] = 5,
    channels: Annotated[int, Range(0, 65_536)] = 0,
    licence: str = "",
    seed: int = 0,
) -> LearnedDirection:
    """Learn along which direction of code space an attribute changes, from labelled codes.

    Labels are numbers, one per code, or the column `attribute` of `scores`, or `codes` are
    examples that have the attribute and `without` such that have not. "regression" is how codes
    differ when the label does and the scores in `hold` (all others, if not given) stay;
    "pair_difference" the mean of code difference over label difference of random pairs at least
    `gap` deviations apart, which is the regression that holds nothing; "mean_difference" compares
    the codes of the lowest and highest `quantile`; "ridge", "logistic" and "svm" give the direction
    that tells the label best, which pictures may follow less. "exemplars" is for a few dozen
    examples (with many-valued labels, the lowest and highest `quantile`): all classifying methods
    are cross-validated, and of those that do equally well the one is taken whose edits change other
    attributes least in pictures. `balance` names scores: codes are weighed so that each of them
    says nothing about the label. Of codes `style` a direction may use only so many `channels`,
    those that go with the label best (0: all).

    `accuracy` is the share of held-out codes read on the right side of the median; `control` the
    same after shuffling the labels, which must be near 0.5. The direction's card says how it was
    made.

    Shapes: codes w [1, D], w_plus [1, L, D] or style [1, S] each -> direction of the same space,
    of unit length; sigma is the step that changes the attribute by one standard deviation.
    Units: quantile a share of the codes, gap standard deviations of the label.
    Raises: OpError without exactly one kind of label, if labels are missing, constant or fewer
    than codes, for fewer than 8 codes, for z, for `channels` of other codes than style, or for
    codes of another generator.
    Source: Shen et al. 2020, arXiv:2005.09635 (svm); after Wu et al. 2021, arXiv:2011.12799
    (channels); own (calibration, exemplars).
    """
    from models.codes import draw
    from models.linear import check_labels, fit_readout

    check_family(codes[0], model)
    if channels and codes[0].space != "style":
        raise OpError(f"channels: codes {codes[0].space} have none; `to_style` makes codes style")
    table = _table([*codes], [*(without or ())], labels, scores, attribute)
    others = [name for name in table.names if name != attribute] if hold is None else hold
    held = table.columns(others, "hold", attribute)
    by = table.columns(balance, "balance", attribute)
    data = table.codes.flatten(1)
    choice: Choice | None = None
    shuffled = table.labels[draw(seed, len(table.labels)).argsort()]
    with checked(f"attribute '{attribute}'"):
        if method == "exemplars":
            if len(table.labels) > 1:
                check_labels(table.labels)
            table = table.examples(quantile)
            data = table.codes.flatten(1)
            shuffled = table.labels[draw(seed, len(table.labels)).argsort()]
            choice = _choose(table, codes[0], model, attribute, folds, seed)
            found, control = choice.readout, _guess(data, shuffled, choice, folds, seed)
        else:

            def fit(given: "Tensor") -> "Readout":
                return fit_readout(
                    data,
                    given,
                    method,
                    others=held,
                    balance=by,
                    held_out=held_out,
                    quantile=quantile,
                    gap=gap,
                    numbers=channels,
                    seed=seed,
                )

            found, control = fit(table.labels), fit(shuffled).accuracy
    card = {
        "attribute": attribute,
        "method": method,
        "model": model.name,
        "held_out": held_out,
        "held": others if method == "regression" else [],
        "balanced_by": balance,
        "channels": channels,
        "shuffled_accuracy": round(control, 4),
        "licence": licence,
    }
    card |= _reading(found, table) | _told(choice)
    return LearnedDirection(
        _direction(found, table, codes[0], attribute, card),
        Scalar((round(found.accuracy, 6),)),
        Scalar((round(control, 6),)),
        Scalar((float(f"{found.chance:.6g}"),)),
    )


def _direction(
    found: "Readout", table: _Table, code: Latent, attribute: str, card: dict[str, Any]
) -> Direction:
    """What was found as a value."""
    import torch

    return Direction(
        found.direction.float().reshape(1, *table.codes.shape[1:]),
        torch.tensor([found.sigma]),
        torch.tensor([found.offset]),
        attribute,
        code.space,
        code.family,
        (),
        json.dumps(card, sort_keys=True),
    )


def _reading(found: "Readout", table: _Table) -> dict[str, Any]:
    """What a card says of the labels, and of how well they are read."""
    return {
        "codes": len(table.labels),
        "data": digest_of(table.codes, table.labels),
        "accuracy": round(found.accuracy, 4),
        "chance": float(f"{found.chance:.3g}"),
        "correlation": round(found.correlation, 4),
        "label_mean": round(float(table.labels.mean()), 6),
        "label_std": round(float(table.labels.std()), 6),
    }


def _told(choice: "Choice | None") -> dict[str, Any]:
    """What a card says of how the method was chosen."""
    if choice is None:
        return {}
    return {
        "chosen": choice.method,
        "cross_validated": {name: round(share, 4) for name, share in choice.accuracy.items()},
        "dependency": {name: round(value, 4) for name, value in choice.dependency.items()},
    }


def _guess(data: "Tensor", labels: "Tensor", choice: "Choice", folds: int, seed: int) -> float:
    """How well the chosen method does on labels that mean nothing."""
    from models.exemplars import cross_validate

    return cross_validate(data.double(), labels == labels.max(), choice.method, folds, seed)


def _choose(
    table: _Table, code: Latent, model: Network, attribute: str, folds: int, seed: int
) -> "Choice":
    """The direction of exemplars; pictures judge the methods if a feature network is there."""
    import models
    from models.directions import StoredDirection
    from models.exemplars import choose, mean_gap
    from models.moves import move
    from models.readings import draw_codes, read_codes, spreads, stray

    data, net = table.codes.flatten(1), features_of(model)
    if net is None:
        return choose(data, table.labels, folds=folds, seed=seed)
    generator = models.fetch(model)
    w, scale = draw_codes(generator, 16, seed), spreads(generator, net)
    before = read_codes(generator, net, w, "w")
    if attribute in net.attributes:
        wanted = scale.new_zeros(len(scale))
        wanted[net.attributes.index(attribute)] = 1
    else:  # what the examples' own pictures say it is
        seen = read_codes(generator, net, table.codes, code.space)
        shown = table.labels == table.labels.max()
        wanted = seen[shown].mean(0) - seen[~shown].mean(0)

    def measure(readout: "Readout") -> float:
        gap = mean_gap(data, table.labels, readout.direction)
        vector = readout.direction.float().reshape(table.codes.shape[1:])
        step = StoredDirection(vector, gap, 0.0, attribute, code.space, code.family)
        after = read_codes(generator, net, *move(generator, w, "w", [(step, 1.0)]))
        return stray(before, after, scale, wanted)

    return choose(data, table.labels, folds=folds, seed=seed, measure=measure)


@op(version=3, beside=["features"])
def calibrate_direction(
    direction: Direction,
    model: Network,
    *,
    attribute: Annotated[str, KnownTo(("model", "scorers"))] = "",
    count: Annotated[int, Range(8, 4096)] = 48,
    scorers: Annotated[list[str], Asset("scorers")] = [],  # noqa: B006 (read only)
    seed: int = 0,
) -> CalibratedDirection:
    """Set a direction's unit by what pictures do: strength 1 is one deviation of the attribute.

    Of one that is there or not, such as glasses, it is a little over half of what there is to move.
    Faces are drawn before and after a step each way, and read by the model's feature network and
    by `scorers`, files that `train_scorer` made.
    `effect` is the change of the attribute at strength 1 afterwards; `leak` the mean change of all
    other attributes. Both, and how far each attribute moves, are written on the card, where `edit`
    reads what keeps a condition still.

    Shapes: direction [1, ...] -> direction, the same but for sigma.
    Units: effect, leak in standard deviations; attribute is by default the direction's name.
    Raises: OpError if nothing there reads the attribute, or nothing moves.
    Source: own.
    """
    import torch

    import models
    from models.calibration import recalibrated
    from models.directions import StoredDirection

    check_family(direction, model)
    stored = StoredDirection(
        direction.data[0],
        float(direction.sigma[0]),
        float(direction.offset[0]),
        direction.name,
        direction.space,
        direction.family,
        direction.rows,
        direction.card,
    )
    with checked():
        done = recalibrated(
            models.fetch(model),
            panel_of(model, scorers),
            stored,
            attribute or direction.name,
            count,
            seed,
        )
    card = json.loads(done.card)
    return CalibratedDirection(
        replace(direction, sigma=torch.tensor([done.sigma]), card=done.card),
        Scalar((card["effect"],)),
        Scalar((card["leak"],)),
    )


def _table(
    codes: list[Latent],
    without: list[Latent],
    labels: Sequence[Scalar] | None,
    scores: Sequence[Scores] | None,
    attribute: str,
) -> _Table:
    """The codes and what is known of each."""
    import torch

    if [labels is None, scores is None, not without].count(False) != 1:
        raise OpError("learn_direction takes one of `labels`, `scores` and `without`")
    every = codes + without
    if every[0].space == "z":
        raise OpError("directions are learned in w, w_plus or style: map z first")
    if any((c.family, c.space) != (every[0].family, every[0].space) for c in every):
        raise OpError("the codes belong to different generators or spaces")
    data = torch.cat([code.data for code in every])
    if without:
        return _Table(data, torch.tensor([1.0] * len(codes) + [0.0] * len(without)).double())
    given: Sequence[Scalar] | Sequence[Scores] = labels or scores or ()
    if len(given) != len(codes):
        what = "labels" if labels is not None else "scores"
        raise OpError(f"{len(given)} {what} for {len(codes)} codes: gather both over the same axis")
    if scores is not None:
        table, names = table_of(scores)
        known = _Table(data, table[:, 0].double(), table.double(), names)
        column = known.columns([attribute], "attribute")
        assert column is not None
        _complete(column[:, 0].tolist())
        return replace(known, labels=column[:, 0])
    numbers = [label.data[0] for label in labels or ()]
    _complete(numbers)
    values = [float(x) for x in numbers if isinstance(x, int | float)]
    return _Table(data, torch.tensor(values, dtype=torch.float64))


def _is_number(text: str) -> bool:
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _complete(labels: Sequence[object]) -> None:
    """Raise OpError unless every label is a finite number or truth value."""
    if texts := {i: x for i, x in enumerate(labels) if isinstance(x, str)}:
        odd = [i for i, x in texts.items() if not _is_number(x)] or list(texts)
        why = "" if len(odd) == len(texts) else "; one such cell makes texts of a whole column"
        raise OpError(
            f"labels must be numbers or truth values: item {odd[0]} is {texts[odd[0]]!r}{why}"
        )
    missing = [
        i for i, x in enumerate(labels) if not (isinstance(x, int | float) and math.isfinite(x))
    ]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise OpError(
            f"{len(missing)} of {len(labels)} labels are missing or not a number (items {shown}): "
            "fill them in, or leave those items out with `when`"
        )
