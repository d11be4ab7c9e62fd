"""The board: what is left to run, in which order, and what a repeat needs."""

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from engine.dag import Graph, SourceItem
from engine.destinations import destinations
from engine.errors import UsageError
from engine.glance import Questions, Terms
from engine.graph import Surroundings, load_graph
from engine.items import Items
from engine.jobs import Chunk, ChunkResult, FromItem, ItemId, Lost, Outcome
from engine.op import op, read_op
from engine.plan import Board
from engine.records import Blob, Record
from engine.registry import build_registry
from engine.states import States
from engine.values import Image, Scalar, Scores


@op(version=1)
def copy(value: Scalar) -> Scalar:
    """Give the value back."""
    return value


@op(version=1)
def scale(value: Scalar, *, by: float = 1.0) -> Scalar:
    """Multiply the value."""
    return Scalar(tuple(float(x) * by for x in value.data))


@op(version=1)
def total(values: Sequence[Scalar]) -> Scalar:
    """Add the values up."""
    return Scalar((sum(float(v.data[0]) for v in values),))


@op(version=1, cache=False)
def cheap(value: Scalar) -> Scalar:
    """Give the value back, kept in memory only."""
    return value


@op(version=1, cache=False)
def paint(value: Scalar) -> Scores:
    """Make something that is written to files of its own, kept in memory only."""
    return Scores(value, ("x",))  # type: ignore[arg-type]


@op(version=1)
def look(image: Image) -> Scalar:
    """How bright a picture is."""
    return Scalar(tuple(float(picture.mean()) for picture in image.data))


@op(version=1, batch=4, batch_cuda=16, fixed=True)
def padded(value: Scalar) -> Scalar:
    """Give the value back; a call costs the same however few it gets."""
    return value


REGISTRY = build_registry([read_op(f) for f in (copy, scale, total, cheap, paint, look, padded)])


def graph_of(text: str) -> Graph:
    def no_model(name: str) -> None:
        raise UsageError(f"no model {name}")

    def no_asset(*_: object) -> tuple[str, str]:
        raise UsageError("no assets here")

    around = Surroundings(REGISTRY, no_model, no_asset, columns=lambda _path: ("value", "dir"))
    return load_graph("version: 1\nname: t\n" + text, around)


def listing(values: list[object]) -> tuple[SourceItem, ...]:
    return tuple(
        SourceItem(i, {"value": v, "index": i, "stem": f"s{v}", "dir": f"d{int(v) // 2}"}, f"id{v}")
        for i, v in enumerate(values)
    )


class World:
    """A store, a folder of outputs, and a worker that always succeeds unless told otherwise."""

    def __init__(self, text: str, **sources: list[object]) -> None:
        self.graph = graph_of(text)
        self.sources = sources
        self.store: dict[str, Record] = {}
        self.files: dict[str, tuple[ItemId, str]] = {}
        self.unread: set[int] = set()
        self.verdict: Callable[[ItemId], str] = lambda _item: "done"
        self.ran: list[ItemId] = []
        self.chunks: list[Chunk] = []

    def board(self, **terms: object) -> Board:
        listings = {n: listing(v) for n, v in self.sources.items()}
        for name, listed in listings.items():
            unread = (replace(i, identity="") if i.index in self.unread else i for i in listed)
            listings[name] = tuple(unread)
        items = Items(self.graph, listings)
        ask = Questions(
            records=lambda keys: {k: self.store[k] for k in keys if k in self.store},
            current=lambda path, item, key: self.files.get(path) == (item, key),
        )
        return Board(items, ask, Terms(**terms))

    def run(self, **terms: object) -> dict[str, dict[str, int]]:
        board = self.board(**terms)
        self.ran, self.chunks = [], []
        for _ in range(1000):
            chunk = board.next_chunk()
            if chunk is None:
                break
            self.chunks.append(chunk)
            board.settle(self.work(chunk))
        assert board.finished
        settled = [outcome.item for outcome in board.news()]
        assert len(settled) == len(set(settled))
        assert len(settled) == sum(c["items"] for c in board.counts().values())
        return board.counts()

    def work(self, chunk: Chunk) -> ChunkResult:
        outcomes: list[Outcome] = []
        bad: set[ItemId] = set()
        for job in chunk.jobs:
            inputs = [i.item for w in job.wires.values() for i in w if isinstance(i, FromItem)]
            if bad & set(inputs):
                bad.add(job.id)
                outcomes.append(Outcome(job.id, "skipped", job.key))
                continue
            self.ran.append(job.id)
            status = self.verdict(job.id)
            if status != "done":
                bad.add(job.id)
                outcomes.append(Outcome(job.id, "quarantined", job.key, None, "op_error", "no"))
                continue
            kept = job.step in chunk.stored
            declared = self.graph.steps[job.step].op.ports if kept else ()
            ports = {port.name: Blob(0, 1, "") for port in declared}
            record = Record(job.key, ports=ports, pack=job.key if kept else "")
            self.store[job.key] = record
            outcomes.append(Outcome(job.id, "done", job.key, record))
        for export in chunk.exports:
            if export.item not in bad:
                self.files[export.path.removeprefix("/")] = (export.item, export.key)
        return ChunkResult(chunk.id, tuple(outcomes), (), seconds=0.01)


