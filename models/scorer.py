"""Scorers of one's own: a plane in what a feature network sees, fitted to labelled pictures.

Its eyes are the feature network beside a generator: of every stage of it, how strong each channel
is on average over the picture and how much it varies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models import carried
from models.errors import ModelError
from models.linear import Readout, fit_readout, separate
from models.perceptual import FeatureNet

KIND = "scorer"
FOREIGN = "was trained with another feature network: train it again with this one"
_BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """What pictures have of one thing: 0..1 for yes or no, else in the units of its labels.

    Shapes: weight float64 [F].  `eyes` is the digest of the feature network it sees with.
    """

    name: str
    eyes: str
    graded: bool
    weight: Tensor
    bias: float

    def score(self, seen: Tensor) -> Tensor:
        """The scores [N] of what `look` saw, [N, F]. Raises: ModelError if other eyes saw it."""
        if seen.shape[1] != len(self.weight):
            raise ModelError(
                f"scorer '{self.name}' reads {len(self.weight)} features, not {seen.shape[1]}"
            )
        raw = seen.double() @ self.weight.to(seen.device) + self.bias
        return (raw if self.graded else torch.sigmoid(raw)).float()


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A feature network and scorers that see with it, read as one: its attributes, then theirs."""

    net: FeatureNet
    scorers: tuple[Scorer, ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of all readings, in their order."""
        return (*self.net.attributes, *(scorer.name for scorer in self.scorers))

    def read(self, image: Tensor) -> Tensor:
        """What all say of pictures [N, 3, H, W], [N, K]."""
        if not self.scorers:
            return self.net.read(image)
        return torch.cat([self._read_all(part) for part in torch.split(image, _BATCH)])

    def _read_all(self, image: Tensor) -> Tensor:
        stages = self.net.backbone(image)
        seen = _pooled(stages)
        told = [scorer.score(seen)[:, None] for scorer in self.scorers]
        return torch.cat([self.net.tell(stages), *told], 1)


def gather_panel(net: FeatureNet, eyes: str, paths: Sequence[str | Path]) -> Panel:
    """A feature network, whose digest is `eyes`, with the scorers in some files.

    Raises: ModelError for a file without a scorer, one trained with another feature network, or a
    name that two of them, or the network's attributes, have.
    """
    scorers = tuple(read_scorer(path) for path in paths)
    for scorer, path in zip(scorers, paths, strict=True):
        if scorer.eyes != eyes:
            raise ModelError(f"{path}: scorer '{scorer.name}' {FOREIGN}")
    names = [*net.attributes, *(scorer.name for scorer in scorers)]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ModelError(
            f"'{twice[0]}' is read twice: a scorer's name must be its own; train it under another"
        )
    return Panel(net, scorers)


def read_scorer(path: str | Path) -> Scorer:
    """The scorer in a file. Raises: ModelError if it holds something else, or cannot be read."""
    try:
        return unpack(Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def look(net: FeatureNet, image: Tensor) -> Tensor:
    """What a feature network sees in pictures [N, 3, H, W], as one vector each, [N, F]."""
    with torch.no_grad():
        return torch.cat([_pooled(net.backbone(part)) for part in torch.split(image, _BATCH)])


def _pooled(stages: list[Tensor]) -> Tensor:
    """The mean and the spread of each channel over its picture, [N, F]."""
    return torch.cat([pooled for s in stages for pooled in (s.mean((2, 3)), s.std((2, 3)))], 1)


def fit_scorer(
    seen: Tensor, labels: Tensor, name: str, eyes: str, held_out: float = 0.25, seed: int = 0
) -> tuple[Scorer, Readout]:
    """A scorer of labels, and how well it reads pictures that it was not fitted to.

    Two different labels make a score of 0..1, more of them a score in their units.
    Shapes: seen [N, F], labels [N].
    Raises: ModelError with fewer than 8 pictures, or labels that do not vary.
    Source: textbook (ridge regression; logistic regression with Platt's scaling).
    """
    y = labels.double()
    graded = len(set(y.tolist())) > 2
    found = fit_readout(seen, y, "ridge" if graded else "logistic", held_out=held_out, seed=seed)
    place = (seen.double().cpu() @ found.direction - found.offset) / found.sigma
    if graded:
        scale, bias = float(y.std()), float(y.mean())
    else:
        high = y == y.max()
        middle = (place[high].mean() + place[~high].mean()) / 2
        signs = torch.where(high, 1.0, -1.0).double()
        scale = float(separate((place - middle)[:, None], signs, "logistic"))
        bias = -scale * float(middle)
    weight = scale / found.sigma * found.direction
    return Scorer(
        name, eyes, graded, weight, bias - float(scale * found.offset / found.sigma)
    ), found


def pack(scorer: Scorer, base: str) -> bytes:
    """A scorer as the bytes of a safetensors file; `base` is the digest of the generator's file."""
    config = {name: getattr(scorer, name) for name in ("name", "eyes", "graded", "bias")}
    return carried.pack(KIND, base, config, {"weight": scorer.weight})


def unpack(packed: bytes) -> Scorer:
    """The scorer in the bytes that `pack` made. Raises: ModelError if they hold something else."""
    config, tensors = carried.unpack(packed, KIND)
    fields = {name: value for name, value in config.items() if name != "base"}
    try:
        scorer = Scorer(**fields, weight=tensors["weight"])
        sound = math.isfinite(scorer.bias) and bool(torch.isfinite(scorer.weight).all())
    except (KeyError, TypeError) as error:
        raise ModelError(f"a scorer is damaged ({error})") from error
    if not sound:
        raise ModelError(f"scorer '{scorer.name}' has weights that are not finite: train it again")
    return scorer
