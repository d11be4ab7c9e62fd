"""Single style channels: edited, traced to the parts of a picture they act on, and ranked."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError, SkipItem, suggestion
from engine.op import Range, op
from engine.values import Direction, Latent, Mask, Network, Scalar, Scores
from ops.given import Strength, checked, generator_of, judge_amounts, reader_of, styles_of

if TYPE_CHECKING:
    from torch import Tensor

    from models.perceptual import FeatureNet
    from models.stylegan2 import Generator


@dataclass(frozen=True, slots=True)
class RankedChannel:
    """What `rank_channels` gives: one channel as a direction, its name, and why it is there.

    `share` is the part of the pictures that show its part in which that wins it; None without
    traces.
    """

    direction: Direction
    channel: Scalar
    score: Scalar
    share: Scalar


def _judge_channels(
    settings: Mapping[str, Any], sides: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """What is wrong with the channels of an edit, or with their strengths."""
    from models.config import GeneratorConfig, layer_table, standard_channels

    side = sides["model"]
    layers = [layer.name for layer in layer_table(GeneratorConfig(side, standard_channels(side)))]
    given = settings["channels"]
    for name in given if isinstance(given, list) else [given]:
        layer, _, number = name.rpartition(":")
        if layer not in layers or not number.isdecimal():
            near = suggestion(layer or name, layers)
            yield (
                "channels",
                f"channel '{name}' is no layer and number, such as '{layers[0]}:0'{near}; layers "
                f"are {', '.join(layers)}",
            )
    yield from judge_amounts(settings, "channels", "strength")


@op(version=1, batch=32, check=_judge_channels)
def edit_channels(
    latent: Latent,
    model: Network,
    *,
    channels: str | list[str],
    strength: Strength = 1.0,
    mode: Literal["add", "set_to"] = "add",
) -> Latent:
    """Move single style channels, such as "16.conv1:45": channel 45 of that layer's style.

    Nothing else changes. "set_to" moves to so many deviations from the mean instead of by them.

    Shapes: latent z, w, w_plus or style of N items -> style [N, S].
    Units: strength in standard deviations of the channel over the model's codes, for all channels
    or one for each.
    Raises: OpError if a channel does not exist or is named twice, or strengths do not match.
    Source: Wu et al. 2021, arXiv:2011.12799 (StyleSpace).
    """
    from models.channels import check_channels
    from models.priors import style_gaussian

    generator = generator_of([latent], model)
    names = [channels] if isinstance(channels, str) else channels
    with checked():
        places = check_channels(generator, names)
    amounts = strength if isinstance(strength, list) else [strength] * len(places)
    if len(amounts) != len(places):
        raise OpError(f"{len(amounts)} strengths for {len(places)} channels")
    styles = styles_of(generator, latent).clone()
    population = style_gaussian(generator)
    for place, amount in zip(places, amounts, strict=True):
        step = amount * float(population.spread[place].clamp(min=0).sqrt())
        if mode == "set_to":
            styles[:, place] = population.mean[place] + step
        elif amount:
            styles[:, place] += step
    return Latent(styles, "style", latent.family)


@op(version=1, batch=1, beside=["features"])
def trace_channels(
    latent: Latent,
    model: Network,
    masks: Sequence[Mask] | None = None,
    *,
    layers: str | int = "all",
    names: list[str] = [],  # noqa: B006 (read only)
    grid: Annotated[int, Range(4, 128)] = 32,
    rgb: bool = False,
) -> Scores:
    """Find out on which parts of a picture every style channel acts.

    The picture's slope by each channel is compared with the parts that the model's feature network
    sees: the strongest places, as many as the part has (m), n of them in the part, score n / m^2.
    With `masks` of the code's picture, such as those of `segment_parts`, a polygon or a file, the
    parts are these, called by `names`, and "rest"; no feature network is needed then. The slopes
    are exact and cost about one picture per channel: take some `layers` at a time, such as "16" or
    "8..32.conv1" (a matrix of them runs on all workers), for a few codes.

    Shapes: code of one item, masks [1, 1, H, W] -> scores [1, C * P], named "16.conv1:45 mouth".
    Units: grid, cells per side on which slopes and parts are compared; `rgb` takes the styles of
    the layers that make colours too.
    Raises: OpError without a feature network or masks, unless each mask has a name of its own, or
    for layers that do not exist.
    Source: Wu et al. 2021, arXiv:2011.12799, section 4 (localised channels).
    """
    import torch

    from models.channels import overlaps, slopes
    from models.config import choose_layers

    if len(masks or ()) != len(names) or len({*names, "rest"}) <= len(names):
        told = f"{len(masks or ())} masks, names {names}"
        raise OpError(f"{told}: each mask needs a name of its own, and 'rest' is what they leave")
    net = None if masks else reader_of(model)
    parts = (*names, "rest") if net is None else net.config.parts
    generator = generator_of([latent], model)
    with checked():
        first, last = choose_layers(generator.config, layers)
    chosen = [layer for layer in generator.layers[first : last + 1] if rgb or layer.kind != "rgb"]
    if not chosen:
        raise OpError(f"layers {layers} make colours only: `rgb: true` traces them")
    columns = tuple(
        f"{layer.name}:{channel} {part}"
        for layer in chosen
        for channel in range(layer.in_channels)
        for part in parts
    )
    tables = []
    for item, styles in enumerate(torch.split(styles_of(generator, latent), 1)):
        given = [mask.data[item, 0].to(model.device) for mask in masks or ()]
        where = _places(generator, styles, net, given, grid)
        scores = [overlaps(slopes(generator, styles, one.name, grid), where) for one in chosen]
        tables.append(torch.cat(scores).flatten()[None])
    return Scores(torch.cat(tables).float(), columns)


def _places(
    generator: "Generator",
    styles: "Tensor",
    net: "FeatureNet | None",
    given: "list[Tensor]",
    grid: int,
) -> "Tensor":
    """The parts of one picture: as given [H, W] and the rest, or as the network sees them."""
    import torch

    from models.channels import masked, regions

    if net is None:
        return masked(torch.stack(given), grid)
    with torch.no_grad():
        return regions(net, generator.synthesize_styles(styles).clamp(-1, 1), grid)


@op(version=3)
def rank_channels(
    model: Network,
    codes: Sequence[Latent] | None = None,
    traces: Sequence[Scores] | None = None,
    *,
    part: str = "",
    rank: Annotated[int, Range(0)] = 0,
    rgb: bool = False,
) -> RankedChannel:
    """Find the style channels of a quality or of a part; ask for several ranks by a matrix.

    With exemplars `codes`, that have something in common, channels are ranked by how far they are
    from the model's usual codes, over how much they differ among themselves; the direction points
    towards them. With `traces` of some codes and a `part`, the channels local to it: it wins them
    in more than half of the pictures that show it, and by a quarter more often than the next part;
    a quarter of all must show it. They are ranked by their mean score. With both, exemplars rank
    the channels of the part. A rank that is not there is skipped.

    Shapes: codes of one item each; traces [1, K] of any layers -> direction style [1, S], zero but
    for one channel.
    Units: sigma, the channel's standard deviation over the model's codes.
    Raises: OpError without exemplars or traces, with fewer than two exemplars, or for a part that
    was not traced.
    Source: Wu et al. 2021, arXiv:2011.12799, sections 4 and 5.
    """
    import torch

    from models.channels import channel_index, channel_name, exemplar_scores
    from models.priors import style_gaussian

    if not codes and not traces:
        raise OpError("rank_channels needs the wire `codes` (exemplars), or `traces` and a part")
    if bool(traces) != bool(part):
        raise OpError("`traces` and `part` belong together: a part is looked for in traces")
    generator = generator_of(codes or [], model)
    population = style_gaussian(generator)
    shares: dict[int, tuple[float, float]] = {}
    if traces:
        shares = {
            channel_index(generator, name): told for name, told in _local(traces, part).items()
        }
    if codes:
        with checked():
            styles = torch.cat([styles_of(generator, code) for code in codes])
            scores = exemplar_scores(styles, population)
        usable = sorted(shares) if traces else _convolved(generator, rgb=rgb)
    else:
        usable = sorted(shares)
        scores = population.mean.new_zeros(len(population.mean))
        for place, (_, mean) in shares.items():
            scores[place] = mean
    order = sorted(usable, key=lambda place: (-abs(float(scores[place])), place))
    if rank >= len(order):
        raise SkipItem(f"rank {rank}: there are {len(order)} channels{' of ' * bool(part)}{part}")
    place = order[rank]
    name, score = channel_name(generator, place), float(scores[place])
    sign = -1.0 if score < 0 else 1.0
    vector = torch.zeros(1, len(population.mean))
    vector[0, place] = sign
    share = round(shares[place][0], 4) if place in shares else None
    card = {
        "method": "channel",
        "model": model.name,
        "channel": name,
        "rank": rank,
        "score": round(score, 6),
        "exemplars": len(codes or ()),
        "part": part,
        "share": share,
    }
    direction = Direction(
        vector,
        population.spread[place].clamp(min=0).sqrt().reshape(1).cpu(),
        (sign * population.mean[place]).reshape(1).cpu(),
        name.replace(":", "_"),
        "style",
        model.family,
        (),
        json.dumps(card, sort_keys=True),
    )
    told = Scalar((name,)), Scalar((round(score, 6),)), Scalar((share,))
    return RankedChannel(direction, *told)


def _convolved(generator: "Generator", *, rgb: bool) -> list[int]:
    """The places of the channels of convolutions, and of colours if wanted."""
    layers = [layer for layer in generator.layers if rgb or layer.kind != "rgb"]
    return [place for layer in layers for place in range(layer.style.start, layer.style.stop)]


def _local(traces: Sequence[Scores], part: str) -> dict[str, tuple[float, float]]:
    """The channels local to a part: how often it wins them, and their mean score."""
    import torch

    from models.channels import locality

    by_names: dict[tuple[str, ...], list[Tensor]] = {}
    for trace in traces:
        by_names.setdefault(trace.names, []).append(trace.data)
    found: dict[str, tuple[float, float]] = {}
    for names, tables in by_names.items():
        parts = list(dict.fromkeys(name.rpartition(" ")[2] for name in names))
        if part not in parts:
            near = suggestion(part, parts)
            raise OpError(f"part '{part}' was not traced{near} (there are {', '.join(parts)})")
        channels = [name.rpartition(" ")[0] for name in names[:: len(parts)]]
        scores = torch.cat(tables).reshape(-1, len(channels), len(parts))
        told = locality(scores)
        mine = told.local & (told.part == parts.index(part))
        mean = scores.mean(0)[:, parts.index(part)]
        for i in mine.nonzero().flatten().tolist():
            found[channels[i]] = (float(told.share[i]), float(mean[i]))
    return found
