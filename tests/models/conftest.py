"""Small networks for the tests of models/, and a cache folder of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.config import GeneratorConfig
from models.stylegan2 import Generator

GOLDEN = Path(__file__).parent.parent / "golden"
TINY = GeneratorConfig(32, (12, 8, 8, 6), z_dim=8, w_dim=8, mapping_layers=2)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Networks this small spend their time waking threads, more so beside other test processes.
    torch.set_num_threads(1)


@pytest.fixture
def golden() -> Path:
    """The folder of what other implementations compute."""
    return GOLDEN


@pytest.fixture
def make_generator() -> Callable[[GeneratorConfig], Generator]:
    """Generators whose every number is random, noise strengths and biases too."""

    def make(config: GeneratorConfig = TINY) -> Generator:
        torch.manual_seed(7)
        generator = Generator(config)
        with torch.no_grad():
            generator.w_avg.normal_()
            for name, parameter in generator.named_parameters():
                if name.endswith(("bias", "noise_strength")):
                    parameter.add_(0.3 * torch.randn_like(parameter))
        return generator.requires_grad_(False)

    return make


@pytest.fixture
def tiny(make_generator: Callable[[], Generator]) -> Generator:
    """A 32 px generator, 8 rows."""
    return make_generator()


@pytest.fixture
def w_plus() -> torch.Tensor:
    """Three codes for `tiny`."""
    return torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(2))
