"""What travels on a wire: frozen, batched, shape-checked values.

Every value is a batch of N items. Fields annotated `Tensor` carry the items along their first
dimension; all other fields are shared by the batch, and two values are stackable when these and
the shapes agree (`signature`). A single item is a batch of one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from engine.errors import OpError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

Space: TypeAlias = Literal["z", "w", "w_plus", "style"]
ScalarItem: TypeAlias = float | int | str | bool | None


def _check(value: object, name: str, ndim: int, **sizes: int) -> None:
    """Raise ShapeError unless tensor field `name` has `ndim` dimensions and the given sizes."""
    shape = tuple(getattr(value, name).shape)
    wanted = [str(sizes.get(f"d{i}", "*")) for i in range(ndim)]
    fits = len(shape) == ndim and all(shape[int(k[1:])] == n for k, n in sizes.items())
    if not fits:
        kind = type(value).__name__
        raise ShapeError(f"{kind}.{name} is {list(shape)}, expected [{', '.join(wanted)}]")


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Pictures. Shapes: data float32 [N, 3, H, W]. Units: sRGB, -1 black .. 1 white."""

    data: "Tensor"

    def __post_init__(self) -> None:
        _check(self, "data", 4, d1=3)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Soft selections. Shapes: data float32 [N, 1, H, W]. Units: 0 outside .. 1 inside."""

    data: "Tensor"

    def __post_init__(self) -> None:
        _check(self, "data", 4, d1=1)


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """Moving pictures: frames in their order, shown over and over.

    Shapes: data float32 [N, T, 3, H, W], T at least 1.
    Units: sRGB, -1 black .. 1 white; fps frames per second.
    """

    data: "Tensor"
    fps: float

    def __post_init__(self) -> None:
        _check(self, "data", 5, d2=3)
        if not self.data.shape[1]:
            raise ShapeError("Film.data has no frames")
        if not self.fps > 0:
            raise ShapeError(f"Film.fps is {self.fps}, expected more than 0")


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Codes of one generator family.

    Shapes: data float32 [N, D] in z and w, [N, L, D] in w_plus, [N, S] in style.
    `family` is the digest of the generator whose mapping and affines the codes belong to.
    """

    data: "Tensor"
    space: Space
    family: str

    def __post_init__(self) -> None:
        _check(self, "data", 3 if self.space == "w_plus" else 2)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """Activations after one generator layer, with the picture summed so far.

    Shapes: data [N, C, H, W], skip [N, 3, h, w].
    """

    data: "Tensor"
    skip: "Tensor"
    layer: str
    family: str

    def __post_init__(self) -> None:
        _check(self, "data", 4)
        _check(self, "skip", 4, d1=3)


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Where a crop sits in its photo: the rotated square that became the crop.

    Shapes: quad float64 [N, 4, 2], corners TL, BL, BR, TR of the crop in photo pixels (x, y);
    photo int64 [N, 2], the photo's height and width. Units: pixels, pixel centres at +0.5.
    """

    quad: "Tensor"
    photo: "Tensor"
    size_px: int

    def __post_init__(self) -> None:
        _check(self, "quad", 3, d1=4, d2=2)
        _check(self, "photo", 2, d1=2)


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """A calibrated direction in a code space, with its provenance.

    Shapes: data float32 [N, D] (w) or [N, L, D] (w_plus) or [N, S] (style), unit length;
    sigma float32 [N], the change along data that moves the attribute by one standard deviation;
    offset float32 [N], the attribute's linear reading: score = (code . data - offset) / sigma.
    `rows` are the W+ rows it applies to (empty = all); `card` is JSON text: method, data, metrics.
    """

    data: "Tensor"
    sigma: "Tensor"
    offset: "Tensor"
    name: str
    space: Space
    family: str
    rows: tuple[int, ...] = ()
    card: str = "{}"

    def __post_init__(self) -> None:
        _check(self, "data", 3 if self.space == "w_plus" else 2)
        _check(self, "sigma", 1)
        _check(self, "offset", 1)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Named numbers of a picture or code. Shapes: data float32 [N, K], names K."""

    data: "Tensor"
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self, "data", 2, d1=len(self.names))
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ShapeError(f"Scores.names has '{twice}' more than once")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number, text or truth value per item, readable by `when`, settings and file names."""

    data: tuple[ScalarItem, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A generator by reference: what an op needs to fetch it from the model pool.

    `precision` is that of the convolutions, fp32, bf16 or fp16; codes and styles are always fp32.
    `family` is the digest whose codes it understands. A tuned generator keeps the family and path
    of its base; `delta` is what to add to its weights, `digest` then the sha256 of the delta.
    """

    name: str
    path: str
    digest: str
    family: str
    resolution: int
    num_rows: int
    device: str = "cpu"
    precision: str = "fp32"
    delta: bytes = field(default=b"", repr=False)