CHAIN = """
sources: {x: {values: [1, 2, 3, 4, 5]}}
steps:
  a: {op: copy, in: {value: x}}
  b: {op: scale, in: {value: a}, with: {by: "${matrix.k}"}, matrix: {k: [1, 2]}}
  c: {op: total, in: {values: b}, gather: {over: x}}
"""


def test_everything_runs_once_and_a_repeat_runs_nothing() -> None:
    world = World(CHAIN, x=[1, 2, 3, 4, 5])
    counts = world.run()
    assert {n: c["done"] for n, c in counts.items()} == {"a": 5, "b": 10, "c": 2}
    assert len(world.ran) == len(set(world.ran)) == 17
    counts = world.run()
    assert world.ran == []
    assert {n: c["cached"] for n, c in counts.items()} == {"a": 5, "b": 10, "c": 2}


def test_one_more_item_runs_one_item_per_step_and_its_gather() -> None:
    world = World(CHAIN, x=[1, 2, 3])
    world.run()
    world.sources["x"] = [1, 2, 3, 9]
    counts = world.run()
    assert {n: c["done"] for n, c in counts.items()} == {"a": 1, "b": 2, "c": 2}


def test_a_failed_item_is_skipped_below_and_missing_in_the_gather() -> None:
    world = World(CHAIN, x=[1, 2, 3])
    world.verdict = lambda item: "bad" if item == ("a", 1) else "done"
    counts = world.run()
    assert counts["a"]["quarantined"] == 1
    assert counts["b"]["skipped"] == 2
    assert counts["c"]["done"] == 2
    gathered = [job for chunk in world.chunks for job in chunk.jobs if job.step == "c"]
    assert all(len(job.wires["values"]) == 2 for job in gathered)


def test_outputs_up_to_date_need_nothing_above_them() -> None:
    text = """
sources: {x: {values: [1, 2]}}
steps:
  a: {op: cheap, in: {value: x}}
  b: {op: paint, in: {value: a}}
outputs: [{from: b, to: "{x.value}.safetensors"}]
"""
    world = World(text, x=[1, 2])
    assert world.run()["b"]["done"] == 2
    assert world.run()["b"]["cached"] == 2
    assert world.ran == []
    del world.files["2.safetensors"]
    world.run()
    assert world.ran == [("a", 1), ("b", 1)]


def test_lost_payload_is_computed_again_only_where_needed() -> None:
    world = World(CHAIN, x=[1, 2])
    board = world.board()
    chunk = board.next_chunk()
    assert chunk is not None
    board.settle(world.work(chunk))
    while (chunk := board.next_chunk()) is not None and chunk.jobs[0].step != "c":
        board.settle(world.work(chunk))
    assert chunk is not None
    source = chunk.jobs[0].wires["values"][0]
    assert isinstance(source, FromItem)
    key = board.states.key(source.item)
    board.settle(ChunkResult(chunk.id, (), (), (Lost(source.item, key),)))
    del world.store[key]
    world.ran = []
    while (chunk := board.next_chunk()) is not None:
        board.settle(world.work(chunk))
    assert board.finished
    assert source.item in world.ran
    assert len([i for i in world.ran if i[0] == "b"]) == 1


