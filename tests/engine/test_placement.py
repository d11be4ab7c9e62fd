"""Who works on what: simulated workers with simulated models, and the real board."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import pytest

from engine.dag import Graph, ModelInfo, SourceItem
from engine.errors import UsageError
from engine.glance import Questions, Terms
from engine.graph import Surroundings, load_graph
from engine.items import Items
from engine.jobs import Chunk, ChunkResult, Outcome
from engine.lanes import Asks
from engine.op import op, read_op
from engine.placement import PER_SLOT, Places
from engine.plan import Board
from engine.records import Blob, Record
from engine.registry import build_registry
from engine.segments import Pool, pools_of
from engine.values import Network, Scalar, Scores


@op(version=1)
def prepare(value: Scalar) -> Scalar:
    """Work without a network."""
    return value


@op(version=1)
def infer(value: Scalar, model: Network) -> Scalar:
    """Work with a network."""
    return value


@op(version=1)
def measure(value: Scalar, model: Network) -> Scores:
    """Work with a network, whose results are written to files of their own."""
    return Scores(value, ("x",))  # type: ignore[arg-type]


REGISTRY = build_registry([read_op(prepare), read_op(infer), read_op(measure)])


def graph_of(text: str) -> Graph:
    def describe(name: str) -> ModelInfo:
        return ModelInfo(name, f"/{name}", name, name, 64, 10, 64, 64)

    def no_asset(*_: object) -> tuple[str, str]:
        raise UsageError("no assets here")

    return load_graph(f"version: 1\nname: t\n{text}", Surroundings(REGISTRY, describe, no_asset))


class Cluster:
    """Workers that take as long as they like over a chunk, and never fail."""

    def __init__(
        self, text: str, kinds: Mapping[str, Pool], *, asked: bool = True, **sources: int
    ) -> None:
        self.kinds = dict(kinds)
        self.places = Places()
        self.queues: dict[str, deque[Chunk]] = {name: deque() for name in kinds}
        self.did: dict[str, list[Chunk]] = {name: [] for name in kinds}
        self.store: dict[str, Record] = {}
        listings = {
            name: [SourceItem(i, {"value": i, "index": i}, f"{name}{i}") for i in range(count)]
            for name, count in sources.items()
        }
        ask = Questions(
            records=lambda keys: {k: self.store[k] for k in keys if k in self.store},
            current=lambda *_: False,
        )
        pools = asked and len(set(kinds.values())) > 1
        terms = Terms(slots=len(kinds), pools=pools)
        self.board = Board(Items(graph_of(text), listings), ask, terms)
        for lane in self.board._lanes:
            lane.size.homes = 1

    def fill(self) -> None:
        while any(self._give(name) for name in self.places.free(self.kinds)):
            pass

    def _give(self, worker: str) -> bool:
        warm, elsewhere = self.places.warm(worker), self.places.elsewhere(worker)
        chunk = self.board.next_chunk(asks=Asks(self.kinds[worker], warm, elsewhere))
        if chunk is not None:
            self.places.sent(chunk, worker, bound=True)
            self.queues[worker].append(chunk)
        return chunk is not None

    def finish(self, worker: str) -> bool:
        """Let a worker finish the chunk it is at."""
        if not self.queues[worker]:
            return False
        chunk = self.queues[worker].popleft()
        self.places.back(chunk.id)
        self.did[worker].append(chunk)
        outcomes = []
        for job in chunk.jobs:
            record = Record(job.key, ports={"value": Blob(0, 1, "")}, pack="p")
            self.store[job.key] = record
            outcomes.append(Outcome(job.id, "done", job.key, record))
        # As long as makes one home a chunk, so that sizes stay as they are.
        self.board.settle(ChunkResult(chunk.id, tuple(outcomes), (), seconds=100.0))
        return True

    def run(self) -> None:
        self.fill()
        while any(self.queues.values()):
            for worker in self.kinds:
                self.finish(worker)
            self.fill()
        assert self.board.finished

    def models(self, worker: str) -> list[str]:
        """The models a worker had to load, in order."""
        loaded: list[str] = []
        for chunk in self.did[worker]:
            loaded += sorted(chunk.models - set(loaded))
        return loaded


TWO_MODELS = """
models: {A: a, B: b}
sources: {x: {values: [0]}}
steps:
  first: {op: infer, in: {value: x}, model: A}
  second: {op: infer, in: {value: first}, model: A, when: first > -1}
  other: {op: infer, in: {value: deep}, model: B}
  deep: {op: coalesce, in: {values: [second, first]}}
