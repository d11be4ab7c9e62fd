"""A small generator with random weights, as ops get it: by reference."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.values import Latent, Network
from models import GeneratorConfig, file_digest, save_generator, save_network
from models.encoder import Encoder, EncoderConfig
from models.perceptual import FeatureNet, FeatureNetConfig
from models.stylegan2 import Generator

CONFIG = GeneratorConfig(32, (16, 16, 8, 8), z_dim=16, w_dim=16, mapping_layers=2)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Network:
    torch.manual_seed(5)
    generator = Generator(CONFIG)
    with torch.no_grad():
        generator.w_avg.copy_(generator.mapping(torch.randn(500, 16)).mean(0))
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.2)
    path: Path = tmp_path_factory.mktemp("model") / "generator.safetensors"
    save_generator(generator, path)
    digest = file_digest(path)
    return Network("tiny", str(path), digest, digest, 32, 8)


@pytest.fixture(scope="session")
def generator(model: Network) -> Generator:
    import models

    return models.network(model.path)


@pytest.fixture(scope="session")
def w(model: Network, generator: Generator) -> Latent:
    """Five codes in w."""
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    return Latent(generator.mapping(z), "w", model.family)


@pytest.fixture(scope="session")
def companions(model: Network, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The same generator with an encoder and a feature network beside it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(model.path, folder / "generator.safetensors")
    config = EncoderConfig(8, 16, (8, 8, 8, 8, 8), 16, 4)
    save_network(Encoder(config), folder / "encoder.safetensors", "encoder", config.to_json())
    seen = FeatureNetConfig(("smile", "age"), ("face", "rest"), ("nose",), (8, 8, 8, 8, 8))
    save_network(FeatureNet(seen), folder / "features.safetensors", "features", seen.to_json())
    return replace(model, path=str(folder / "generator.safetensors"))
