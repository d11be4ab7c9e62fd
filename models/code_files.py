"""Values that a workflow wrote to files, as tensors: codes and directions."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from models.native import VALUE_KEY, VALUE_VERSION


def read_value(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The fields and the tensors of a value of `kind`.

    Raises: ValueError if the file holds something else; what safetensors does if it is damaged.
    """
    with safe_open(path, "pt") as file:
        header = json.loads((file.metadata() or {}).get(VALUE_KEY, "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told = header if isinstance(header, dict) else {}
    if (told.get("type"), told.get("version")) != (kind, VALUE_VERSION):
        raise ValueError(f"it holds {told.get('type', 'something else')}")
    return header["fields"], tensors