outputs: []
"""


def test_a_model_is_loaded_once_as_long_as_its_worker_keeps_up() -> None:
    workers: dict[str, Pool] = {"w1": "", "w2": "", "w3": ""}
    cluster = Cluster(TWO_MODELS, workers, x=60)
    holders: set[str] = set()
    for _ in range(12):
        for worker in (*workers, *holders, *holders, *holders):  # who has B is fast with it
            cluster.fill()
            cluster.finish(worker)
            holders |= {name for name in workers if "B" in cluster.places.warm(name)}
    assert len(holders) == 1, "the others went on with what they had loaded"
    done = {name: [c.models for c in cluster.did[name]] for name in workers}
    assert all({"B"} not in done[name] for name in workers if name not in holders)
    assert done[holders.pop()].count(frozenset({"B"})) > 12, "what is deepest still comes first"
    cluster.run()


def test_nobody_is_idle_for_the_sake_of_a_model() -> None:
    cluster = Cluster(TWO_MODELS, {"w1": "", "w2": ""}, x=12)
    for _ in range(40):  # one of them does all the work it gets at once, the other nothing
        cluster.fill()
        cluster.finish("w1")
    assert not cluster.queues["w1"]
    assert len(cluster.queues["w2"]) == PER_SLOT
    cluster.run()
    assert sum(len(chunk.jobs) for chunks in cluster.did.values() for chunk in chunks) == 36


POOLS = """
models: {A: a}
sources: {x: {values: [0]}}
steps:
  before: {op: prepare, in: {value: x}}
  code: {op: infer, in: {value: before}, model: A}
  middle: {op: prepare, in: {value: code}}
  drawn: {op: infer, in: {value: middle}, model: A}
  after: {op: prepare, in: {value: drawn}}
  aside: {op: prepare, in: {value: before}}
  here: {op: infer, in: {value: x}, model: A, device: cpu}
outputs: []
"""


def test_each_step_has_its_pool() -> None:
    assert pools_of(graph_of(POOLS)) == {
        "before": "cpu",
        "code": "gpu",
        "middle": "gpu",
        "drawn": "gpu",
        "after": "cpu",
        "aside": "cpu",
        "here": "cpu",
    }
    plain = "sources: {x: {values: [0]}}\nsteps: {a: {op: prepare, in: {value: x}}}\noutputs: []"
    assert pools_of(graph_of(plain)) == {"a": ""}


KINDS: dict[str, Pool] = {"g1": "gpu", "g2": "gpu", "c1": "cpu", "c2": "cpu"}


def test_gpus_do_networks_and_nothing_else() -> None:
    cluster = Cluster(POOLS, KINDS, x=30)
    cluster.run()
    for worker, kind in KINDS.items():
        steps = {job.step for chunk in cluster.did[worker] for job in chunk.jobs}
        assert steps == (
            {"code", "middle", "drawn"} if kind == "gpu" else {"before", "after", "aside", "here"}
        )


def test_cpu_workers_do_not_run_away_from_gpus() -> None:
    cluster = Cluster(POOLS, KINDS, x=400)
    for _ in range(600):  # the GPUs have stopped
        cluster.fill()
        cluster.finish("c1")
        cluster.finish("c2")
    ahead = sum(len(c.jobs) for w in ("c1", "c2") for c in cluster.did[w])
    assert 3 * 16 <= ahead < 3 * 40, "enough is prepared for them, and no more"
    assert not cluster.queues["c1"]
    cluster.run()


def test_all_workers_of_one_kind_do_everything() -> None:
    cluster = Cluster(POOLS, {"w1": "", "w2": ""}, x=10)
    cluster.run()
    assert {chunk.pool for chunks in cluster.did.values() for chunk in chunks} == {""}


def test_a_window_holds_so_many_chunks_and_the_rest_waits() -> None:
    cluster = Cluster(POOLS, {"w1": "", "w2": "", "w3": ""}, x=100)
    for _ in range(200):
        cluster.fill()
        assert {len(queue) for queue in cluster.queues.values()} <= {0, 1, PER_SLOT}
        cluster.finish("w2")
    assert [len(cluster.queues[name]) for name in ("w1", "w3")] == [PER_SLOT, PER_SLOT]


def test_what_waits_behind_another_chunk_and_what_lost_its_worker_is_told() -> None:
    places = Places()
    chunks = [Chunk(str(number), "0:x", (), ()) for number in range(4)]
    for chunk, worker in zip(chunks, ("a", "a", "b", "c"), strict=True):
        places.sent(replace(chunk, models=frozenset({worker})), worker, bound=True)
    roster: dict[str, Pool] = {"a": "gpu", "b": "gpu", "c": "cpu"}
    nobody, everybody = (lambda _chunk: False), (lambda _chunk: True)
    assert places.behind(roster, nobody) == []
    places.back("3")  # a CPU worker that is idle helps no GPU
    assert places.behind(roster, nobody) == []
    places.back("2")
    assert places.behind(roster, nobody) == ["1"], "one is left to who has it, begun or not"
    assert places.behind(roster, lambda chunk: chunk == "1") == ["0"]
    assert places.behind(roster, everybody) == []
    assert set(places.stranded({"b": "gpu", "c": "cpu"})) == {"0", "1"}
    assert places.warm("a") == frozenset(), "who comes back has loaded nothing"
    assert list(places.free({"a": "gpu", "b": "gpu"})) == ["b"]


@pytest.mark.parametrize("device", ["", "device: cpu, "])
def test_a_workflow_without_work_for_gpus_uses_all_workers(device: str) -> None:
    text = POOLS.replace("model: A", f"{device}model: A") if device else POOLS
    graph = graph_of(text.replace(", device: cpu}", "}") if device else text)
    assert ("gpu" in pools_of(graph).values()) is not bool(device)


PLAIN = """
sources: {x: {values: [0]}}
steps:
  a: {op: prepare, in: {value: x}}
  b: {op: prepare, in: {value: a}}
