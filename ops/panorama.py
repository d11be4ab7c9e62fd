"""Panoramas: many codes on one seamless strip, ring, grid or torus."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import SILENT, Members, Progress, Range, Scratch, Seed, op
from engine.values import Image, Latent, Network, Space, check_family
from ops.given import canvas

if TYPE_CHECKING:
    from torch import Tensor

    from models.stylegan2 import Generator

#: What a strip is told when its codes are listed one by one instead of gathered.
LISTED = Members((), ())


def _judge(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `weave_panorama`."""
    from models.errors import ModelError
    from models.grid import tile_cells

    if message := _useless_columns(settings["axis"], settings["columns"]):
        yield "columns", message
    asked = (settings["axis"], settings["closed"], settings["transition"])
    if settings["stitch"] == "soat" and (message := _never_published(*asked)):
        yield "stitch", message
    try:
        if settings["tile"]:
            tile_cells(sides["model"], settings["tile"])
    except ModelError as error:
        yield "tile", str(error)


@op(version=1, endless=True, check=_judge)
def weave_panorama(  # noqa: PLR0913 (settings are declared here and nowhere else)
    codes: Sequence[Latent],
    model: Network,
    *,
    axis: Literal["horizontal", "vertical", "grid"] = "horizontal",
    columns: Annotated[int, Range(0)] = 0,
    members: Members = LISTED,
    closed: bool = False,
    transition: Annotated[float, Range(0, 1)] = 1.0,
    stitch: Literal["exact", "soat"] = "exact",
    noise: Literal["seeded", "const", "none"] = "seeded",
    psi: Annotated[float, Range(-2, 2)] = 1.0,
    smooth: Annotated[float, Range(0, 10)] = 0.0,
    tile: Annotated[int, Range(0)] = 0,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
    progress: Progress = SILENT,
    scratch: Scratch = Scratch(""),  # noqa: B008
) -> Image:
    """Draw codes side by side as one picture in which each turns into the next, without seams.

    The picture is computed on one canvas in tiles: any length fits; a large canvas lies in a file
    beside the cache, and its PNG or BigTIFF is written row by row. `axis: grid` lays the codes
    out in `columns`, or as two gathered axes say. `closed` joins the last code to the first, in a
    grid both ways. `noise: seeded` has no period, "const" repeats with every picture.
    `smooth` makes codes that were drawn at random more like their neighbours.
    `stitch: soat` is the panorama as first published, for comparison: horizontal and open only.

    Shapes: codes [1, ...] of any space, K of them -> image [1, 3, R, K * R] (or upright, or
    [1, 3, rows * R, columns * R]), R the model's resolution.
    Units: transition, the part of the way between two pictures' middles in which they mix (0: a
    hard edge); smooth, codes; tile px (0: chosen), a matter of memory and not of the picture.
    Raises: OpError if a code is of another generator, or the codes do not fill the canvas.
    Source: Chong et al. 2021, arXiv:2111.01619, section 4; Gaussian smoothing of 0.7 codes there.
    """
    import torch

    import models
    from models.canvas import noise_field
    from models.panorama import Panorama, weave_spans

    if not codes:
        raise OpError("a panorama needs one code at least")
    for latent in codes:
        check_family(latent, model)
    rows, wide = _layout(len(codes), axis, columns, members)
    generator = models.fetch(model)
    field = noise_field(generator, noise, seed)
    with torch.no_grad():
        try:
            styles = _styles(generator, codes, psi, smooth)
            if stitch == "soat":
                if message := _never_published(axis, closed, transition):
                    raise OpError(message)
                return Image(_joined(weave_spans(generator, styles, field), len(styles), progress))
            shut = (closed and axis != "vertical", closed and axis != "horizontal")
            strip = Panorama(generator, styles, rows, wide, field, transition, *shut)
            picture, done = canvas(scratch, 1, 3, *strip.size_px), 0
            for place, drawn in strip.tiles(tile or None):
                into = picture[:, :, place.top : place.bottom, place.left : place.right]
                into.copy_(drawn.clamp_(-1, 1))
                progress(done := done + into.numel(), picture.numel())
        except models.ModelError as error:
            raise OpError(str(error)) from error
    return Image(picture)


def _layout(count: int, axis: str, columns: int, members: Members) -> tuple[int, int]:
    """Rows and columns of the codes."""
    if message := _useless_columns(axis, columns):
        raise OpError(message)
    if axis != "grid":
        return (1, count) if axis == "horizontal" else (count, 1)
    if not columns and len(members.shape) == 2:
        rows, columns = members.shape
    elif columns:
        rows = count // columns
    else:
        raise OpError("a grid needs `columns`, or codes gathered over two axes")
    if rows * columns != count:
        raise OpError(f"{count} codes do not fill rows of {columns}: every place needs a code")
    return rows, columns


def _useless_columns(axis: str, columns: int) -> str:
    """What is wrong with columns of what is no grid, or ""."""
    if axis == "grid" or not columns:
        return ""
    return f"columns {columns}: only a grid has columns, the axis is {axis}"


def _never_published(axis: str, closed: bool, transition: float) -> str:
    """What is wrong with asking `stitch: soat` for what it never had, or ""."""
    if axis == "horizontal" and not closed and transition == 1:
        return ""
    return "stitch 'soat' makes horizontal, open strips with transition 1; 'exact' makes the rest"


def _joined(pieces: "Iterator[Tensor]", codes: int, progress: Progress) -> "Tensor":
    """Pieces of a strip as one picture in main memory."""
    import torch

    drawn = []
    for piece in pieces:
        drawn.append(piece.clamp(-1, 1).cpu())
        progress(len(drawn), codes - 1)
    return torch.cat(drawn, 3)


def _styles(generator: "Generator", codes: Sequence[Latent], psi: float, smooth: float) -> "Tensor":
    """The style vectors of codes, smoothed along the strip, then drawn towards the mean."""
    import torch

    from models.codes import mean_code, to_styles, to_w_plus
    from models.panorama import smoothed

    home = generator.w_avg.device
    data = [latent.data.to(home) for latent in codes]
    spaces = {latent.space for latent in codes}
    space: Space = "w_plus"
    if len(spaces) == 1:
        space = codes[0].space
    elif "style" in spaces:
        data = [to_styles(generator, one, c.space) for one, c in zip(data, codes, strict=True)]
        space = "style"
    else:
        data = [to_w_plus(generator, one, c.space) for one, c in zip(data, codes, strict=True)]
    mean = None if space == "z" else mean_code(generator, space)
    along = smoothed(torch.cat(data), smooth, mean)
    # One by one: the bits of a code's styles depend on no other code.
    parts = [to_styles(generator, along[k : k + 1], space) for k in range(len(along))]
    styles = torch.cat(parts)
    if psi == 1:
        return styles
    return torch.lerp(mean_code(generator, "style").expand_as(styles), styles, psi)
