"""The networks beside a generator."""

from pathlib import Path

import torch

import models
from models import companions
from models.encoder import Encoder, EncoderConfig
from models.perceptual import FeatureNet, FeatureNetConfig


def test_encoder_and_feature_network_come_back_and_are_shared(tmp_path: Path) -> None:
    torch.manual_seed(0)
    written = Encoder(EncoderConfig(num_rows=4, w_dim=8, widths=(8,) * 5, hidden=8))
    reader = FeatureNet(FeatureNetConfig(("smile",), ("mouth",), ("nose",), (8,) * 5))
    for kind, network in (("encoder", written), ("features", reader)):
        path = tmp_path / f"{kind}.safetensors"
        models.save_network(network, path, kind, network.config.to_json())
    encoder = companions.encoder(tmp_path / "encoder.safetensors")
    assert encoder.config == written.config
    assert torch.equal(encoder.hidden.weight, written.hidden.weight)
    assert companions.encoder(tmp_path / "encoder.safetensors") is encoder
    assert companions.features(tmp_path / "features.safetensors").config == reader.config
    models.POOL.clear()
