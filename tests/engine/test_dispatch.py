"""The loop against real worker processes: crashes, hangs, kills, retries, interruptions."""

import itertools
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from engine.cluster import Workers, open_workers
from engine.dag import Axis, Graph, Ref, Source, SourceItem, Step, Wire
from engine.dispatch import MOST_DEATHS, Dispatch, Hooks
from engine.errors import RunError, StoreError
from engine.glance import Questions
from engine.items import Items
from engine.jobs import Chunk, ChunkResult, Outcome, Program
from engine.local import cpu_count
from engine.own_ops import read_own_ops
from engine.placement import PER_SLOT
from engine.plan import Board
from engine.profiles import ClusterSpec
from engine.records import Record
from engine.signals import InterruptedRunError, Interrupts
from engine.store import open_store
from engine.stragglers import Stragglers
from engine.task import unpack
from engine.values import Scalar

OPS = {spec.name: spec for spec in read_own_ops(Path(__file__).with_name("toy_ops.py"))}


def step(name: str, reads: str, *, retries: int = 0, timeout_s: float = 60, **given: Any) -> Step:
    spec = OPS[given.pop("op", name)]
    ref = Ref(
        reads,
        field="value" if reads == "x" else "",
        port="" if reads == "x" else "value",
        axes=("x",),
    )
    wires = (Wire("value", (ref,)),)
    return Step(name, spec, wires, given, {}, ("x",), retries=retries, timeout_s=timeout_s)


def graph_of(*steps: Step) -> Graph:
    source = Source("x", "values", {}, ("value",), Scalar)
    return Graph(
        name="t",
        file="t.yaml",
        folder="/",
        params={},
        models={},
        sources={"x": source},
        axes={"x": Axis("x", "source", "x")},
        steps={s.name: s for s in steps},
        outputs=(),
    )


@dataclass
class World:
    """A store, a run folder and a memory of what was settled."""

    root: Path
    workers: Workers
    records: dict[str, Record] = field(default_factory=dict)
    settled: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    interrupts: Interrupts = field(default_factory=Interrupts)
    on_tick: Any = None

    def run(self, graph: Graph, values: Sequence[object]) -> Mapping[tuple[str, int], Outcome]:
        open_store(self.root / "store")
        (self.root / "run").mkdir(exist_ok=True)
        items = Items(
            graph,
            {
                "x": [
                    SourceItem(i, {"value": v, "index": i}, f"id{v}") for i, v in enumerate(values)
                ]
            },
        )
        known = Questions(
            records=lambda keys: {k: self.records[k] for k in keys if k in self.records},
            current=lambda *_: True,
        )
        program = Program(
            graph.steps, str(self.root / "store"), str(self.root / "run"), str(self.root)
        )
        hooks = Hooks(
            absorb=self.absorb,
            settled=lambda news: self.settled.update({o.item: o for o in news}),
            learned=lambda _read: None,
            event=lambda name, data: self.events.append((name, data)),
            tick=lambda flying: self.on_tick and self.on_tick(flying),
        )
        self.board = Board(items, known)
        Dispatch(self.board, program, hooks, lambda: self.workers, self.interrupts).run()
        return self.settled

    def absorb(self, _chunk: Chunk, result: ChunkResult) -> None:
        for outcome in result.outcomes:
            if outcome.record is not None and outcome.record.pack:
                self.records[outcome.key] = outcome.record


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with open_workers(ClusterSpec(workers=2), tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, workers: Workers) -> World:
    return World(tmp_path, workers)


def statuses(found: Mapping[tuple[str, int], Outcome], name: str) -> list[str]:
    return [o.status for item, o in sorted(found.items()) if item[0] == name]


def test_all_items_of_a_chain_are_done(world: World) -> None:
    found = world.run(graph_of(step("a", "x", op="double"), step("b", "a", op="double")), range(50))
    assert statuses(found, "b") == ["done"] * 50
    assert world.records[found["b", 7].key].scalars == {"value": 28.0}
    assert list((world.root / "run" / "hands").iterdir()) == []


