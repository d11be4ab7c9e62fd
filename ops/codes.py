"""Codes: drawn, mapped, drawn towards the mean, blended, and mixed row by row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Range, op
from engine.values import Latent, Network, Scalar, check_family
from ops.given import checked, generator_of, judge_rows, need_space, rows_of, together

if TYPE_CHECKING:
    from torch import Tensor

    from models.config import GeneratorConfig
    from models.stylegan2 import Generator

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]
Psi = Annotated[float, Range(-2, 2)]


@op(version=1, batch=32, fixed=True)
def sample_codes(
    index: Scalar,
    model: Network,
    *,
    seed: int = 0,
    truncation: Annotated[float, Range(0, 2)] = 1.0,
    label: Annotated[int, Range(0)] | None = None,
    space: Literal["w", "z"] = "w",
) -> Latent:
    """Draw the code of a picture nobody has seen: item i of the endless list that `seed` opens.

    A longer list keeps the earlier codes. `label` is the class, for a generator that has classes.
    In z it is the Gaussian code that `map_codes` makes the same w of, not truncated.

    Shapes: index N whole numbers -> latent w [N, D] or z [N, Z].
    Units: truncation, the share of the way from the mean code.
    Raises: OpError if a class is missing, or given where there are none, or z is to be truncated.
    Source: Karras et al. 2019, arXiv:1812.04948 (truncation).
    """
    import torch

    import models

    generator = models.fetch(model)
    config = generator.config
    if space == "z" and (truncation != 1 or label is not None):
        raise OpError("z has no mean to draw towards and no classes: map it, then truncate")
    if space == "z":
        return Latent(_drawn(seed, index, config.z_dim), "z", model.family)
    if (label is None) != (config.c_dim == 0) or (label is not None and label >= config.c_dim):
        classes = f"0 to {config.c_dim - 1}" if config.c_dim else "none"
        raise OpError(f"label {label}: the classes of '{model.name}' are {classes}")
    z = _drawn(seed, index, config.z_dim)
    c = None
    if label is not None:
        c = torch.nn.functional.one_hot(torch.full((len(z),), label), config.c_dim).float()
        c = c.to(model.device)
    with torch.no_grad():
        w = generator.mapping(z.to(model.device), c)
        w = models.truncate(w, generator.w_avg, truncation)
    return Latent(w, "w", model.family)


@op(version=1, batch=32, fixed=True)
def map_codes(latent: Latent, model: Network) -> Latent:
    """Map Gaussian codes z to intermediate codes w.

    Shapes: latent z [N, Z] -> latent w [N, D].
    Raises: OpError if the code is not in z, or of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948.
    """
    import torch

    generator = generator_of([latent], model)
    need_space(latent, ("z",))
    with torch.no_grad():
        w = generator.mapping(latent.data.to(model.device))
    return Latent(w, "w", latent.family)


def _judge_shares(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the rows of `truncate`, or with what is left of each."""
    yield from judge_rows(settings, sides)
    psi, count = settings["psi"], rows_of(sides["model"])
    if isinstance(psi, list) and len(psi) != count:
        yield "psi", f"{len(psi)} psi: one per row is needed, {count}"
    if settings["rows"] != "all" and (settings["cutoff"] is not None or isinstance(psi, list)):
        yield "rows", "rows are chosen twice: give `rows`, or `cutoff`, or a list of psi"


@op(version=1, batch=32, check=_judge_shares)
def truncate(
    latent: Latent,
    model: Network,
    center: Latent | None = None,
    *,
    psi: Psi | list[Psi] = 0.7,
    rows: Rows = "all",
    cutoff: Annotated[int, Range(0)] | None = None,
    label: Annotated[int, Range(0)] | None = None,
) -> Latent:
    """Draw a code towards the generator's mean code: 1 leaves it, 0 gives the mean.

    `cutoff` draws only the rows before it; a list of `psi` has one for each row. The mean is that
    of all codes, or that of the class `label`, or the code `center`, such as the average of a
    category. Truncate before you edit: afterwards it shrinks the edit too.

    Shapes: latent w [N, D], w_plus [N, L, D] or style [N, S] -> as given (w becomes w_plus when
    rows differ); center as latent, or w where that has rows or styles.
    Units: psi, the share of the distance that stays.
    Raises: OpError for z, rows of a style vector, a list of another length, or two means.
    Source: Karras et al. 2019, arXiv:1812.04948.
    """
    import torch

    from models.codes import spread

    generator = generator_of([latent] if center is None else [latent, center], model)
    need_space(latent, ("w", "w_plus", "style"))
    with checked():
        shares = _shares(generator.config, psi, rows, cutoff)
    if set(shares) == {1.0}:
        return latent
    data = latent.data.to(model.device)
    with torch.no_grad():
        mean = _mean(generator, latent, center, label)
        if len(set(shares)) == 1:
            if data.dim() < mean.dim():
                data = spread(data, len(shares))
            drawn = torch.lerp(mean.expand_as(data), data, shares[0])
            return Latent(drawn, "w_plus" if drawn.dim() == 3 else latent.space, latent.family)
        need_space(latent, ("w", "w_plus"))
        data = spread(data, len(shares))
        mean = spread(mean, len(shares)).expand_as(data)
        drawn = torch.lerp(mean, data, data.new_tensor(shares)[:, None])
    return Latent(drawn, "w_plus", latent.family)


