"""Edits along curves: a conditional flow between codes and noise, fitted and followed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from engine.errors import OpError
from engine.op import KnownTo, Range, op
from engine.values import Latent, Network, Scalar, Scores, check_family
from ops.given import (
    Strength,
    base_of,
    carrying,
    checked,
    column_of,
    generator_of,
    judge_amounts,
    judge_rows,
    reader_of,
    table_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from models.flow import Flow

Rows = Literal["all", "coarse", "middle", "fine"] | list[int]


@dataclass(frozen=True, slots=True)
class FittedFlow:
    """What `fit_flow` gives: the flow, and nats per held-out code gained over an affine one."""

    model: Network
    gain: Scalar


@dataclass(frozen=True, slots=True)
class FlowEdit:
    """What `edit_flow` and `sample_flow` give: codes, and the attributes they were made for."""

    latent: Latent
    scores: Scores


@op(version=3, endless=True, names=[("attributes",), ("scores",)])
def fit_flow(  # noqa: PLR0913 (settings are declared here and nowhere else)
    codes: Sequence[Latent],
    scores: Sequence[Scores],
    model: Network,
    *,
    attributes: Annotated[list[str], KnownTo(("scores",))] = [],  # noqa: B006 (read only)
    hidden: Annotated[int, Range(8, 4096)] = 128,
    depth: Annotated[int, Range(2, 12)] = 3,
    steps: Annotated[int, Range(0, 10_000_000)] = 2000,
    batch_size: Annotated[int, Range(8, 65536)] = 256,
    learning_rate: Annotated[float, Range(0, 1)] = 0.002,
    held_out: Annotated[float, Range(0.02, 0.5)] = 0.1,
    seed: int = 0,
) -> FittedFlow:
    """Fit a continuous flow between noise and codes, given the attributes of their pictures.

    `edit_flow` and `sample_flow` follow it: `models: {flow: STEP}`, or a model of the file that an
    output wrote. What depends on the attributes linearly is fitted exactly; `hidden`, `depth` and
    `steps` are of the network that bends the rest, which is kept as it did best on codes it was not
    fitted to. With `steps: 0` it bends nothing; a `gain` about 0 says that there is nothing to
    bend, or too few codes to see it. Some more codes are needed than a code has numbers: 574 for
    512 numbers and two attributes.

    Shapes: codes w [1, D], scores [1, K] -> model, a reference that carries the flow.
    Units: gain in nats per held-out code, over the affine part alone.
    Raises: OpError for unknown attributes, codes that are not in w or of another generator, too few
    codes, or attributes that do not vary.
    Source: Abdal et al. 2021, arXiv:2008.02401 (StyleFlow); Lipman et al. 2023, arXiv:2210.02747
    (flow matching in place of likelihood through a solver).
    """
    import torch

    from models.flow import Fitting, FlowConfig, pack
    from models.flow import fit_flow as fit

    if len(codes) != len(scores):
        raise OpError(f"{len(scores)} scores for {len(codes)} codes: gather both over one axis")
    check_family(codes[0], model)
    if any((c.family, c.space) != (codes[0].family, "w") for c in codes):
        raise OpError("a flow is fitted to codes in w, all of one generator")
    scored, names = table_of(scores)
    chosen = tuple(attributes) or names
    data = torch.cat([code.data for code in codes])
    table = scored[:, [column_of(names, name) for name in chosen]]
    config = FlowConfig(model.family, chosen, data.shape[1], hidden, depth)
    fitting = Fitting(steps, batch_size, learning_rate, held_out, seed)
    with checked("fit_flow"):
        flow, gain = fit(config, data, table, fitting)
    card = {"codes": len(codes), "gain": round(gain, 4), "model": model.name}
    fitted = carrying(model, pack(flow, base_of(model), card))
    return FittedFlow(fitted, Scalar((round(gain, 6),)))


def _judge_edit(settings: Mapping[str, Any], sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the attributes, strengths or rows of an edit."""
    yield from judge_amounts(settings, "attribute", "strength")
    yield from judge_rows(settings, sides)


