"""Codes of one category: a sampler learned for it, and rejection, which cannot fail, beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import KnownTo, Range, op
from engine.values import Latent, Network, Scalar, Scores
from ops.given import (
    base_of,
    carrying,
    checked,
    column_of,
    generator_of,
    judge_amounts,
    table_of,
)

if TYPE_CHECKING:
    from models.sampler import Category

#: Codes by which a sampler is judged, and codes that rejection draws to compare with.
_JUDGED, _COMPARED = 256, 64


@dataclass(frozen=True, slots=True)
class LearnedSampler:
    """What `learn_sampler` gives; all but the model are shares, 0..1.

    `accepted`: of codes it draws, those that a second classifier, of other codes, puts in the
    category; `exact`: the same of codes drawn by rejection; `base`: of any codes; `variety`: how
    far its codes lie from each other, as a share of how far those of rejection do.
    """

    model: Network
    accepted: Scalar
    exact: Scalar
    base: Scalar
    variety: Scalar


def _judge(settings: Mapping[str, Any], _: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the bounds of a category."""
    if settings["attribute"] == []:
        yield "attribute", "no attribute is given"
    yield from judge_amounts(settings, "attribute", "bound")


@op(version=2, endless=True, check=_judge)
def learn_sampler(  # noqa: PLR0913 (settings are declared here and nowhere else)
    codes: Sequence[Latent],
    scores: Sequence[Scores],
    model: Network,
    *,
    attribute: Annotated[str | list[str], KnownTo(("scores",))],
    bound: float | list[float] = 1.0,
    steps: Annotated[int, Range(1, 1_000_000)] = 300,
    batch: Annotated[int, Range(4, 4096)] = 128,
    hidden: Annotated[int, Range(4, 4096)] = 128,
    learning_rate: Annotated[float, Range(0, 1)] = 0.003,
    diversity: Annotated[float, Range(0)] = 20.0,
    seed: int = 0,
) -> LearnedSampler:
    """Learn to draw codes of one category only, from the scores of some of the model's pictures.

    The category is what lies `bound` standard deviations above the mean of `attribute` or higher;
    with a negative bound, that far below or lower; of several attributes, all. A classifier of
    codes is fitted to one half of the codes and steers a small network before the frozen generator;
    one fitted to the other half judges it. `diversity` keeps codes from becoming alike.
    `sample_category` draws: `models: {sampler: STEP}`, or a model of the file that an output wrote.

    Shapes: codes w [1, D], scores [1, K] -> model, a reference that carries the sampler.
    Raises: OpError for unknown attributes, bounds that do not match them, codes that are not in w
    or of another generator, too few codes, scores that do not vary, or an empty category.
    Source: own; pairwise diversity after Yang et al. 2019, arXiv:1901.09024.
    """
    import torch

    from models.readings import draw_codes
    from models.sampler import Steering, draw_learned, draw_rejecting, fit_classifier, pack, variety
    from models.sampler import learn_sampler as learn

    if len(codes) != len(scores):
        raise OpError(f"{len(scores)} scores for {len(codes)} codes: gather both over one axis")
    generator = generator_of(codes, model)
    if any(code.space != "w" for code in codes):
        raise OpError("a sampler is learned from codes in w")
    category = _category(attribute, bound)
    table, known = table_of(scores)
    table = table[:, [column_of(known, name) for name in category.attributes]]
    w = torch.cat([code.data for code in codes]).to(model.device)
    half = len(w) // 2
    steering = Steering(steps, batch, hidden, learning_rate, diversity, seed)
    with checked(f"attribute '{', '.join(category.attributes)}'"):
        guide = fit_classifier(w[:half], table[:half], seed)
        judge = fit_classifier(w[half:], table[half:], seed)
        exact = draw_rejecting(generator, guide, category, list(range(_COMPARED)))
        sampler = learn(generator, guide, category, steering)
        drawn = draw_learned(generator, sampler, list(range(_JUDGED)))
    usual = draw_codes(generator, 4 * _JUDGED, seed)
    shares = [
        float(judge.accepts(found, category).float().mean()) for found in (drawn, exact, usual)
    ]
    told = [*shares, variety(drawn) / max(variety(exact), 1e-12)]
    names = ("accepted", "exact", "base", "variety")
    card = {name: round(value, 4) for name, value in zip(names, told, strict=True)}
    packed = pack(sampler, guide, category, base_of(model), {**card, "codes": len(codes)})
    return LearnedSampler(carrying(model, packed), *(Scalar((card[name],)) for name in names))


@op(version=1, batch=32, fixed=True, carried=["sampler"])
def sample_category(
    index: Scalar,
    model: Network,
    sampler: Network,
    *,
    method: Literal["learned", "rejection"] = "learned",
    seed: int = 0,
) -> Latent:
    """Draw the code of a picture nobody has seen that belongs to a sampler's category.

    "rejection" draws codes until the sampler's classifier accepts one: always right by its
    measure, and the slower the rarer the category.

    Shapes: index N whole numbers -> latent w [N, D].
    Raises: OpError without a sampler, or if rejection finds none in 20,000 tries.
    Source: own.
    """
    from models.codes import number
    from models.sampler import draw_learned, draw_rejecting, unpack

    if not sampler.delta:
        raise OpError(
            "no sampler is given: write `models: {sampler: STEP}` of a step with learn_sampler"
        )
    if sampler.family != model.family:
        raise OpError(f"the sampler was learned for another generator than '{model.name}'")
    generator = generator_of([], model)
    numbers = [number(seed, i) for i in index.data]
    with checked("sampler"):
        network, classifier, category = unpack(sampler.delta)
        if method == "learned":
            w = draw_learned(generator, network.to(model.device), numbers)
        else:
            w = draw_rejecting(generator, classifier, category, numbers)
    return Latent(w, "w", model.family)


def _category(attribute: str | list[str], bound: float | list[float]) -> "Category":
    """The category that is asked for."""
    from models.sampler import Category

    names = [attribute] if isinstance(attribute, str) else attribute
    bounds = [bound] * len(names) if isinstance(bound, float | int) else bound
    if len(names) != len(bounds) or not names:
        raise OpError(f"{len(bounds)} bounds for {len(names)} attributes")
    return Category(tuple(names), tuple(float(one) for one in bounds))
