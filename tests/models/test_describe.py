"""What a weight file is, without torch."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models.config import GeneratorConfig
from models.describe import describe, file_digest
from models.errors import ModelError
from models.loading import load_generator, save_generator
from models.stylegan2 import Generator

FILES = [
    "rosinality-64.pt",
    "soat-256.pt",
    "nvlabs-stylegan2-64.pkl",
    "nvlabs-stylegan2-cond-32.pkl",
    "nvlabs-stylegan2-resnet-32.pkl",
]


@pytest.mark.parametrize("name", FILES)
def test_it_says_what_loading_gives(golden: Path, name: str) -> None:
    info, generator = describe(golden / name), load_generator(golden / name)
    config = generator.config
    assert info.name == Path(name).stem
    assert info.digest == generator.digest
    assert (info.resolution, info.num_rows) == (generator.resolution, generator.num_rows)
    assert (info.z_dim, info.w_dim, info.c_dim) == (config.z_dim, config.w_dim, config.c_dim)
    assert info.style_widths == config.style_widths
    assert info.format == ("nvlabs" if name.endswith("pkl") else "rosinality")


def test_torch_is_not_imported(golden: Path) -> None:
    code = (
        "import sys; from models import describe\n"
        f"print(describe({str(golden / FILES[0])!r}).resolution, 'torch' in sys.modules)"
    )
    root = golden.parent.parent
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert run.stdout.split() == ["64", "False"]


def test_a_changed_file_is_read_again(
    tiny: Generator,
    make_generator: Callable[[GeneratorConfig], Generator],
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.safetensors"
    save_generator(tiny, path)
    first = describe(path)
    assert first == describe(path)
    save_generator(make_generator(replace(tiny.config, resolution=16, channels=(8, 8, 8))), path)
    second = describe(path)
    assert (first.resolution, second.resolution) == (32, 16)
    assert first.digest != second.digest


def test_many_at_once_agree(golden: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: describe(golden / FILES[0]), range(32)))
    assert len(found) == 1


def test_damaged_memories_are_ignored(golden: Path, tmp_path: Path) -> None:
    first = describe(golden / FILES[0])
    notes = list((tmp_path / "cache").rglob("*.json"))
    assert notes
    for note in notes:
        note.write_text("{half a")
    assert describe(golden / FILES[0]) == first


def test_a_cache_that_cannot_be_written_costs_only_time(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert describe(golden / FILES[0]).resolution == 64


def test_refusals_name_the_file(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.pkl").write_text("not weights")
    with pytest.raises(ModelError, match=r"notes\.pkl: not a weight file"):
        describe(tmp_path / "notes.pkl")
    with pytest.raises(ModelError, match=r"absent\.pt: there is no such weight file"):
        describe(tmp_path / "absent.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        file_digest(tmp_path / "absent.pt")
    with pytest.raises(ModelError, match="StyleGAN3"):
        describe(golden / "nvlabs-stylegan3r-v3-32.pkl")
