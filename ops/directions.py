"""Directions in code space, followed; and what pictures of codes read as."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError, suggestion
from engine.op import Asset, NamedFile, op
from engine.values import Image, Latent, Network, Scalar, Scores, check_family
from ops.given import (
    Strength,
    checked,
    direction_of,
    judge_amounts,
    judge_rows,
    panel_of,
    reader_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from models.stylegan2 import Generator

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]
Names = str | list[str]
#: What a limit may be on.
BUDGETS = ("identity", "perceptual")
_LIMIT = re.compile(r"\s*(\w+)\s*<=\s*(\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Edited:
    """What `edit` gives: the code, and for the first direction what was asked, done and possible.

    `requested` and `applied` are strengths (for "set_to" the readings aimed at; `applied` is None
    then where a limit stopped short, for no reading was agreed on); `free` says how much of the
    direction is left when all others are held: near 0 the edit goes far to leave them alone.
    """

    latent: Latent
    requested: Scalar
    applied: Scalar
    free: Scalar


def read_limit(text: str) -> tuple[str, float]:
    """A limit such as "identity <= 0.5" as what is limited and to what; ("", inf) for none.

    Raises: OpError for anything else.
    """
    if not text.strip():
        return "", float("inf")
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise OpError(f"limit '{text}': write it as `identity <= 0.5`")
    name, most = found[1], float(found[2])
    if name not in BUDGETS:
        near = suggestion(name, BUDGETS)
        raise OpError(f"limit '{text}': there is no '{name}'{near} (allowed: {', '.join(BUDGETS)})")
    return name, most


def _judge(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the limit, directions, strengths, conditions or rows of an edit."""
    try:
        read_limit(settings["limit"])
    except OpError as error:
        yield "limit", str(error)
    paths = settings["direction"]
    if isinstance(paths, list) and not paths:
        yield "direction", "no direction is given"
    yield from judge_amounts(settings, "direction", "strength")
    moved = paths if isinstance(paths, list) else [paths]
    if both := [name for name in settings["condition"] if name in moved]:
        what = ", ".join(map(repr, both))
        yield "condition", f"{what} is what the edit moves, so it cannot stay: leave it out"
    yield from judge_rows(settings, sides)
    yield from _judge_spaces(moved, settings["condition"], settings["rows"])


def _judge_spaces(
    moved: Sequence[str], kept: Sequence[str], rows: Rows | None
) -> Iterator[tuple[str, str]]:
    """What is wrong with the spaces of directions, as far as their files are there and sound."""
    seen: dict[str, str] = {}
    for setting, names in (("direction", moved), ("condition", kept)):
        for name in names:
            if not (space := _space_of(name)):
                continue
            other = next((one for one in seen if seen[one] != space), "")
            if other:
                apart = f"'{name}' is in {space} and '{other}' in {seen[other]}"
                two = setting == "direction"
                way = "let two steps do it" if two else f"name one in {seen[other]}"
                yield setting, f"{apart}, which do not mix in one edit: {way}"
                return
            seen[name] = space
    if rows is not None and "style" in seen.values():
        yield "rows", f"'{next(iter(seen))}' is in style, which has no rows to choose"


def _space_of(name: str) -> str:
    """Where a direction moves codes: "style" or "w"; "" for one that is refused elsewhere."""
    from models.entries import read_direction_head
    from models.errors import ModelError

    if not isinstance(name, NamedFile) or not name.file:
        return ""
    try:
        return "style" if read_direction_head(Path(name.file)).space == "style" else "w"
    except ModelError:
        return ""