def test_when_zip_and_coalesce() -> None:
    text = """
sources: {x: {values: [1, 2, 3]}, y: {values: [7, 8, 9]}}
steps:
  big: {op: copy, in: {value: x}, when: "x.value >= 2"}
  other: {op: copy, in: {value: y}}
  both: {op: coalesce, in: {values: [big, other]}, pair: zip}
  end: {op: copy, in: {value: both}}
"""
    world = World(text, x=[1, 2, 3], y=[7, 8, 9])
    counts = world.run()
    assert counts["big"] == {
        "items": 3,
        "done": 2,
        "cached": 0,
        "quarantined": 0,
        "skipped": 1,
        "to_run": 0,
    }
    assert counts["both"]["done"] == 3
    read = {
        job.number: job.wires["value"][0].item  # type: ignore[union-attr]
        for chunk in world.chunks
        for job in chunk.jobs
        if job.step == "end"
    }
    assert read == {0: ("other", 0), 1: ("big", 1), 2: ("big", 2)}


def test_groups_start_when_their_own_members_are_done() -> None:
    text = """
sources: {x: {table: t.csv}}
steps:
  a: {op: copy, in: {value: x.value}}
  g: {op: total, in: {values: a}, gather: {over: x, by: x.dir}}
"""
    world = World(text, x=[0, 1, 2, 3, 4, 5])
    board = world.board()
    board._lanes[0].size.homes = 2
    first = board.next_chunk()
    assert first is not None
    assert [j.number for j in first.jobs] == [0, 1]
    second = board.next_chunk()
    board.settle(world.work(first))
    group = board.next_chunk()
    assert group is not None
    assert group.jobs[0].step == "g"
    assert second is not None
    assert second.jobs[0].step == "a"


def test_forced_steps_run_again() -> None:
    world = World(CHAIN, x=[1, 2])
    world.run()
    counts = world.run(forced=frozenset({"a"}))
    assert counts["a"]["done"] == 2
    assert counts["b"]["cached"] == 4


def test_a_forecast_counts_without_handing_out() -> None:
    world = World(CHAIN, x=[1, 2])
    world.run()
    world.sources["x"] = [1, 2, 3]
    board = world.board(forecast=True)
    assert board.next_chunk() is None
    assert {n: (c["cached"], c["to_run"]) for n, c in board.counts().items()} == {
        "a": (2, 1),
        "b": (4, 2),
        "c": (0, 2),
    }


PHOTOS = """
sources: {x: {glob: "*.*"}}
steps:
  face: {op: look, in: {image: x}}
  drawn: {op: cheap, in: {value: face}}
  best: {op: coalesce, in: {values: [drawn, face]}}
  back: {op: scale, in: {value: best}, with: {by: "${matrix.k}"}, matrix: {k: [1, 2]}}
  sheet: {op: total, in: {values: back}, gather: {over: x}}
  last: {op: cheap, in: {value: sheet}}
  odd: {op: look, in: {image: x}, when: x.index < 9}
  never: {op: copy, in: {value: x.index}, when: x.index > 9}
  this: {op: coalesce, in: {values: [never, x.index]}}
  raw: {op: copy, in: {value: this}}
"""
FALLBACK = """
sources: {y: {values: [1, 2]}}
steps:
  a: {op: copy, in: {value: y}, when: y < 2}
  b: {op: copy, in: {value: y}}
  best: {op: coalesce, in: {values: [a, b]}}
  made: {op: cheap, in: {value: best}}
  all: {op: total, in: {values: made}, gather: {over: y}}
  again: {op: scale, in: {value: all}}
outputs: [{from: again, to: all.csv}]
"""


def forecast(world: World, **terms: object) -> dict[str, tuple[int, int]]:
    board = world.board(forecast=True, **terms)
    assert board.next_chunk() is None
    return {name: (c["cached"], c["to_run"]) for name, c in board.counts().items()}


@pytest.mark.parametrize("text", [CHAIN, FALLBACK])
def test_a_forecast_counts_what_the_run_does(text: str) -> None:
    world = World(text, **{"x" if text == CHAIN else "y": [1, 2]})
    for terms in ({}, {}, {"forced": frozenset({"a"})}):
        told = forecast(world, **terms)
        done = world.run(**terms)
        assert told == {name: (c["cached"], c["done"]) for name, c in done.items()}
    assert not any(to_run for _, to_run in forecast(world).values())


