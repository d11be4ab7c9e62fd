"""How far attributes can be changed one at a time, and persons stay themselves, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import OpError, ShapeError
from engine.op import Asset, KnownTo, Range, op
from engine.values import Image, Latent, Network, Scalar, Scores
from ops.given import (
    checked,
    column_of,
    direction_of,
    encoder_of,
    generator_of,
    reader_of,
    rounded,
    square,
    table_of,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Dependency:
    """What `measure_dependency` gives: mean and largest change of others, that of the target, all.

    In deviations of each attribute over the unedited pictures; `change` keeps signs.
    """

    mean: Scalar
    most: Scalar
    reached: Scalar
    change: Scores


@dataclass(frozen=True, slots=True)
class Separability:
    """What `measure_separability` gives: exp of the summed entropies (1 at best), each in nats."""

    score: Scalar
    entropies: Scores


@dataclass(frozen=True, slots=True)
class Disentanglement:
    """What `measure_disentanglement` gives: a page of matrices, leaks, and conditions that help.

    `leak` and `leak_kept` are means over directions, without and with the suggested conditions.
    """

    page: Image
    leak: Scalar
    leak_kept: Scalar
    suggested: Scalar


@op(version=1)
def measure_dependency(
    before: Sequence[Scores],
    after: Sequence[Scores],
    *,
    attribute: Annotated[str, KnownTo(("before",))],
) -> Dependency:
    """Measure what else an edit of one attribute changes (attribute dependency, AD).

    Read it beside `reached`, with which it grows; any scorer will do.

    Shapes: before, after, each [1, K], of the same items -> numbers, change [1, K].
    Units: standard deviations of each attribute over `before`.
    Raises: OpError for an attribute nobody scored, or lists of different lengths.
    Source: Wu et al. 2021, arXiv:2011.12799, section 5 (mean-AD and max-AD).
    """
    from models.readings import dependency

    if len(before) != len(after) or len(before) < 2:
        raise OpError(f"{len(before)} scores before and {len(after)} after: two or more, the same")
    table, names = table_of([*before, *after])
    start, end = table[: len(before)], table[len(before) :]
    column = column_of(names, attribute)
    with checked():
        told = dependency(start, end, start.std(0), column)
    mean, most, reached = (Scalar((round(x, 6),)) for x in (told.mean, told.most, told.reached))
    return Dependency(mean, most, reached, Scores(told.each.float()[None], names))


@op(version=2, batch=8, fixed=True, beside=["features"])
def measure_identity(a: Image, b: Image, model: Network) -> Scalar:
    """Measure how unlike the persons of two pictures look.

    The difference of those attributes that tell people apart whatever their pose, expression, light
    and hair, as the model's feature network reads them.

    Shapes: a, b [N, 3, H, W] -> value.
    Units: 0 for the same, about 1 for two persons drawn at random.
    Raises: OpError without a feature network, ShapeError if the sizes differ.
    Source: own.
    """
    import models
    from models.readings import identity_distance, spreads

    if a.data.shape != b.data.shape:
        raise ShapeError(f"a is {list(a.data.shape[2:])}, b {list(b.data.shape[2:])}: resize one")
    net = reader_of(model)
    scale = spreads(models.fetch(model), net)
    apart = identity_distance(net, a.data.to(model.device), b.data.to(model.device), scale)
    return rounded(apart, 5)


@op(version=2, beside=["features"])
def measure_path_length(
    codes: Sequence[Latent],
    model: Network,
    *,
    sampling: Literal["end", "full"] = "end",
    epsilon: Annotated[float, Range(1e-5, 0.1)] = 1e-3,
    trim: Annotated[float, Range(0, 0.4)] = 0.01,
    seed: int = 0,
) -> Scalar:
    """Measure how evenly pictures change along codes (perceptual path length).

    Codes are taken two by two; a step of `epsilon` goes from the first of each pair towards the
    second, straight in w, along the great arc in z: from its end, or with "full" from a place on
    the way, drawn for each pair. Pictures are compared by the model's feature network, so lengths
    compare only with lengths measured by the same one.

    Shapes: codes z or w, each [1, D] -> value.
    Units: perceptual distance over epsilon squared, averaged without the extreme `trim` of pairs.
    Raises: OpError for fewer than four codes, other spaces, or without a feature network.
    Source: Karras et al. 2019, arXiv:1812.04948, section 4.1 (path ends and full paths).
    """
    import torch

    from models.codes import number, to_styles
    from models.disentanglement import path_lengths, trimmed_mean
    from models.perceptual import perceptual_distance

    generator, net = generator_of(codes, model), reader_of(model)
    space = codes[0].space
    if len(codes) < 4 or space not in ("z", "w") or any(c.space != space for c in codes):
        raise OpError(f"{len(codes)} codes in {space}: at least 4 are needed, all in z or all in w")

    def draw(data: "Tensor") -> "Tensor":
        return generator.synthesize_styles(to_styles(generator, data, space))

    def distance(a: "Tensor", b: "Tensor") -> "Tensor":
        return perceptual_distance(net, a, b)

    data = torch.cat([code.data for code in codes]).to(model.device)
    pairs = data[: len(data) // 2 * 2].reshape(-1, 2, data.shape[1])
    places = torch.zeros(len(pairs), dtype=torch.float64)
    if sampling == "full":
        random = torch.Generator().manual_seed(number(seed, "places"))
        places = torch.rand(len(pairs), dtype=torch.float64, generator=random)
    lengths = []
    with torch.no_grad():
        for part, begin in zip(torch.split(pairs, 8), torch.split(places, 8), strict=True):
            found = path_lengths(
                draw,
                distance,
                part[:, 0],
                part[:, 1],
                epsilon,
                places=begin,
                curve="spherical" if space == "z" else "linear",
            )
            lengths.append(found)
    return Scalar((round(trimmed_mean(torch.cat(lengths), trim), 4),))


@op(version=3)
def measure_separability(
    codes: Sequence[Latent],
    scores: Sequence[Scores],
    *,
    held_out: Annotated[float, Range(0.05, 0.5)] = 0.25,
) -> Separability:
    """Measure how well planes in code space tell high from low, for every attribute.

    Shapes: codes z, w [1, D] or any flat space, scores [1, K] -> score, entropies [1, K].
    Units: entropies in nats (0 told apart, 0.69 not at all); score 1 at best, 2 to the power of K.
    Raises: OpError for fewer than 32 codes, or lists of different lengths.
    Source: Karras et al. 2019, arXiv:1812.04948, section 4.2.
    """
    import torch

    from models.disentanglement import separability

    if len(codes) != len(scores):
        raise OpError(f"{len(scores)} scores for {len(codes)} codes: gather both over one axis")
    data = torch.cat([code.data for code in codes]).flatten(1)
    table, names = table_of(scores)
    with checked():
        told = separability(data, table, held_out)
    each = Scores(told.entropies.float()[None], names)
    return Separability(Scalar((round(told.score, 5),)), each)


@op(version=1, batch=4, fixed=True, beside=["encoder"])
def measure_editability(
    image: Image,
    model: Network,
    *,
    direction: Annotated[str, Asset("directions")],
    strength: Annotated[float, Range(-100, 100)] = 2.0,
) -> Scalar:
    """Measure whether an edit survives going through a picture (latent editing consistency, LEC).

    The code that the model's encoder finds is edited and drawn, the drawing encoded again and the
    edit taken back: how far that lies from the first code.

    Shapes: image [N, 3, S, S] -> value.
    Units: root mean square distance of codes; 0 if nothing is lost.
    Raises: OpError without an encoder beside the model, or for another model's direction.
    Source: Tov et al. 2021, arXiv:2102.02766 (LEC).
    """
    import torch

    import models
    from models.codes import to_styles
    from models.encoder import encode
    from models.moves import move

    encoder, generator = encoder_of(model), models.fetch(model)
    step = direction_of(direction, model)
    with torch.no_grad(), checked():
        code = encode(encoder, square(image.data, model.resolution).to(model.device))
        edited, space = move(generator, code, "w_plus", [(step, strength)])
        drawn = generator.synthesize_styles(to_styles(generator, edited, space))
        back, _ = move(generator, encode(encoder, drawn), "w_plus", [(step, -strength)])
    return rounded((back - code).square().mean((1, 2)).sqrt(), 6)


@op(version=2, beside=["features"])
def measure_disentanglement(
    codes: Sequence[Latent],
    model: Network,
    *,
    directions: Annotated[list[str], Asset("directions")],
    strength: Annotated[float, Range(0.1, 10)] = 1.0,
) -> Disentanglement:
    """Measure what a set of directions drags along, and which others to hold still meanwhile.

    The page shows how each direction changes each attribute, their cosines, the conditions that
    lower the leak, and the changes with them. Give codes that no direction was learned from.

    Shapes: codes w, each [1, D] -> page image [1, 3, H, W] and numbers.
    Units: changes and leaks in standard deviations, per step and per deviation of the target;
    strength in deviations, each way.
    Raises: OpError for directions of another model, in style, or not named like an attribute.
    Source: Wu et al. 2021, arXiv:2011.12799 (AD); Shen et al. 2020, arXiv:2005.09635 (conditions).
    """
    import torch

    from models.entanglement import examine, judge_by

    generator = generator_of(codes, model)
    if any(code.space != "w" for code in codes):
        raise OpError("directions are measured on codes in w")
    data = torch.cat([code.data for code in codes]).to(model.device)
    with checked():
        judge = judge_by(generator, reader_of(model))
        used = [direction_of(path, model) for path in directions]
        told = examine(generator, judge, data, used, strength)
    advice = [
        f"{name}: {', '.join(kept) or 'nothing'}"
        for name, kept in zip(told.names, told.suggested, strict=True)
    ]
    return Disentanglement(
        _page(told.names, told.change, told.cosine, told.kept, advice),
        rounded(told.leak.mean()[None], 5),
        rounded(told.leak_kept.mean()[None], 5),
        Scalar(("; ".join(advice),)),
    )


def _page(
    names: tuple[str, ...],
    change: "Tensor",
    cosine: "Tensor",
    kept: "Tensor",
    advice: list[str],
) -> Image:
    """The report page of a disentanglement."""
    import numpy as np
    import torch

    from models.heatmap import draw_lines, draw_matrix, stack_pages

    sheet = stack_pages(
        [
            draw_matrix("change of attribute by direction", names, names, change.tolist()),
            draw_matrix("cosine of directions", names, names, cosine.tolist()),
            draw_lines(["conditions that help:", *advice]),
            draw_matrix("change with these conditions", names, names, kept.tolist()),
        ]
    )
    pixels = torch.from_numpy(np.array(sheet)).permute(2, 0, 1)[None]
    return Image(pixels.float() / 127.5 - 1)
