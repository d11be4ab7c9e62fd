"""A conditional continuous flow between codes and noise: the same noise, other attributes.

Codes are first freed of what depends on the attributes linearly and of their covariance; what is
left a network bends along a path from noise (time 0) to codes (time 1), with the attributes at
hand. It is fitted by flow matching, which needs no solver, and followed by Runge-Kutta steps.
Source: Abdal et al. 2021, arXiv:2008.02401 (StyleFlow: edits by re-encoding; gated layers of
Grathwohl et al. 2019, arXiv:1810.01367); Lipman et al. 2023, arXiv:2210.02747 (flow matching).
"""

import copy
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from models import carried
from models.errors import ModelError

KIND = "flow"
_STEPS = 16
#: Steps of fitting between two looks at codes that are not fitted to.
_LOOK = 100
#: Attributes of codes it was fitted to that a flow keeps, to draw new ones from.
_KEPT = 256
#: How far spreads may be drawn towards their mean, where there are few codes.
_SHRUNK = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4)


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """What a flow is of: codes of `width` numbers, given attributes, of the generator `family`."""

    family: str
    attributes: tuple[str, ...]
    width: int
    hidden: int = 128
    depth: int = 3


@dataclass(frozen=True, slots=True)
class Fitting:
    """How a flow is fitted."""

    steps: int = 2000
    batch: int = 256
    learning_rate: float = 2e-3
    held_out: float = 0.1
    seed: int = 0


