"""Codes with two parents, and their children; and codes that an earlier run kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from engine.errors import OpError
from engine.op import Asset, Range, Seed, op
from engine.values import Latent, Network, Scalar, Space, check_family
from ops.given import (
    Strength,
    checked,
    direction_of,
    generator_of,
    judge_amounts,
    judge_rows,
    need_space,
    rounded,
)

Share = Annotated[float, Range(0, 1)]


@dataclass(frozen=True, slots=True)
class Bred:
    """What `crossbreed` gives: the code, and how far from the mean code it lies (1: as usual)."""

    latent: Latent
    distance: Scalar


def _judge(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with genes, their strengths, or the row that parts content and style."""
    yield from judge_amounts(settings, "genes", "strength")
    yield from judge_rows(settings, sides)


@op(version=1, batch=32, fixed=True, check=_judge)
def crossbreed(  # noqa: PLR0913 (settings are declared here and nowhere else)
    latent: Latent,
    other: Latent,
    model: Network,
    *,
    content: Share = 0.5,
    style: Share = 0.5,
    crossover: Annotated[int, Range(0)] | None = None,
    variation: Share = 0.0,
    child: Annotated[int, Range(0)] = 0,
    genes: Annotated[list[str], Asset("directions")] = [],  # noqa: B006 (read only)
    strength: Strength = 1.0,
    cap: Annotated[float, Range(0.1)] | None = None,
    seed: Seed = Seed(()),  # noqa: B008 (a NewType call is the empty tuple itself)
) -> Bred:
    """Breed a code from two parents: what is drawn (`content`) and how (`style`), inherited apart.

    Rows before `crossover` (by default before the fine ones) take `content`, the others `style`: 0
    is the first parent, 1 the other. `variation` moves a child by that share of the way to a
    picture nobody has seen, another for each number `child`. `genes` are directions, followed by
    `strength` each. `cap` draws a child that has drifted too far back towards the mean code. The
    file of a picture keeps its parents, genes and seeds: `run_workflow.py lineage PICTURE`.

    Shapes: latent, other w [N, D] or w_plus [N, L, D] -> latent w_plus [N, L, D].
    Units: strength in standard deviations of the gene; cap in distances from the mean code that
    are usual for the generator's own codes (the distance that is told is after it).
    Raises: OpError for other spaces, codes or genes of another generator, strengths that do not
    match the genes, or a crossover beyond the last row.
    Source: own, after Artbreeder's sliders, children and genes; Karras et al. 2019,
    arXiv:1812.04948 (style mixing).
    """
    import torch

    from models.breeding import cross, distances, vary, within
    from models.codes import number, spread
    from models.moves import move

    generator = generator_of([latent, other], model)
    for code in (latent, other):
        need_space(code, ("w", "w_plus"))
    amounts = [strength] * len(genes) if isinstance(strength, float | int) else strength
    if len(amounts) != len(genes):
        raise OpError(f"{len(amounts)} strengths for {len(genes)} genes")
    used = [direction_of(path, model) for path in genes]
    rows = generator.num_rows
    parents = (
        spread(latent.data.to(model.device), rows),
        spread(other.data.to(model.device), rows),
    )
    numbers = [number(one, child) for one in seed or (0,) * len(latent.data)]
    with checked(), torch.no_grad():
        bred = vary(
            generator, cross(generator, parents, content, style, crossover), numbers, variation
        )
        targets = [(gene, float(amount)) for gene, amount in zip(used, amounts, strict=True)]
        if targets:
            bred, space = move(generator, bred, "w_plus", targets)
            if space != "w_plus":
                raise OpError("genes are directions in w or w_plus, not in style")
        if cap is not None:
            bred = within(generator, bred, cap)
        far = distances(generator, bred)
    return Bred(Latent(bred, "w_plus", latent.family), rounded(far, 4))


@op(version=1, batch=32)
def load_code(
    latent: Latent, model: Network, *, file: Annotated[str | None, Asset("file")] = None
) -> Latent:
    """Read a code that an earlier run wrote, in place of the one that is wired.

    Without `file` the wired code stays: so a workflow can begin with any code, and go on with one
    that was liked.

    Shapes: a file of one code -> latent [N, ...], the same for every item, in the space it was
    written in.
    Raises: OpError if the file holds something else, or a code of another generator.
    Source: own.
    """
    from pathlib import Path

    from safetensors import SafetensorError

    from models.code_files import read_value

    check_family(latent, model)
    if file is None:
        return latent
    name = Path(file).name
    try:
        fields, tensors = read_value(file, "Latent")
        found = Latent(tensors["data"].float(), cast(Space, fields["space"]), str(fields["family"]))
    except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
        raise OpError(
            f"'{name}' holds no code that a run wrote as .safetensors: {error}"
        ) from error
    if len(found.data) != 1:
        raise OpError(f"'{name}' holds {len(found.data)} codes, not one")
    check_family(found, model)
    every = found.data.expand(len(latent.data), *found.data.shape[1:])
    return Latent(every.clone(), found.space, found.family)
