"""One code brought to the pose of another, before something of it is transferred."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from engine.errors import OpError
from engine.op import Asset, Range, op
from engine.values import Latent, Network, Scalar
from ops.given import checked, direction_of, features_of, generator_of, rounded, styles_of

Names = str | list[str]


@dataclass(frozen=True, slots=True)
class Posed:
    """A code in the pose of another, and how far the readings of the directions were, and are.

    `before` and `after` are None where no network reads the directions.
    """

    latent: Latent
    before: Scalar
    after: Scalar


def _judge(settings: Mapping[str, Any], _sides: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of `align_pose`."""
    if message := _contradiction(settings["by"], settings["direction"]):
        yield "direction", message


@op(version=1, batch=8, fixed=True, check=_judge, beside=["features"])
def align_pose(
    target: Latent,
    reference: Latent,
    model: Network,
    *,
    by: Literal["style", "rows", "directions"] = "style",
    direction: Annotated[Names, Asset("directions")] = [],  # noqa: B006 (read only)
    layers: Annotated[int, Range(0)] = 4,
    refine: Annotated[int, Range(0, 8)] = 2,
) -> Posed:
    """Bring a reference to the pose of a target, so that what is transferred lies where it should.

    "style" takes the style vectors of the first `layers` layers from the target, "rows" as many
    rows of its w_plus: hair and the shape of the head come with them. "directions" moves the
    reference along each `direction`, such as yaw and pitch, until both codes read the same, then by
    `refine` corrections after what the feature network beside the model sees in the pictures; all
    else stays the reference's own. Transfer from the result with `align: none`.

    Shapes: target, reference z, w, w_plus or style of N items -> latent style ("style"), w_plus
    ("rows") or as wide as the directions need.
    Units: before, after: root mean squares of readings, 0..1.
    Raises: OpError for settings that contradict each other, style vectors that have no rows, or a
    code or direction of another generator.
    Source: Chong et al. 2021, arXiv:2111.01619, section 3.5 ("style", "rows"); "directions" is own.
    """
    import torch

    from models.codes import to_w_plus
    from models.pose import pose_layers, turn, with_layers

    generator = generator_of((target, reference), model)
    if message := _contradiction(by, direction):
        raise OpError(message)
    unread = Scalar((None,) * len(reference.data))
    device = generator.w_avg.device
    data, goal = reference.data.to(device), target.data.to(device)
    with torch.no_grad(), checked():
        if by == "style":
            styles = styles_of(generator, target), styles_of(generator, reference)
            mixed = with_layers(*styles, pose_layers(generator, layers))
            return Posed(Latent(mixed, "style", reference.family), unread, unread)
        if by == "rows":
            rows = to_w_plus(generator, data, reference.space).clone()
            rows[:, :layers] = to_w_plus(generator, goal, target.space)[:, :layers]
            return Posed(Latent(rows, "w_plus", reference.family), unread, unread)
        paths = [direction] if isinstance(direction, str) else direction
        found = turn(
            generator,
            features_of(model),
            data,
            reference.space,
            goal,
            target.space,
            [direction_of(path, model) for path in paths],
            refine,
        )
    before, after = (
        unread if told is None else rounded(told, 5) for told in (found.before, found.after)
    )
    return Posed(Latent(found.data, found.space, reference.family), before, after)


def _contradiction(by: str, direction: Names) -> str:
    """What is wrong with how a pose is to be aligned, or ""."""
    if by == "directions" and not direction:
        return "by: directions needs a direction, such as [yaw, pitch]"
    if by != "directions" and direction:
        return f"a direction is given, but by: {by} follows none: say by: directions"
    return ""
