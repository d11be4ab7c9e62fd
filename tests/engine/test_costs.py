"""What items cost is told apart from what loading, waiting and the run itself take."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine import costs
from engine.costs import BESIDE, PORT_BYTES, RECORD_BYTES, STRETCH, Costs, exact, written
from engine.dag import Graph
from engine.graph import load_graph
from engine.jobs import ChunkResult, Outcome, Written
from engine.memo import Pace
from engine.records import Blob, Record
from run_workflow import build_ops, surroundings

FLOW = """
version: 1
sources: {photo: {glob: "*.jpg"}}
steps:
  small: {op: resize, in: {image: photo}, with: {size: 64}}
  less:  {op: resize, in: {image: photo}, with: {size: 32}}
outputs: [{from: small, to: "{photo.stem}.png"}]
"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    (tmp_path / "w.yaml").write_text(FLOW)
    return load_graph(tmp_path / "w.yaml", surroundings(build_ops()))


class Clock:
    """A time that moves when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(costs.time, "monotonic", lambda: self.now)


def chunk(worker: str, seconds: float, *each: float, step: str = "small") -> ChunkResult:
    """A chunk of items that took so long each, and together `seconds` with all that was beside."""
    outcomes = tuple(
        Outcome((step, i), "done", "k", Record("k", ports={"image": Blob(0, 1000, "")}), seconds=s)
        for i, s in enumerate(each)
    )
    return ChunkResult("1", outcomes, (), worker=worker, seconds=seconds)


def test_loading_is_no_items_time_and_writing_is(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    found = Costs(graph.steps, graph.outputs, "cpu")
    assert found.paces(1) == {}
    clock.now += 9
    found.count(chunk("w", 6.0, 4.0, 1.0))  # a library was loaded in the first item, and around it
    clock.now += 4
    found.count(chunk("w", 4.0, 1.0, 1.0))  # and each of these took a second to be written
    clock.now += 3
    size = 1000 + RECORD_BYTES + PORT_BYTES
    paces = found.paces(1)
    name = exact(graph.steps["small"], "cpu")
    assert paces["resize"] == paces[name] == Pace(pytest.approx(5 / 3), size)
    assert paces[BESIDE].seconds == pytest.approx(9 - 2 * 5 / 3 + 3)
    assert STRETCH not in paces


def test_what_overlaps_is_not_counted_twice(graph: Graph) -> None:
    found = Costs(graph.steps, graph.outputs, "cpu")
    found.count(chunk("w", 1.0, 1.0))
    found.count(chunk("w", 2.0, 1.0, 1.0, 1.0, 1.0))
    assert found.paces(1)["resize"].seconds == pytest.approx(0.5)


def test_a_single_item_is_better_than_nothing(graph: Graph) -> None:
    found = Costs(graph.steps, graph.outputs, "cpu")
    found.count(chunk("w", 3.0, 2.0))
    assert found.paces(1)["resize"].seconds == 2.0


def test_workers_that_wait_stretch_a_run(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    found = Costs(graph.steps, graph.outputs, "cpu")
    for _ in range(5):
        for worker in "ab":
            found.count(chunk(worker, 1.0, 1.0))
        clock.now += 3
    paces = found.paces(2)
    assert paces["resize"].seconds == 1.0
    assert paces[STRETCH].seconds == pytest.approx(12 * 2 / 9)


def test_settings_models_devices_and_formats_have_their_own(graph: Graph) -> None:
    small, less = graph.steps["small"], graph.steps["less"]
    names = {exact(small, "cpu"), exact(less, "cpu"), exact(small, "cuda")}
    assert len(names) == 3
    assert exact(replace(less, settings=small.settings), "cpu") == exact(small, "cpu")
    found = Costs(graph.steps, graph.outputs, "cpu")
    file = Written(0, "a.png", ("small", 0), "k", "d", 5000, 0)
    found.count(replace(chunk("w", 1.0, 1.0), written=(file,)))
    assert found.paces(1)[written(small, graph.outputs[0])] == Pace(0.0, 5000.0)
