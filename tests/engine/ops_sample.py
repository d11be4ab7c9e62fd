"""A few tiny ops, enough to plan every feature of the language."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from engine.op import Asset, Caption, Members, Needs, Range, Scratch, Seed, op
from engine.values import (
    Alignment,
    Direction,
    FeatureMap,
    Film,
    Image,
    Latent,
    Mask,
    Network,
    Scalar,
)


@dataclass(frozen=True, slots=True)
class Face:
    image: Image
    alignment: Alignment
    faces: Scalar
    sharpness: Scalar


@dataclass(frozen=True, slots=True)
class Tuned:
    model: Network
    latent: Latent


@op(version=1)
def align(image: Image, *, size: Annotated[int, Range(16, 2048)] = 256) -> Face:
    """Crop a face."""
    raise NotImplementedError


@op(version=1, batch=8, fixed=True)
def invert(
    image: Image,
    model: Network,
    *,
    method: Literal["encoder", "optimize", "hybrid"] = "hybrid",
    steps: Annotated[int, Range(1, 10_000)] = 200,
    rate: Annotated[float, Range(0, 1)] = 0.1,
    seed: Seed,
) -> Latent:
    """Find the code of a picture."""
    raise NotImplementedError


@op(version=2)
def edit(
    latent: Latent,
    *,
    direction: Annotated[str | list[str], Asset("directions")],
    strength: Annotated[float, Range(-10, 10)] = 1.0,
    rows: Literal["all", "coarse", "middle", "fine"] | list[int] = "all",
) -> Latent:
    """Follow a direction."""
    raise NotImplementedError


@op(version=1)
def mix(content: Latent, style: Latent, *, rows: Literal["coarse", "fine"] = "fine") -> Latent:
    """Mix two codes."""
    raise NotImplementedError


@op(version=1, batch=8)
def synthesize(
    latent: Latent, model: Network, *, noise: Literal["const", "none"] = "const"
) -> Image:
    """Draw codes."""
    raise NotImplementedError


@op(version=1)
def translate(latent: Latent, source: Network, target: Network) -> Image:
    """Draw a code with another generator."""
    raise NotImplementedError


@op(version=1, endless=True)
def tune(image: Image, latent: Latent, model: Network, *, scratch: Scratch) -> Tuned:
    """Tune a generator to a picture."""
    raise NotImplementedError


@op(version=1)
def weave(codes: Sequence[Latent], model: Network) -> Image:
    """Weave many codes into a strip."""
    raise NotImplementedError


@op(version=1)
def sheet(
    images: Sequence[Image],
    *,
    caption: Caption = (),  # type: ignore[assignment]
    members: Members,
    columns: Annotated[int, Range(1, 50)] | None = None,
) -> Image:
    """Put pictures on a sheet."""
    raise NotImplementedError


@op(version=1)
def play(images: Sequence[Image]) -> Film:
    """Make a film of pictures."""
    raise NotImplementedError


@op(version=1)
def learn(codes: Sequence[Latent], labels: Sequence[Scalar]) -> Direction:
    """Learn a direction."""
    raise NotImplementedError


@op(version=1)
def paste(image: Image, photo: Image, mask: Mask | None = None, *, feather: float = 0.1) -> Image:
    """Paste a picture into another."""
    raise NotImplementedError


@op(version=1)
def average(image: Image, *, others: Literal["no"] = "no") -> Scalar:
    """The mean of a picture."""
    raise NotImplementedError


@op(version=1)
def features(latent: Latent, model: Network, *, layer: str = "b8") -> FeatureMap:
    """The activations of a layer."""
    raise NotImplementedError


@op(version=1)
def draw(*, seed: Seed, mask: Annotated[str | None, Asset("file")] = None) -> Image:
    """A picture out of nothing."""
    raise NotImplementedError


@op(version=1)
def guided(*, mask: Annotated[str, Asset("file")] = "mask.png") -> Image:
    """A picture out of a mask."""
    raise NotImplementedError


RARE = Needs(
    ("json", "no_such_package"),
    install="pip install rare",
    instead="by: file",
    when={"by": ("auto", "rare"), "marks": (None,)},
)


@op(version=1, needs=[RARE])
def search(
    image: Image,
    *,
    by: Literal["auto", "file", "rare"] = "auto",
    marks: Annotated[str | None, Asset("file")] = None,
) -> Image:
    """Search a picture with a package that is not there."""
    raise NotImplementedError
