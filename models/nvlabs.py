"""NVlabs' pickled StyleGAN2 networks: skip or residual, with or without classes."""

from collections.abc import Mapping
from typing import Any

from models.config import GeneratorConfig, layer_table
from models.errors import ModelError
from models.stored import Checkpoint, Names, blur_taps, take
from models.unpickle import ModuleRecord


def read_nvlabs(tree: Mapping[str, object]) -> Checkpoint:
    """The generator `G_ema` of a stylegan2-ada (or compatible) network pickle.

    Raises: ModelError for another kind of network, or if a tensor is missing or left over.
    """
    network = tree.get("G_ema")
    if not isinstance(network, ModuleRecord):
        keys = ", ".join(sorted(map(str, tree))[:6])
        raise ModelError(f'no generator "G_ema" in it (found {keys})')
    mapping, synthesis = network.child("mapping"), network.child("synthesis")
    if mapping is None or synthesis is None:
        raise ModelError(f"class {network.class_name}: must be a StyleGAN generator")
    if synthesis.child("input") is not None:
        raise ModelError("a StyleGAN3 generator: recognised, but not supported yet")
    config = _config(network, mapping, synthesis)
    stored = network.tensors()
    filters = {k: v for k, v in stored.items() if k.endswith(".resample_filter")}
    for name, kernel in filters.items():
        if blur_taps(kernel) != config.blur:
            raise ModelError(f"{name} is not the filter {config.blur} of the other layers")
    rest = {k: v for k, v in stored.items() if k not in filters}
    return Checkpoint("nvlabs", "stylegan2", config, take(rest, _names(config), config))


def _config(
    network: ModuleRecord, mapping: ModuleRecord, synthesis: ModuleRecord
) -> GeneratorConfig:
    blocks = {int(name[1:]): block for name, block in synthesis.children().items()}
    channels = []
    for side in sorted(blocks):
        conv = _child(blocks[side], "conv1")
        channels.append(_attribute(conv, "out_channels"))
        if _attribute(conv, "activation") != "lrelu" or not _attribute(conv, "use_noise"):
            raise ModelError(f"block {side}: must use leaky ReLU and noise")
    if _attribute(network, "img_channels") != 3:
        raise ModelError(f"{_attribute(network, 'img_channels')} image channels: must be 3")
    layers = sum(name.startswith("fc") for name in mapping.children())
    first = _child(synthesis, "b4")
    kernel = _child(first, "conv1").tensors()["resample_filter"]
    return GeneratorConfig(
        resolution=_attribute(network, "img_resolution"),
        channels=tuple(channels),
        z_dim=_attribute(network, "z_dim"),
        w_dim=_attribute(network, "w_dim"),
        c_dim=_attribute(network, "c_dim"),
        mapping_layers=layers,
        mapping_lr=float(_attribute(_child(mapping, "fc0"), "bias_gain")),
        architecture=_attribute(first, "architecture"),
        blur=blur_taps(kernel),
        conv_clamp=_clamp(blocks),
    )


def _clamp(blocks: Mapping[int, ModuleRecord]) -> float | None:
    """The one clamp of all layers."""
    layers = [part for block in blocks.values() for part in block.children().values()]
    clamps = {_attribute(part, "conv_clamp") for part in layers if part.child("affine")}
    if len(clamps) != 1:
        raise ModelError(f"conv_clamp {clamps}: must be the same in all layers")
    clamp = clamps.pop()
    return None if clamp is None else float(clamp)


def _child(module: ModuleRecord, name: str) -> ModuleRecord:
    found = module.child(name)
    if found is None:
        raise ModelError(f"{module.class_name} has no part {name!r}")
    return found


def _attribute(module: ModuleRecord, name: str) -> Any:
    if name not in module.attributes:
        raise ModelError(f"{module.class_name} has no attribute {name!r}")
    return module.attributes[name]


def _names(config: GeneratorConfig) -> Names:
    names = {"w_avg": "mapping.w_avg", "const": "synthesis.b4.const"}
    parts = {f"mapper.layers.{k}": f"mapping.fc{k}" for k in range(config.mapping_layers)}
    if config.c_dim:
        parts["mapper.embed"] = "mapping.embed"
    for layer in layer_table(config):
        kind = "torgb" if layer.kind == "rgb" else layer.kind
        theirs = f"synthesis.b{layer.resolution}.{kind}"
        parts[layer.key] = theirs
        parts[f"{layer.key}.affine"] = f"{theirs}.affine"
        if layer.noise is not None:
            names[f"{layer.key}.noise_strength"] = f"{theirs}.noise_strength"
            names[f"{layer.key}.noise_const"] = f"{theirs}.noise_const"
    for ours, prefix in parts.items():
        names[f"{ours}.weight"], names[f"{ours}.bias"] = f"{prefix}.weight", f"{prefix}.bias"
    if config.architecture == "resnet":
        for k, side in enumerate(config.resolutions[1:]):
            names[f"shortcuts.{k}.weight"] = f"synthesis.b{side}.skip.weight"
    return names
