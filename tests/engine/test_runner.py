"""Whole runs, from a workflow file to files on disk: repeats, failures, kills, leftovers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed.comm import CommClosedError

from engine.errors import UsageError
from engine.history import load_items, load_run
from engine.provenance import read_provenance
from engine.runner import RunResult, refusal
from run_workflow import plan, run

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toy_ops.py")

PICTURES = """
version: 1
name: pictures
sources:
  x: {values: [-0.5, 0.0, 0.25, 0.5]}
steps:
  shade: {op: picky, in: {value: x}, with: {hate: HATE}}
  picture:
    {op: paint, in: {value: shade}, matrix: {size: [8, 16]}, with: {size_px: "${matrix.size}"}}
  mean: {op: brightness, in: {image: picture.image}}
outputs:
  - {from: picture.image, to: "{x.value}_{size}.png"}
  - {from: mean, to: means.csv}
run: {retries: 0}
"""

Flow = Callable[..., RunResult]


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Run a workflow text in this process, with a cache and an output folder of its own."""

    def start(text: str = PICTURES.replace("HATE", "3"), **flags: Any) -> RunResult:
        path = tmp_path / "flow.yaml"
        path.write_text(text)
        places = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
        return run(path, ops=[OPS], **{"workers": 0, **places, **flags})

    return start


def contents(folder: Path) -> dict[str, str]:
    """Digest of every visible file below a folder."""
    found = (p for p in folder.rglob("*") if p.is_file() and ".run" not in p.parts)
    return {str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() for p in found}


def done(result: RunResult) -> dict[str, float]:
    return {name: step["done"] for name, step in result.steps.items()}


def test_a_run_makes_its_files_and_a_repeat_makes_none(flow: Flow, tmp_path: Path) -> None:
    first = flow()
    assert first.exit_code == 0, first.message
    assert first.outputs == 7  # six pictures (one value is below zero) and a table
    assert first.steps["picture"] | {"seconds": 0} == {
        "items": 8,
        "done": 6,
        "cached": 0,
        "quarantined": 0,
        "skipped": 2,
        "seconds": 0,
    }
    made = contents(tmp_path / "out")
    table = (tmp_path / "out" / "means.csv").read_text().splitlines()
    assert table[:2] == ["x,size,value", "0.0,8,0.004"]
    manifest = json.loads((first.run_dir / "manifest.json").read_text())
    assert {o["path"]: o["sha256"] for o in manifest["outputs"]} == made
    told = json.loads(read_provenance(tmp_path / "out" / "0.25_8.png"))
    assert told["made"]["op"] == "paint"
    assert str(tmp_path) not in json.dumps(told)

    second = flow()
    assert second.exit_code == 0
    assert set(done(second).values()) == {0}
    assert second.outputs == 7
    assert contents(tmp_path / "out") == made


def test_what_an_op_skipped_is_not_tried_again(flow: Flow, tmp_path: Path) -> None:
    flow()
    places = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    planned = plan(tmp_path / "flow.yaml", ops=[OPS], **places).steps
    assert (planned["shade"].skipped, planned["picture"].skipped) == (1, 2)
    assert not any(step.to_run for step in planned.values())
    rows = load_items(flow().run_dir, step="shade", status="skipped")
    assert [row.message for row in rows] == ["below zero"]


def test_a_file_that_was_altered_or_removed_is_made_again(flow: Flow, tmp_path: Path) -> None:
    flow()
    out = tmp_path / "out"
    made = contents(out)
    (out / "0.25_8.png").write_bytes(b"scribble")
    (out / "0.5_8.png").unlink()
    (out / "means.csv").unlink()
    os.utime(out / "0.5_16.png")  # touched, but the same
    result = flow()
    assert set(done(result).values()) == {0}  # the values were in the cache
    assert contents(out) == made


def test_another_way_of_writing_writes_again(flow: Flow, tmp_path: Path) -> None:
    text = PICTURES.replace("HATE", "3").replace('.png"', '.jpg"')
    flow(text)
    before = contents(tmp_path / "out")
    result = flow(text.replace('.jpg"}', '.jpg", quality: 20}'))
    assert set(done(result).values()) == {0}
    assert all(contents(tmp_path / "out")[p] != d for p, d in before.items() if p != "means.csv")