@op(version=4, batch=32, check=_judge, beside=["features:limit"])
def edit(
    latent: Latent,
    model: Network,
    *,
    direction: Annotated[Names, Asset("directions")],
    strength: Strength = 1.0,
    mode: Literal["add", "set_to"] = "add",
    condition: Annotated[list[str], Asset("directions")] = [],  # noqa: B006 (read only)
    rows: Rows | None = None,
    limit: str = "",
) -> Edited:
    """Move a code along directions that were learned for its generator.

    Several directions are followed at once, each by its own strength; the readings of `condition`
    stay what they are, as pictures were measured to move where the directions are calibrated.
    "set_to" moves to a reading instead of by one. `rows` replaces the rows the directions were made
    for. `limit`, such as "identity <= 0.5", shortens the edit of each item until its picture stays
    within that distance of the unedited one; how far is in `applied`.

    Shapes: latent w [N, D], w_plus [N, L, D] or style [N, S] -> the same, or a wider space when
    only some rows move (w_plus) or the direction is one of style.
    Units: strength in standard deviations of the attribute; 0 changes nothing, bit for bit. A limit
    on identity or perceptual is 0 for the same picture and about 1 for two persons drawn at random.
    Raises: OpError if code or direction belong to another generator, strengths do not match, or
    a limit needs a feature network that is not there.
    Source: Shen et al. 2020, arXiv:2005.09635 (conditional edits, for any number of directions).
    """
    import torch

    import models
    from models.moves import freedom, move

    check_family(latent, model)
    paths = [direction] if isinstance(direction, str) else direction
    amounts = [strength] * len(paths) if isinstance(strength, float | int) else strength
    if len(amounts) != len(paths) or not paths:
        raise OpError(f"{len(amounts)} strengths for {len(paths)} directions")
    name, most = read_limit(limit)
    generator = models.fetch(model)
    used = [direction_of(path, model) for path in paths]
    kept = [direction_of(path, model) for path in condition]
    data = latent.data.to(model.device)
    targets = [(one, float(amount)) for one, amount in zip(used, amounts, strict=True)]
    absolute = mode == "set_to"
    with torch.no_grad(), checked():
        free = freedom(generator, latent.space, used, kept, rows)[0]
        moved, space = move(
            generator,
            data,
            latent.space,
            targets,
            conditions=kept,
            rows=rows,
            absolute=absolute,
        )
        done = Latent(moved, space, latent.family)
        share = torch.ones(len(data))
        if name:
            done, share = _within(generator, latent, done, name, most, model)
    asked = float(amounts[0])
    applied = [
        asked if part == 1 else (None if absolute else round(asked * part, 6))
        for part in share.tolist()
    ]
    count = len(data)
    return Edited(
        done, Scalar((asked,) * count), Scalar(tuple(applied)), Scalar((round(free, 4),) * count)
    )


def _within(
    generator: "Generator", before: Latent, after: Latent, name: str, most: float, model: Network
) -> tuple[Latent, "Tensor"]:
    """The edited codes drawn back until their pictures keep a budget, and the shares that did it.

    Shapes: shares [N], 1 where nothing had to be drawn back.
    """
    import torch

    from models.codes import spread, to_styles
    from models.perceptual import perceptual_distance
    from models.readings import identity_distance, largest_share, spreads

    net = reader_of(model)
    start = before.data.to(after.data)
    if after.space == "style":
        start = to_styles(generator, start, before.space)
    elif after.space == "w_plus":
        start = spread(start, generator.num_rows)

    def at(shares: "Tensor") -> "Tensor":
        weight = shares.to(start).reshape(-1, *[1] * (start.dim() - 1))
        return torch.lerp(start, after.data, weight)

    def draw(data: "Tensor") -> "Tensor":
        # As pictures are kept and measured: within the range of colours, in 256 levels.
        drawn = generator.synthesize_styles(to_styles(generator, data, after.space))
        return ((drawn + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1

    original = draw(start)
    scale = spreads(generator, net) if name == "identity" else None

    def distance(shares: "Tensor") -> "Tensor":
        picture = draw(at(shares))
        if scale is None:
            return perceptual_distance(net, original, picture)
        return identity_distance(net, original, picture, scale)

    share = largest_share(distance, most, len(start))
    return Latent(at(share), after.space, after.family), share


@op(
    version=1, batch=8, batch_cuda=64, fixed=True, names=[("model", "scorers")], beside=["features"]
)
def score_attributes(
    image: Image,
    model: Network,
    *,
    scorers: Annotated[list[str], Asset("scorers")] = [],  # noqa: B006 (read only)
) -> Scores:
    """Read how much of each attribute pictures show, with the model's own feature network.

    `scorers` are scorers of one's own that read the same pictures: files that `train_scorer` made,
    or names in a folder `scorers` beside the model. Their scores come after the attributes.

    Shapes: image [N, 3, H, W] -> scores [N, K], names as the feature network and the scorers have
    them.
    Units: 0..1; of a scorer that learned grades, those grades.
    Raises: OpError if the model has no feature network beside it, for a scorer trained with another
    one, or a name twice.
    Source: own.
    """
    import torch

    with torch.no_grad():
        panel = panel_of(model, scorers)
        return Scores(panel.read(image.data.to(model.device)), panel.attributes)
