"""Weight deltas: how a tuned generator differs from the one it was made of, as a small safe file.

A delta changes the synthesis layers alone. Mapping network and affines stay those of the base, so
that a code means the same to both: codes, directions and style vectors go from one to the other.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models import carried
from models.carried import digest
from models.errors import ModelError
from models.stylegan2 import Generator

_KIND = "delta"
_UP, _DOWN = "::up", "::down"


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """What to add to the tensors of the generator whose file has the digest `base`.

    A tensor is given whole, in half precision, or as two factors, `NAME::up` [O, r] and
    `NAME::down` [r, C * k * k], whose product is added to it. `card` says how it was made.
    """

    base: str
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]


def may_change(generator: Generator) -> dict[str, Tensor]:
    """The tensors that a delta may change: those of synthesis, noise maps included."""
    tensors = {**dict(generator.named_parameters()), **dict(generator.named_buffers())}
    kept = (".affine.", "mapper.", "kernel", "w_avg")
    return {name: t for name, t in tensors.items() if not any(part in name for part in kept)}


def pack(delta: Delta) -> bytes:
    """A delta as the bytes of a safetensors file. Floats become half precision."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float16) for name, tensor in delta.tensors.items()
    }
    return carried.pack(_KIND, delta.base, {"card": dict(delta.card)}, tensors)


def unpack(packed: bytes, expected: str = "") -> Delta:
    """The delta in the bytes that `pack` made; nothing in them is executed.

    Raises: ModelError if they are damaged, or their digest is not the one expected.
    """
    if expected and digest(packed) != expected:
        raise ModelError(
            f"a weight delta is damaged: its sha256 is {digest(packed)[:12]}, not {expected[:12]}"
        )
    config, tensors = carried.unpack(packed, _KIND)
    if not isinstance(config.get("card"), dict):
        raise ModelError("a weight delta is damaged (card)")
    return Delta(config["base"], tensors, config["card"])


def apply(generator: Generator, delta: Delta) -> Generator:
    """A new generator with the delta added; the given one is left as it is.

    Raises: ModelError if the delta was made for another generator or does not fit.
    """
    if generator.digest and delta.base != generator.digest:
        raise ModelError(
            f"this weight delta was made for the generator {delta.base[:12]}, "
            f"not for {generator.digest[:12]}"
        )
    tuned = copy.deepcopy(generator)
    targets = may_change(tuned)
    with torch.no_grad():
        for name, change in _changes(delta.tensors).items():
            target = targets.get(name)
            if target is None:
                raise ModelError(f"a weight delta changes {name}, which no delta may change")
            if change.numel() != target.numel() or not bool(torch.isfinite(change).all()):
                shape = tuple(change.shape)
                raise ModelError(f"a weight delta does not fit {name}: {shape} or not finite")
            target.copy_(target.float() + change.reshape(target.shape).to(target.device))
    return tuned


def difference(base: Generator, tuned: Generator, rank: int = 0) -> dict[str, Tensor]:
    """What to add to the tensors of `base` to have those of `tuned`; unchanged ones are left out.

    With a `rank`, the change of each convolution is its best approximation by two factors of that
    rank where these are smaller than the whole.
    """
    theirs, found = may_change(tuned), dict[str, Tensor]()
    for name, mine in may_change(base).items():
        change = (theirs[name].detach().float() - mine.detach().float()).cpu()
        if not bool(change.any()):
            continue
        if change.dim() == 4 and 0 < rank * (len(change) + change[0].numel()) < change.numel():
            left, sizes, right = torch.linalg.svd(change.flatten(1), full_matrices=False)
            half = sizes[:rank].sqrt()
            found[name + _UP] = left[:, :rank] * half
            found[name + _DOWN] = half[:, None] * right[:rank]
        else:
            found[name] = change
    return found


def merged(first: Delta, second: Delta) -> Delta:
    """The delta that changes what `first` and then `second` would."""
    tensors = dict(first.tensors)
    for name, tensor in second.tensors.items():
        root = name.removesuffix(_UP).removesuffix(_DOWN)
        factors = root != name
        if factors and name in tensors:
            tensors[name] = torch.cat([tensors[name], tensor], 1 if name.endswith(_UP) else 0)
        elif not factors and name in tensors:
            tensors[name] = tensors[name].float() + tensor.float()
        else:
            tensors[name] = tensor
    return Delta(first.base, tensors, second.card)


def _changes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every change as one whole tensor by name."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_DOWN):
            if name.removesuffix(_DOWN) + _UP not in tensors:
                raise ModelError(f"a weight delta is damaged: {name} has no other factor")
            continue
        root, change = name.removesuffix(_UP), tensor.float()
        if root != name:
            down = tensors.get(root + _DOWN)
            if down is None or change.dim() != 2 or change.shape[1] != down.shape[0]:
                raise ModelError(f"a weight delta is damaged: the factors of {root} do not match")
            change = change @ down.float()
        found[root] = found[root] + change.reshape(found[root].shape) if root in found else change
    return found


class Added(nn.Module):
    """A parametrization: a frozen weight plus a whole change of it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.change

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The change as a delta has it."""
        return {name: self.change}


class AddedFactors(nn.Module):
    """A parametrization: a frozen weight [O, ...] plus a change of rank `rank`.

    Source: Hu et al. 2021, arXiv:2106.09685.
    """

    def __init__(self, weight: Tensor, rank: int, seed: int) -> None:
        super().__init__()
        width = weight[0].numel()
        drawn = torch.randn(rank, width, generator=torch.Generator().manual_seed(seed))
        self.down = nn.Parameter(drawn.to(weight.device, torch.float32) / rank**0.5)
        self.up = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        change = (self.up @ self.down).reshape(weight.shape).to(weight.dtype)
        return weight + change.to(memory_format=torch.channels_last)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The change as a delta has it."""
        return {name + _UP: self.up, name + _DOWN: self.down}