def test_one_bad_item_is_set_aside_and_the_rest_goes_on(flow: Flow, tmp_path: Path) -> None:
    result = flow(PICTURES.replace("HATE", "0.25"))
    assert result.exit_code == 3
    assert result.steps["shade"]["quarantined"] == 1
    assert result.steps["picture"]["skipped"] == 4
    assert result.as_text().endswith(", 1 item set aside, 9 items skipped")
    assert result.outputs == 5
    (row,) = load_items(result.run_dir, status="quarantined")
    assert (row.step, row.label, row.reason) == ("shade", "x=0.25", "bad_input")
    again = flow(PICTURES.replace("HATE", "0.25"))
    assert (again.exit_code, set(done(again).values())) == (3, {0})


def test_remembered_failures_are_tried_again_when_asked(flow: Flow, tmp_path: Path) -> None:
    text = PICTURES.replace("HATE", "0.25")
    flow(text)
    seen = load_run(flow(text, retry_failed=True).run_dir)
    assert seen.counts["shade"] == {"cached": 2, "skipped": 1, "quarantined": 1}
    assert load_items(tmp_path / "out" / ".run", status="quarantined")[0].seconds > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("op: picky,", "op: picky, on_error: fail,"), "step 'shade' must not fail"),
        (("retries: 0", "retries: 0, max_failures: 20%"), "1 of 4 items failed in step 'shade'"),
        (("retries: 0", "retries: 0, max_failures: 0"), "1 items failed, more than max_failures"),
    ],
)
def test_a_run_that_is_broken_stops(flow: Flow, change: tuple[str, str], message: str) -> None:
    result = flow(PICTURES.replace("HATE", "0.25").replace(*change))
    assert result.exit_code == 1
    assert message in result.message


def test_what_nothing_declares_any_more_is_named_and_goes_when_asked(
    flow: Flow, tmp_path: Path
) -> None:
    flow()
    fewer = PICTURES.replace("HATE", "3").replace("[8, 16]", "[8]")
    mine = tmp_path / "out" / "mine_16.png"
    mine.write_text("not ours")
    result = flow(fewer)
    names = ["0.0_16.png", "0.25_16.png", "0.5_16.png"]
    assert load_run(result.run_dir).summary["stale"] == names
    flow(fewer, limit=1)  # less was asked for, nothing became stale
    assert (tmp_path / "out" / "0.5_16.png").exists()
    flow(fewer, prune=True)
    assert sorted(contents(tmp_path / "out")) == [
        "0.0_8.png",
        "0.25_8.png",
        "0.5_8.png",
        "means.csv",
        "mine_16.png",
    ]


def test_a_lost_payload_is_computed_again_when_something_needs_it(
    flow: Flow, tmp_path: Path
) -> None:
    flow()
    made = contents(tmp_path / "out")
    for pack in (tmp_path / "cache" / "packs").rglob("*.pack"):
        pack.write_bytes(pack.read_bytes()[:-200])
    (tmp_path / "out" / "0.5_8.png").unlink()
    result = flow()
    assert result.exit_code == 0, result.message
    assert contents(tmp_path / "out") == made


def test_photos_are_read_once_and_a_bad_one_is_told(flow: Flow, tmp_path: Path) -> None:
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.new("RGB", (20, 10), (i * 50, 0, 0)).save(photos / f"{i}.png")
    (photos / "bad.png").write_text("not a picture")
    (photos / "gone.png").symlink_to(photos / "nothing.png")
    text = f"""
        version: 1
        name: photos
        sources: {{photo: {{glob: "{photos}/*.png"}}}}
        steps: {{mean: {{op: brightness, in: {{image: photo}}}}}}
        outputs: [{{from: mean, to: means.csv}}]
        run: {{retries: 0}}
    """
    result = flow(text)
    assert result.exit_code == 3
    assert result.steps["mean"]["done"] == 3
    reasons = {row.label: row.reason for row in load_items(result.run_dir, status="quarantined")}
    assert reasons == {"photo=bad": "decode", "photo=gone": "decode"}
    Image.new("RGB", (20, 10), "white").save(photos / "3.png")
    assert flow(text).steps["mean"]["done"] == 1
    assert len((tmp_path / "out" / "means.csv").read_text().splitlines()) == 5


