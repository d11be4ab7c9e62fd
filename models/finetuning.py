"""Fine-tuning: a generator learns from a folder of pictures to draw in their manner.

Mapping network and affines stay, so codes and directions go on meaning what they meant; what is
learned is a weight delta.  Source: Karras et al. 2020, arXiv:1912.04958 and arXiv:2006.06676
(transfer by going on); Chong et al. 2021, arXiv:2111.01619, section 3.4 (what is frozen).
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.adversarial import Rules, correct, mixed, smooth, verdict
from models.augmentation import Chance
from models.codes import number
from models.config import Layer
from models.deltas import Delta, apply, difference, pack, unpack
from models.discriminator import Discriminator, DiscriminatorConfig, channels_of
from models.errors import ModelError
from models.stylegan2 import Generator

_SAVE_EVERY_S = 60.0
_SLOWER = 0.35  # the generator's learning rate beside that of the discriminator


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How to fine-tune.

    `layers` are names such as "16.conv0" of those that may change (none: all). `half_life` is the
    number of pictures over which the average of weights that is kept forgets half. `rank` 0 keeps
    the change of every convolution whole, otherwise its best approximation of that rank.
    """

    steps: int = 2000
    batch: int = 8
    learning_rate: float = 0.003
    rules: Rules = field(default_factory=lambda: Rules(steady=0.6))
    layers: tuple[str, ...] = ()
    half_life: float = 500.0
    rank: int = 0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A weight delta as bytes (see `models.deltas`), and how the game stood at its end.

    `gap`: by how much real pictures scored higher; `augmented`: the chance of augmentation;
    `change`: how much pictures changed, mean absolute, in 0..1 of the range of colours.
    """

    packed: bytes
    gap: float
    augmented: float
    change: float


@dataclass(slots=True)
class _Game:
    """Everything that changes while two networks play."""

    maker: Generator
    judge: Discriminator
    average: Generator
    search: torch.optim.Optimizer
    random: torch.Generator
    chance: Chance
    path_mean: Tensor
    gap: float = 0.0
    step: int = 0

    def state(self) -> dict[str, Any]:
        """What has to be kept to go on as if nothing had happened."""
        return {
            "networks": [x.state_dict() for x in (self.maker, self.judge, self.average)],
            "search": self.search.state_dict(),
            "random": self.random.get_state(),
            "path_mean": self.path_mean,
            "numbers": [self.chance.value, self.gap, self.step],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the state that `state` gave."""
        networks = (self.maker, self.judge, self.average)
        for network, values in zip(networks, state["networks"], strict=True):
            network.load_state_dict(values)
        self.search.load_state_dict(state["search"])
        self.random.set_state(state["random"])
        self.path_mean = state["path_mean"]
        self.chance.value, self.gap, step = state["numbers"]
        self.step = int(step)


