"""The walk: what other implementations compute, and the laws it must keep."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models import reference
from models.config import GeneratorConfig
from models.errors import ModelError
from models.loading import load_generator
from models.mapping import truncate
from models.stylegan2 import Generator

NVLABS = ["nvlabs-stylegan2-64", "nvlabs-stylegan2-cond-32", "nvlabs-stylegan2-resnet-32"]
VARIANTS: dict[str, dict[str, Any]] = {
    "skip": {},
    "resnet": {"architecture": "resnet"},
    "clamped": {"conv_clamp": 1.5},
}


def assert_same(given: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(given, expected, atol=atol, rtol=0.0)


def answers(path: Path) -> dict[str, Tensor]:
    with np.load(path.with_suffix(".npz")) as found:
        return {name: torch.from_numpy(found[name]) for name in found}


@pytest.mark.parametrize("name", NVLABS)
def test_pictures_are_those_of_the_official_code(golden: Path, name: str) -> None:
    path = golden / f"{name}.pkl"
    given, generator = answers(path), load_generator(path)
    codes = generator.broadcast(generator.mapping(given["z"], given.get("c")))
    assert_same(codes, given["w"])
    truncated = truncate(codes, generator.w_avg, 0.7, cutoff=4)
    assert_same(truncated, given["w_psi07_cut4"])
    assert_same(generator.synthesize(codes), given["image_from_z"])
    wp = given["wp"]
    assert_same(generator.synthesize(wp), given["image_from_w_plus"])
    assert_same(generator.synthesize(wp, noise="none"), given["image_from_w_plus_no_noise"])


def test_pictures_are_those_of_rosinalitys_code(golden: Path) -> None:
    path = golden / "rosinality-64.pt"
    given, generator = answers(path), load_generator(path)
    w = generator.mapping(given["z"])
    assert_same(w, given["w"])
    codes = generator.broadcast(w)
    mixed = torch.cat([codes[:1, :4], codes[1:2, 4:]], dim=1)
    pulled = truncate(codes, generator.w_avg, 0.7)
    for name, code in {
        "image_from_z": codes,
        "image_from_z_psi07": pulled,
        "image_mix_at_4_z0_z1": mixed,
        "image_from_w_plus": given["wp"],
    }.items():
        assert_same(generator.synthesize(code), given[name])
    silent = generator.synthesize(given["wp"], noise="none")
    assert_same(silent, given["image_from_w_plus_no_noise"])


def test_styles_and_pictures_are_those_of_stylegan_of_all_trades(golden: Path) -> None:
    path = golden / "soat-256.pt"
    given, generator = answers(path), load_generator(path)
    styles = generator.styles(given["w_plus"])
    assert_same(styles, torch.cat([given["style_a"], given["style_b"]]))
    pictures = generator.synthesize_styles(styles)[..., ::4, ::4]
    assert_same(pictures, torch.cat([given["image_a"], given["image_b"]]))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("noise", ["const", "none"])
def test_the_fast_walk_is_the_slow_one(
    make_generator: Callable[[GeneratorConfig], Generator],
    tiny: Generator,
    w_plus: Tensor,
    variant: str,
    noise: str,
) -> None:
    generator = make_generator(replace(tiny.config, **VARIANTS[variant]))
    styles = generator.styles(w_plus).requires_grad_(True)
    fast = generator.synthesize_styles(styles, noise)  # type: ignore[arg-type]
    slow = reference.synthesize(generator, styles, use_noise=noise == "const")
    assert_same(fast, slow, atol=2e-5)
    toward = torch.randn_like(fast)
    toward_styles = [torch.autograd.grad((y * toward).sum(), styles)[0] for y in (fast, slow)]
    assert_same(toward_styles[0], toward_styles[1], atol=1e-2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopping_and_resuming_changes_no_bit(
    make_generator: Callable[[GeneratorConfig], Generator],
    tiny: Generator,
    w_plus: Tensor,
    variant: str,
) -> None:
    generator = make_generator(replace(tiny.config, **VARIANTS[variant]))
    styles = generator.styles(w_plus)
    whole = generator.synthesize_styles(styles)
    for stop in range(len(generator.layers) + 1):
        half = generator.run(styles, stop=stop)
        assert half.next == stop
        resumed = generator.run(styles, state=half).skip
        assert resumed is not None
        assert torch.equal(resumed, whole)


def test_a_walk_passes_every_layer(tiny: Generator, w_plus: Tensor) -> None:
    styles = tiny.styles(w_plus)
    states = list(tiny.walk(styles))
    assert [state.next for state in states] == list(range(1, len(tiny.layers) + 1))
    for state, layer in zip(states, tiny.layers, strict=True):
        assert state.features.shape[-1] == layer.resolution
    assert torch.equal(torch.as_tensor(states[-1].skip), tiny.synthesize(w_plus))


def test_a_batch_is_its_items(tiny: Generator, w_plus: Tensor) -> None:
    together = tiny.synthesize(w_plus)
    alone = torch.cat([tiny.synthesize(code[None]) for code in w_plus])
    assert_same(together, alone, atol=1e-5)


def test_items_may_have_noise_of_their_own(tiny: Generator, w_plus: Tensor) -> None:
    sides = [layer.resolution for layer in tiny.layers if layer.noise is not None]
    noise = [torch.randn(3, 1, side, side) for side in sides]
    together = tiny.synthesize(w_plus, noise)
    second = tiny.synthesize(w_plus[1:2], [field[1:2] for field in noise])
    assert_same(together[1:2], second, atol=1e-5)
    nothing = tiny.synthesize(w_plus, [None] * len(sides))
    assert torch.equal(nothing, tiny.synthesize(w_plus, "none"))


def test_a_wide_canvas_repeats_what_is_far_from_the_seam(tiny: Generator, w_plus: Tensor) -> None:
    styles = tiny.styles(w_plus)
    start = tiny.begin(3, tiny.const.repeat(1, 1, 1, 4))
    wide = torch.as_tensor(tiny.run(styles, state=start).skip)
    assert wide.shape == (3, 3, 32, 128)
    assert_same(wide[..., 32:64], wide[..., 64:96])


def test_autocast_computes_features_in_half_and_pictures_in_full(
    tiny: Generator, w_plus: Tensor
) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        styles = tiny.styles(w_plus)
        state = tiny.run(styles)
    assert state.features.dtype == torch.bfloat16
    assert torch.as_tensor(state.skip).dtype == styles.dtype == torch.float32
    assert_same(torch.as_tensor(state.skip), tiny.synthesize(w_plus), atol=0.3)


def test_every_parameter_learns(
    make_generator: Callable[[GeneratorConfig], Generator], tiny: Generator
) -> None:
    generator = make_generator(replace(tiny.config, architecture="resnet", c_dim=3))
    generator.requires_grad_(True)
    generator(torch.randn(2, 8), torch.eye(3)[:2]).square().sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


def test_wrong_inputs_are_refused(tiny: Generator, w_plus: Tensor) -> None:
    styles = tiny.styles(w_plus)
    with pytest.raises(ModelError, match=r"\[N, 8, 8\]"):
        tiny.synthesize(w_plus[:, :5])
    with pytest.raises(ModelError, match="must be \\[N, "):
        tiny.synthesize_styles(styles[:, 1:])
    with pytest.raises(ModelError, match="takes 7"):
        tiny.synthesize(w_plus, [None])
    with pytest.raises(ModelError, match='"const", "none"'):
        tiny.synthesize(w_plus, "random")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="stop 99"):
        tiny.run(styles, stop=99)
    with pytest.raises(ModelError, match=r"there are 4\.conv1, 4\.rgb"):
        tiny.layer("64.conv0")