def test_what_is_deepest_comes_first(flow: Flow, tmp_path: Path) -> None:
    rows = "".join(f"{number},{number // 10}\n" for number in range(80))
    (tmp_path / "rows.csv").write_text(f"value,group\n{rows}")
    log = tmp_path / "log"
    text = f"""
        version: 1
        name: groups
        sources: {{row: {{table: "{tmp_path / "rows.csv"}"}}}}
        steps:
          one: {{op: note, in: {{value: row.value}}, with: {{log: "{log}"}}}}
          all:
            {{op: note_all, in: {{values: one}}, with: {{log: "{log}"}},
            gather: {{over: row, by: row.group}}}}
        outputs: [{{from: all, to: all.csv}}]
    """
    result = flow(text, workers=2)
    assert (result.exit_code, done(result)) == (0, {"one": 80, "all": 8})
    told = log.read_text().splitlines()
    assert told.index("all") < 70, "long before the members of all groups were there"


def test_whoever_is_decoded_beside_a_crash_is_not_blamed(flow: Flow, tmp_path: Path) -> None:
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for rows in range(1, 7):  # the one of three rows makes its worker fall over
        Image.new("RGB", (20, rows), "teal").save(photos / f"{rows}.png")
    text = f"""
        version: 1
        name: photos
        sources: {{photo: {{glob: "{photos}/*.png"}}}}
        steps:
          rows: {{op: fall, in: {{image: photo}}}}
          small: {{op: extent, in: {{image: photo}}}}
          wide: {{op: resize, in: {{image: photo}}, with: {{size: 40}}}}
        outputs:
          - {{from: rows, to: rows.csv}}
          - {{from: small, to: small.csv}}
          - {{from: wide, to: "{{photo.stem}}.png"}}
        run: {{retries: 0}}
    """
    result = flow(text, workers=1)
    assert result.exit_code == 3
    refused = {row.label: row.reason for row in load_items(result.run_dir, status="quarantined")}
    assert refused == {"photo=3": "worker_died"}
    assert done(result) == {"rows": 5, "small": 6, "wide": 6}
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


def test_an_item_that_comes_in_the_middle_is_the_only_one_made(flow: Flow, tmp_path: Path) -> None:
    text = PICTURES.replace("HATE", "3").replace("op: paint,", "op: paint, cache: false,")
    flow(text)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.png")}
    result = flow(text.replace("0.25", "0.125, 0.25"))
    assert done(result) == {"shade": 1, "picture": 2, "mean": 2}
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_photo_whose_name_is_no_text_is_a_photo(flow: Flow, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / os.fsdecode(b"caf\xe9.png"))
    result = flow(
        """
        version: 1
        name: odd
        sources: {photo: {glob: "photos/*.png"}}
        steps:
          mean: {op: brightness, in: {image: photo}}
          picture: {op: paint, in: {value: mean}}
        outputs: [{from: picture, to: "{photo.rel}.png"}, {from: mean, to: means.csv}]
        """
    )
    assert (result.exit_code, result.outputs) == (0, 2), result.message
    assert (result.run_dir / "report.html").is_file()


def test_leftovers_of_the_dead_are_swept_and_nothing_unfinished_stays(
    flow: Flow, tmp_path: Path
) -> None:
    staging = tmp_path / "out" / ".run" / "staging"
    staging.mkdir(parents=True)
    result = flow()
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    assert not (result.run_dir / "hands").exists()


def test_a_link_inside_the_output_folder_leads_no_table_out(flow: Flow, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "far").symlink_to(elsewhere)
    result = flow(PICTURES.replace("HATE", "3").replace("means.csv", "far/means.csv"))
    assert result.exit_code == 1
    assert "leaves the output folder" in result.message
    assert not list(elsewhere.iterdir())


# -- as a user runs it: another process, real workers, real kills ---------------------------------

SLOW = """
version: 1
name: slow
sources:
  x: {values: [VALUES]}
steps:
  wait: {op: tarry, in: {value: x}, with: {seconds: 0.04}}
  picture: {op: paint, in: {value: wait}, with: {size_px: 16}}
outputs:
  - {from: picture.image, to: "{x.value}.png"}
""".replace("VALUES", ", ".join(str(i / 100) for i in range(40)))