@op(version=1, batch=32)
def interpolate(
    start: Latent,
    end: Latent,
    *,
    t: Annotated[float, Range(-2, 3)] = 0.5,
    curve: Literal["linear", "spherical"] = "linear",
) -> Latent:
    """Walk from one code to another; t beyond 0..1 goes on past the ends.

    Shapes: start, end in one space (w also meets w_plus) -> latent as the wider of the two.
    Units: t, 0 at the start and 1 at the end.
    Raises: OpError if the codes belong to two generators, ShapeError if their spaces differ.
    Source: Shoemake 1985 (spherical); Karras et al. 2019, arXiv:1812.04948 (linear in w).
    """
    import torch

    from models.codes import slerp

    (a, b), space = together([start, end])
    if t in (0, 1):
        return Latent(b if t else a, space, start.family)
    moved = torch.lerp(a, b, t) if curve == "linear" else slerp(a, b, t)
    return Latent(moved, space, start.family)


@op(version=1)
def walk_codes(
    codes: Sequence[Latent],
    *,
    t: Annotated[float, Range(0, 1)] = 0.0,
    curve: Literal["linear", "spherical", "cubic"] = "linear",
    closed: bool = False,
) -> Latent:
    """Walk through codes in their order: one frame of a film that visits them all.

    `t` goes evenly from code to code, and meets each exactly. A closed walk returns to the first
    code: leave t = 1 out of a loop, it is the frame of t = 0. "spherical" is for codes in z;
    "cubic" turns smoothly at each code, where "linear" has a corner.

    Shapes: codes, each [1, ...] in one space (w also meets w_plus) -> latent [1, ...].
    Units: t, 0 at the first code and 1 at the end.
    Raises: OpError if the codes belong to several generators, ShapeError if their spaces differ.
    Source: Shoemake 1985 (spherical); Karras et al. 2021, arXiv:2106.12423 (cubic loops, in the
    code that goes with it).
    """
    import torch

    from models.paths import along

    parts, space = together(codes)
    return Latent(along(torch.cat(parts), t, curve, closed=closed), space, codes[0].family)


@op(version=1)
def average(
    codes: Sequence[Latent],
    shares: Sequence[Scalar] | None = None,
    *,
    weights: list[float] = [],  # noqa: B006 (read, never changed)
) -> Latent:
    """Make the mean of some codes, weighed if wanted.

    The wire `shares` brings a number with each code, such as a table's column; the setting
    `weights` lists them for codes that are listed too. They are divided by their sum, so that
    [1, 1] and [0.5, 0.5] mean the same; negative ones push away.

    Shapes: codes, each [1, ...] in one space (w also meets w_plus) -> latent [1, ...].
    Raises: OpError if they belong to several generators, or the weights are not one finite number
    for each code with a sum above 0; ShapeError if their spaces differ.
    Source: Abdal et al. 2019, arXiv:1904.03189 (linear combinations of embedded codes).
    """
    import torch

    parts, space = together(codes)
    share = torch.tensor(_weights(len(parts), shares, weights), dtype=torch.float64)
    # In double precision the order of the members leaves no trace in the result.
    data = torch.cat(parts).double()
    mean = torch.tensordot(share / share.sum(), data.cpu(), dims=1)[None]
    return Latent(mean.float(), space, codes[0].family)


@op(version=1, batch=32, check=judge_rows)
def mix_styles(
    content: Latent,
    style: Latent,
    model: Network,
    *,
    rows: Rows = "fine",
    crossover: Annotated[int, Range(0)] | None = None,
    strength: Annotated[float, Range(0, 1)] = 1.0,
) -> Latent:
    """Take some rows of a code from another one.

    Coarse rows carry pose and shape, fine rows colours and texture in large generators; in those
    of 128 px that ship the middle rows carry the colours, and the fine ones only details.
    `crossover` takes all rows from that one on, in place of `rows`: 0 gives the style alone, the
    number of rows the content alone. Style transfer in a generator of 1024 px has it at 9 of 18.

    Shapes: content, style w [N, D] or w_plus [N, L, D] -> latent w_plus [N, L, D].
    Units: strength 0 (content alone) .. 1 (the rows are the other's).
    Raises: OpError for other spaces, or codes of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948 (style mixing); Abdal et al. 2019,
    arXiv:1904.03189 (style transfer).
    """
    import torch

    from models.codes import choose_rows, spread

    config = generator_of([content, style], model).config
    for latent in (content, style):
        need_space(latent, ("w", "w_plus"))
    mixed = spread(content.data, config.num_rows).clone()
    other = spread(style.data, config.num_rows)
    if crossover is None:
        chosen = list(choose_rows(config, rows))
    else:
        chosen = list(range(_cut(config, "crossover", crossover), config.num_rows))
    mixed[:, chosen] = torch.lerp(mixed[:, chosen], other[:, chosen], strength)
    return Latent(mixed, "w_plus", content.family)