def finetune(
    generator: Generator,
    judge: Discriminator | None,
    pictures: Tensor,
    tuning: FineTuning,
    folder: Path | None = None,
    earlier: Delta | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """The delta after which `generator` draws like `pictures`.

    With an `earlier` delta the game begins there, and the new delta holds both. Without a
    discriminator to begin with, one of the generator's size learns from nothing. In
    `folder` lies what is needed to go on after a kill; a resumed run equals an undisturbed one.
    `watch` is told, after every step, how many of how many are done.

    Shapes: pictures uint8 [N, 3, R, R] or float in -1..1.
    Raises: ModelError if the generator has no digest, a layer or the pictures do not fit, or the
    game breaks down.
    """
    if generator.digest is None:
        raise ModelError("a generator that lies in no file cannot be tuned: save it first")
    side = generator.resolution
    if len(pictures) < 2 or pictures.shape[1:] != (3, side, side):
        shape = list(pictures.shape)
        raise ModelError(f"pictures have shape {shape}: must be [2 or more, 3, {side}, {side}]")
    began = apply(generator, earlier) if earlier else generator
    game = _begin(began, judge, tuning)
    saved = None if folder is None else folder / "finetune.pt"
    if saved is not None and saved.exists():
        game.restore(torch.load(saved, map_location=generator.const.device, weights_only=True))
    last = time.monotonic()
    with torch.enable_grad():
        while game.step < tuning.steps:
            _play(game, pictures, tuning)
            if watch is not None:
                watch(game.step, tuning.steps)
            if saved is not None and time.monotonic() - last > _SAVE_EVERY_S:
                last = time.monotonic()
                partial = saved.with_suffix(".tmp")
                torch.save(game.state(), partial)
                partial.replace(saved)
    return _finish(generator, began, game, tuning)


def _begin(generator: Generator, judge: Discriminator | None, tuning: FineTuning) -> _Game:
    """The game before its first step."""
    place = generator.const.device
    maker = copy.deepcopy(generator).requires_grad_(requires_grad=False)
    learned = list(_learned(maker, tuning.layers))
    for parameter in learned:
        parameter.requires_grad = True
    if judge is None:
        config = generator.config
        # Its weights come from the global seed, which is put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(tuning.seed)
            shape = DiscriminatorConfig(config.resolution, channels_of(config.channels))
            judge = Discriminator(shape)
    judge = copy.deepcopy(judge).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge.requires_grad_(requires_grad=True)
    rate = tuning.learning_rate
    groups = [
        {"params": learned, "lr": rate * _SLOWER},
        {"params": list(judge.parameters()), "lr": rate},
    ]
    search = torch.optim.Adam(groups, betas=(0.5, 0.99), fused=True)
    random = torch.Generator().manual_seed(tuning.seed)
    average = copy.deepcopy(maker).requires_grad_(requires_grad=False)
    chance = Chance(0.0, tuning.rules.steady)
    return _Game(maker, judge, average, search, random, chance, torch.zeros((), device=place))


def _learned(maker: Generator, layers: Sequence[str]) -> Iterator[torch.nn.Parameter]:
    """What may change: weights, biases and noise strengths of the layers; never their affines."""
    chosen: Sequence[Layer] = [maker.layer(name) for name in layers] or maker.layers
    for layer in chosen:
        for name, parameter in maker.get_submodule(layer.key).named_parameters():
            if not name.startswith("affine."):
                yield parameter


def _play(game: _Game, pictures: Tensor, tuning: FineTuning) -> None:
    """One step of both players."""
    maker, rules, place = game.maker, tuning.rules, game.maker.const.device
    chosen = torch.randint(len(pictures), (tuning.batch,), generator=game.random)
    real = pictures[chosen].to(place)
    real = real.float() / 127.5 - 1 if real.dtype == torch.uint8 else real
    codes, fake = _draw(game, tuning)
    game.search.zero_grad(set_to_none=True)
    sure = correct(game.judge, real, fake, rules, game.chance, game.step, game.random)
    verdict(game.judge, fake, game.chance, game.random).backward()  # type: ignore[no-untyped-call]
    half = codes[: (len(codes) + 1) // 2]
    game.path_mean = smooth(maker, half, rules, game.path_mean, game.step, game.random)
    for player in (maker, game.judge):
        norm = torch.nn.utils.clip_grad_norm_(player.parameters(), 1.0)
        if not bool(torch.isfinite(norm)):
            raise ModelError(f"fine-tuning broke down at step {game.step}: lower learning_rate")
    game.search.step()
    game.step += 1
    game.gap += 0.1 * (float(sure) - game.gap)
    keep = 0.5 ** (tuning.batch / min(tuning.half_life, 0.05 * game.step * tuning.batch + 1))
    with torch.no_grad():
        for mean, now in zip(game.average.parameters(), maker.parameters(), strict=True):
            if now.requires_grad:
                mean.lerp_(now, 1 - keep)


def _draw(game: _Game, tuning: FineTuning) -> tuple[Tensor, Tensor]:
    """New codes, some of mixed styles, and their pictures with fresh noise."""
    maker, items = game.maker, tuning.batch
    codes, _ = mixed(_codes(maker, items, game.random), tuning.rules.mixing, game.random)
    sides = [layer.resolution for layer in maker.layers if layer.noise is not None]
    noise = [torch.randn(items, 1, s, s, generator=game.random).to(codes) for s in sides]
    with torch.autocast(codes.device.type, torch.bfloat16):
        return codes, maker.synthesize(codes, noise).float()


@torch.no_grad()
def _codes(maker: Generator, items: int, random: torch.Generator) -> Tensor:
    """Random codes w_plus, of random classes where there are any."""
    z = torch.randn(items, maker.config.z_dim, generator=random).to(maker.const.device)
    c = None
    if maker.config.c_dim:
        drawn = torch.randint(maker.config.c_dim, (items,), generator=random)
        c = F.one_hot(drawn, maker.config.c_dim).to(z)
    return maker.broadcast(maker.mapping(z, c))


def _finish(generator: Generator, began: Generator, game: _Game, tuning: FineTuning) -> FineTuned:
    """The average of the generators played with, as a delta, and how far it went."""
    assert generator.digest is not None
    changes = difference(generator, game.average, tuning.rank)
    packed = pack(Delta(generator.digest, changes, asdict(tuning)))
    game.random.manual_seed(number(tuning.seed, "seen"))
    codes = _codes(generator, 16, game.random)
    with torch.no_grad():
        tuned = apply(generator, unpack(packed))
        before, after = (maker.synthesize(codes).clamp(-1, 1) for maker in (began, tuned))
    return FineTuned(packed, game.gap, game.chance.value, float((after - before).abs().mean()) / 2)