Value: TypeAlias = (
    Image | Film | Mask | Latent | FeatureMap | Alignment | Direction | Scores | Scalar | Network
)
V = TypeVar("V", bound=Value)

#: Every type a wire can have, with the port name it gets when an op returns it alone.
VALUE_TYPES: dict[type, str] = {
    Image: "image",
    Film: "film",
    Mask: "mask",
    Latent: "latent",
    FeatureMap: "features",
    Alignment: "alignment",
    Direction: "direction",
    Scores: "scores",
    Scalar: "value",
    Network: "model",
}


@cache
def tensor_fields(kind: Any) -> tuple[str, ...]:
    """Names of the fields of a value type that carry items along dimension 0."""
    return tuple(f.name for f in fields(kind) if f.type in ("Tensor", '"Tensor"'))


@cache
def byte_fields(kind: Any) -> tuple[str, ...]:
    """Names of the fields of a value type that are bytes."""
    return tuple(f.name for f in fields(kind) if f.type is bytes)


@cache
def shared_fields(kind: Any) -> tuple[str, ...]:
    """Names of the fields of a value type that all items of a batch share."""
    carried = {*tensor_fields(kind), *(("data",) if kind is Scalar else ())}
    return tuple(f.name for f in fields(kind) if f.name not in carried)


def count(value: Value) -> int:
    """Number of items in a value."""
    if isinstance(value, Scalar):
        return len(value.data)
    kind: Any = type(value)
    names = tensor_fields(kind)
    return int(getattr(value, names[0]).shape[0]) if names else 1


def signature(value: Value) -> tuple[object, ...]:
    """What two values must have in common to be stacked into one batch."""
    kind: Any = type(value)
    if kind is Network:
        return (kind, id(value))
    shared = tuple(getattr(value, name) for name in shared_fields(kind))
    shapes = tuple(tuple(getattr(value, name).shape[1:]) for name in tensor_fields(kind))
    return (kind, shared, shapes)


def stack(values: Sequence[V]) -> V:
    """Make one batch of values with equal signatures.

    Raises: ShapeError if they do not stack.
    """
    first = values[0]
    if len(values) == 1:
        return first
    if any(signature(value) != signature(first) for value in values[1:]):
        raise ShapeError(f"{type(first).__name__} values of different kinds or sizes do not stack")
    if isinstance(first, Scalar):
        return replace(first, data=tuple(x for v in values for x in v.data))  # type: ignore[union-attr]
    import torch

    kind: Any = type(first)
    parts: dict[str, Any] = {
        name: torch.cat([getattr(value, name) for value in values]) for name in tensor_fields(kind)
    }
    return replace(first, **parts)


def take(value: V, start: int, stop: int) -> V:
    """Make the batch of items start..stop-1 of a value."""
    if isinstance(value, Scalar):
        return replace(value, data=value.data[start:stop])
    kind: Any = type(value)
    parts: dict[str, Any] = {n: getattr(value, n)[start:stop] for n in tensor_fields(kind)}
    return replace(value, **parts) if parts else value


def split(value: V) -> Iterator[V]:
    """Yield the items of a value, each as a batch of one."""
    return (take(value, i, i + 1) for i in range(count(value)))


def check_family(value: "Latent | Direction | FeatureMap", network: Network) -> None:
    """Raise OpError unless a code, direction or feature map belongs to this generator."""
    if value.family != network.family:
        kind = type(value).__name__.lower()
        raise OpError(
            f"this {kind} belongs to the generator {value.family[:12]}, "
            f"not to '{network.name}' ({network.family[:12]})"
        )


#: Numbers that are looked at together.
_PART = 1 << 22


def finite(value: Value) -> list[bool]:
    """Tell for each item of a value whether all its numbers are finite."""
    import torch

    kind: Any = type(value)
    verdict = [True] * count(value)
    for name in tensor_fields(kind):
        data = getattr(value, name)
        if data.is_floating_point() and data.numel():
            for item, numbers in enumerate(data.reshape(len(data), -1)):
                # In parts: asking all of a large picture at once takes twice its room.
                parts = torch.split(numbers, _PART)
                verdict[item] &= all(bool(torch.isfinite(part).all()) for part in parts)
    return verdict


__all__ = [
    "VALUE_TYPES",
    "Alignment",
    "Direction",
    "FeatureMap",
    "Film",
    "Image",
    "Latent",
    "Mask",
    "Network",
    "Scalar",
    "ScalarItem",
    "Scores",
    "Space",
    "Value",
    "byte_fields",
    "check_family",
    "count",
    "finite",
    "shared_fields",
    "signature",
    "split",
    "stack",
    "take",
    "tensor_fields",
]
