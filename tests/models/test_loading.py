"""From a weight file to a live network, and back."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.config import GeneratorConfig
from models.errors import ModelError
from models.loading import load_generator, load_network, save_generator, save_network
from models.stylegan2 import Generator


def test_what_was_saved_comes_back_bit_for_bit(
    tiny: Generator, w_plus: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_generator(tiny, path)
    again = load_generator(path)
    assert again.config == tiny.config
    assert torch.equal(again.synthesize(w_plus), tiny.synthesize(w_plus))
    assert torch.equal(again.w_avg, tiny.w_avg)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_loading_draws_no_random_numbers(tiny: Generator, tmp_path: Path) -> None:
    save_generator(tiny, tmp_path / "mine.safetensors")
    before = torch.get_rng_state()
    load_generator(tmp_path / "mine.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_half_the_bytes_nearly_the_same_picture(
    tiny: Generator, w_plus: Tensor, tmp_path: Path
) -> None:
    save_generator(tiny, tmp_path / "full.safetensors")
    save_generator(tiny, tmp_path / "half.safetensors", dtype=torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.7 * sizes[1]
    again = load_generator(tmp_path / "half.safetensors").synthesize(w_plus)
    torch.testing.assert_close(again, tiny.synthesize(w_plus), atol=0.05, rtol=0.0)


def test_precision_is_that_of_the_convolutions(tiny: Generator, tmp_path: Path) -> None:
    save_generator(tiny, tmp_path / "mine.safetensors")
    half = load_generator(tmp_path / "mine.safetensors", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.mapping(torch.randn(1, 8)).dtype == torch.float32
    with pytest.raises(ModelError, match="float32, bfloat16, float16"):
        load_generator(tmp_path / "mine.safetensors", dtype=torch.float64)


def test_a_file_without_a_mean_code_gets_one(golden: Path) -> None:
    first, second = (load_generator(golden / "soat-256.pt").w_avg for _ in range(2))
    assert torch.equal(first, second)
    assert float(first.norm()) > 0


def test_stylegan3_is_recognised(golden: Path) -> None:
    with pytest.raises(ModelError, match="StyleGAN3"):
        load_generator(golden / "nvlabs-stylegan3t-v3-32.pkl")


def rewritten(golden: Path, target: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    state = torch.load(golden / "rosinality-64.pt", weights_only=True)
    change(state["g_ema"])
    torch.save(state, target)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("convs.3.noise.weight"), "convs.3.noise.weight are missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra have no place in a 64 px skip StyleGAN2"),
        (lambda s: s.update({"conv1.activate.bias": torch.zeros(9)}), r"shape \(9,\): must be"),
        (lambda s: s.update({"convs.2.conv.blur.kernel": torch.ones(4, 4)}), "not the filter"),
        (lambda s: s.pop("style.1.weight"), "no generator in it"),
    ],
)
def test_every_tensor_must_be_accounted_for(
    golden: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    path = rewritten(golden, tmp_path / "odd.pt", change)
    with pytest.raises(ModelError, match=message) as caught:
        load_generator(path)
    assert "odd.pt" in str(caught.value)


@pytest.mark.parametrize("name", ["rosinality-64.pt", "nvlabs-stylegan2-64.pkl"])
@pytest.mark.parametrize("kept", [0, 5, 1000, 200_000])
def test_truncated_files_are_refused(golden: Path, tmp_path: Path, name: str, kept: int) -> None:
    path = tmp_path / name
    path.write_bytes((golden / name).read_bytes()[:kept])
    with pytest.raises(ModelError, match=name):
        load_generator(path)


def test_a_truncated_file_of_our_own_is_refused(tiny: Generator, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_generator(tiny, path)
    data = path.read_bytes()
    for kept in (6, 40, len(data) - 4):
        path.write_bytes(data[:kept])
        with pytest.raises(ModelError, match=r"mine\.safetensors"):
            load_generator(path)


def test_any_network_is_saved_with_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "line.safetensors"
    line = nn.Linear(2, 3)
    save_network(line, path, "line", {"width": 3})
    again = load_network(path, "line", lambda config: nn.Linear(2, int(str(config["width"]))))
    assert torch.equal(again.weight, line.weight)
    with pytest.raises(ModelError, match="holds a network of kind line, not encoder"):
        load_network(path, "encoder", lambda _: nn.Linear(2, 3))
    with pytest.raises(ModelError, match="has shape"):
        load_network(path, "line", lambda _: nn.Linear(2, 4))
    with pytest.raises(ModelError, match="makes no line"):
        load_network(path, "line", lambda config: nn.Linear(2, int(str(config["depth"]))))


def test_a_config_that_contradicts_itself_is_refused(tiny: Generator, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_network(tiny, path, "generator", tiny.config.to_json() | {"resolution": 33})
    with pytest.raises(ModelError, match=r"mine\.safetensors: resolution 33"):
        load_generator(path)


def test_meta_construction_leaves_nothing_behind(
    make_generator: Callable[[GeneratorConfig], Generator], tiny: Generator, tmp_path: Path
) -> None:
    save_generator(tiny, tmp_path / "mine.safetensors")
    again = load_generator(tmp_path / "mine.safetensors")
    assert {t.device.type for t in (*again.parameters(), *again.buffers())} == {"cpu"}