def test_what_hangs_on_an_unread_photo_is_to_run() -> None:
    world = World(PHOTOS, x=[1, 2, 3])
    world.run()
    assert not any(to_run for _, to_run in forecast(world).values())
    world.unread = {2}
    assert forecast(world) == {
        "face": (2, 1),
        "drawn": (2, 1),
        "best": (2, 1),
        "back": (4, 2),
        "sheet": (0, 2),
        "last": (0, 2),
        "odd": (2, 1),
        "never": (0, 0),
        "this": (3, 0),
        "raw": (3, 0),
    }


def test_an_evicted_payload_is_computed_again_across_segments() -> None:
    world = World(CHAIN, x=[1, 2])
    world.run()
    world.store = {key: replace(record, pack="") for key, record in world.store.items()}
    forced = frozenset({"c"})
    assert forecast(world, forced=forced) == {"a": (0, 2), "b": (0, 4), "c": (0, 2)}
    board = world.board(forced=forced)
    while (chunk := board.next_chunk()) is not None:
        board.settle(world.work(chunk))
    done = {name: count["done"] for name, count in board.counts().items()}
    assert done == {"a": 2, "b": 4, "c": 2}


def test_an_item_without_a_key_moves_no_other_key() -> None:
    states = States(Items(graph_of(CHAIN), {"x": listing([1, 2, 3])}))
    keys = [sha256(bytes([i])).hexdigest() for i in range(3)]
    for number in (0, 2):
        states.set_key(("a", number), keys[number])
    states.set_key(("a", 1), "")
    states.set_key(("a", 1), keys[1])
    assert [states.key(("a", number)) for number in range(3)] == keys


def test_what_a_run_remembers_of_an_item_is_small() -> None:
    text = "sources: {x: {values: [1]}}\nsteps: {a: {op: copy, in: {value: x}}}"
    world = World(text, x=[1] * 9999)
    board = world.board()
    states = board.states

    def settle_all(at: int) -> None:
        for number in range(at, len(world.sources["x"]), 2):
            item, key = ("a", number), sha256(str(number).encode()).hexdigest()
            states.set_key(item, key)
            states.settle(Outcome(item, "done", key, Record(key, pack="p")))
            if len(states.news) > 100:
                board.news()

    settle_all(0)  # the first half grows what is allocated in steps
    tracemalloc.start()
    settle_all(1)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 250 * len(world.sources["x"]) // 2
    assert states.key(("a", 7)) == sha256(b"7").hexdigest()
    assert states.left["a"] == 0


def test_a_suspect_runs_in_a_chunk_of_its_own() -> None:
    world = World(CHAIN, x=[1, 2, 3])
    board = world.board()
    chunk = board.next_chunk()
    assert chunk is not None
    assert len(chunk.home) == 3
    board.requeue(chunk, alone={("b", 2)})
    again = [board.next_chunk() for _ in range(3)]
    assert sorted(c.home for c in again if c) in ([(0,), (1,), (2,)], [(0, 2), (1,)], [(0,), (1,)])
    lonely = [job.id for c in again if c for job in c.jobs if job.alone]
    assert lonely == [("b", 2)]


@pytest.mark.parametrize(
    ("values", "template", "message"),
    [
        ([1.1, 0.9], "{x.value:.0f}.safetensors", "two outputs have the name '1"),
        (["a", "A"], "{x.value}.safetensors", r"'A.safetensors' \(or 'a.safetensors'\)"),
        (["\u00e9", "e\u0301"], "{x.value}.safetensors", "two outputs have the name"),
        (["b/a", "b//a"], "{x.value}.safetensors", "two outputs have the name"),
        (["a", "a.safetensors/b"], "{x.value}.safetensors", "would be a file .* and a folder"),
        (["../a"], "{x.value}.safetensors", "leaves the output folder"),
        (["/a"], "{x.value}.safetensors", "leaves the output folder"),
        (["./.RUN/a"], "{x.value}.safetensors", "the run's own folder"),
        (["a" * 300], "{x.value}.safetensors", "has more than 255 bytes"),
        (["a", "A"], "{x.value}.csv", "two outputs have the name"),
        (["../a"], "{x.value}.csv", "leaves the output folder"),
    ],
)
def test_names_that_cannot_stand_side_by_side_are_refused_before_anything_runs(
    values: list[object], template: str, message: str
) -> None:
    text = f"""
sources: {{x: {{values: [1]}}}}
steps: {{a: {{op: paint, in: {{value: x}}}}}}
outputs: [{{from: a, to: "{template}"}}]
"""
    graph = graph_of(text)
    named = [SourceItem(i, {"value": v, "index": i}, f"id{i}") for i, v in enumerate(values)]
    with pytest.raises(UsageError, match=message):
        destinations(Items(graph, {"x": named}))


