"""Any weight file as one plain description: which network, which numbers, where the tensors lie.

No torch here: planning a run reads files through this module, loading a network builds on it.
"""

from collections.abc import Mapping
from pathlib import Path

from models.config import GeneratorConfig
from models.errors import ModelError
from models.native import read_native
from models.nvlabs import read_nvlabs
from models.rosinality import read_rosinality
from models.stored import Checkpoint
from models.unpickle import read_pickled

FORMATS = "rosinality or SOAT .pt, NVlabs .pkl, or this project's .safetensors"


def read_checkpoint(path: Path) -> Checkpoint:
    """The generator in a weight file of any known format, told by its content, not its suffix.

    Raises: ModelError if the file is missing, damaged, or holds no generator.
    """
    start = _start(path)
    if start[8:9] == b"{":
        values, tensors = read_native(path, "generator")
        return Checkpoint("native", "stylegan2", _configured(path, values), tensors)
    if start[:1] != b"\x80" and start[:2] != b"PK":
        raise ModelError(f"{path}: not a weight file; allowed are {FORMATS}")
    tree = read_pickled(path)
    if not isinstance(tree, Mapping):
        raise ModelError(f"{path}: holds a {type(tree).__name__}; allowed are {FORMATS}")
    try:
        return read_nvlabs(tree) if "G_ema" in tree else read_rosinality(tree)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except Exception as error:
        # Attributes and shapes come from the file, so they may be of any type at all.
        raise ModelError(f"{path}: not a StyleGAN2 checkpoint ({error!r})") from error


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _configured(path: Path, values: Mapping[str, object]) -> GeneratorConfig:
    try:
        return GeneratorConfig.from_json(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
