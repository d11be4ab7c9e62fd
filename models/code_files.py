"""Values that a workflow wrote to files, as tensors: codes and directions."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

_KEY, _VERSION = "latentloom", 1


def read_value(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields and the tensors of a value of `kind`.

    Raises: ValueError if the file holds something else; what safetensors does if it is damaged.
    """
    with safe_open(path, "pt") as file:
        header = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if (header.get("type"), header.get("version")) != (kind, _VERSION):
        raise ValueError(f"it holds {header.get('type', 'something else')}")
    return header["fields"], tensors