def test_a_second_run_computes_nothing(world: World) -> None:
    graph = graph_of(step("a", "x", op="double"))
    world.run(graph, range(5))
    world.workers = Workers(lambda *_: pytest.fail("nothing is left to run"), lambda: 1)
    assert statuses(world.run(graph, range(5)), "a") == ["cached"] * 5


def test_an_item_that_crashes_its_worker_is_the_only_one_blamed(world: World) -> None:
    found = world.run(graph_of(step("a", "x", op="crash"), step("b", "a", op="double")), range(8))
    blamed = found["a", 3]
    assert (blamed.status, blamed.reason) == ("quarantined", "worker_died")
    assert "Segmentation fault" in blamed.message
    assert "string_at" in blamed.traceback
    assert statuses(found, "a") == ["done"] * 3 + ["quarantined"] + ["done"] * 4
    assert statuses(found, "b") == ["done"] * 3 + ["skipped"] + ["done"] * 4


def test_an_item_that_never_ends_is_ended(world: World) -> None:
    found = world.run(graph_of(step("a", "x", op="hang", timeout_s=0.5)), range(6))
    assert found["a", 3].reason == "timeout"
    assert "hang" in found["a", 3].traceback
    assert statuses(found, "a") == ["done"] * 3 + ["quarantined"] + ["done"] * 2


def test_a_worker_killed_once_costs_nothing(world: World, tmp_path: Path) -> None:
    graph = graph_of(step("a", "x", op="die_once", mark=str(tmp_path / "mark"), retries=1))
    assert statuses(world.run(graph, range(6)), "a") == ["done"] * 6
    assert [name for name, _ in world.events] == ["worker_died"]


def test_an_op_that_raises_is_tried_again_and_then_quarantined(world: World) -> None:
    graph = graph_of(step("a", "x", op="picky", retries=1), step("b", "a", op="double"))
    found = world.run(graph, [1, 13, 3, 4])
    assert statuses(found, "a") == ["done", "quarantined", "quarantined", "done"]
    assert statuses(found, "b") == ["done", "skipped", "skipped", "done"]
    retried = [data["items"] for name, data in world.events if name == "retry"]
    assert retried == [[["a", 1]]]  # what would fail again is not tried again


def test_the_first_signal_drains(world: World) -> None:
    def stop(flying: int) -> None:
        if flying and len(world.settled) > 3:
            world.interrupts._seen(signal.SIGINT, None)
            world.on_tick = None

    world.on_tick = stop
    with pytest.raises(InterruptedRunError) as error:
        world.run(graph_of(step("a", "x", op="tarry", seconds=0.02)), range(500))
    assert error.value.exit_code == 130
    done = statuses(world.settled, "a")
    assert 3 < len(done) < 500
    assert len(world.records) == len(done)  # whatever was in flight is kept


def test_what_still_waits_for_a_worker_is_taken_back(world: World) -> None:
    def stop(_flying: int) -> None:
        if world.settled:
            world.interrupts._seen(signal.SIGINT, None)
            world.on_tick = None

    world.on_tick = stop
    with pytest.raises(InterruptedRunError):
        world.run(graph_of(step("a", "x", op="tarry", seconds=0.2)), range(200))
    [told] = [data["chunks"] for name, data in world.events if name == "draining"]
    assert told <= 2 + 1  # two workers, and one chunk that may have ended just then
    assert len(world.settled) <= 8 * (told + 2)


