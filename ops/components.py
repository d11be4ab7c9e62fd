"""Directions nobody labelled: principal components of codes and features; and following one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Range, op
from engine.values import Direction, Latent, Network, Scalar, check_family
from ops.given import checked, digest_of, generator_of, judge_rows, stored_directions

if TYPE_CHECKING:
    from models.components import CodeComponents

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]
#: Codes drawn when nobody says how many: in w they cost next to nothing.
_DRAWN, _DRAWN_AT_A_LAYER = 20_000, 1_000
#: Components that are kept of a layer's features.
_MOST = 100


@dataclass(frozen=True, slots=True)
class FoundComponent:
    """What `find_components` gives: one component, and its share of the variance, 0..1."""

    direction: Direction
    explained: Scalar


def _judge(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with a component's number, layer or rows."""
    from models.config import GeneratorConfig, choose_layers, standard_channels
    from models.errors import ModelError

    layer, side = settings["layer"], sides["model"]
    if layer:
        try:
            choose_layers(GeneratorConfig(side, standard_channels(side)), layer)
        except ModelError as error:
            yield "layer", str(error)
        if settings["component"] >= _MOST:
            yield "component", f"{_MOST} components of a layer are kept: 0 to {_MOST - 1}"
    yield from judge_rows(settings, sides)


@op(version=3, check=_judge)
def find_components(
    model: Network,
    codes: Sequence[Latent] | None = None,
    *,
    component: Annotated[int, Range(0)] = 0,
    layer: str = "",
    count: Annotated[int, Range(2, 1_000_000)] | None = None,
    rows: Rows = "all",
    seed: int = 0,
) -> FoundComponent:
    """Find a direction along which codes differ most, without any label.

    Components are numbered from 0 by falling variance; ask for several by a matrix. They are those
    of `count` codes w drawn from the model (20,000), or of the `codes` that are given, in their
    own space. With `layer`, such as "8.conv1", the features after that layer are taken apart in
    place of the codes (1,000, at most 100 components), and the codes that go with each component
    are found by regression over as many fresh ones. `rows` are the rows of w_plus that edits will
    move. Of the two signs the one with the largest entry positive is taken.

    Shapes: codes w [1, D], w_plus [1, L, D] or style [1, S] each -> direction of their space, w
    if they are drawn; unit length.
    Units: sigma, the standard deviation of codes along it; explained 0..1, of the variance where
    the component was found.
    Raises: OpError if there is no such component or layer, codes do not vary, are in z, or come
    with a layer.
    Source: Härkönen et al. 2020, arXiv:2004.02546 (GANSpace).
    """
    import torch

    from models.codes import choose_rows

    generator = generator_of(codes or [], model)
    wanted = count or (_DRAWN_AT_A_LAYER if layer else _DRAWN)
    card: dict[str, object] = {"method": "components", "component": component, "model": model.name}
    with checked():
        chosen = () if rows == "all" else choose_rows(generator.config, rows)
        if codes:
            if layer or count:
                raise OpError("components are found in `codes`, or in drawn ones (layer, count)")
            found, shape, card["codes"] = _of_codes(codes), codes[0].data.shape[1:], len(codes)
            card["data"] = digest_of(*(code.data for code in codes))
        else:
            from models.components import code_components, layer_components

            found = (
                layer_components(generator, layer, wanted, seed, _MOST)
                if layer
                else code_components(generator, wanted, seed)
            )
            shape = generator.w_avg.shape
            card |= {"codes": wanted, "seed": seed, "layer": layer or "w"}
    if component >= len(found.shares):
        raise OpError(f"component {component}: there are {len(found.shares)}, from 0")
    space = codes[0].space if codes else "w"
    if chosen and space == "style":
        raise OpError("a style vector has no rows to choose")
    share = float(found.shares[component])
    card["explained"] = round(share, 6)
    card["explained_so_far"] = round(float(found.shares[: component + 1].sum()), 6)
    card["sign"] = "largest entry positive"
    direction = Direction(
        found.directions[component].float().reshape(1, *shape),
        torch.tensor([float(found.sigmas[component])]),
        torch.tensor([float(found.offsets[component])]),
        f"{layer}{'_' if layer else ''}component_{component}",
        space,
        model.family,
        tuple(chosen),
        json.dumps(card, sort_keys=True),
    )
    return FoundComponent(direction, Scalar((round(share, 6),)))


@op(version=1, batch=32, check=judge_rows)
def follow_direction(
    latent: Latent,
    direction: Direction,
    model: Network,
    *,
    strength: Annotated[float, Range(-100, 100)] = 1.0,
    mode: Literal["add", "set_to"] = "add",
    rows: Rows | None = None,
) -> Latent:
    """Move a code along a direction that another step of the same workflow made.

    As `edit` does with directions in files: "set_to" moves to a reading instead of by one, so that
    0 takes away what a code has of the direction; `rows` replaces the rows it was made for.

    Shapes: latent w [N, D], w_plus [N, L, D] or style [N, S]; direction of N items -> as `edit`.
    Units: strength in the direction's sigma; 0 to add changes nothing, bit for bit.
    Raises: OpError if code or direction belong to another generator, or their spaces do not meet.
    Source: Härkönen et al. 2020, arXiv:2004.02546 (layer-wise edits).
    """
    import torch

    from models.moves import move

    check_family(direction, model)
    generator = generator_of([latent], model)
    data = latent.data.to(model.device)
    each = stored_directions(direction)
    same = all(torch.equal(one.data, each[0].data) for one in each)
    parts = [(data, each[0])] if same else list(zip(torch.split(data, 1), each, strict=True))
    with checked(), torch.no_grad():
        moved = [
            move(
                generator,
                part,
                latent.space,
                [(one, strength)],
                rows=rows,
                absolute=mode == "set_to",
            )
            for part, one in parts
        ]
    return Latent(torch.cat([part for part, _ in moved]), moved[0][1], latent.family)


def _of_codes(codes: Sequence[Latent]) -> "CodeComponents":
    """The components of codes in their own space."""
    import torch

    from models.components import CodeComponents, principal

    if codes[0].space == "z":
        raise OpError("components are found in w, w_plus or style: map z first")
    if any(code.space != codes[0].space for code in codes):
        raise OpError("the codes are in different spaces")
    found = principal(torch.cat([code.data for code in codes]).flatten(1))
    offsets = found.axes @ found.mean
    return CodeComponents(found.axes, found.variances.sqrt(), offsets, found.shares)
