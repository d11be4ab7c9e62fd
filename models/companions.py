"""The networks that stand beside a generator: encoder, feature network, discriminator."""

from pathlib import Path

from models.describe import file_digest
from models.discriminator import Discriminator, DiscriminatorConfig
from models.encoder import Encoder, EncoderConfig
from models.library import locate
from models.loading import load_network
from models.perceptual import FeatureNet, FeatureNetConfig
from models.pool import POOL


def encoder(source: str | Path, device: str = "cpu") -> Encoder:
    """The pooled encoder (picture -> codes) of a built-in model or file. Raises: ModelError."""
    key = ("encoder", file_digest(locate(source, "encoder")), device)
    return POOL.get(key, lambda: load_encoder(source, device))


def features(source: str | Path, device: str = "cpu") -> FeatureNet:
    """The pooled feature network of a built-in model or file. Raises: ModelError."""
    key = ("features", file_digest(locate(source, "features")), device)
    return POOL.get(key, lambda: load_features(source, device))


def discriminator(source: str | Path, device: str = "cpu") -> Discriminator:
    """The pooled discriminator of a built-in model or file. Raises: ModelError."""
    key = ("discriminator", file_digest(locate(source, "discriminator")), device)
    return POOL.get(key, lambda: load_discriminator(source, device))


def load_encoder(source: str | Path, device: str = "cpu") -> Encoder:
    """An encoder of one's own, outside the pool."""
    return load_network(
        source, "encoder", lambda values: Encoder(EncoderConfig.from_json(values)), device
    )


def load_features(source: str | Path, device: str = "cpu") -> FeatureNet:
    """A feature network of one's own, outside the pool."""
    return load_network(
        source, "features", lambda values: FeatureNet(FeatureNetConfig.from_json(values)), device
    )


def load_discriminator(source: str | Path, device: str = "cpu") -> Discriminator:
    """A discriminator of one's own, outside the pool."""
    return load_network(
        source,
        "discriminator",
        lambda values: Discriminator(DiscriminatorConfig.from_json(values)),
        device,
    )
