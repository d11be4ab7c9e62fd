"""What ops are given, made ready for networks: generators, style vectors, squares, places."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from engine.errors import ItemError, OpError, ShapeError, suggestion
from engine.op import Range
from engine.values import Direction, Latent, Mask, Network, Scalar, Scores, Space, check_family

if TYPE_CHECKING:
    from torch import Tensor

    from models.directions import StoredDirection
    from models.encoder import Encoder
    from models.perceptual import FeatureNet
    from models.scorer import Panel
    from models.stylegan2 import Generator


#: How far edits go, in deviations; pictures have long fallen apart at a hundred.
Strength = Annotated[float | list[float], Range(-100, 100)]

#: A canvas of more numbers than this lies in a file.
CANVAS_NUMBERS = 1 << 24


def generator_of(codes: Sequence[Latent], model: Network) -> "Generator":
    """The generator of some codes, from the pool. Raises: OpError if a code is of another one."""
    import models

    for latent in codes:
        check_family(latent, model)
    return models.fetch(model)


def exact_generator(model: Network) -> "Generator":
    """The generator of a model in full precision, whatever the model's own is.

    Catalogues of features are made with it: what their numbers mean must not hang on rounding.
    """
    from dataclasses import replace

    import models

    return models.fetch(replace(model, precision="fp32"))


def canvas(folder: str, *shape: int) -> "Tensor":
    """Room for float32 numbers: in memory, or if they are many in a file of a scratch folder.

    The system may write such memory out, so that a picture can be larger than what is free.
    """
    import torch

    numbers = math.prod(shape)
    if not folder or numbers <= CANVAS_NUMBERS:
        return torch.empty(shape)
    name = str(Path(folder, "canvas"))
    return torch.from_file(name, shared=True, size=numbers, dtype=torch.float32).view(shape)


def stored_directions(direction: Direction) -> "list[StoredDirection]":
    """A direction value as the models have it, item by item."""
    from models.directions import StoredDirection

    return [
        StoredDirection(
            data,
            float(sigma),
            float(offset),
            direction.name,
            direction.space,
            direction.family,
            direction.rows,
            direction.card,
        )
        for data, sigma, offset in zip(
            direction.data, direction.sigma, direction.offset, strict=True
        )
    ]


def styles_of(generator: "Generator", latent: Latent) -> "Tensor":
    """The style vectors [N, S] of codes of any space."""
    import torch

    from models.codes import to_styles

    with torch.no_grad():
        return to_styles(generator, latent.data.to(generator.w_avg.device), latent.space)


def need_space(latent: Latent, spaces: tuple[Space, ...]) -> None:
    """Raise OpError unless the code is in one of these spaces."""
    if latent.space not in spaces:
        raise OpError(f"a code in {' or '.join(spaces)} is needed, this one is in {latent.space}")


def together(codes: Sequence[Latent]) -> tuple[list["Tensor"], Space]:
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


def features_file(model: Network) -> Path:
    """Where the feature network of a model would lie."""
    return Path(model.path).with_name("features.safetensors")


def features_of(model: Network) -> "FeatureNet | None":
    """The feature network beside a model, if there is one."""
    from models import companions

    beside = features_file(model)
    return companions.features(beside, model.device) if beside.is_file() else None


def reader_of(model: Network) -> "FeatureNet":
    """The feature network beside a model. Raises: OpError if there is none."""
    net = features_of(model)
    if net is None:
        raise OpError(
            f"model '{model.name}' has no feature network (features.safetensors beside it)"
        )
    return net


def panel_of(model: Network, scorers: Sequence[str]) -> "Panel":
    """The feature network beside a model, and the scorers in some files that see with it.

    Raises: OpError if there is no network, or the files do not go with it.
    """
    from models import file_digest
    from models.scorer import gather_panel

    net = reader_of(model)
    with checked("scorers"):
        return gather_panel(net, file_digest(features_file(model)) if scorers else "", scorers)


def encoder_of(model: Network, instead: str = "") -> "Encoder":
    """The encoder beside a model. Raises: OpError if there is none, with what to do instead."""
    from models import companions

    beside = Path(model.path).with_name("encoder.safetensors")
    if not beside.is_file():
        way_out = f": {instead}" if instead else ""
        raise OpError(f"model '{model.name}' has no encoder ({beside.name} beside it){way_out}")
    return companions.encoder(beside, model.device)


def table_of(scores: Sequence[Scores]) -> tuple["Tensor", tuple[str, ...]]:
    """The scores of items as one table [N, K], and the names of its columns.

    Raises: OpError if they are of different attributes, or not all finite numbers.
    """
    import torch

    names = scores[0].names
    if any(one.names != names for one in scores):
        raise OpError("the scores are of different attributes")
    table = torch.cat([one.data for one in scores])
    broken = ~torch.isfinite(table)
    if bool(broken.any()):
        items = broken.any(1).nonzero().flatten().tolist()
        shown = ", ".join(map(str, items[:5])) + (", ..." if len(items) > 5 else "")
        named = ", ".join(name for name, bad in zip(names, broken.any(0), strict=True) if bad)
        raise OpError(
            f"{len(items)} of {len(table)} scores are missing or not a number (items {shown}; "
            f"{named}): mend the scorer, or leave those items out with `when`"
        )
    return table, names


def digest_of(*tensors: "Tensor") -> str:
    """The sha256 (hex) of numbers that something was learned from."""
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(tensor.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def column_of(names: Sequence[str], name: str, setting: str = "") -> int:
    """The place of an attribute among `names`. Raises: OpError, with the nearest, if it is none."""
    if name not in names:
        where = f"{setting}: " if setting else ""
        known = ", ".join(names) or "none: wire `scores`"
        near = suggestion(name, names)
        raise OpError(f"{where}there is no attribute '{name}'{near} (there are {known})")
    return list(names).index(name)


def base_of(model: Network) -> str:
    """The digest of the generator's file that a model is, or was made of."""
    from models import file_digest

    return file_digest(Path(model.path))


