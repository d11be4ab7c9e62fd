"""The shape of a generator as data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.config import GeneratorConfig, layer_table, standard_channels
from models.errors import ModelError

sizes = st.integers(0, 8).map(lambda k: 4 << k)
configs = st.builds(
    lambda side, architecture: GeneratorConfig(
        side, standard_channels(side), architecture=architecture
    ),
    sizes,
    st.sampled_from(["skip", "resnet"]),
)


def test_the_table_of_a_1024_px_generator_by_hand() -> None:
    config = GeneratorConfig(1024, standard_channels(1024))
    layers = layer_table(config)
    assert config.num_rows == 18
    assert sum(config.style_widths) == 9088
    assert [layer.name for layer in layers[:5]] == [
        "4.conv1",
        "4.rgb",
        "8.conv0",
        "8.conv1",
        "8.rgb",
    ]
    assert [layer.row for layer in layers[:8]] == [0, 1, 1, 2, 3, 3, 4, 5]
    assert layers[-1].row == 17
    at_128 = next(layer for layer in layers if layer.name == "128.conv0")
    assert (at_128.in_channels, at_128.out_channels) == (512, 256)


@given(configs)
def test_styles_and_noise_inputs_leave_no_gap(config: GeneratorConfig) -> None:
    layers = layer_table(config)
    assert [layer.index for layer in layers] == list(range(len(layers)))
    assert [layer.style.start for layer in layers[1:]] == [
        layer.style.stop for layer in layers[:-1]
    ]
    noise = [layer.noise for layer in layers if layer.noise is not None]
    assert noise == list(range(2 * len(config.channels) - 1))
    assert {layer.row for layer in layers} <= set(range(config.num_rows))
    assert layers[-1].row == config.num_rows - 1


@given(configs)
def test_a_config_survives_json(config: GeneratorConfig) -> None:
    assert GeneratorConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"channels": (8, 8)}, "needs 3 positive widths"),
        ({"architecture": "orig"}, "skip or resnet"),
        ({"blur": (1.0, 2.0, 1.0)}, "four numbers"),
        ({"mapping_layers": 0}, "at least 1"),
        ({"depth": 3}, "'depth'.* unknown"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    values = GeneratorConfig(16, (8, 8, 8)).to_json() | change
    with pytest.raises(ModelError, match=message):
        GeneratorConfig.from_json(values)


def test_missing_fields_are_named() -> None:
    with pytest.raises(ModelError, match="'channels'"):
        GeneratorConfig.from_json({"resolution": 16})