outputs: []
"""


@pytest.mark.parametrize(
    ("text", "asked"), [(PLAIN, True), (POOLS, False)], ids=["no network", "no GPU asked for"]
)
def test_where_nothing_is_for_gpus_workers_of_both_kinds_do_everything(
    text: str, asked: bool
) -> None:
    cluster = Cluster(text, KINDS, asked=asked, x=30)
    assert not cluster.board.pools
    assert not cluster.board.wants_gpu
    cluster.run()
    assert all(cluster.did.values())


def test_gpus_are_wanted_as_long_as_something_is_left_for_them() -> None:
    cluster = Cluster(POOLS, KINDS, x=4)
    assert cluster.board.pools
    assert cluster.board.wants_gpu
    cluster.run()
    assert not cluster.board.wants_gpu


def test_files_of_a_gpus_chunk_need_not_wait_for_its_slowest_item() -> None:
    text = """
models: {A: a}
sources: {x: {values: [0]}}
steps: {a: {op: measure, in: {value: x}, model: A}}
outputs: [{from: a, to: "{x.value}.safetensors"}]
"""
    cluster = Cluster(text, KINDS, x=12)
    cluster.board._lanes[0].size.homes = 3
    chunk = cluster.board.next_chunk(asks=Asks("gpu"))
    assert chunk is not None
    assert len(chunk.home) == 3
    outcomes = []
    for job in chunk.jobs:
        record = Record(job.key, ports={"scores": Blob(0, 1, "")}, pack="p")
        cluster.store[job.key] = record
        outcomes.append(Outcome(job.id, "done", job.key, record))
    slow, *fast = outcomes
    known = ChunkResult(chunk.id, tuple(fast), ())
    assert cluster.board.split(chunk, {slow.item}, known) is None
    files = cluster.board.next_chunk(asks=Asks("cpu"))
    assert files is not None
    assert [export.item for export in files.exports] == [outcome.item for outcome in fast]
    cluster.board.settle(ChunkResult(files.id, (), ()))
    cluster.board.settle(ChunkResult(chunk.id, tuple(outcomes), ()))
    last = cluster.board.next_chunk(asks=Asks("cpu"))
    assert last is not None
    assert [export.item for export in last.exports] == [slow.item]