@op(version=1, batch=32)
def transfer_expression(
    latent: Latent,
    neutral: Latent,
    expressive: Latent,
    *,
    strength: Annotated[float, Range(-5, 5)] = 1.0,
) -> Latent:
    """Give a face the expression that tells two pictures of another person apart.

    Shapes: all in one space (w also meets w_plus) -> latent as the widest of the three.
    Units: strength 1 adds the whole difference expressive - neutral.
    Raises: OpError if the codes belong to several generators, ShapeError if their spaces differ.
    Source: Abdal et al. 2019, arXiv:1904.03189 (expression transfer).
    """
    (face, calm, moved), space = together([latent, neutral, expressive])
    if strength == 0:
        return Latent(face, space, latent.family)
    return Latent(face + strength * (moved - calm), space, latent.family)


@op(version=1, batch=32, fixed=True)
def to_style(latent: Latent, model: Network) -> Latent:
    """Turn a code into its style vector: one number per channel of every layer.

    Shapes: latent z, w, w_plus -> style [N, S]; a style vector stays as it is.
    Raises: OpError if the code is of another generator.
    Source: Wu et al. 2021, arXiv:2011.12799 (StyleSpace).
    """
    import torch

    import models
    from models.codes import to_styles

    check_family(latent, model)
    generator = models.fetch(model)
    with torch.no_grad():
        styles = to_styles(generator, latent.data.to(model.device), latent.space)
    return Latent(styles, "style", latent.family)


def _drawn(seed: int, index: Scalar, width: int) -> "Tensor":
    """Gaussian codes [N, width], each from its own number."""
    import torch

    from models.codes import draw, number

    return torch.cat([draw(number(seed, i), 1, width) for i in index.data])


def _cut(config: "GeneratorConfig", name: str, row: int) -> int:
    """A row that parts the rows in two. Raises: OpError beyond the last."""
    if row > config.num_rows:
        raise OpError(f"{name} {row}: this generator has {config.num_rows} rows")
    return row


def _shares(
    config: "GeneratorConfig", psi: float | list[float], rows: Rows, cutoff: int | None
) -> list[float]:
    """How much of its distance each row keeps. Raises: OpError, ModelError."""
    from models.codes import choose_rows

    if (cutoff is not None or isinstance(psi, list)) and rows != "all":
        raise OpError("rows are chosen twice: give `rows`, or `cutoff`, or a list of psi")
    if isinstance(psi, list):
        if len(psi) != config.num_rows or cutoff is not None:
            also = " and no cutoff" if cutoff is not None else ""
            raise OpError(f"{len(psi)} psi: one per row is needed, {config.num_rows}{also}")
        return [float(value) for value in psi]
    if cutoff is not None:
        chosen = tuple(range(_cut(config, "cutoff", cutoff)))
    else:
        chosen = choose_rows(config, rows)
    return [float(psi) if row in chosen else 1.0 for row in range(config.num_rows)]


def _mean(
    generator: "Generator", latent: Latent, center: Latent | None, label: int | None
) -> "Tensor":
    """The code to draw towards, in the latent's space or as w_plus, for one item or all."""
    from models.codes import class_mean, spread, to_styles

    if center is None:
        with checked():
            mean = generator.w_avg if label is None else class_mean(generator, label)
        center = Latent(mean[None], "w", latent.family)
    elif label is not None:
        raise OpError("center and label each name a mean code: give one of them")
    data = center.data.to(generator.w_avg.device)
    if latent.space == "style":
        return to_styles(generator, data, center.space)
    need_space(center, ("w", "w_plus"))
    return spread(data, generator.num_rows) if latent.space == "w_plus" else data


def _weights(count: int, shares: Sequence[Scalar] | None, weights: Sequence[float]) -> list[float]:
    """One weight per code, one everywhere if none are given."""
    if shares is not None and weights:
        raise OpError("average takes either the wire `shares` or the setting `weights`")
    given: list[object] = list(weights)
    if shares is not None:
        given = [share.data[0] for share in shares]
    if not given:
        return [1.0] * count
    found = [float(x) for x in given if isinstance(x, int | float) and math.isfinite(x)]
    if len(found) != len(given) or len(found) != count or sum(found) <= 1e-9:
        raise OpError(
            f"weights {given}: must be {count} finite numbers, one per code, with a sum above 0"
        )
    return found