@pytest.mark.parametrize(
    "ruin",
    [
        lambda _whole: b"",
        lambda whole: whole[:4096] + bytes((x + 77) % 256 for x in whole[4096:]),
        lambda whole: whole[: len(whole) // 2],
    ],
    ids=["empty", "scrambled", "cut"],
)
def test_a_damaged_ledger_stops_neither_plan_nor_run(
    flow: Flow, tmp_path: Path, ruin: Callable[[bytes], bytes]
) -> None:
    flow()
    made = contents(tmp_path / "out")
    ledger = tmp_path / "out" / ".run" / "ledger.sqlite"
    ledger.write_bytes(ruin(ledger.read_bytes()))
    places = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    assert plan(tmp_path / "flow.yaml", ops=[OPS], **places).steps["shade"].cached == 3
    result = flow()
    assert result.exit_code == 0, result.message
    assert {step["done"] for step in result.steps.values()} == {0}
    assert contents(tmp_path / "out") == made


class Command:
    """A command in a folder of its own."""

    def __init__(self, folder: Path, *, workers: int = 1) -> None:
        folder.mkdir(exist_ok=True)
        self.out = folder / "out"
        (folder / "flow.yaml").write_text(SLOW)
        self.line = [
            *(sys.executable, str(ROOT / "run_workflow.py"), str(folder / "flow.yaml")),
            *("--ops", str(OPS), "--workers", str(workers), "--json", "-q"),
            *("--cache", str(folder / "cache"), "-o", str(self.out)),
        ]

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.line,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self) -> tuple[int, dict[str, Any]]:
        process = self.start()
        output, errors = process.communicate(timeout=250)
        assert errors == ""
        return process.returncode, json.loads(output)

    def some(self, process: "subprocess.Popen[str]", count: int = 5) -> None:
        """Wait until some files are there."""
        for _ in range(1500):
            if len(list(self.out.glob("*.png"))) >= count:
                return
            assert process.poll() is None, process.communicate()
            time.sleep(0.04)
        process.kill()
        pytest.fail(f"no file appeared: {process.communicate()}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    command = Command(tmp_path_factory.mktemp("undisturbed"))
    code, result = command.finish()
    assert (code, result["outputs"]) == (0, 40)
    return contents(command.out)


def orphans(before: set[int]) -> list[psutil.Process]:
    """Processes of ours that nobody waits for."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [p for pid in before if psutil.pid_exists(pid) and (p := psutil.Process(pid))]
        left = [p for p in left if p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return []
        time.sleep(0.1)
    return left


def test_a_killed_driver_is_taken_up_where_it_was(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    command = Command(tmp_path)
    process = command.start()
    command.some(process)
    family = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    process.kill()
    process.communicate()
    assert not orphans(family)
    code, result = command.finish()
    assert code == 0
    assert 0 < result["steps"]["wait"]["done"] < 40
    assert contents(command.out) == undisturbed
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_a_killed_worker_is_replaced(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    command = Command(tmp_path, workers=2)
    process = command.start()
    command.some(process)
    children = psutil.Process(process.pid).children(recursive=True)
    busy = max(children, key=lambda child: sum(child.cpu_times()[:2]))
    busy.kill()
    output, errors = process.communicate(timeout=250)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(output)["outputs"] == 40
    assert contents(command.out) == undisturbed


def test_two_runs_cannot_write_into_one_folder(tmp_path: Path) -> None:
    command = Command(tmp_path)
    process = command.start()
    command.some(process)
    process.send_signal(signal.SIGSTOP)  # it must not be done before the other one tries
    with pytest.raises(UsageError, match="another run is writing"):
        run(tmp_path / "flow.yaml", ops=[OPS], out=command.out, cache=tmp_path / "other")
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=250)
    assert process.returncode == 0


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    command = Command(tmp_path)
    process = command.start()
    command.some(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it too
    output, errors = process.communicate(timeout=250)
    assert process.returncode == 130
    draining, stopped = errors.splitlines()
    assert re.fullmatch(r"finishing \d chunks? under way; Ctrl-C again stops now", draining)
    assert stopped.startswith("error: stopped by SIGINT")
    kept = json.loads(output)["outputs"]
    assert kept >= 5
    code, result = command.finish()
    assert (code, result["outputs"]) == (0, 40)
    assert result["steps"]["wait"]["done"] == 40 - kept
    assert contents(command.out) == undisturbed


def test_files_that_vanish_meanwhile_are_told(tmp_path: Path) -> None:
    command = Command(tmp_path)
    process = command.start()
    command.some(process)
    next(command.out.glob("*.png")).unlink()
    _, errors = process.communicate(timeout=250)
    assert process.returncode == 1
    assert "1 output of this run disappeared" in errors
    assert command.finish()[0] == 0


def test_what_refuses_is_named_whether_a_disk_or_a_network() -> None:
    assert (
        refusal(OSError(28, "No space left", "/out/a")) == "/out/a cannot be written: No space left"
    )
    assert refusal(TimeoutError("no answer in 30 s")) == "TimeoutError: no answer in 30 s"
    assert "the connection to the Dask scheduler is lost" in refusal(CommClosedError("gone"))
