"""The ancestry of files, drawn from what they tell of themselves."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from engine.ancestry import read_ancestry
from engine.errors import UsageError
from engine.provenance import with_metadata


def write(path: Path, made: dict[str, Any] | None) -> str:
    """A file that says how it was made; its digest."""
    header = json.dumps({"__metadata__": {"latentloom": "{}"}}).encode()
    header += b" " * (-len(header) % 8)
    content = len(header).to_bytes(8, "little") + header
    if made is not None:
        content = with_metadata(content, json.dumps({"latentloom": 1, "key": "k", "made": made}))
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def step(op: str, name: str = "", /, *, models: str = "", **inputs: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"op": op, "step": name or op, "version": 1, "settings": {}}
    told["models"] = {"model": models} if models else {}
    return told | {"inputs": inputs}


SAMPLE = step("sample_codes", "a.codes", models="a" * 64, index=[{"value": 3}])
PHOTO = {"photo": "anna.jpg", "sha256": "c" * 64}


def test_the_tree_names_roles_settings_and_models(tmp_path: Path) -> None:
    made = step("mix_styles", "child", models="a" * 64, content=[SAMPLE], style=[PHOTO])
    made["settings"], made["seeds"] = {"strength": 0.5}, {"seed": 9}
    path = tmp_path / "x.safetensors"
    write(path, made)
    assert read_ancestry(path).as_text().splitlines() == [
        "x.safetensors",
        "└─ child (mix_styles) strength 0.5, seed 9",
        "   ├─ content: a.codes (sample_codes) index 3",
        "   └─ style: photo anna.jpg sha256 cccccccccccc",
        "models: aaaaaaaaaaaa",
    ]


def test_what_stands_in_it_twice_is_one_node_and_drawn_once(tmp_path: Path) -> None:
    mean = step("average", codes=[SAMPLE])
    path = tmp_path / "x.safetensors"
    write(path, step("crossbreed", latent=[mean], other=[mean]))
    found = read_ancestry(path)
    assert len(found.nodes) == 3
    assert found.as_text().count("sample_codes") == 1
    assert "other: average  (as [1] above)" in found.as_text()


def test_every_node_comes_after_its_parents_and_is_named_by_them(tmp_path: Path) -> None:
    made = step("crossbreed", latent=[step("average", codes=[SAMPLE])], other=[SAMPLE])
    ids = []
    for index in (3, 4):
        SAMPLE["inputs"]["index"][0]["value"] = index
        path = tmp_path / f"{index}.safetensors"
        write(path, made)
        told = read_ancestry(path).as_json()
        seen: set[str] = set()
        for name, node in told["nodes"].items():
            assert {parent["id"] for parent in node["parents"]} <= seen
            seen.add(name)
        assert told["root"] == list(told["nodes"])[-1]
        ids.append(set(told["nodes"]))
    SAMPLE["inputs"]["index"][0]["value"] = 3
    assert not ids[0] & ids[1]


def test_the_lineage_goes_on_through_files_of_earlier_runs(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    parent = write(tmp_path / "old" / "parent.safetensors", step("crossbreed", latent=[SAMPLE]))
    shot = write(tmp_path / "old" / "shot.safetensors", step("synthesize", latent=[SAMPLE]))
    made = step("load_code", photo=[{"photo": "shot.png", "sha256": shot}])
    made["settings"] = {"file": parent}
    path = tmp_path / "child.safetensors"
    write(path, made)
    alone = read_ancestry(path)
    assert [node.what for node in alone.nodes.values()] == ["photo", "load_code"]
    whole = read_ancestry(path, [tmp_path / "old"])
    whats = [node.what for node in whole.nodes.values()]
    assert whats == ["sample_codes", "synthesize", "crossbreed", "load_code"]
    assert "file: crossbreed file parent.safetensors" in whole.as_text()


def test_many_members_are_counted(tmp_path: Path) -> None:
    made = step("make_grid")
    made["inputs"] = {"images": {"members": 40, "keys": ["k"] * 16}}
    path = tmp_path / "x.safetensors"
    write(path, made)
    assert "└─ make_grid images 40 members" in read_ancestry(path).as_text()


def test_files_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    from engine.provenance import save_options

    path = tmp_path / "x.safetensors"
    write(path, None)
    with pytest.raises(UsageError, match="carries no provenance"):
        read_ancestry(path)
    path.write_bytes(b"junk")
    with pytest.raises(UsageError, match="cannot be read"):
        read_ancestry(path)
    picture = tmp_path / "x.jpg"
    Image.new("RGB", (8, 8)).save(picture, **save_options("JPEG", "x" * 70_000))
    with pytest.raises(UsageError, match=r"too long for JPEG: write it as \.png"):
        read_ancestry(picture)