def _judge_sample(settings: Mapping[str, Any], _: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the attributes that are asked for."""
    yield from judge_amounts(settings, "attribute", "value")


@op(
    version=2,
    batch=32,
    fixed=True,
    check=_judge_edit,
    names=[("flow",)],
    beside=["features"],
    carried=["flow"],
)
def edit_flow(
    latent: Latent,
    model: Network,
    flow: Network,
    scores: Scores | None = None,
    *,
    attribute: Annotated[str | list[str], KnownTo(("flow",))],
    strength: Strength = 1.0,
    mode: Literal["add", "set_to"] = "add",
    rows: Rows = "all",
) -> FlowEdit:
    """Change attributes of a code along the curves of a flow, all others staying as they are.

    The code is taken back to noise with the attributes it has (`scores`, or what the model's
    feature network reads) and forth with those it shall have. `scores` of the result are the
    latter: wire them to a further edit. Only `rows` take the result; the others stay, bit for bit.

    Shapes: latent w [N, D] or w_plus [N, L, D], scores [N, K] -> latent as given, or w_plus when
    only some rows move.
    Units: strength in standard deviations of the attribute; "set_to" from its mean. 0 added changes
    nothing, bit for bit.
    Raises: OpError for an attribute the flow does not know, without a flow, or another generator's
    codes.
    Source: Abdal et al. 2021, arXiv:2008.02401.
    """
    import torch

    from models.codes import choose_rows, spread

    fitted = _flow(flow, model)
    if latent.space not in ("w", "w_plus"):
        raise OpError(f"a flow edits codes in w and w_plus, not in {latent.space}")
    generator = generator_of([latent], model)
    data = latent.data.to(model.device)
    has = _attributes(fitted, latent, model, scores)
    goal = _goal(fitted, has, attribute, strength, mode)
    still = (goal == has).all(1)
    wide = spread(data, generator.num_rows)
    chosen = list(choose_rows(generator.config, rows))
    flat = data[:, None] if latent.space == "w" else wide[:, chosen]
    count = flat.shape[1]
    with torch.no_grad():
        noise = fitted.encode(flat.flatten(0, 1), has.repeat_interleave(count, 0))
        moved = fitted.decode(noise, goal.repeat_interleave(count, 0)).reshape(flat.shape)
    moved = torch.where(still[:, None, None], flat, moved)
    told = Scores(goal.cpu(), fitted.config.attributes)
    if latent.space == "w" and rows == "all":
        return FlowEdit(Latent(moved[:, 0], "w", latent.family), told)
    done = wide.clone()
    done[:, chosen] = moved.expand(-1, len(chosen), -1)
    return FlowEdit(Latent(done, "w_plus", latent.family), told)


@op(version=1, batch=32, fixed=True, check=_judge_sample, names=[("flow",)], carried=["flow"])
def sample_flow(
    index: Scalar,
    model: Network,
    flow: Network,
    *,
    attribute: Annotated[str | list[str], KnownTo(("flow",))] = [],  # noqa: B006 (read only)
    value: float | list[float] = 0.0,
    seed: int = 0,
) -> FlowEdit:
    """Draw the code of a picture nobody has seen that has some attributes as asked.

    All other attributes are those of a picture the flow was fitted to, drawn at random.

    Shapes: index N whole numbers -> latent w [N, D], scores [N, K] as aimed at.
    Units: value in standard deviations of the attribute, from its mean.
    Raises: OpError for an attribute the flow does not know, or without a flow.
    Source: Abdal et al. 2021, arXiv:2008.02401.
    """
    import torch

    from models.codes import draw, number

    fitted = _flow(flow, model)
    numbers = [number(seed, i) for i in index.data]
    noise = torch.cat([draw(n, 1, fitted.config.width) for n in numbers]).to(model.device)
    has = fitted.examples[[n % len(fitted.examples) for n in numbers]]
    goal = _goal(fitted, has, attribute, value, "set_to")
    with torch.no_grad():
        w = fitted.decode(noise, goal)
    return FlowEdit(Latent(w, "w", model.family), Scores(goal.cpu(), fitted.config.attributes))


def _flow(flow: Network, model: Network) -> "Flow":
    """The flow that a reference carries. Raises: OpError if it carries none for this generator."""
    from models.flow import unpack

    if not flow.delta:
        raise OpError("no flow is given: write `models: {flow: STEP}` of a step with fit_flow")
    if flow.family != model.family:
        raise OpError(f"the flow was fitted for another generator than '{model.name}'")
    with checked("flow"):
        return unpack(flow.delta).to(flow.device)


def _attributes(flow: "Flow", latent: Latent, model: Network, scores: Scores | None) -> "Tensor":
    """The attributes of codes in the order of the flow, [N, K]: as given, or as pictures show."""
    import models
    from models.readings import read_codes

    data = latent.data.to(model.device)
    if scores is None:
        net = reader_of(model)
        table, names = read_codes(models.fetch(model), net, data, latent.space), net.attributes
    else:
        table, names = scores.data.to(model.device), scores.names
    return table[:, [column_of(names, name) for name in flow.config.attributes]]


def _goal(
    flow: "Flow",
    has: "Tensor",
    attribute: str | list[str],
    strength: Strength,
    mode: str,
) -> "Tensor":
    """The attributes to go to, [N, K]."""
    names = [attribute] if isinstance(attribute, str) else attribute
    amounts = [strength] * len(names) if isinstance(strength, float | int) else strength
    if len(names) != len(amounts):
        raise OpError(f"{len(amounts)} numbers for {len(names)} attributes")
    goal = has.clone()
    for name, amount in zip(names, amounts, strict=True):
        column = column_of(flow.config.attributes, name)
        start = goal[:, column] if mode == "add" else flow.centre[column]
        goal[:, column] = start + amount * flow.scale[column]
    return goal