class Squash(nn.Module):
    """A linear layer whose output is scaled and moved by the time and the attributes."""

    def __init__(self, inputs: int, outputs: int, context: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(context, outputs)
        self.shift = nn.Linear(context, outputs, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        gated = self.layer(x) * torch.sigmoid(self.gate(context))
        return cast(Tensor, gated + self.shift(context))


class Flow(nn.Module):
    """A flow with its affine part and the attributes it knows.

    Shapes: mean [D], linear [K, D], root and inverse [D, D] (of the covariance that attributes
    leave), centre and scale [K] of the attributes, examples [M, K].
    """

    mean: Tensor
    linear: Tensor
    root: Tensor
    inverse: Tensor
    centre: Tensor
    scale: Tensor
    examples: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width, known = config.width, len(config.attributes)
        sizes = [width, *[config.hidden] * (config.depth - 1), width]
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList(Squash(a, b, known + 1) for a, b in pairs)
        shapes = {
            "mean": (width,),
            "linear": (known, width),
            "root": (width, width),
            "inverse": (width, width),
            "centre": (known,),
            "scale": (known,),
            "examples": (_KEPT, known),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        last = cast(Squash, self.layers[-1])
        for parameter in (last.layer.weight, last.layer.bias, last.shift.weight):
            nn.init.zeros_(parameter)

    def velocity(self, x: Tensor, t: float | Tensor, a: Tensor) -> Tensor:
        """Where points [N, D] go at time t (one, or [N, 1]), given standardised attributes [N, K].

        Without what the layers add, this is the velocity of normal codes, which come from their
        own noise: a flow that has learned nothing is the affine one.
        """
        time = t if isinstance(t, Tensor) else x.new_full((len(x), 1), t)
        context = torch.cat([time, a], 1)
        y = x
        for layer in self.layers[:-1]:
            y = torch.tanh(layer(y, context))
        normal = (2 * time - 1) / (time.square() + (1 - time).square())
        return normal * x + cast(Tensor, self.layers[-1](y, context))

    def standard(self, attributes: Tensor) -> Tensor:
        """Attributes [N, K] in deviations from their mean."""
        return (attributes - self.centre) / self.scale

    def encode(self, w: Tensor, attributes: Tensor, steps: int = _STEPS) -> Tensor:
        """The noise [N, D] that codes w [N, D] with these attributes [N, K] come from."""
        a = self.standard(attributes)
        x = (w - self.mean - a @ self.linear) @ self.inverse
        return solve(lambda y, t: self.velocity(y, t, a), x, 1.0, 0.0, steps)

    def decode(self, noise: Tensor, attributes: Tensor, steps: int = _STEPS) -> Tensor:
        """The codes w [N, D] that noise [N, D] becomes with these attributes [N, K]."""
        a = self.standard(attributes)
        x = solve(lambda y, t: self.velocity(y, t, a), noise, 0.0, 1.0, steps)
        return x @ self.root + self.mean + a @ self.linear

    def log_density(self, w: Tensor, attributes: Tensor, probes: int = 0, seed: int = 0) -> Tensor:
        """The log density of codes w [N, D] given their attributes, [N], in nats.

        The trace is exact with `probes` 0, else estimated with so many random signs per code, the
        same along the whole path (Hutchinson's estimator).
        """
        a = self.standard(attributes)
        x = (w - self.mean - a @ self.linear) @ self.inverse
        random = torch.Generator().manual_seed(seed)
        signs = torch.randint(0, 2, (probes, *x.shape), generator=random).to(x) * 2 - 1
        basis = torch.eye(x.shape[1]).to(x)[:, None].expand(-1, len(x), -1)
        directions = signs if probes else basis

        def drift(state: Tensor, t: float) -> Tensor:
            with torch.enable_grad():
                y = state[:, :-1].detach().requires_grad_()
                v = self.velocity(y, t, a)
                trace = y.new_zeros(len(y))
                for probe in directions:
                    trace = trace + (_pulled(v, y, probe) * probe).sum(1)
            return torch.cat([v.detach(), trace[:, None] / max(probes, 1)], 1)

        state = torch.cat([x, x.new_zeros(len(x), 1)], 1)
        end = solve(drift, state, 1.0, 0.0, _STEPS)
        noise, gained = end[:, :-1], end[:, -1]
        normal = -0.5 * (noise.square().sum(1) + x.shape[1] * math.log(2 * math.pi))
        volume: Tensor = torch.linalg.slogdet(self.inverse.double())[1]
        return normal + gained + volume.to(x)


def _pulled(v: Tensor, y: Tensor, probe: Tensor) -> Tensor:
    pulled: Tensor = torch.autograd.grad(v, y, probe, retain_graph=True)[0]
    return pulled


def solve(
    drift: Callable[[Tensor, float], Tensor], x: Tensor, start: float, end: float, steps: int
) -> Tensor:
    """The solution at `end` of dx/dt = drift(x, t) from x at `start`: classical Runge-Kutta."""
    h = (end - start) / steps
    for k in range(steps):
        t = start + k * h
        k1 = drift(x, t)
        k2 = drift(x + h / 2 * k1, t + h / 2)
        k3 = drift(x + h / 2 * k2, t + h / 2)
        k4 = drift(x + h * k3, t + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def fit_flow(
    config: FlowConfig, codes: Tensor, attributes: Tensor, fitting: Fitting
) -> tuple[Flow, float]:
    """A flow fitted to codes and their attributes, and what bending gains on codes it never saw.

    Shapes: codes w [N, D], attributes [N, K].  Units: the gain is in nats per code, over the affine
    part alone; below 0 the network has learned noise: fewer steps, or more codes.
    Raises: ModelError with too few codes, or attributes that do not vary.
    """
    w, labels = codes.double(), attributes.double()
    known = labels.shape[1]
    fewest = max(32, w.shape[1] + known + 2)
    cut = int(len(w) * (1 - fitting.held_out))
    if cut < fewest:
        needed = math.ceil(fewest / (1 - fitting.held_out))
        raise ModelError(
            f"{len(w)} codes: at least {needed} are needed for codes of {w.shape[1]} numbers, "
            f"{known} attributes and what is held out"
        )
    sound = torch.isfinite(labels).all(0) & (labels[:cut].std(0) >= 1e-6)
    if not bool(sound.all()):
        still = [name for name, good in zip(config.attributes, sound, strict=True) if not good]
        raise ModelError(
            f"attributes do not vary or are not finite: {', '.join(still)}; leave them out "
            "(`attributes`), or those codes (`when`)"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fitting.seed)
        flow = Flow(config)
    judged = cut - max(1, cut // 10)
    _affine(flow, w[:cut], labels[:cut], judged)
    a = flow.standard(attributes.float())
    x = (codes.float() - flow.mean - a @ flow.linear) @ flow.inverse
    _match(flow, x[:cut], a[:cut], judged, fitting)
    flow.eval().requires_grad_(False)
    left = slice(cut, min(len(w), cut + 256))
    told = flow.log_density(codes[left].float(), attributes[left].float(), probes=8)
    plain = -0.5 * (x[left].square().sum(1) + config.width * math.log(2 * math.pi))
    plain = plain + torch.linalg.slogdet(flow.inverse.double())[1].float()
    return flow, float((told - plain).mean())


def _affine(flow: Flow, w: Tensor, labels: Tensor, cut: int) -> None:
    """Set the part of a flow that needs no network, by least squares over the first `cut` codes.

    Of few codes the smallest spreads come out far too small: all are drawn towards their mean, as
    far as makes the other codes likeliest (a shrunk covariance, after Ledoit and Wolf 2004).
    """
    centre, scale = labels.mean(0), labels.std(0)
    a = (labels - centre) / scale
    gram = a[:cut].T @ a[:cut] / cut + 1e-3 * torch.eye(a.shape[1], dtype=a.dtype)
    mean = w[:cut].mean(0)
    linear = torch.linalg.solve(gram, a[:cut].T @ (w[:cut] - mean) / cut)
    rest = w - mean - a @ linear
    values, vectors = torch.linalg.eigh(rest[:cut].T @ rest[:cut] / cut)
    values = values.clamp(min=1e-4 * float(values.mean()))
    seen = (rest[cut:] @ vectors).square().mean(0)
    drawn = [torch.lerp(values, values.mean().expand_as(values), share) for share in _SHRUNK]
    values = min(drawn, key=lambda each: float((each.log() + seen / each).sum())).sqrt()
    parts = {
        "mean": mean,
        "linear": linear,
        "root": vectors @ torch.diag(values) @ vectors.T,
        "inverse": vectors @ torch.diag(1 / values) @ vectors.T,
        "centre": centre,
        "scale": scale,
        "examples": labels[torch.arange(_KEPT) % len(labels)],
    }
    for name, value in parts.items():
        getattr(flow, name).copy_(value)


def _match(flow: Flow, x: Tensor, a: Tensor, cut: int, fitting: Fitting) -> None:
    """Fit the velocity: on the straight way from noise to a code it is code minus noise.

    Codes from `cut` on are looked at only, to keep the layers as they were at their best.
    """
    random = torch.Generator().manual_seed(fitting.seed)
    search = torch.optim.Adam(flow.layers.parameters(), fitting.learning_rate)
    judged = torch.arange(cut, len(x)).repeat(max(1, 512 // (len(x) - cut)))
    scene = _ways(len(judged), x.shape[1], random)
    best, kept = float("inf"), copy.deepcopy(flow.layers.state_dict())
    for step in range(fitting.steps + 1):
        if step % _LOOK == 0 or step == fitting.steps:
            with torch.no_grad():
                now = float(_loss(flow, x[judged], a[judged], *scene))
            if now < best:
                best, kept = now, copy.deepcopy(flow.layers.state_dict())
        for group in search.param_groups:
            group["lr"] = fitting.learning_rate * _pace(step / max(1, fitting.steps))
        chosen = torch.randint(cut, (min(fitting.batch, cut),), generator=random)
        loss = _loss(flow, x[chosen], a[chosen], *_ways(len(chosen), x.shape[1], random))
        search.zero_grad()
        torch.autograd.backward([loss])
        search.step()
    flow.layers.load_state_dict(kept)


def _pace(done: float) -> float:
    """The share of the learning rate: up in the first tenth, then down along a cosine."""
    return min(1.0, done * 10) * (0.5 + 0.5 * math.cos(math.pi * done))


def _ways(count: int, width: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise [N, D] to start from, and times [N, 1]."""
    return torch.randn(count, width, generator=random), torch.rand(count, 1, generator=random)


def _loss(flow: Flow, x: Tensor, a: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    found = flow.velocity(torch.lerp(noise, x, t), t, a)
    return (found - (x - noise)).square().mean()


def pack(flow: Flow, base: str, card: Mapping[str, Any]) -> bytes:
    """A flow as the bytes of a safetensors file; `base` is the digest of its generator."""
    config = {"flow": asdict(flow.config), "card": dict(card)}
    return carried.pack(KIND, base, config, flow.state_dict())


def unpack(packed: bytes) -> Flow:
    """The flow in the bytes that `pack` made; nothing in them is executed.

    Raises: ModelError if they are damaged or hold something else.
    """
    config, tensors = carried.unpack(packed, KIND)
    try:
        fields = config["flow"]
        fields["attributes"] = tuple(fields["attributes"])
        flow = Flow(FlowConfig(**fields))
        flow.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"a flow is damaged ({error})") from error
    return flow.eval().requires_grad_(False)
