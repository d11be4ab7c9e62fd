"""Codes of one category only, drawn at once: a small network before a frozen generator's z.

A classifier of codes says what belongs to the category; the network bends noise until it says yes,
and is kept from giving the same few codes again and again. Beside it stands the slow way that
cannot fail: drawing until the classifier says yes.
Source: own (a z-generator before a frozen one); pairwise diversity after Yang et al. 2019,
arXiv:1901.09024.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import carried
from models.codes import draw, number
from models.errors import ModelError
from models.linear import fit_readout
from models.stylegan2 import Generator

KIND = "sampler"
#: How steeply the classifier's answer turns from no to yes, per standard deviation.
_STEEP = 6.0
#: Standard deviations by which drawn codes shall pass the bound.
_MARGIN = 0.15
_MOST_TRIES = 20_000


@dataclass(frozen=True, slots=True)
class Category:
    """Codes whose attributes lie `bounds` standard deviations from the mean, or farther.

    A negative bound is for what an attribute must lie below.
    """

    attributes: tuple[str, ...]
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """Linear readings of codes. Shapes: directions [D, K], offsets and sigmas [K]."""

    directions: Tensor
    offsets: Tensor
    sigmas: Tensor

    def margins(self, w: Tensor, category: Category) -> Tensor:
        """By how many deviations codes w [N, D] pass each bound, [N, K]; negative: they do not."""
        bounds = w.new_tensor(category.bounds)
        reading = (w @ self.directions.to(w) - self.offsets.to(w)) / self.sigmas.to(w)
        return (reading - bounds) * torch.where(bounds < 0, -1.0, 1.0).to(w)

    def accepts(self, w: Tensor, category: Category) -> Tensor:
        """Which codes [N] belong to the category."""
        return (self.margins(w, category) >= 0).all(1)


def fit_classifier(w: Tensor, scores: Tensor, seed: int = 0) -> Classifier:
    """Readings of scores [N, K] from codes w [N, D]. Raises: ModelError as `fit_readout`."""
    found = [fit_readout(w, column, "ridge", seed=seed) for column in scores.T]
    return Classifier(
        torch.stack([one.direction for one in found], 1).float(),
        torch.tensor([one.offset for one in found]),
        torch.tensor([one.sigma for one in found]),
    )


@dataclass(frozen=True, slots=True)
class Steering:
    """How a sampler is learned; `diversity` weighs that different noise stays different codes."""

    steps: int = 300
    batch: int = 128
    hidden: int = 128
    learning_rate: float = 0.003
    diversity: float = 20.0
    seed: int = 0


class Sampler(nn.Module):
    """Noise bent into Gaussian codes z of one category. At first it bends nothing."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, noise: Tensor) -> Tensor:
        """Codes z of noise, [N, Z] -> [N, Z]."""
        return noise + cast(Tensor, self.last(F.silu(self.first(noise))))


def learn_sampler(
    generator: Generator, classifier: Classifier, category: Category, steering: Steering
) -> Sampler:
    """A network whose codes the classifier accepts, and which are as different as noise is."""
    width = generator.config.z_dim
    # Only the weights come from the global seed, which is put back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(steering.seed)
        sampler = Sampler(width, steering.hidden)
    sampler.to(generator.w_avg.device)
    adam = torch.optim.Adam(sampler.parameters(), lr=steering.learning_rate)
    for step in range(steering.steps):
        for group in adam.param_groups:
            group["lr"] = steering.learning_rate * (1 - step / steering.steps)
        noise = draw(number(steering.seed, step), steering.batch, width).to(generator.w_avg)
        z = sampler(noise)
        margins = classifier.margins(generator.mapping(z), category)
        wrong = F.softplus(-_STEEP * (margins - _MARGIN)).sum(1).mean()
        loss = wrong + steering.diversity * _sameness(noise, z)
        adam.zero_grad()
        torch.autograd.backward([loss])
        adam.step()
    return sampler.eval().requires_grad_(False)


def _sameness(noise: Tensor, z: Tensor) -> Tensor:
    """How much nearer to each other codes are than the noise they come from: 0 .. 1 (all one)."""
    apart = torch.pdist(F.normalize(z)) / torch.pdist(F.normalize(noise))
    return (1 - apart).clamp(min=0).square().mean()


def draw_learned(generator: Generator, sampler: Sampler, numbers: list[int]) -> Tensor:
    """Codes w [N, D] of a sampler, each from its own number."""
    noise = torch.cat([draw(one, 1, generator.config.z_dim) for one in numbers])
    with torch.no_grad():
        return generator.mapping(sampler(noise.to(generator.w_avg.device)))


def draw_rejecting(
    generator: Generator, classifier: Classifier, category: Category, numbers: list[int]
) -> Tensor:
    """The first code w of each number's endless list that the classifier accepts, [N, D].

    Raises: ModelError if none is found within 20,000.
    """
    found = []
    for one in numbers:
        for start in range(0, _MOST_TRIES, 100):
            tried = [number(one, start + place) for place in range(100)]
            z = torch.cat([draw(seed, 1, generator.config.z_dim) for seed in tried])
            with torch.no_grad():
                w = generator.mapping(z.to(generator.w_avg.device))
            good = classifier.accepts(w, category).nonzero()
            if len(good):
                found.append(w[int(good[0])])
                break
        else:
            pairs = zip(category.attributes, category.bounds, strict=True)
            told = ", ".join(f"{name} {bound:+g}" for name, bound in pairs)
            raise ModelError(f"none of {_MOST_TRIES} codes is in the category {told}: ask for less")
    return torch.stack(found)


def variety(w: Tensor) -> float:
    """The mean distance of two codes, [N, D]."""
    return float(torch.pdist(w).mean())


def pack(
    sampler: Sampler, classifier: Classifier, category: Category, base: str, card: Mapping[str, Any]
) -> bytes:
    """A sampler and its classifier as the bytes of a safetensors file."""
    shape = [sampler.first.in_features, sampler.first.out_features]
    config = {"category": asdict(category), "card": dict(card), "shape": shape}
    tensors = {f"sampler.{name}": tensor for name, tensor in sampler.state_dict().items()}
    for name in ("directions", "offsets", "sigmas"):
        tensors[name] = getattr(classifier, name)
    return carried.pack(KIND, base, config, tensors)


def unpack(packed: bytes) -> tuple[Sampler, Classifier, Category]:
    """What `pack` was given. Raises: ModelError if the bytes are damaged or something else."""
    config, tensors = carried.unpack(packed, KIND)
    try:
        told = config["category"]
        category = Category(tuple(told["attributes"]), tuple(told["bounds"]))
        sampler = Sampler(*config["shape"])
        start = "sampler."
        own = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        sampler.load_state_dict(own)
        parts = (tensors[name] for name in ("directions", "offsets", "sigmas"))
        return sampler.eval().requires_grad_(False), Classifier(*parts), category
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"a sampler is damaged ({error})") from error
