"""From a weight file to a live network, and back."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from models.checkpoints import read_checkpoint
from models.describe import file_digest, find_base
from models.errors import ModelError
from models.library import locate
from models.native import read_base, read_native
from models.stored import StoredTensor, check_tensors
from models.stylegan2 import Generator

Network = TypeVar("Network", bound=nn.Module)
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
_AVERAGE_ITEMS = 10_000


def load_generator(
    source: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Generator:
    """The generator in a weight file, or the built-in one of that name, frozen and in eval mode.

    `dtype` is the precision of the convolutions; codes and styles stay float32. A file without a
    mean code gets the mean of 10,000 mapped z of a fixed seed. A weight delta gives the generator
    it was made for, changed.
    Raises: ModelError, naming the file and what is allowed.
    """
    path = locate(source, "generator")
    if base := read_base(path):
        plain = load_generator(find_base(path, base), device, dtype)
        return _delta_applied(plain, path)
    found = read_checkpoint(path)
    with torch.device("meta"):
        generator = Generator(found.config)
    expected = {k: tuple(v.shape) for k, v in generator.state_dict().items()}
    stored = dict(found.tensors)
    if average_missing := "w_avg" not in stored:
        del expected["w_avg"]
    _fill(generator, stored, expected, path)
    if average_missing:
        generator.w_avg = _mean_code(generator)
    generator.digest = file_digest(path)
    return _ready(generator, device, dtype)


def _delta_applied(base: Generator, path: Path) -> Generator:
    from models import deltas  # which needs generators, as loading them needs deltas

    try:
        tuned = deltas.apply(base, deltas.unpack(path.read_bytes()))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    tuned.digest = file_digest(path)
    return tuned


def save_generator(generator: Generator, path: Path, dtype: torch.dtype | None = None) -> None:
    """Write a generator as `.safetensors`, all numbers in `dtype` if one is given."""
    save_network(generator, path, "generator", generator.config.to_json(), dtype)


def save_network(
    network: nn.Module,
    path: Path,
    kind: str,
    config: Mapping[str, object],
    dtype: torch.dtype | None = None,
) -> None:
    """Write any network's tensors with its kind and configuration, replacing the file at once."""
    tensors = {
        name: (value if dtype is None or not value.is_floating_point() else value.to(dtype))
        .detach()
        .cpu()
        .contiguous()
        for name, value in network.state_dict().items()
    }
    data = save(tensors, {"kind": kind, "config": json.dumps(config, sort_keys=True)})
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_bytes(data)
    partial.replace(path)


def load_network(
    source: str | Path,
    kind: str,
    build: Callable[[Mapping[str, object]], Network],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network:
    """The network of `kind` that `save_network` wrote; `build` makes one from its configuration.

    Raises: ModelError if the file is damaged, of another kind, or does not fit what `build` made.
    """
    path = locate(source, kind)
    config, tensors = read_native(path, kind)
    try:
        network = build(config)
    except (ModelError, TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: its configuration makes no {kind} ({error})") from error
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    _fill(network, tensors, expected, path)
    return _ready(network, device, dtype)


def _fill(
    network: nn.Module,
    stored: Mapping[str, StoredTensor],
    expected: Mapping[str, tuple[int, ...]],
    path: Path,
) -> None:
    try:
        fitted = check_tensors(stored, expected, f"this {type(network).__name__}")
        tensors = {name: _tensor(value) for name, value in fitted.items()}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    network.load_state_dict(tensors, strict=False, assign=True)


def _tensor(stored: StoredTensor) -> Tensor:
    data = bytearray(stored.storage.read())
    try:
        flat = torch.frombuffer(data, dtype=getattr(torch, stored.dtype))
        tensor = flat.as_strided(stored.shape, stored.stride, stored.offset)
    except (ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"a tensor of shape {stored.shape} is not all there ({error})") from error
    # Numbers kept small in the file are computed with in full; convolutions read channels last.
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.clone(memory_format=layout)


def _ready(network: Network, device: str | torch.device, dtype: torch.dtype) -> Network:
    if dtype not in PRECISIONS:
        allowed = ", ".join(str(p).removeprefix("torch.") for p in PRECISIONS)
        raise ModelError(f"dtype {dtype}: must be one of {allowed}")
    network.to(device).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(dtype)
    return network


def _mean_code(generator: Generator) -> Tensor:
    config = generator.config
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(_AVERAGE_ITEMS, config.z_dim, generator=draw)
    c = torch.zeros(_AVERAGE_ITEMS, config.c_dim) if config.c_dim else None
    with torch.no_grad():
        return generator.mapping(z, c).mean(dim=0)
