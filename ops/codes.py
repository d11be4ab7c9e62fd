"""Codes: drawn, mapped, drawn towards the mean, blended, and mixed row by row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from engine.errors import OpError, ShapeError
from engine.op import Range, op
from engine.values import Latent, Network, Scalar, Space, check_family

if TYPE_CHECKING:
    from torch import Tensor

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]


@op(version=1, batch=32, fixed=True)
def sample_codes(
    index: Scalar,
    model: Network,
    *,
    seed: int = 0,
    truncation: Annotated[float, Range(0, 2)] = 1.0,
    label: Annotated[int, Range(0)] | None = None,
) -> Latent:
    """Draw the code of a picture nobody has seen: item i of the endless list that `seed` opens.

    A longer list keeps the earlier codes. `label` is the class, for a generator that has classes.

    Shapes: index N whole numbers -> latent w [N, D].
    Units: truncation, the share of the way from the mean code.
    Raises: OpError if a class is missing, or given where there are none.
    Source: Karras et al. 2019, arXiv:1812.04948 (truncation).
    """
    import torch

    import models
    from models.codes import draw, number

    generator = models.fetch(model)
    config = generator.config
    if (label is None) != (config.c_dim == 0) or (label is not None and label >= config.c_dim):
        classes = f"0 to {config.c_dim - 1}" if config.c_dim else "none"
        raise OpError(f"label {label}: the classes of '{model.name}' are {classes}")
    z = torch.cat([draw(number(seed, i), 1, config.z_dim) for i in index.data])
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

    import models

    check_family(latent, model)
    _need(latent, ("z",))
    generator = models.fetch(model)
    with torch.no_grad():
        w = generator.mapping(latent.data.to(model.device))
    return Latent(w, "w", latent.family)


@op(version=1, batch=32)
def truncate(
    latent: Latent, model: Network, *, psi: Annotated[float, Range(-2, 2)] = 0.7, rows: Rows = "all"
) -> Latent:
    """Draw a code towards the generator's mean code: 1 leaves it, 0 gives the mean.

    Shapes: latent w [N, D], w_plus [N, L, D] or style [N, S] -> as given (w becomes w_plus when
    only some rows are drawn).
    Units: psi, the share of the distance that stays.
    Raises: OpError for z, or rows of a style vector.
    Source: Karras et al. 2019, arXiv:1812.04948.
    """
    import torch

    import models
    from models.codes import choose_rows, mean_code, spread

    check_family(latent, model)
    _need(latent, ("w", "w_plus", "style"))
    if psi == 1:
        return latent
    generator = models.fetch(model)
    data = latent.data.to(model.device)
    with torch.no_grad():
        if rows == "all":
            mean = mean_code(generator, latent.space)
            return Latent(torch.lerp(mean.expand_as(data), data, psi), latent.space, latent.family)
        _need(latent, ("w", "w_plus"))
        done = spread(data, generator.num_rows).clone()
        chosen = list(choose_rows(generator.config, rows))
        done[:, chosen] = torch.lerp(
            generator.w_avg.expand_as(done[:, chosen]), done[:, chosen], psi
        )
    return Latent(done, "w_plus", latent.family)


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

    (a, b), space = _together([start, end])
    if t in (0, 1):
        return Latent(b if t else a, space, start.family)
    moved = torch.lerp(a, b, t) if curve == "linear" else slerp(a, b, t)
    return Latent(moved, space, start.family)


@op(version=1)
def average(codes: Sequence[Latent]) -> Latent:
    """Make the mean of some codes.

    Shapes: codes, each [1, ...] in one space (w also meets w_plus) -> latent [1, ...].
    Raises: OpError if they belong to several generators, ShapeError if their spaces differ.
    Source: Abdal et al. 2019, arXiv:1904.03189 (linear combinations of embedded codes).
    """
    import torch

    parts, space = _together(codes)
    # In double precision the order of the members leaves no trace in the result.
    mean = torch.cat(parts).double().mean(0, keepdim=True)
    return Latent(mean.float(), space, codes[0].family)


@op(version=1, batch=32)
def mix_styles(
    content: Latent,
    style: Latent,
    model: Network,
    *,
    rows: Rows = "fine",
    strength: Annotated[float, Range(0, 1)] = 1.0,
) -> Latent:
    """Take some rows of a code from another one: the fine rows carry its colours and texture.

    Shapes: content, style w [N, D] or w_plus [N, L, D] -> latent w_plus [N, L, D].
    Units: strength 0 (content alone) .. 1 (the rows are the other's).
    Raises: OpError for other spaces, or codes of another generator.
    Source: Karras et al. 2019, arXiv:1812.04948 (style mixing).
    """
    import torch

    import models
    from models.codes import choose_rows, spread

    for latent in (content, style):
        check_family(latent, model)
        _need(latent, ("w", "w_plus"))
    config = models.fetch(model).config
    mixed = spread(content.data, config.num_rows).clone()
    other = spread(style.data, config.num_rows)
    chosen = list(choose_rows(config, rows))
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
    (face, calm, moved), space = _together([latent, neutral, expressive])
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


def _need(latent: Latent, spaces: tuple[Space, ...]) -> None:
    """Raise OpError unless the code is in one of these spaces."""
    if latent.space not in spaces:
        raise OpError(f"a code in {' or '.join(spaces)} is needed, this one is in {latent.space}")


def _together(codes: Sequence[Latent]) -> tuple[list["Tensor"], Space]:
    """The data of codes in one common space, and that space."""
    families = {latent.family for latent in codes}
    if len(families) > 1:
        named = " and ".join(sorted(family[:12] for family in families))
        raise OpError(f"the codes belong to different generators ({named})")
    spaces = {latent.space for latent in codes}
    if len(spaces) > 1 and spaces != {"w", "w_plus"}:
        raise ShapeError(f"the codes are in different spaces: {', '.join(sorted(spaces))}")
    if len(spaces) == 1:
        return [latent.data for latent in codes], codes[0].space
    from models.codes import spread

    rows = next(latent.data.shape[1] for latent in codes if latent.space == "w_plus")
    return [spread(latent.data, rows) for latent in codes], "w_plus"
