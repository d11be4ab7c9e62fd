"""One chunk in this process: batches, conditions, blame, packs, files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from engine import when
from engine.dag import Ref, Step, When, Wire
from engine.hands import forget, under_way
from engine.jobs import (
    Chunk,
    ChunkResult,
    Export,
    FromItem,
    FromPhoto,
    FromScalar,
    Input,
    Job,
    Lost,
    Outcome,
    Program,
)
from engine.op import Members, OpSpec
from engine.own_ops import read_own_ops
from engine.store import open_store, read_table
from engine.worker import run_chunk

OPS = {spec.name: spec for spec in read_own_ops(Path(__file__).with_name("toy_ops.py"))}


def step(name: str, op: str = "", *, batch: int | None = None, condition: str = "") -> Step:
    spec: OpSpec = OPS[op or name]
    gate = None
    if condition:
        tree = when.parse(condition)
        refs = tuple(Ref(*n.text.split(".")) for n in when.names(tree))
        gate = When(condition, tree, refs)
    wires = tuple(Wire(w.name, (Ref("x"),), w.many) for w in spec.wires)
    return Step(name, spec, wires, {}, {}, ("x",), when=gate, batch=batch, timeout_s=60)


def job(step_name: str, number: int, *sources: Input, wire: str = "value", **more: object) -> Job:
    settings = more.pop("settings", {})
    return Job(
        step=step_name,
        number=number,
        key=f"{step_name}-{number}",
        label=f"x={number}",
        wires={wire: sources},
        settings=settings,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def of(step_name: str, number: int, port: str = "value") -> FromItem:
    return FromItem((step_name, number), port)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    root = open_store(tmp_path / "store")
    run_dir = tmp_path / "out" / ".run"
    run_dir.mkdir(parents=True)
    return Program({}, str(root), str(run_dir), str(tmp_path / "out"))


def run(
    program: Program,
    steps: Sequence[Step],
    jobs: Sequence[Job],
    exports: Sequence[Export] = (),
    stored: Sequence[str] | None = None,
) -> ChunkResult:
    known = {s.name: s for s in steps}
    kept = frozenset(known if stored is None else stored)
    chunk = Chunk("c1", "0:x", tuple(jobs), tuple(exports), stored=kept)
    result = run_chunk(replace(program, steps=known), chunk)
    forget(program.run_dir, chunk.id)
    return result


def by_item(result: ChunkResult) -> Mapping[tuple[str, int], Outcome]:
    assert len({o.item for o in result.outcomes}) == len(result.outcomes)
    return {outcome.item: outcome for outcome in result.outcomes}


def values_of(result: ChunkResult, name: str, port: str = "value") -> list[object]:
    found = sorted((o for o in result.outcomes if o.item[0] == name), key=lambda o: o.item)
    return [o.record.scalars[port] if o.record and not o.reason else o.reason for o in found]


def test_a_chain_runs_in_memory_and_its_packs_hold_every_record(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i)) for i in range(5)]
    jobs += [job("b", i, of("a", i)) for i in range(5)]
    result = run(program, [step("a", "double"), step("b", "double")], jobs)
    assert values_of(result, "b") == [0, 4, 8, 12, 16]
    [pack] = {o.record.pack for o in result.outcomes if o.record}
    stored = read_table(Path(program.store_root), pack)
    assert {r.key for r in stored} == {j.key for j in jobs}
    assert list((Path(program.store_root) / "staging").iterdir()) == []


def test_batches_fill_up_and_the_last_one_is_short(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i)) for i in range(6)]
    result = run(program, [step("a", "count_company")], jobs)
    assert values_of(result, "a") == [4, 4, 4, 4, 2, 2]


def test_a_step_can_ask_for_another_batch_size(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i)) for i in range(3)]
    result = run(program, [step("a", "count_company", batch=3)], jobs)
    assert values_of(result, "a") == [3, 3, 3]


def test_a_fixed_op_always_gets_its_size_and_returns_no_more_than_asked(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i)) for i in range(5)]
    result = run(program, [step("a", "fixed_company")], jobs)
    assert values_of(result, "a") == [4] * 5
    assert {o.batch for o in result.outcomes} == {4}


def test_other_settings_never_share_a_call(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i), settings={"extra": i % 2}) for i in range(4)]
    result = run(program, [step("a", "fixed_company")], jobs)
    assert values_of(result, "a") == [4, 5, 4, 5]


def test_a_suspect_runs_alone(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i), alone=i == 1) for i in range(4)]
    result = run(program, [step("a", "count_company")], jobs)
    assert values_of(result, "a") == [3, 1, 3, 3]


def test_the_guilty_are_named_and_the_others_are_done(program: Program) -> None:
    given = [1, 3, -1, 99, 13, 5, 6, 7]
    jobs = [job("a", i, FromScalar(x)) for i, x in enumerate(given)]
    jobs += [job("b", i, of("a", i)) for i in range(len(given))]
    result = run(program, [step("a", "picky"), step("b", "double")], jobs)
    found = by_item(result)
    statuses = [found["a", i].status for i in range(8)]
    assert (
        statuses == ["done", "quarantined", "skipped", "quarantined", "quarantined"] + ["done"] * 3
    )
    assert [found["a", i].reason for i in (1, 3, 4)] == ["bad_input", "too_small", "op_error"]
    assert found["a", 1].message == "3 is not liked"
    assert "ValueError: 13 brings bad luck" in found["a", 4].message
    assert "toy_ops.py" in found["a", 4].traceback
    assert [found["b", i].status for i in range(8)] == [
        "done" if s == "done" else "skipped" for s in statuses
    ]


def test_only_failures_that_will_repeat_are_remembered(program: Program) -> None:
    jobs = [job("a", i, FromScalar(x)) for i, x in enumerate([3, 13, -1])]
    found = by_item(run(program, [step("a", "picky")], jobs))
    remembered = found["a", 0].record
    assert remembered is not None
    assert (remembered.status, remembered.reason) == ("failed", "bad_input")
    assert remembered.pack
    assert found["a", 1].record is None
    skipped = found["a", 2].record
    assert skipped is not None
    assert (skipped.status, skipped.reason, skipped.message) == ("failed", None, "below zero")


def test_out_of_memory_halves_the_batch_down_to_one_item(program: Program) -> None:
    given = [1, 2, 3, 4, 5, "huge", 7, 8]
    jobs = [job("a", i, FromScalar(x)) for i, x in enumerate(given)]
    result = run(program, [step("a", "hungry")], jobs)
    assert values_of(result, "a") == [2, 2, 2, 2, 1, "out_of_memory", 2, 2]


def test_what_fits_into_memory_is_remembered_for_the_next_chunk(
    program: Program, tmp_path: Path
) -> None:
    settings = {"mark": str(tmp_path / "calls")}
    calls = []
    for chunk in range(2):
        jobs = [job("a", i, FromScalar(chunk * 8 + i), settings=settings) for i in range(8)]
        result = run(program, [step("a", "count_calls")], jobs)
        assert values_of(result, "a") == [2] * 8
        calls.append((tmp_path / "calls").read_text().split())
    assert calls[0] == ["8", "4", "2", "2", "4", "2", "2"]
    assert calls[1][len(calls[0]) :] == ["2", "2", "2", "2"], "it begins with what fitted"


def test_one_item_that_is_too_large_makes_no_batch_smaller(program: Program) -> None:
    for given, expected in ([1, "huge"], [1, "out_of_memory"]), ([1, 2], [2, 2]):
        jobs = [job("a", i, FromScalar(x)) for i, x in enumerate(given)]
        assert values_of(run(program, [step("a", "hungry")], jobs), "a") == expected


def test_numbers_that_are_not_finite_are_an_items_failure(program: Program) -> None:
    jobs = [job("a", i, FromScalar(x)) for i, x in enumerate([0, 4])]
    result = run(program, [step("a", "divide")], jobs)
    assert values_of(result, "a")[1] == 0.25
    assert by_item(result)["a", 0].reason == "not_finite"


def test_when_reads_ports_and_fields(program: Program) -> None:
    gated = step("b", "double", condition="a.value > 2 and x.go == true")
    jobs = [job("a", i, FromScalar(i)) for i in range(3)]
    jobs += [job("b", i, FromScalar(i), when=(of("a", i), FromScalar(i != 1))) for i in range(3)]
    found = by_item(run(program, [step("a", "double"), gated], jobs))
    assert [found["b", i].status for i in range(3)] == ["skipped", "skipped", "done"]
    assert found["b", 0].message == "when: a.value > 2 and x.go == true"


def test_gathered_members_captions_and_seeds_reach_the_op(program: Program) -> None:
    members = Members((2,), ((0,), (1,)))
    gathered = job(
        "t",
        0,
        FromScalar(1),
        FromScalar(2),
        wire="values",
        captions={"names": ("a=", "b=")},
        members=members,
    )
    seeded = [job("d", i, FromScalar(0), seeds={"seed": 10 + i}) for i in range(3)]
    result = run(program, [step("t", "total"), step("d", "draw")], [gathered, *seeded])
    assert values_of(result, "t") == ["a=1+b=2@(2,)"]
    assert values_of(result, "d") == [10, 11, 12]


def test_a_scratch_folder_survives_a_failure_and_goes_with_success(program: Program) -> None:
    one = job("s", 0, FromScalar(0), settings={"fail": True})
    assert values_of(run(program, [step("s", "slow_training")], [one]), "s") == ["op_error"]
    assert values_of(run(program, [step("s", "slow_training")], [one]), "s") == [2]
    assert list((Path(program.store_root) / "scratch").iterdir()) == []


def test_a_long_call_says_how_far_it_is(program: Program) -> None:
    settings = {"run_dir": program.run_dir}
    jobs = [job("t", number, FromScalar(0), settings=settings) for number in range(2)]
    result = run(program, [step("t", "telling")], jobs)
    assert values_of(result, "t") == [0.5, 0.5]  # a quarter of two items
    assert under_way(Path(program.run_dir)) == {}


def test_pictures_are_written_and_read_back_from_the_store(program: Program) -> None:
    from PIL import Image as Pillow

    out = Path(program.out_root)
    jobs = [job("p", i, FromScalar(x)) for i, x in enumerate([-1.0, 0.1, 1.0])]
    exports = [export_of(of("p", i, "image"), out / f"new/{i}.png") for i in range(3)]
    result = run(program, [step("p", "paint")], jobs, exports)
    assert [w.path for w in result.written] == [e.path for e in exports]
    with Pillow.open(exports[1].path) as picture:
        assert picture.getpixel((0, 0)) == (140, 140, 140)
    record = by_item(result)["p", 1].record
    again = export_of(FromItem(("p", 1), "image", record), out / "again.png")
    second = run(program, [step("p", "paint")], [], [again])
    assert second.written[0].digest == result.written[1].digest


def export_of(source: FromItem, path: Path) -> Export:
    return Export(0, str(path), source, source.item, "key", "png", 95, '{"made": 1}')


def test_steps_that_are_not_stored_leave_only_their_scalars(program: Program) -> None:
    result = run(program, [step("p", "paint")], [job("p", 0, FromScalar(0.5))], stored=())
    record = by_item(result)["p", 0].record
    assert record is not None
    assert (record.pack, dict(record.scalars)) == ("", {"brightness": 0.5})
    assert not list((Path(program.store_root)).glob("packs/*/*"))


def test_a_payload_that_is_gone_is_reported_and_its_dependants_are_left_open(
    program: Program,
) -> None:
    made = run(program, [step("p", "paint")], [job("p", 0, FromScalar(0.5))])
    record = made.outcomes[0].record
    assert record is not None
    (Path(program.store_root) / record.pack).unlink()
    lost = FromItem(("p", 0), "image", record)
    steps = [step("r", "refuse_image"), step("s", "refuse_image")]
    jobs = [job("r", 0, lost, wire="image"), job("s", 0, of("r", 0, "image"), wire="image")]
    result = run(program, steps, jobs)
    assert result.outcomes == ()
    assert result.lost == (Lost(("p", 0), "p-0", record.pack),)


def test_files_of_what_was_given_to_somebody_else_are_theirs_too(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.worker.LOOK_EVERY_S", -1.0)
    jobs = [
        job("p", n, FromScalar(0.5), settings={"size_px": 8 + n, "run_dir": program.run_dir})
        for n in range(2)  # loaded together, and not of one batch
    ]
    out = Path(program.out_root)
    exports = [export_of(of("p", n, "image"), out / f"{n}.png") for n in range(2)]
    result = run(program, [step("p", "paint_alone")], jobs, exports)
    assert [outcome.item for outcome in result.outcomes] == [("p", 0)]
    assert [one.path for one in result.written] == [str(out / "0.png")]
    assert result.lost == ()


def test_a_refused_picture_is_shown(program: Program) -> None:
    jobs = [job("p", 0, FromScalar(0.5)), job("r", 0, of("p", 0, "image"), wire="image")]
    found = by_item(run(program, [step("p", "paint"), step("r", "refuse_image")], jobs))
    assert found["r", 0].thumbnail.startswith(b"\xff\xd8")
    assert len(found["r", 0].thumbnail) < 6 << 10


def test_a_file_that_cannot_be_written_concerns_only_itself(program: Program) -> None:
    out = Path(program.out_root)
    (out / "link").symlink_to("/tmp")
    (out / "file").write_text("in the way")
    exports = [
        export_of(of("p", 0, "image"), out / "link" / "escaped.png"),
        export_of(of("p", 0, "image"), out / "file" / "below.png"),
        export_of(of("p", 0, "image"), out / "good.png"),
    ]
    result = run(program, [step("p", "paint")], [job("p", 0, FromScalar(0.5))], exports)
    assert [w.path for w in result.written] == [str(out / "good.png")]
    messages = [message for _, message in result.failed_exports]
    assert "leaves the output folder" in messages[0]
    assert "NotADirectoryError" in messages[1] or "FileExistsError" in messages[1]


def photo(folder: Path, height: int, name: str = "", width: int = 5) -> FromPhoto:
    from PIL import Image as Pillow

    path = folder / (name or f"{height}.png")
    Pillow.new("RGB", (width, height), (height % 200, 90, 40)).save(path)
    return FromPhoto(str(path), sha256(path.read_bytes()).hexdigest())


def test_a_photo_is_decoded_while_an_op_looks_at_the_one_before(
    program: Program, tmp_path: Path
) -> None:
    # The op does not end before the journal tells that item 1 was taken in hand, and let go.
    journal = Path(program.run_dir) / "hands" / "c1.jsonl"
    words = r'"grip": (\d+), "step": "a", "numbers": \[1\]}(.|\n)*"free": \1}'
    settings = {"path": str(journal), "words": words}
    jobs = [job("a", i, photo(tmp_path, i + 1), wire="image", settings=settings) for i in range(3)]
    result = run(program, [step("a", "look_after")], jobs)
    assert values_of(result, "a") == [1, 2, 3]


def test_a_file_is_written_while_an_op_makes_the_next(program: Program) -> None:
    out = Path(program.out_root)
    jobs = [job("p", i, FromScalar(i), settings={"path": str(out / "0.png")}) for i in range(2)]
    exports = [export_of(of("p", i, "image"), out / f"{i}.png") for i in range(2)]
    result = run(program, [step("p", "paint_after")], jobs, exports)
    assert [o.status for o in result.outcomes] == ["done", "done"]
    assert [w.path for w in result.written] == [e.path for e in exports]


def test_a_suspect_is_in_hand_by_itself(program: Program, tmp_path: Path) -> None:
    jobs = [job("a", i, photo(tmp_path, i + 2), wire="image", alone=i == 0) for i in range(3)]
    exports = [export_of(of("p", 0, "image"), Path(program.out_root) / "p.png")]
    jobs += [job("p", 0, FromScalar(0.5))]
    known = {s.name: s for s in (step("a", "look_after"), step("p", "paint"))}
    chunk = Chunk("c1", "0:x", tuple(jobs), tuple(exports), stored=frozenset(known))
    result = run_chunk(replace(program, steps=known), chunk)
    assert len(result.written) == 1
    in_hand = 0
    for line in (Path(program.run_dir) / "hands" / "c1.jsonl").read_text().splitlines():
        in_hand += ("grip" in line) - ("free" in line)
        assert in_hand <= 1


def test_an_op_that_needs_little_of_a_photo_gets_a_draft_of_it(
    program: Program, tmp_path: Path
) -> None:
    named = [("a.jpg", 400, 320), ("b.png", 400, 320), ("c.jpg", 403, 320), ("d.jpg", 84, 60)]
    jobs = [
        job("a", i, photo(tmp_path, height, name, width), wire="image")
        for i, (name, height, width) in enumerate(named)
    ]
    jobs.append(job("a", 4, photo(tmp_path, 400, "a.jpg", 320), wire="image", settings={"size": 9}))
    result = run(program, [step("a", "extent")], jobs)
    # 40 px are enough: an eighth; no JPEG; no whole part; too small for a part; 90 are wanted.
    assert values_of(result, "a") == [50, 400, 403, 84, 200]


def test_how_long_ops_took_is_told(program: Program) -> None:
    jobs = [job("a", i, FromScalar(i)) for i in range(3)]
    result = run(program, [step("a", "tarry")], jobs)
    assert 0.03 <= result.computing <= result.seconds
