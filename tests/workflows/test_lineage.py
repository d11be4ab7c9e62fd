"""What a file tells of its making is enough to make it again, to the last bit."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.calling import find_function
from engine.codecs import decode, rounded
from engine.op import Seed
from engine.provenance import read_provenance
from engine.values import Latent, Network, Scalar, Value, stack, take
from models import describe
from models.library import locate
from run_workflow import build_ops

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
OPS = build_ops()
MODEL = describe("portraits-128")
NETWORK = Network(
    "portraits", str(MODEL.path), MODEL.digest, MODEL.digest, MODEL.resolution, MODEL.num_rows
)


def breed(folder: Path, *params: str) -> Path:
    """Run the recipe in small; its output folder."""
    small = ("mothers=1", "sliders=[0.5]", "children=[1, 2]", *params)
    given = [word for param in small for word in ("-p", param)]
    recipe = str(ROOT / "workflows" / "crossbreed.yaml")
    places = ["-o", str(folder), "--cache", str(folder / "cache"), "--workers", "1", "-q"]
    line = [sys.executable, str(ROOT / "run_workflow.py"), "run", recipe, *given, *places]
    done = subprocess.run(line, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def told(path: Path) -> dict[str, Any]:
    """How a file says it was made."""
    made: dict[str, Any] = json.loads(read_provenance(path))["made"]
    return made


def by_digest(*folders: Path) -> dict[str, Path]:
    """All files of some folders by their contents."""
    files = [path for folder in folders for path in folder.rglob("*.safetensors")]
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}


def replay(made: Mapping[str, Any], files: Mapping[str, Path]) -> Value:
    """Make again what a record tells of, from seeds, numbers and the files it names."""
    spec = OPS[made["op"]]
    assert spec.options.version == made["version"]
    many = any(wire.many for wire in spec.wires)
    count = spec.options.batch if spec.options.fixed and not many else 1
    filled: dict[str, Any] = {name: _named(x, files) for name, x in made["settings"].items()}
    filled |= {name: Seed((seed,) * count) for name, seed in made.get("seeds", {}).items()}
    for slot, digest in made.get("models", {}).items():
        assert digest == NETWORK.digest
        filled[slot] = NETWORK
    for name, inputs in made["inputs"].items():
        values = tuple(
            Scalar((one["value"],)) if "value" in one else replay(one, files) for one in inputs
        )
        wire = spec.wire(name)
        assert wire is not None
        filled[name] = values if wire.many else stack([values[0]] * count)
    given = find_function(spec)(**filled)
    port = made.get("port", spec.ports[0].name)
    return rounded(take(given if spec.single else getattr(given, port), 0, 1))


def _named(setting: Any, files: Mapping[str, Path]) -> Any:
    """A setting, with the path of each file that it names by its digest."""
    if isinstance(setting, list):
        return [_named(one, files) for one in setting]
    return str(files[setting]) if isinstance(setting, str) and setting in files else setting


def test_two_generations_are_made_again_from_their_files(tmp_path: Path) -> None:
    first = breed(tmp_path / "first")
    father = first / "children" / "0_2.safetensors"
    second = breed(tmp_path / "second", "seed=2", f"father={father}")
    files = by_digest(first / "children", locate("portraits-128", "generator").parent)
    children = [*first.glob("children/*.safetensors"), *second.glob("children/*.safetensors")]
    assert len(children) == 4
    for path in children:
        kept, again = decode(path.read_bytes()), replay(told(path), files)
        assert isinstance(kept, Latent)
        assert isinstance(again, Latent)
        assert (again.space, again.family) == (kept.space, kept.family)
        assert torch.equal(again.data, kept.data), path
