"""rosinality's StyleGAN2 checkpoints (and StyleGAN-of-all-trades', which share the layout)."""

from collections.abc import Mapping

from models.config import GeneratorConfig, Layer, layer_table
from models.errors import ModelError
from models.stored import Checkpoint, Names, StoredTensor, blur_taps, take


def read_rosinality(tree: Mapping[str, object]) -> Checkpoint:
    """The generator in `{"g_ema": ..., "latent_avg": ...}`, or in a bare state dict.

    The file does not store the mapping network's learning-rate multiplier; it is 0.01 in every
    published one.  Raises: ModelError if a tensor is missing or left over.
    """
    state = tree.get("g_ema", tree)
    if not isinstance(state, Mapping) or "style.1.weight" not in state:
        keys = ", ".join(sorted(map(str, tree))[:6])
        raise ModelError(
            f'no generator in it (found {keys}); must hold "g_ema" or a generator\'s state dict'
        )
    stored = {str(k): v for k, v in state.items() if isinstance(v, StoredTensor)}
    config = _config(stored)
    names = _names(config)
    filters = {k: v for k, v in stored.items() if k.endswith(".kernel")}
    for name, kernel in filters.items():
        if blur_taps(kernel) != config.blur:
            raise ModelError(f"{name} is not the filter {config.blur} of the other layers")
    tensors = take({k: v for k, v in stored.items() if k not in filters}, names, config)
    average = tree.get("latent_avg")
    if isinstance(average, StoredTensor):
        tensors["w_avg"] = average
    return Checkpoint("rosinality", "stylegan2", config, tensors)


def _config(stored: Mapping[str, StoredTensor]) -> GeneratorConfig:
    def shape(name: str) -> tuple[int, ...]:
        if name not in stored:
            raise ModelError(f"tensor {name} is missing")
        return stored[name].shape

    blocks = sum(k.startswith("to_rgbs.") and k.endswith(".conv.weight") for k in stored)
    mapping = sum(k.startswith("style.") and k.endswith(".weight") for k in stored)
    upper = [shape(f"convs.{2 * b + 1}.conv.weight")[1] for b in range(blocks)]
    return GeneratorConfig(
        resolution=4 << blocks,
        channels=(shape("conv1.conv.weight")[1], *upper),
        z_dim=shape("style.1.weight")[1],
        w_dim=shape("style.1.weight")[0],
        mapping_layers=mapping,
        blur=blur_taps(stored["convs.0.conv.blur.kernel"]) if blocks else (1.0, 3.0, 3.0, 1.0),
    )


def _names(config: GeneratorConfig) -> Names:
    names = {"const": "input.input"}
    for k in range(config.mapping_layers):
        names[f"mapper.layers.{k}.weight"] = f"style.{k + 1}.weight"
        names[f"mapper.layers.{k}.bias"] = f"style.{k + 1}.bias"
    for layer in layer_table(config):
        theirs = _prefix(layer)
        names[f"{layer.key}.weight"] = f"{theirs}.conv.weight"
        names[f"{layer.key}.affine.weight"] = f"{theirs}.conv.modulation.weight"
        names[f"{layer.key}.affine.bias"] = f"{theirs}.conv.modulation.bias"
        if layer.noise is None:
            names[f"{layer.key}.bias"] = f"{theirs}.bias"
        else:
            names[f"{layer.key}.bias"] = f"{theirs}.activate.bias"
            names[f"{layer.key}.noise_strength"] = f"{theirs}.noise.weight"
            names[f"{layer.key}.noise_const"] = f"noises.noise_{layer.noise}"
    return names


def _prefix(layer: Layer) -> str:
    block = layer.resolution.bit_length() - 3
    if layer.kind == "rgb":
        return f"to_rgbs.{block - 1}" if block else "to_rgb1"
    if block == 0:
        return "conv1"
    return f"convs.{2 * block - (2 if layer.kind == 'conv0' else 1)}"
