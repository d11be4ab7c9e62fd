"""A small network that reads pictures: attributes, landmarks, parts, and how far two look apart.

Source: own; the distance is built like that of Zhang et al. 2018, arXiv:1801.03924.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import Backbone

_SHARES = (0.10, 0.20, 0.30, 0.30, 0.10)  # of each stage in the distance, fine to coarse


@dataclass(frozen=True, slots=True)
class FeatureNetConfig:
    """What a feature network reads, and how wide it is."""

    attributes: tuple[str, ...]
    parts: tuple[str, ...]
    landmarks: tuple[str, ...]
    widths: tuple[int, ...] = (24, 40, 72, 112, 144)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> "FeatureNetConfig":
        """The configuration that `to_json` gave."""
        frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**frozen)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the network sees in pictures.

    Shapes: attributes [N, K], about 0..1; landmarks [N, M, 2] as (x, y) in 0..1 of the width;
    part_logits [N, P, 32, 32].
    """

    attributes: Tensor
    landmarks: Tensor
    part_logits: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A picture as a few vectors.

    Shapes: attributes [N, K], 0..1; summary [N, 128], what attributes are read from; means [N, C],
    the features of every stage averaged over the picture, which tell colours and textures.
    """

    attributes: Tensor
    summary: Tensor
    means: Tensor


class Reader(Protocol):
    """Whatever tells numbers of pictures: a feature network, or one with scorers beside it."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """What the numbers are called."""

    def read(self, image: Tensor) -> Tensor:
        """The numbers of pictures [N, 3, H, W] in -1..1, [N, K] in the order of `attributes`."""


class FeatureNet(nn.Module):
    """Picture -> attributes, landmarks and parts.  Shapes: image [N, 3, H, W] in -1..1."""

    scales: Tensor

    def __init__(self, config: FeatureNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.backbone = Backbone(widths)
        self.squeeze = nn.Conv2d(widths[-1], 48, 1)
        self.hidden = nn.Linear(48 * 16, 128)
        self.attribute_head = nn.Linear(128, len(config.attributes))
        self.landmark_head = nn.Linear(128, 2 * len(config.landmarks))
        self.part_heads = nn.ModuleList(nn.Conv2d(w, len(config.parts), 1) for w in widths[1:4])
        # What two unrelated renders differ by at each stage: makes the stages comparable.
        self.register_buffer("scales", torch.ones(len(widths)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of the attributes, in the order of their scores."""
        return self.config.attributes

    def forward(self, image: Tensor) -> Reading:
        features = self.backbone(image)
        hidden = self.summarise(features)
        landmarks = 0.5 + self.landmark_head(hidden).unflatten(1, (-1, 2))
        return Reading(0.5 + self.attribute_head(hidden), landmarks, self._parts(features))

    def read(self, image: Tensor) -> Tensor:
        """How much of each attribute pictures show, 0..1, [N, K]."""
        return self.tell(self.backbone(image))

    def tell(self, features: list[Tensor]) -> Tensor:
        """The attributes [N, K] of pictures whose stages are `features`."""
        return cast(Tensor, 0.5 + self.attribute_head(self.summarise(features))).clamp(0, 1)

    def summarise(self, features: list[Tensor]) -> Tensor:
        """The vectors [N, 128] that attributes and landmarks are read from."""
        x = F.leaky_relu(self.squeeze(features[-1]), 0.2).flatten(1)
        return F.leaky_relu(self.hidden(x), 0.2)

    def _parts(self, features: list[Tensor]) -> Tensor:
        logits = cast(Tensor, self.part_heads[2](features[3]))
        for place in (1, 0):
            coarse = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)
            logits = coarse + self.part_heads[place](features[1 + place])
        return logits


def score_attributes(net: FeatureNet, image: Tensor) -> Tensor:
    """How much of each attribute pictures show, 0..1, in the order of `net.attributes`.

    Shapes: image [N, 3, H, W] in -1..1 -> [N, K].
    """
    return net.read(image)


def look(net: FeatureNet, image: Tensor) -> Look:
    """Attributes of pictures and the vectors to compare sets of pictures by, in one pass."""
    features = net.backbone(image)
    summary = net.summarise(features)
    attributes = (0.5 + net.attribute_head(summary)).clamp(0, 1)
    means = torch.cat([f.mean((2, 3)) for f in features], 1)
    return Look(attributes.float(), summary.float(), means.float())


def find_landmarks(net: FeatureNet, image: Tensor) -> Tensor:
    """Where the landmarks of `net.config.landmarks` are: [N, M, 2], (x, y) in 0..1 of the width."""
    return cast(Tensor, net(image).landmarks)


def segment_parts(net: FeatureNet, image: Tensor) -> Tensor:
    """Soft masks of `net.config.parts` at the pictures' size, [N, P, H, W], summing to one."""
    logits = F.interpolate(
        net(image).part_logits, image.shape[-2:], mode="bilinear", align_corners=False
    )
    return logits.softmax(1)


def perceptual_distance(net: FeatureNet, a: Tensor, b: Tensor) -> Tensor:
    """How different two pictures look: 0 for the same, about 1 for two unrelated portraits.

    Shapes: a, b [N, 3, H, W] in -1..1 -> [N].  Differentiable in both.
    Source: own, after Zhang et al. 2018, arXiv:1801.03924.
    """
    return _distance(net, net.backbone(a), net.backbone(b))


def compare(net: FeatureNet, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """How differently two pictures are read, [N, K], and their perceptual distance, [N]: one pass.

    Shapes: a, b [N, 3, H, W] in -1..1.  Readings are not clamped, so that every one has a slope.
    """
    seen, other = net.backbone(a), net.backbone(b)
    read, wanted = (net.attribute_head(net.summarise(f)) for f in (seen, other))
    return (read - wanted).float(), _distance(net, seen, other)


def _distance(net: FeatureNet, a: list[Tensor], b: list[Tensor]) -> Tensor:
    shares = net.scales.new_tensor(_SHARES)
    return (_apart(a, b) / net.scales * shares).sum(1)


def stage_distances(net: FeatureNet, a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of the unit feature vectors of each stage, [N, stages]."""
    return _apart(net.backbone(a), net.backbone(b))


def _apart(a: list[Tensor], b: list[Tensor]) -> Tensor:
    each = [(_unit(f) - _unit(g)).square().sum(1).mean((1, 2)) for f, g in zip(a, b, strict=True)]
    return torch.stack(each, 1)


def _unit(features: Tensor) -> Tensor:
    return features * (features.square().sum(1, keepdim=True) + 1e-6).rsqrt()