def carrying(model: Network, packed: bytes) -> Network:
    """A reference to the model's generator that carries a packed network made for it."""
    from dataclasses import replace

    from models.carried import digest

    return replace(model, digest=digest(packed), delta=packed)


def direction_of(path: str, model: Network) -> "StoredDirection":
    """The direction in a file. Raises: OpError if it was made for another generator."""
    from models.directions import load_direction

    found = load_direction(path)
    if found.family != model.family:
        raise OpError(
            f"direction '{found.name}' was made for the generator {found.family[:12]}, "
            f"not for '{model.name}' ({model.family[:12]}): import or learn it for this one"
        )
    return found


def square(data: "Tensor", side: int) -> "Tensor":
    """Pictures [N, 3, S, S] at `side` px. Raises: ItemError bad_input unless they are square."""
    import torch.nn.functional as F

    height, width = data.shape[2:]
    if height != width:
        message = f"the picture is {width}x{height}: cut a square first (align_face, align_center)"
        raise ItemError("bad_input", message)
    if height == side:
        return data
    return F.interpolate(data, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)


def region_of(
    mask: Mask | None, box: Sequence[float] | None, feather: float, model: Network
) -> "Tensor | None":
    """The mask that says where, at the model's resolution; None if nothing does.

    Raises: ItemError bad_input for an empty or broken mask, OpError for a box.
    """
    from models.errors import ModelError
    from models.masks import BadMaskError, region

    data = None if mask is None else mask.data.to(model.device)
    try:
        where = region(data, box, model.resolution, feather)
    except BadMaskError as error:
        raise ItemError("bad_input", str(error), item=error.item) from error
    except ModelError as error:
        raise OpError(str(error)) from error
    return None if where is None else where.to(model.device)


def rounded(values: "Tensor", digits: int) -> Scalar:
    """Tensor values [N] as rounded numbers."""
    return Scalar(tuple(round(value, digits) for value in values.tolist()))


def rows_of(side: int) -> int:
    """How many rows codes of a generator of `side` px have: two for each block, from 4 px up."""
    return 2 * (side.bit_length() - 2)


def judge_rows(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the rows that a step chooses, or parts in two: a check before the run."""
    count = rows_of(sides["model"])
    rows = settings.get("rows")
    if rows == []:
        yield "rows", "no row is named: leave `rows` out, or name some"
    if isinstance(rows, list) and (wrong := [row for row in rows if not 0 <= row < count]):
        yield "rows", f"rows {wrong} do not exist; this generator has rows 0 to {count - 1}"
    for name in ("crossover", "cutoff"):
        row = settings.get(name)
        if row is not None and row > count:
            yield name, f"{name} {row}: this generator has {count} rows"


def judge_box(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with a box in a model's picture: a check before the run."""
    from models.errors import ModelError
    from models.grid import box_px

    side = next(iter(sides.values()))
    try:
        if settings["box"] is not None:
            box_px(settings["box"], side, side)
    except ModelError as error:
        yield "box", str(error)


def judge_layers(
    settings: Mapping[str, Any], sides: Mapping[str, int], name: str
) -> Iterator[tuple[str, str]]:
    """What is wrong with layers that a setting names: a check before the run."""
    from models.config import GeneratorConfig, choose_layers
    from models.errors import ModelError

    side = sides["model"]
    try:
        choose_layers(GeneratorConfig(side, (1,) * (rows_of(side) // 2)), settings[name])
    except ModelError as error:
        yield name, str(error)


def judge_parts(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with parts of a picture, as far as no network knows them: a check before."""
    from models.errors import ModelError
    from models.grid import cell_px

    parts = settings["parts"] if isinstance(settings["parts"], list) else [settings["parts"]]
    if message := fault_of_parts(parts, settings["method"], settings["clusters"]):
        yield "parts", message
    try:
        if settings["method"] == "clusters":
            cell_px(sides["model"], settings["at"])
    except ModelError as error:
        yield "at", str(error)


def fault_of_parts(parts: Sequence[str | int], method: str, clusters: int) -> str:
    """What is wrong with a choice of parts, or ""; whether names exist, a network must say."""
    if not parts:
        return "parts: at least one must be named"
    if method == "clusters":
        for part in parts:
            if not isinstance(part, int) or not 0 <= part < clusters:
                return f"part {part!r}: clusters are numbered 0 to {clusters - 1}"
    return ""


def judge_amounts(
    settings: Mapping[str, Any], names: str, amounts: str
) -> Iterator[tuple[str, str]]:
    """What is wrong with numbers that go with names: one for all or each, no name twice."""
    named, given = settings[names], settings[amounts]
    every = named if isinstance(named, list) else [named]
    if twice := [name for name in dict.fromkeys(every) if every.count(name) > 1]:
        yield names, f"{', '.join(map(repr, twice))} is named twice: once, with one number"
    if isinstance(given, list) and len(given) != len(every):
        told = f"{len(given)} numbers for {len(every)} in `{names}`"
        yield amounts, f"{told}: give one for each, or one number for all"


@contextmanager
def checked(about: str = "") -> Iterator[None]:
    """What the models refuse is an error of the settings; `about` says of what."""
    from models.errors import ModelError

    try:
        yield
    except ModelError as error:
        raise OpError(f"{about}: {error}" if about else str(error)) from error
