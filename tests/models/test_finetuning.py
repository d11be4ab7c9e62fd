"""Fine-tuning on a tiny generator: it moves towards the pictures, resumes exactly, keeps codes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.adversarial import Rules
from models.config import GeneratorConfig
from models.deltas import apply, unpack
from models.errors import ModelError
from models.finetuning import FineTuned, FineTuning, finetune
from models.pairs import check_pair
from models.stylegan2 import Generator

torch.manual_seed(4)
GENERATOR = Generator(GeneratorConfig(16, (16, 16, 12), z_dim=16, w_dim=16, mapping_layers=2))
GENERATOR.requires_grad_(requires_grad=False)
GENERATOR.digest = "d" * 64
#: All red: nothing that a random generator draws.
RED = (
    torch.tensor([200, 30, 30], dtype=torch.uint8)[:, None, None]
    .expand(3, 16, 16)
    .repeat(12, 1, 1, 1)
)
QUICK = FineTuning(steps=60, batch=4, learning_rate=0.01, half_life=40)


def pictures(found: FineTuned) -> torch.Tensor:
    z = torch.randn(32, 16, generator=torch.Generator().manual_seed(9))
    tuned = apply(GENERATOR, unpack(found.packed))
    return tuned.synthesize(tuned.broadcast(tuned.mapping(z)))


def redness(image: torch.Tensor) -> float:
    return float(image[:, 0].mean() - image[:, 1:].mean())


def test_it_moves_towards_the_pictures() -> None:
    before = redness(pictures(finetune(GENERATOR, None, RED, replace(QUICK, steps=0))))
    found = finetune(GENERATOR, None, RED, QUICK)
    assert redness(pictures(found)) > before + 0.15
    assert found.change > 0.02


def test_codes_mean_the_same_to_what_comes_out() -> None:
    tuned = apply(GENERATOR, unpack(finetune(GENERATOR, None, RED, replace(QUICK, steps=2)).packed))
    check_pair(GENERATOR, tuned, ("base", "tuned"))


def test_it_is_told_how_many_steps_are_done(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    tuning = replace(QUICK, steps=2)
    finetune(GENERATOR, None, RED, tuning, tmp_path, watch=lambda *told: said.append(told))
    assert said == [(1, 2), (2, 2)]


def test_no_steps_change_nothing() -> None:
    found = finetune(GENERATOR, None, RED, replace(QUICK, steps=0))
    assert unpack(found.packed).tensors == {}
    assert found.change == 0


def test_only_the_named_layers_change() -> None:
    found = finetune(GENERATOR, None, RED, replace(QUICK, steps=2, layers=("16.conv1", "16.rgb")))
    names = unpack(found.packed).tensors
    assert names
    assert all(name.startswith(("convs.b16_conv1.", "convs.b16_rgb.")) for name in names)


def test_a_killed_run_goes_on_as_if_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.finetuning._SAVE_EVERY_S", 0.0)
    tuning = replace(QUICK, steps=6, rules=Rules(steady=0.6, path=2.0))
    whole = finetune(GENERATOR, None, RED, tuning)
    finetune(GENERATOR, None, RED, replace(tuning, steps=3), tmp_path)
    assert (tmp_path / "finetune.pt").exists()
    assert finetune(GENERATOR, None, RED, tuning, tmp_path) == whole


def test_the_seed_decides() -> None:
    tuning = replace(QUICK, steps=3)
    assert finetune(GENERATOR, None, RED, tuning) == finetune(GENERATOR, None, RED, tuning)
    assert finetune(GENERATOR, None, RED, tuning) != finetune(
        GENERATOR, None, RED, replace(tuning, seed=1)
    )


def test_a_rank_makes_the_delta_smaller_and_nearly_the_same() -> None:
    whole = finetune(GENERATOR, None, RED, replace(QUICK, steps=20))
    small = finetune(GENERATOR, None, RED, replace(QUICK, steps=20, rank=8))
    assert len(small.packed) < len(whole.packed)
    apart = (pictures(whole) - pictures(small)).abs().mean()
    moved = (pictures(whole) - pictures(replace_with_base())).abs().mean()
    assert apart < 0.5 * moved


def replace_with_base() -> FineTuned:
    return finetune(GENERATOR, None, RED, replace(QUICK, steps=0))


def test_an_earlier_delta_is_gone_on_from_and_held() -> None:
    first = finetune(GENERATOR, None, RED, QUICK)
    same = finetune(GENERATOR, None, RED, replace(QUICK, steps=0), earlier=unpack(first.packed))
    torch.testing.assert_close(pictures(same), pictures(first), atol=5e-3, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\[2 or more, 3, 16, 16\]"):
        finetune(GENERATOR, None, RED[:1], QUICK)
    with pytest.raises(ModelError, match="must be"):
        finetune(GENERATOR, None, RED[:, :, :8, :8], QUICK)
    with pytest.raises(ModelError, match="no file"):
        finetune(Generator(GENERATOR.config), None, RED, QUICK)
    with pytest.raises(ModelError, match=r"64.conv0.*does not exist"):
        finetune(GENERATOR, None, RED, replace(QUICK, layers=("64.conv0",)))
