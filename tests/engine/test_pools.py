"""CPU workers that prepare and finish for GPU workers: real processes, with stand-ins for GPUs."""

import csv
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from engine.history import load_items
from engine.runner import RunResult
from run_workflow import plan, run

OPS = Path(__file__).with_name("pool_ops.py")
PHOTOS = 12
WORKFLOW = """
version: 1
name: pools
models: {portraits: portraits-128}
sources: {photo: {glob: "photos/*.png"}}
steps:
  cut: {op: cut, in: {image: photo}}
  draw: {op: draw, in: {image: cut.image}}
  middle: {op: between, in: {image: draw.image}}
  again: {op: draw, in: {image: middle.image}}
  paste: {op: paste, in: {image: again.image}}
outputs:
  - {from: again.image, to: "drawn/{photo.stem}.png"}
  - {from: paste.image, to: "pasted/{photo.stem}.png"}
  - {from: cut.place, to: cut.csv}
  - {from: draw.place, to: draw.csv}
  - {from: middle.place, to: middle.csv}
  - {from: again.place, to: again.csv}
  - {from: paste.place, to: paste.csv}
run: {retries: 0}
"""

Flow = Callable[..., RunResult]


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flow:
    """Run a workflow on two stand-ins for GPUs and two CPU workers."""
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        Pillow.new("RGB", (16 + number, 12), (20 * number, 90, 60)).save(
            tmp_path / "photos" / f"{number:02}.png"
        )
    monkeypatch.setenv("LATENTLOOM_GPU_STAND_INS", "2")

    def start(text: str = WORKFLOW, **flags: Any) -> RunResult:
        path = tmp_path / "flow.yaml"
        path.write_text(text)
        places = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
        return run(path, ops=[OPS], **{"gpus": "all", "workers": 2, **places, **flags})

    return start


def places(out: Path, step: str) -> list[str]:
    """Where each item of a step ran: the GPU, "" for none, and the process."""
    with (out / f"{step}.csv").open(newline="") as file:
        return [row[-1] for row in list(csv.reader(file))[1:]]


def gpus(out: Path, step: str) -> set[str]:
    found = places(out, step)
    assert len(found) == PHOTOS
    return {place.split(":")[0] for place in found}


def pictures(out: Path) -> dict[str, str]:
    return {str(p.relative_to(out)): sha256(p.read_bytes()).hexdigest() for p in out.rglob("*.png")}


def test_networks_run_on_gpus_and_all_else_beside_them(flow: Flow, tmp_path: Path) -> None:
    result = flow()
    assert result.exit_code == 0, result.message
    out = tmp_path / "out"
    assert gpus(out, "cut") == gpus(out, "paste") == {""}
    assert gpus(out, "draw") | gpus(out, "again") <= {"0", "1"}
    assert gpus(out, "middle") <= {"0", "1"}, "it need not leave the GPU's worker"
    per_gpu = {place.split(":")[0]: place for place in places(out, "draw")}
    assert set(places(out, "draw")) == set(per_gpu.values()), "one process for each GPU"
    made = pictures(out)
    assert len(made) == 2 * PHOTOS
    again = flow()
    assert not any(step["done"] for step in again.steps.values())
    assert pictures(out) == made
    for path in (out / "drawn").iterdir():
        path.unlink()
    assert flow().exit_code == 0, "what a look for GPU workers sets free, CPU workers write"
    assert pictures(out) == made
    told = plan(tmp_path / "flow.yaml", ops=[OPS], out=out, cache=tmp_path / "cache", gpus="all")
    assert not any(step.to_run for step in told.steps.values())
    plain = flow(gpus="", out=tmp_path / "plain", cache=tmp_path / "cache2")
    assert plain.exit_code == 0
    assert gpus(tmp_path / "plain", "draw") == {""}
    assert pictures(tmp_path / "plain") == made, "where things run changes no file"


def test_a_gpu_that_is_lost_comes_back_and_its_work_goes_on(flow: Flow, tmp_path: Path) -> None:
    text = WORKFLOW.replace("again: {op: draw,", "again: {op: fall_on_gpu,")
    text = text.replace("again.image", "again")
    result = flow(text.replace("  - {from: again.place, to: again.csv}\n", ""))
    assert result.exit_code == 3, result.message
    refused = {row.label: row.reason for row in load_items(result.run_dir, status="quarantined")}
    assert refused == {"photo=04": "worker_died"}
    assert len(pictures(tmp_path / "out")) == 2 * (PHOTOS - 1)


def test_all_gpus_work_at_once(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "met").mkdir()
    text = f"""
version: 1
name: pools
models: {{portraits: portraits-128}}
sources: {{photo: {{glob: "photos/*.png"}}}}
steps:
  cut: {{op: cut, in: {{image: photo}}}}
  meet: {{op: meet, in: {{image: cut.image}}, with: {{folder: '{tmp_path / "met"}'}}}}
outputs: [{{from: meet, to: meet.csv}}]
"""
    result = flow(text)
    assert result.exit_code == 0, result.message
    assert gpus(tmp_path / "out", "meet") == {"0", "1"}
