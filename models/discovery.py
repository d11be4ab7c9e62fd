"""Directions that can be told apart by their effect: found together with the one that tells them.

A recogniser sees two small pictures, of a code and of the code moved along one direction, and says
which it was and how far. Directions and recogniser learn together; the generator stays frozen.
Source: Voynov and Babenko 2020, arXiv:2002.03754, which carries the aim of Chen et al. 2016,
arXiv:1606.03657 (InfoGAN), over to a finished generator.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import carried
from models.codes import number
from models.errors import ModelError
from models.priors import sample_w
from models.stylegan2 import Generator

KIND = "discovery"
_SAMPLES = 2000
#: Principal axes of the codes in which directions are sought: others lead to pictures of nothing.
_AXES = 64
#: Lengths of moves in deviations of the codes along the direction, either way.
_LEAST, _MOST = 1.0, 3.0
#: Pairs by which the recogniser is judged, and what its error in length weighs.
_JUDGED, _LENGTH = 256, 0.25


@dataclass(frozen=True, slots=True)
class Search:
    """How directions are sought: pictures of `px` are what the recogniser sees."""

    count: int = 8
    steps: int = 150
    batch: int = 16
    px: int = 16
    learning_rate: float = 0.003
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Discovery:
    """Orthonormal directions [K, D] with the deviation of codes along each, [K], and their mean.

    `accuracy` is the share of unseen pairs of which the recogniser named the direction, 0..1;
    `information` what its answers say of the direction in bits, at most log2 K; `each` [K] is its
    accuracy by direction.
    """

    directions: Tensor
    sigmas: Tensor
    offsets: Tensor
    accuracy: float
    information: float
    each: Tensor


class Recogniser(nn.Module):
    """Which of K directions leads from one small picture to another, and how far."""

    def __init__(self, count: int, px: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 6
        while px > 4:
            layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.LeakyReLU(0.2)]
            channels, width, px = width, 2 * width, px // 2
        self.seen = nn.Sequential(*layers, nn.Flatten())
        self.said = nn.Linear(channels * px * px, count + 1)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, K] and lengths [N] of pictures [N, 3, P, P]."""
        answer = self.said(self.seen(torch.cat([before, after - before], 1)))
        return answer[:, :-1], answer[:, -1]


class _Directions(nn.Module):
    """Orthonormal directions among the principal axes of a generator's codes."""

    def __init__(self, generator: Generator, count: int) -> None:
        super().__init__()
        w = sample_w(generator, _SAMPLES)
        self.mean = w.mean(0)
        spread = torch.cov(w.T.double())
        values, vectors = torch.linalg.eigh(spread)
        kept = min(_AXES, len(values))
        if count > kept:
            raise ModelError(f"count {count}: at most {kept} directions of this generator")
        self.axes = vectors[:, -kept:].float()
        self.variances = values[-kept:].clamp(min=0).float()
        self.free = nn.Parameter(torch.randn(kept, count))

    def now(self) -> tuple[Tensor, Tensor]:
        """The directions [K, D] and the deviation of codes along each, [K]."""
        basis = torch.linalg.qr(self.free).Q
        return (self.axes @ basis).T, (basis.square().T @ self.variances).sqrt()


def discover(generator: Generator, search: Search) -> Discovery:
    """Directions of a generator that a recogniser can name.

    Raises: ModelError for more directions than codes have axes, or fewer than two, or pictures
    that the generator does not pass through.
    """
    if search.count < 2:
        raise ModelError("at least two directions are needed: one alone is always recognised")
    stop = _stop(generator, search.px)
    # Weights and draws come from the global seed, which is put back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(search.seed)
        found = _Directions(generator, search.count)
        judge = Recogniser(search.count, search.px)
        weights = [*found.parameters(), *judge.parameters()]
        adam = torch.optim.Adam(weights, lr=search.learning_rate)
        for step in range(search.steps):
            w = sample_w(generator, search.batch, number(search.seed, step))
            logits, length, index, goal = _ask(generator, found, judge, w, stop)
            loss = F.cross_entropy(logits, index) + _LENGTH * (length - goal).abs().mean()
            adam.zero_grad()
            torch.autograd.backward([loss])
            adam.step()
        return _judged(generator, found, judge, stop, search)


def _ask(
    generator: Generator, found: _Directions, judge: Recogniser, w: Tensor, stop: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the recogniser says of codes [N, D] moved at random, and what is true."""
    directions, sigmas = found.now()
    index = torch.randint(len(sigmas), (len(w),))
    goal = torch.empty(len(w)).uniform_(_LEAST, _MOST) * torch.where(
        torch.rand(len(w)) < 0.5, -1, 1
    )
    moved = w + (goal * sigmas[index])[:, None] * directions[index]
    with torch.no_grad():
        before = _small(generator, w, stop)
    logits, length = judge(before, _small(generator, moved, stop))
    return logits, length, index, goal


def _small(generator: Generator, w: Tensor, stop: int) -> Tensor:
    """The pictures of codes when layer `stop` is next."""
    state = generator.run(generator.styles(generator.broadcast(w)), stop=stop)
    return cast(Tensor, state.skip)


def _stop(generator: Generator, px: int) -> int:
    """The layer after the one that completes the picture of `px`."""
    for layer in generator.layers:
        if layer.kind == "rgb" and layer.resolution == px:
            return layer.index + 1
    sides = ", ".join(str(layer.resolution) for layer in generator.layers if layer.kind == "rgb")
    raise ModelError(f"px {px}: this generator's pictures grow through {sides} px")


def _judged(
    generator: Generator, found: _Directions, judge: Recogniser, stop: int, search: Search
) -> Discovery:
    """The directions, with how well they are told apart on codes that nothing was learned from."""
    w = sample_w(generator, _JUDGED, number(search.seed, "judged"))
    with torch.no_grad():
        parts = [_ask(generator, found, judge, part, stop) for part in torch.split(w, 32)]
        directions, sigmas = found.now()
    logits, index = (torch.cat([part[k] for part in parts]) for k in (0, 2))
    right = (logits.argmax(1) == index).float()
    said = torch.zeros(search.count).index_add(0, index, right)
    asked = torch.bincount(index, minlength=search.count).clamp(min=1)
    missing = float(F.cross_entropy(logits, index)) / math.log(2)
    best = (said / asked).argsort(descending=True)
    signs = torch.where(directions.gather(1, directions.abs().argmax(1)[:, None]) < 0, -1.0, 1.0)
    ordered = (signs * directions)[best]
    return Discovery(
        ordered,
        sigmas[best],
        ordered @ found.mean,
        float(right.mean()),
        max(0.0, math.log2(search.count) - missing),
        (said / asked)[best],
    )


def pack(found: Discovery, base: str, card: Mapping[str, Any]) -> bytes:
    """Discovered directions as the bytes of a safetensors file."""
    names = ("directions", "sigmas", "offsets", "each")
    told = {"accuracy": found.accuracy, "information": found.information, "card": dict(card)}
    return carried.pack(KIND, base, told, {name: getattr(found, name) for name in names})


def unpack(packed: bytes) -> Discovery:
    """What `pack` was given. Raises: ModelError if the bytes are damaged or something else."""
    config, tensors = carried.unpack(packed, KIND)
    try:
        return Discovery(
            tensors["directions"],
            tensors["sigmas"],
            tensors["offsets"],
            float(config["accuracy"]),
            float(config["information"]),
            tensors["each"],
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"a set of directions is damaged ({error})") from error
