"""Style channels: their names, where in a picture each one acts, and which tell some codes apart.

Source: Wu et al. 2021, arXiv:2011.12799 (StyleSpace analysis).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp, vmap

from models.errors import ModelError
from models.perceptual import FeatureNet
from models.priors import Gaussian
from models.stylegan2 import Generator

#: A channel is local to a part that wins it in this share of pictures, this far before the next.
MOST, LEAD = 0.5, 0.25
#: The share of pictures that must show a part for a channel to be local to it.
_SHOWN = 0.25
_TIE = 1e-9
#: Channels whose slopes are carried through the walk at once.
_TOGETHER = 8
#: Channels that vary less than this share of the usual are taken as still.
_STILL = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Locality:
    """To which part each channel belongs: one that wins it in most pictures, far before the next.

    Shapes: part [C], its number (the best one if `local` is false); share [C], of the pictures that
    show it in which it wins; local [C].
    """

    part: Tensor
    share: Tensor
    local: Tensor


def channel_name(generator: Generator, index: int) -> str:
    """The name of a place in a style vector, such as "16.conv1:45": layer and channel in it."""
    for layer in generator.layers:
        if layer.style.start <= index < layer.style.stop:
            return f"{layer.name}:{index - layer.style.start}"
    raise ModelError(f"channel {index}: there are {generator.layers[-1].style.stop}")


def channel_index(generator: Generator, name: str) -> int:
    """The place in a style vector that a name means. Raises: ModelError for no such channel."""
    start, _, number = name.partition(":")
    layer = next((one for one in generator.layers if one.name == start), None)
    if layer is None or not number.isdecimal():
        names = [one.name for one in generator.layers]
        near = get_close_matches(start, names, n=1)
        guess = f"; did you mean '{near[0]}:{number or 0}'?" if near else ""
        raise ModelError(
            f"channel '{name}' is no layer and number, such as '{names[0]}:0'{guess}; layers are "
            f"{', '.join(names)}"
        )
    if int(number) >= layer.in_channels:
        raise ModelError(
            f"channel '{name}': layer {start} has channels 0 to {layer.in_channels - 1}"
        )
    return int(layer.style.start) + int(number)


def slopes(generator: Generator, styles: Tensor, layer: str, grid: int) -> Tensor:
    """How much each place of a picture changes with each channel of a layer, [C, grid, grid].

    The exact derivative, carried forward from the layer through the rest of the walk; its absolute
    value is averaged over colours, after the picture is averaged over the cells of the grid.
    Shapes: styles [1, S].
    """
    place = generator.layer(layer)
    with torch.no_grad(), warnings.catch_warnings():
        # Torch's own forward mode still compiles some of its rules in the old way.
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
        before = generator.run(styles, stop=place.index)

        def cells(style: Tensor) -> Tensor:
            picture = generator.run(style, state=before).skip
            return F.adaptive_avg_pool2d(cast(Tensor, picture), grid)[0]

        def slope(channel: Tensor) -> Tensor:
            tangent = F.one_hot(channel, styles.shape[1])[None].to(styles)
            return cast(Tensor, jvp(cells, (styles,), (tangent,))[1]).abs().mean(0)

        channels = torch.arange(place.style.start, place.style.stop, device=styles.device)
        return vmap(slope, chunk_size=_TOGETHER)(channels)


def regions(net: FeatureNet, picture: Tensor, grid: int) -> Tensor:
    """Which part each place of a picture [1, 3, H, W] shows, one-hot [P, grid, grid]."""
    with torch.no_grad():
        return _largest(F.adaptive_avg_pool2d(net(picture).part_logits.softmax(1)[0], grid))


def masked(masks: Tensor, grid: int) -> Tensor:
    """Which of some masks [P, H, W] each place belongs to most, one-hot [P + 1, grid, grid].

    The last is the rest, what no mask claims.
    """
    shares = F.adaptive_avg_pool2d(masks, grid)
    rest = (1 - shares.sum(0, keepdim=True)).clamp(min=0)
    return _largest(torch.cat([shares, rest]))


def _largest(shares: Tensor) -> Tensor:
    """Where each of some parts [P, h, w] has the largest share, one-hot."""
    return F.one_hot(shares.argmax(0), len(shares)).permute(2, 0, 1).bool()


def overlaps(maps: Tensor, masks: Tensor) -> Tensor:
    """How well the strongest places of maps [C, h, w] fall on masks [P, h, w], [C, P].

    As many places count as strong as the mask holds; n of them lying in a mask of m places scores
    n / m^2, which lets small parts win what lies in them. An empty mask scores 0.
    Source: Wu et al. 2021, section 4, with the exponent of the code that goes with it.
    """
    flat, held = maps.flatten(1), masks.flatten(1)
    ranked = flat.argsort(dim=1, descending=True, stable=True)
    found = flat.new_zeros(len(flat), len(held))
    for part, mask in enumerate(held):
        size = int(mask.sum())
        if size:
            hits = mask[ranked[:, :size]].sum(1).to(flat.dtype)
            found[:, part] = hits / size**2
    # A map without any slope has no strongest places.
    return found * (flat.amax(1, keepdim=True) > 0)


def locality(scores: Tensor) -> Locality:
    """To which part channels belong, from their overlaps in several pictures [N, C, P].

    First in more than half of the pictures, and by a quarter of them more often than the next part.
    Of a part that not everybody has, such as glasses, the pictures that show it count, if they are
    a quarter of all.
    Source: Wu et al. 2021, section 4, whose parts are in every picture.
    """
    best = scores.argmax(2)
    won = (F.one_hot(best, scores.shape[2]) * (scores.amax(2, keepdim=True) > 0)).double()
    shown = (scores.amax(1) > 0).double()
    count = shown.sum(0)
    # How often each part wins where each part is shown.
    often = torch.einsum("np,ncq->cpq", shown / count.clamp(min=1), won)
    mine = often.diagonal(dim1=1, dim2=2) * (count >= _SHOWN * len(scores))
    # Of parts that win as often, the one that more pictures show.
    part = (mine + _TIE * count / len(scores)).argmax(1)
    share = mine.gather(1, part[:, None])[:, 0]
    others = often[torch.arange(len(part)), part].scatter(1, part[:, None], -1)
    second = others.amax(1).clamp(min=0)
    return Locality(part, share, (share > MOST) & (share - second > LEAD))


def exemplar_scores(styles: Tensor, population: Gaussian) -> Tensor:
    """How clearly some codes differ from all others in each channel, with its sign, [S].

    The mean over their spread of the codes' deviations from the population, in its own spreads;
    channels that hardly ever change score 0.
    Shapes: styles [N, S] of at least two codes.  Raises: ModelError for fewer.
    Source: Wu et al. 2021, section 5.
    """
    if len(styles) < 2:
        raise ModelError(f"{len(styles)} exemplars: at least two are needed")
    std = population.spread.clamp(min=0).sqrt()
    still = std <= std.median() * _STILL
    z = (styles - population.mean) / torch.where(still, torch.ones_like(std), std)
    # Exemplars that happen to agree in a channel must not make it infinitely telling.
    score = z.mean(0) / z.std(0).clamp(min=0.05)
    return torch.where(still, torch.zeros_like(score), score)


def check_channels(generator: Generator, names: Sequence[str]) -> list[int]:
    """The places of channels by name, each once. Raises: ModelError."""
    found = [channel_index(generator, name) for name in names]
    if not found or len(set(found)) < len(found):
        raise ModelError(f"channels {list(names)}: must be one or more, each once")
    return found