@pytest.mark.parametrize(
    ("second", "names"),
    [
        ({"rel": "a", "ext": ".png"}, "a of x=a.jpg, and a of x=a.png; '{x.stem}.*{x.ext} too"),
        ({"rel": "b/a", "dir": "b"}, "a of x=a, and a of x=b/a; '{x.stem}.* needs {x.dir} too"),
        ({"rel": "a"}, "a of x=a.jpg#0, and a of x=a.jpg#1; '{x.stem}.* needs {x.index} too"),
    ],
)
def test_items_of_one_name_may_not_share_a_file(second: dict[str, object], names: str) -> None:
    text = """
sources: {x: {glob: "*.*"}}
steps: {a: {op: paint, in: {value: x.stem}}}
outputs: [{from: a, to: "{x.stem}.safetensors"}]
"""
    first = {"stem": "a", "rel": "a", "dir": ".", "ext": ".jpg"}
    both = ({**first, "index": 0}, {**first, **second, "index": 1})
    named = [SourceItem(i, fields, f"id{i}") for i, fields in enumerate(both)]
    with pytest.raises(UsageError, match=names):
        destinations(Items(graph_of(text), {"x": named}))


def test_the_rows_of_a_table_share_its_name() -> None:
    text = """
sources: {x: {values: [1]}}
steps: {a: {op: copy, in: {value: x}}}
outputs: [{from: a, to: t.csv}]
"""
    items = {"x": listing([1, 2])}
    assert destinations(Items(graph_of(text), items)) == [{}]
    twice = text.replace("t.csv}", '1.csv}, {from: a, to: "{x.value}.csv"}')
    with pytest.raises(UsageError, match="give each output a name of its own"):
        destinations(Items(graph_of(twice), items))


def test_seeds_follow_identity_not_position() -> None:
    from engine.keys import seed_for

    assert seed_for(None, "op", ["a"]) == seed_for(None, "op", ["a"]) != seed_for(None, "op", ["b"])
    assert seed_for({"shared": 7}, "op", ["a"]) == 7
    assert seed_for(7, "op", ["a"]) != seed_for(7, "op", ["b"])


def test_a_chunk_can_be_left_one_home_and_its_others_run_elsewhere() -> None:
    world = World(CHAIN, x=[1, 2, 3])
    board = world.board()
    chunk = board.next_chunk()
    assert chunk is not None
    assert chunk.home == (0, 1, 2)
    whole = world.work(chunk)
    known = replace(whole, outcomes=tuple(o for o in whole.outcomes if o.item == ("a", 1)))
    later, world.store = world.store, {o.key: world.store[o.key] for o in known.outcomes}
    left = board.split(chunk, {("a", 0)}, known)
    assert left is not None
    assert {job.id for job in left.jobs} == {("a", 0), ("b", 0), ("b", 1)}
    others = board.next_chunk()
    assert others is not None
    assert {job.id for job in others.jobs} == {("a", 2), *(("b", n) for n in range(2, 6))}
    assert board.split(left, {("b", 1)}, replace(known, outcomes=())) is None, "it has no other"
    board.settle(world.work(others))
    world.store |= later
    board.settle(whole)  # it had done more than was left to it
    gathered = board.next_chunk()
    assert gathered is not None
    assert {job.step for job in gathered.jobs} == {"c"}
    board.settle(world.work(gathered))
    assert board.finished
    settled = [outcome.item for outcome in board.news()]
    assert len(settled) == len(set(settled)) == 3 + 6 + 2


