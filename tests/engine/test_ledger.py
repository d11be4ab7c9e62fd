"""A ledger keeps what it was told, also when its writer is killed or its file is damaged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.history import load_components, load_events, load_items, load_run
from engine.jobs import Outcome, Written
from engine.ledger import Ledger

NO_FACE = Outcome(
    ("face", 1), "quarantined", "k1", None, "no_face", "no face in b.jpg", "Traceback", 0.5, 4, b"J"
)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / ".run"
    folder.mkdir(parents=True)
    return folder


def written(run_dir: Path, name: str, key: str = "k") -> Written:
    return Written(0, str(run_dir.parent / name), ("face", 0), key, "d", 10, 2**60)


def test_what_was_told_is_read_back(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({"name": "smile"})
        ledger.record([(Outcome(("face", 0), "done", "k0", seconds=1.5), "photo=anna")])
        ledger.record(
            [(NO_FACE, "photo=b"), (Outcome(("code", 0), "cached", "k2", seconds=9), "a")]
        )
        ledger.record_outputs([written(run_dir, "a/anna.png")])
        ledger.finish({"exit_code": 3})
    run = load_run(run_dir)
    assert run.counts == {"face": {"done": 1, "quarantined": 1}, "code": {"cached": 1}}
    assert run.seconds == {"face": 2.0, "code": 0.0}
    assert (run.info, run.summary, run.running) == ({"name": "smile"}, {"exit_code": 3}, False)
    assert run.finished is not None
    assert run.finished >= run.started
    (output,) = run.outputs.values()
    assert (output.path, output.item, output.mtime_ns) == ("a/anna.png", ("face", 0), 2**60)
    (refused,) = load_items(run_dir, status="quarantined")
    assert (refused.label, refused.reason, refused.batch) == ("photo=b", "no_face", 4)
    assert (refused.traceback, refused.thumbnail) == ("Traceback", b"J")
    assert [row.status for row in load_items(run_dir, step="face")] == ["done", "quarantined"]


def test_a_later_word_on_an_item_wins(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({})
        ledger.record([(Outcome(("face", 0), "done", "k0"), "a")])
        ledger.flush()
        ledger.record([(Outcome(("face", 0), "quarantined", "k0", None, "timeout"), "a")])
    assert load_run(run_dir).counts == {"face": {"quarantined": 1}}


def test_odd_file_names_are_kept(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({"photo": "caf\udce9"})
        ledger.record(
            [(Outcome(("face", 0), "done", "k", message="caf\udce9"), "photo=Zoë 写\udce9")]
        )
        ledger.record_outputs([written(run_dir, "caf\udce9 é.png")])
        assert list(ledger.outputs()) == ["caf\udce9 é.png"]
        ledger.forget_outputs(["caf\udce9 é.png"])
        assert ledger.outputs() == {}
    assert load_items(run_dir)[0].label.startswith("photo=Zoë 写")


def test_outputs_outlive_their_run_and_move_with_the_folder(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({})
        ledger.record_outputs([written(run_dir, "a.png"), written(run_dir, "a.png", "newer")])
    moved = run_dir.parent.rename(run_dir.parent.with_name("moved")) / ".run"
    with Ledger(moved) as ledger:
        for _ in range(5):
            ledger.begin({})
        assert ledger.outputs()["a.png"].key == "newer"
    assert load_run(moved).outputs.keys() == {"a.png"}


def test_a_remembered_failure_keeps_its_evidence(run_dir: Path) -> None:
    again = Outcome(("face", 7), "quarantined", "k1", None, "no_face", "no face in b.jpg")
    with Ledger(run_dir) as ledger:
        ledger.begin({})
        ledger.record([(NO_FACE, "photo=b")])
        ledger.finish({})
        ledger.begin({})
        ledger.record([(again, "photo=b")])
    (row,) = load_items(run_dir)
    assert (row.item, row.traceback, row.thumbnail) == (7, "Traceback", b"J")


def test_components_are_found_by_label_in_the_last_run_that_had_them(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        for version in (1, 2):
            ledger.begin({})
            ledger.record_components([("face", "photo=anna", {"version": version})])
        ledger.begin({})
    assert load_components(run_dir, "face", "photo=anna") == {"version": 2}
    assert load_components(run_dir, "face", "photo=bert") is None


def test_old_runs_are_forgotten(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        for n in range(6):
            ledger.begin({"n": n})
            ledger.record([(Outcome(("face", 0), "done", f"k{n}"), "a")])
        ledger.flush()
        (count,) = ledger._db.execute("SELECT count(*) FROM items").fetchone()
    assert count == 3
    assert load_run(run_dir).info == {"n": 5}


def test_the_story_is_told_line_by_line(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({})
        ledger.event("retry", items=[["face", 1]], pause_s=1.0)
    with (run_dir / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')  # a kill
    events = load_events(run_dir)
    assert [event["event"] for event in events] == ["begin", "retry"]
    assert events[1]["pause_s"] == 1.0
    assert load_events(run_dir / "none") == []


WRITER = """
import os, signal, sys; from pathlib import Path
from engine.jobs import Outcome; from engine.ledger import Ledger
ledger = Ledger(Path(sys.argv[1])); ledger.begin({"pid": os.getpid()})
ledger.record([(Outcome(("face", i), "done", f"k{i}"), str(i)) for i in range(5000)])
ledger.record([(Outcome(("face", 9000), "done", "k"), "waiting")])
print(flush=True); sys.stdin.read()
"""


def test_a_ledger_is_read_while_it_is_written_and_after_its_writer_is_killed(run_dir: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(run_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert load_run(run_dir).counts == {"face": {"done": 5000}}
        child.kill()
    run = load_run(run_dir)
    assert (run.counts, run.finished) == ({"face": {"done": 5000}}, None)
    with Ledger(run_dir) as ledger:
        ledger.begin({})
    assert load_run(run_dir).run == run.run + 1


def test_a_damaged_ledger_is_set_aside(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.begin({})
    (run_dir / "ledger.sqlite").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        load_run(run_dir)
    with Ledger(run_dir) as ledger:
        ledger.begin({"fresh": True})
    assert load_run(run_dir).info == {"fresh": True}


def test_events_are_plain_json(run_dir: Path) -> None:
    with Ledger(run_dir) as ledger:
        ledger.event("note", path=Path("/x"), text="ä\n")
    line = (run_dir / "events.jsonl").read_text()
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == "/x"
