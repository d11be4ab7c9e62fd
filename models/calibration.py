"""The unit of a direction: how far along it pictures change an attribute by one deviation."""

import difflib
import json
from dataclasses import replace

import torch
from torch import Tensor

from models.directions import StoredDirection
from models.errors import ModelError
from models.moves import move
from models.perceptual import Reader
from models.readings import draw_codes, read_codes
from models.stylegan2 import Generator

#: Lengths of step tried when a direction is calibrated, in its sigma so far.
_STEPS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
#: Deviations of its attribute that a direction must move pictures by.
_LEAST_EFFECT = 0.2
#: Deviations that twice the step of one must move an attribute by that has degrees.
_ALL = 1.25
#: The unit of one that has none, over that step: strength 2 then goes a little beyond it.
_HALF = 0.6


def calibrate(
    generator: Generator,
    net: Reader,
    direction: StoredDirection,
    column: int,
    count: int,
    seed: int,
) -> tuple[float, Tensor]:
    """The sigma at which pictures change attribute `column` by one deviation, and what else moves.

    The second value is the change of every attribute at that sigma, [K], in deviations. Where even
    the longest step tried moves the attribute less, the step that moves it most is taken. Where
    twice the step hardly moves it farther, as with glasses, which are there or not, little more
    than half the step is: strength 2 is then all that can be had, without going far beyond.
    """
    w = draw_codes(generator, count, seed)
    with torch.no_grad():
        deviation = read_codes(generator, net, w, "w").std(0).clamp(min=1e-6)
        sigmas, moved = [0.0], [0.0]
        # Attributes saturate and may turn back: the nearest step that does it is the unit.
        while moved[-1] < 1 and len(sigmas) <= len(_STEPS):
            sigmas.append(direction.sigma * _STEPS[len(sigmas) - 1])
            tried = replace(direction, sigma=sigmas[-1])
            moved.append(float((_effect(generator, net, w, tried) / deviation)[column]))
        if moved[-1] >= 1:
            share = (1 - moved[-2]) / (moved[-1] - moved[-2])
            sigma = sigmas[-2] + share * (sigmas[-1] - sigmas[-2])
            twice = _effect(generator, net, w, replace(direction, sigma=2 * sigma)) / deviation
            if float(twice[column]) < _ALL:
                sigma *= _HALF
        else:
            sigma = sigmas[max(range(1, len(moved)), key=lambda k: moved[k])]
        effect = _effect(generator, net, w, replace(direction, sigma=sigma)) / deviation
    return sigma, effect


def recalibrated(
    generator: Generator,
    net: Reader,
    direction: StoredDirection,
    attribute: str,
    count: int = 48,
    seed: int = 0,
) -> StoredDirection:
    """A direction whose unit moves pictures by one deviation of an attribute; its card says so.

    The card tells what strength 1 does in deviations: `moves`, the change of every attribute;
    `effect`, that of the one it was made for; `leak`, the mean of all others without their signs.
    Raises: ModelError if `net` does not read the attribute, readings are not finite, or pictures
    hardly follow.
    """
    if attribute not in net.attributes:
        near = difflib.get_close_matches(attribute, net.attributes, 1)
        guess = f", did you mean '{near[0]}'?" if near else ""
        known = ", ".join(net.attributes)
        raise ModelError(f"there is no attribute '{attribute}'{guess} (there are {known})")
    column = net.attributes.index(attribute)
    sigma, effect = calibrate(generator, net, direction, column, count, seed)
    if broken := [net.attributes[k] for k in (~effect.isfinite()).nonzero().flatten().tolist()]:
        raise ModelError(
            f"readings of {', '.join(broken)} are not all numbers: mend what reads them"
        )
    moved = float(effect[column])
    if moved < _LEAST_EFFECT:
        raise ModelError(
            f"pictures hardly follow direction '{direction.name}' ({moved:.2f} at most)"
        )
    moves = dict(zip(net.attributes, (round(x, 4) for x in effect.tolist()), strict=True))
    others = [abs(change) for name, change in moves.items() if name != attribute]
    card = json.loads(direction.card) | {
        "calibrated_by": attribute,
        "effect": round(moved, 4),
        "leak": round(sum(others) / max(1, len(others)), 4),
        "moves": moves,
    }
    return replace(direction, sigma=sigma, card=json.dumps(card, sort_keys=True))


def _effect(generator: Generator, net: Reader, w: Tensor, direction: StoredDirection) -> Tensor:
    """Half the change of the scores from one sigma below to one above, [K]."""
    up, down = (
        read_codes(generator, net, *move(generator, w, "w", [(direction, strength)]))
        for strength in (1.0, -1.0)
    )
    return (up - down).mean(0) / 2