def test_what_a_held_up_chunk_has_done_is_known_even_if_nothing_of_it_is_left() -> None:
    world = World(CHAIN, x=[1, 2])
    board = world.board()
    chunk = board.next_chunk()
    assert chunk is not None
    whole = world.work(chunk)
    slow = {("a", 0), ("b", 0), ("b", 1)}
    known = replace(whole, outcomes=tuple(o for o in whole.outcomes if o.item not in slow))
    assert board.split(chunk, {("b", 0)}, known) is None
    assert all(board.states.settled(("b", number)) for number in (2, 3))
    assert board.next_chunk() is None
    board.settle(whole)
    while (chunk := board.next_chunk()) is not None:
        board.settle(world.work(chunk))
    assert board.finished
    settled = [outcome.item for outcome in board.news()]
    assert len(settled) == len(set(settled))


@pytest.mark.parametrize(("numerics", "homes"), [("cpu-float32", 2), ("cuda-float32", 8)])
def test_a_chunk_fills_a_call_of_fixed_size(numerics: str, homes: int) -> None:
    text = """
sources: {x: {values: [1]}}
steps: {a: {op: padded, in: {value: x}, matrix: {k: [1, 2]}}}
"""
    world = World(text, x=list(range(100)))
    board = world.board(numerics=numerics, slots=64)
    first = board.next_chunk()
    assert first is not None
    board.settle(replace(world.work(first), seconds=1000.0))  # as slow as can be
    second = board.next_chunk()
    assert second is not None
    assert len(second.home) == homes


def test_a_group_that_waits_holds_no_group_behind_it() -> None:
    text = """
sources: {x: {table: x.csv}}
steps:
  a: {op: copy, in: {value: x.value}}
  g: {op: total, in: {values: a}, gather: {over: x, by: x.dir}}
"""
    world = World(text, x=[0, 1, 2, 3, 4, 5])
    board = world.board()
    board._lanes[0].size.homes = 2
    held = board.next_chunk()
    assert held is not None
    for groups in (1, 2):  # of the three; the first one's members are still under way
        members = board.next_chunk()
        assert members is not None
        board.settle(world.work(members))
        group = board.next_chunk()
        assert group is not None
        assert [job.id for job in group.jobs] == [("g", groups)]
        board.settle(world.work(group))


def test_what_is_planned_again_comes_before_what_was_not_begun() -> None:
    world = World(CHAIN, x=list(range(20)))
    board = world.board()
    for lane in board._lanes:
        lane.size.homes = 2
    first, second = board.next_chunk(), board.next_chunk()
    assert first is not None
    assert second is not None
    board.requeue(first)
    again = board.next_chunk()
    assert again is not None
    assert (first.home, second.home, again.home) == ((0, 1), (2, 3), (0, 1))


def test_a_limit_smaller_than_what_one_step_reads_does_not_go_on_for_ever() -> None:
    world = World(CHAIN, x=[1, 2, 3, 4])
    board = world.board()
    for lane in board._lanes:
        lane.size.homes = 1
    worked = 0
    while (chunk := board.next_chunk()) is not None and worked < 100:
        board.settle(replace(world.work(chunk), seconds=0.0))
        needed, worked = board.needed(), worked + 1
        for key, record in world.store.items():  # all that may go goes at once
            if record.pack not in needed:
                world.store[key] = replace(record, pack="")
    assert board.finished
    assert board.counts()["c"]["done"] == 2


STANDING_FOR = """
sources: {x: {values: [1, 2]}}
steps:
  a: {op: paint, in: {value: x}}
  b: {op: coalesce, in: {values: [a]}}
outputs: [{from: b, to: "{x.value}.safetensors"}]
"""


@pytest.mark.parametrize("moved", [False, True], ids=["gone", "merged by another run"])
def test_a_file_whose_value_went_just_before_it_was_written_is_written_later(moved: bool) -> None:
    world = World(STANDING_FOR, x=[1, 2])
    world.run()
    del world.files["2.safetensors"]
    board = world.board()
    chunk = board.next_chunk()
    assert chunk is not None
    [export] = chunk.exports
    assert isinstance(export.source, FromItem)
    record = export.source.record
    assert record is not None
    world.store[record.key] = replace(record, pack="merged" if moved else "")
    world.ran = []
    lost = Lost(export.source.item, record.key, record.pack)
    board.settle(ChunkResult(chunk.id, (), (), (lost,)))
    while (chunk := board.next_chunk()) is not None:
        board.settle(world.work(chunk))
    assert board.finished
    assert "2.safetensors" in world.files
    assert world.ran == ([] if moved else [("a", 1)])
