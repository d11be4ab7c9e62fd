"""Directions without labels: those of a frozen generator that a recogniser can name."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from engine.errors import OpError
from engine.op import Range, op
from engine.values import Direction, Network, Scalar
from ops.given import base_of, carrying, checked, generator_of


@dataclass(frozen=True, slots=True)
class Discovered:
    """What `discover_directions` gives: the directions, and how well they are told apart.

    `accuracy`: of unseen pairs of pictures, those of which the direction was named, 0..1 (guessing:
    one of `count`); `information`: what the answers say of it, in bits, at most log2 of `count`.
    """

    model: Network
    accuracy: Scalar
    information: Scalar


@dataclass(frozen=True, slots=True)
class PickedDirection:
    """What `pick_direction` gives: one direction, and how often it was named rightly, 0..1."""

    direction: Direction
    accuracy: Scalar


def _judge(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the size of the pictures that the recogniser sees."""
    grown = [1 << bits for bits in range(2, sides["model"].bit_length())]
    if settings["px"] not in grown:
        told = ", ".join(map(str, grown))
        yield "px", f"{settings['px']}: this generator's pictures grow through {told} px"


@op(version=1, endless=True, check=_judge)
def discover_directions(
    model: Network,
    *,
    count: Annotated[int, Range(2, 64)] = 8,
    steps: Annotated[int, Range(0, 1_000_000)] = 150,
    batch: Annotated[int, Range(2, 1024)] = 16,
    px: Annotated[int, Range(4)] = 16,
    learning_rate: Annotated[float, Range(0, 1)] = 0.01,
    seed: int = 0,
) -> Discovered:
    """Find directions whose effects differ so much that they can be told from pictures alone.

    A recogniser sees the pictures of a code before and after a move of one to three deviations,
    `px` wide as the generator has them on its way, and says which direction it was and how far.
    Directions, at right angles to each other, and recogniser learn together; the generator stays
    as it is. `pick_direction` gives them one by one: `models: {discovered: STEP}`.

    Shapes: model -> model, a reference that carries the directions, the best told first.
    Raises: OpError for more directions than codes have axes, or `px` that the generator's
    pictures do not pass through.
    Source: Voynov and Babenko 2020, arXiv:2002.03754.
    """
    from models.discovery import Search, discover, pack

    generator = generator_of([], model)
    search = Search(count, steps, batch, px, learning_rate, seed)
    with checked("discover_directions"):
        found = discover(generator, search)
    card = {"method": "recognised", "count": count, "px": px, "steps": steps, "seed": seed}
    return Discovered(
        carrying(model, pack(found, base_of(model), card)),
        Scalar((round(found.accuracy, 4),)),
        Scalar((round(found.information, 4),)),
    )


@op(version=2, carried=["discovered"])
def pick_direction(
    model: Network, discovered: Network, *, number: Annotated[int, Range(0)] = 0
) -> PickedDirection:
    """One of the directions that `discover_directions` found, the best told first.

    Shapes: -> direction [1, D] in w, of unit length; `follow_direction` and `calibrate_direction`
    take it.
    Units: sigma, the standard deviation of codes along it. Of the two signs the one with the
    largest entry positive is taken.
    Raises: OpError without directions, for those of another generator, or a number beyond the last.
    Source: Voynov and Babenko 2020, arXiv:2002.03754.
    """
    from models.discovery import unpack

    if not discovered.delta:
        raise OpError(
            "no directions are given: write `models: {discovered: STEP}` of a step with "
            "discover_directions"
        )
    if discovered.family != model.family:
        raise OpError(f"the directions were found for another generator than '{model.name}'")
    with checked("discovered"):
        found = unpack(discovered.delta)
    if number >= len(found.directions):
        raise OpError(f"number {number}: there are {len(found.directions)} directions, from 0")
    each = round(float(found.each[number]), 4)
    card = {
        "method": "recognised",
        "model": model.name,
        "number": number,
        "of": len(found.directions),
    }
    direction = Direction(
        found.directions[number : number + 1],
        found.sigmas[number : number + 1],
        found.offsets[number : number + 1],
        f"discovered_{number}",
        "w",
        model.family,
        (),
        json.dumps({**card, "recognised": each}, sort_keys=True),
    )
    return PickedDirection(direction, Scalar((each,)))