def test_a_full_disk_stops_the_run(world: World) -> None:
    open_store(world.root / "store")
    (world.root / "store" / "packs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        world.run(graph_of(step("a", "x", op="double")), range(4))


def test_few_chunks_are_under_way_at_a_time(world: World) -> None:
    seen: list[int] = []
    world.on_tick = seen.append
    found = world.run(graph_of(step("a", "x", op="tarry", seconds=0.002)), range(300))
    assert statuses(found, "a") == ["done"] * 300
    assert 1 < max(seen) <= PER_SLOT * 2, "two workers: one chunk each, and one that waits"


def test_a_slow_item_does_not_hold_its_neighbours(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("engine.stragglers.SLOW_S", 0.2)
    (tmp_path / "marks").mkdir()
    # Neither those in its own chunk, nor those in the chunk that waits behind it.
    patient = step("a", "x", op="wait_for_others", folder=str(tmp_path / "marks"), others=39)
    found = world.run(graph_of(patient, step("b", "a", op="double")), range(40))
    assert statuses(found, "a") == statuses(found, "b") == ["done"] * 40
    [told] = [data for name, data in world.events if name == "relieved"]
    assert told["slow"] == [["a", 0]]
    assert list((world.root / "run" / "hands").iterdir()) == []


def test_a_slow_item_that_then_dies_is_the_only_one_blamed(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("engine.stragglers.SLOW_S", 0.2)
    (tmp_path / "marks").mkdir()
    waits = {"folder": str(tmp_path / "marks"), "others": 8}  # the eighth never comes
    found = world.run(
        graph_of(step("a", "x", op="wait_for_others", timeout_s=3, **waits)), range(8)
    )
    assert statuses(found, "a") == ["quarantined"] + ["done"] * 7
    assert found["a", 0].reason == "timeout"
    assert [name for name, _ in world.events].count("relieved") == 1


@contextmanager
def inline(root: Path) -> Iterator[World]:
    with open_workers(ClusterSpec(workers=0), root) as workers:
        yield World(root, workers)


def test_the_same_work_runs_in_this_process(tmp_path: Path) -> None:
    with inline(tmp_path) as world:
        found = world.run(graph_of(step("a", "x", op="double")), range(5))
        assert statuses(found, "a") == ["done"] * 5
        assert found["a", 4].batch == 1


class KilledWorker(Exception):  # noqa: N818  (what Dask calls it)
    """A worker that is gone."""


@pytest.mark.parametrize("every", [20, 2])
def test_deaths_between_items_end_a_run_only_if_little_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr("engine.sizing.MOST_HOMES", 1)
    count = itertools.count(1)
    with inline(tmp_path) as world:
        submit = world.workers.submit

        def dying(function: Any, program: bytes, chunk: bytes, *more: Any) -> Any:
            if next(count) % every:
                return submit(function, program, chunk, *more)
            journal = tmp_path / "run" / "hands" / f"{unpack(chunk).id}.jsonl"
            journal.parent.mkdir(exist_ok=True)
            journal.touch()  # begun, and nothing in hands
            lost: Future[bytes] = Future()
            lost.set_exception(KilledWorker())
            return lost

        world.workers = replace(world.workers, submit=dying)
        graph = graph_of(step("a", "x", op="double"))
        if every == 2:
            with pytest.raises(RunError, match="keep dying between items"):
                world.run(graph, range(300))
        else:
            assert statuses(world.run(graph, range(300)), "a") == ["done"] * 300
            deaths = [name for name, _ in world.events].count("worker_died")
            assert deaths > MOST_DEATHS


def test_a_chunk_is_held_up_once_for_each_time_that_long(tmp_path: Path) -> None:
    chunks = [Chunk(name, "0:x", (), (), home=(0, 1)) for name in ("slow", "waits")]
    (tmp_path / "hands").mkdir()
    (tmp_path / "hands" / "slow.jsonl").write_text("in hands")
    watch = Stragglers(str(tmp_path))
    told = [sorted(c.id for c in watch.among(chunks, now)) for now in range(100, 100 + 35)]
    assert [now for now, names in enumerate(told) if names] == [11, 22, 33]
    assert [names for names in told if names] == [["slow"]] * 3


def test_workers_have_the_environment_that_glibc_reads_at_its_start(workers: Workers) -> None:
    environ = Path("/proc/self/environ")  # as the process was started, not as changed since
    found = workers.submit(Path.read_text, environ).result(30).split("\0")
    assert "MALLOC_MMAP_THRESHOLD_=4294967296" in found
    assert "MALLOC_TRIM_THRESHOLD_=17179869184" in found
    assert "MALLOC_MMAP_MAX_=0" in found
    assert f"OMP_NUM_THREADS={max(1, cpu_count() // 2)}" in found
