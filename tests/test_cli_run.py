"""The commands on real runs: real workers, real files, everything in the test's own folders."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.report import read_page
from engine.status import read_status
from run_workflow import main, plan, run

WORKFLOW = """\
version: 1
name: shrink
params: {px: 16}
sources: {photo: {glob: "photos/*.{png,jpg}"}}
steps:
  small:  {op: resize, in: {image: photo}, with: {size: "${params.px}"}}
  framed: {op: pad, in: {image: small}, with: {left: "${matrix.edge}"}, matrix: {edge: [1, 2]}}
  sheet:  {op: make_grid, in: {images: framed}, gather: {over: [photo, edge]}, with: {tile_px: 16}}
outputs:
  - {from: framed, to: "{photo.stem}_{edge}.png"}
  - {from: sheet,  to: sheet.png}
"""


class Place:
    """A folder with a workflow, three photos (one of them broken), and a cache of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workflow = root / "shrink.yaml"
        self.out = root / "out"
        self.photos = root / "photos"
        self.photos.mkdir()
        self.workflow.write_text(WORKFLOW)
        for name, colour in (("ann", "teal"), ("bob", "coral")):
            Image.new("RGB", (40, 30), colour).save(self.photos / f"{name}.png")
        (self.photos / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")

    def flags(self) -> list[str]:
        return ["-o", str(self.out), "--cache", str(self.root / "cache")]

    def command(self, name: str, *more: str) -> list[str]:
        return [name, str(self.workflow), *self.flags(), *more]

    def run(self, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
        """Run by the command line; stdout must be one line, and tell the exit code."""
        capsys.readouterr()
        code = main(self.command("run", "--workers", "1", "--json", *more))
        [line] = capsys.readouterr().out.splitlines()
        result: dict[str, Any] = json.loads(line)
        assert result["exit_code"] == code
        return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the workflow has run once."""
    place = Place(tmp_path_factory.mktemp("finished"))
    code = main(place.command("run", "--workers", "1", "-q"))
    assert code == 3
    return place


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A copy of the finished place, to change at will."""
    shutil.copytree(finished.root, tmp_path / "copy")
    copy = object.__new__(Place)
    copy.root = tmp_path / "copy"
    copy.workflow, copy.out = copy.root / "shrink.yaml", copy.root / "out"
    copy.photos = copy.root / "photos"
    return copy


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))


def test_a_run_writes_what_was_declared(finished: Place) -> None:
    assert names(finished.out) == ["ann_1.png", "ann_2.png", "bob_1.png", "bob_2.png", "sheet.png"]
    with Image.open(finished.out / "ann_2.png") as picture:
        assert picture.size == (18, 12)
    run_dir = finished.out / ".run"
    for name in ("workflow.yaml", "ledger.sqlite", "events.jsonl", "manifest.json", "report.html"):
        assert (run_dir / name).is_file()
    left = [p for root in (finished.out, finished.root / "cache") for p in root.rglob("*tmp*")]
    assert left == []


def test_a_repeated_run_computes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (place.out / name).read_bytes() for name in names(place.out)}
    result = place.run(capsys)
    assert set(result) == {"exit_code", "run_dir", "outputs", "seconds", "steps"}
    assert result["outputs"] == 5
    assert result["exit_code"] == 3
    for step in result["steps"].values():
        assert set(step) == {"items", "done", "cached", "quarantined", "skipped", "seconds"}
        assert step["done"] == 0
        parts = step["done"] + step["cached"] + step["quarantined"] + step["skipped"]
        assert step["items"] == parts
    assert result["steps"]["small"]["quarantined"] == 1
    assert result["steps"]["framed"]["skipped"] == 2
    assert {name: (place.out / name).read_bytes() for name in names(place.out)} == before
    [small, *_] = read_page(place.out / ".run").steps
    assert small.seconds == 0
    assert small.in_all > 0  # what it took in the run that made it


def test_a_run_that_cannot_begin_still_answers(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.root / "file").write_text("in the way")
    assert main(place.command("run", "--json", "-o", str(place.root / "file"))) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["exit_code"] == 1
    assert main(place.command("run", "--json", "--until", "nowhere")) == 2
    assert capsys.readouterr().out == ""


def test_a_new_photo_runs_alone(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 30), "gold").save(place.photos / "cleo.png")
    steps = place.run(capsys)["steps"]
    assert [steps[name]["done"] for name in ("small", "framed", "sheet")] == [1, 2, 1]


def test_plan_counts_and_touches_nothing(
    finished: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*finished.command("plan", "-p", "px=8"), "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    steps = json.loads(line)["steps"]
    estimate = json.loads(line)["estimate"]
    assert set(estimate) == {"seconds", "bytes", "output_bytes", "workers"}
    assert steps["framed"]["axes"] == {"photo": 3, "edge": 2}
    assert set(steps["small"]) == {"axes", "items", "cached", "to_run"}
    assert (steps["small"]["items"], steps["small"]["to_run"]) == (3, 3)
    assert main(finished.command("run", "-n")) == 0
    out = capsys.readouterr().out
    assert "small" in out
    assert "2 cached" in out


def test_limit_until_and_force(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    result = place.run(capsys, "--limit", "1", "--until", "small", "--force", "small")
    assert list(result["steps"]) == ["small"]
    assert result["steps"]["small"]["done"] == 1
    page = read_page(place.out / ".run")
    assert (page.part, page.outputs) == ("--until small, --limit 1", 0)  # not those of other runs
    assert "only a part of the workflow was asked for: --until" in (
        read_status(place.out).as_text()
    )
    assert main(place.command("run", "--force", "smal")) == 2
    assert "did you mean 'small'" in capsys.readouterr().err


def test_old_files_are_named_and_pruned(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.workflow.write_text(WORKFLOW.replace("edge: [1, 2]", "edge: [1]"))
    place.run(capsys)
    assert "bob_2.png" in (place.out / ".run" / "report.html").read_text()
    place.run(capsys, "--prune")
    assert names(place.out) == ["ann_1.png", "bob_1.png", "sheet.png"]


def test_status_and_report_work_from_elsewhere(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.out / ".run" / "report.html").unlink()
    assert main(["report", str(place.out)]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert (place.out / ".run" / "report.html").is_file()
    assert main(["status", str(place.out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["exit_code"]) == ("partial", 3)
    assert [row["reason"] for row in told["quarantined"]] == ["decode"]


def explained(place: Place, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    label = ["framed", "edge=1 photo=ann"]
    assert main([*place.command("explain"), *label, "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_explain_names_what_changed_and_where(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(place, capsys)["changed"] is None
    changed = explained(place, capsys, "-p", "px=8")["changed"]
    assert changed == {"part": "settings.size", "old": 16, "new": 8, "step": "small"}
    place.workflow.write_text(WORKFLOW.replace("left:", "top: 3, left:"))
    changed = explained(place, capsys)["changed"]
    assert changed == {"part": "settings.top", "old": 0, "new": 3, "step": "framed"}  # a default


def test_explain_says_that_a_photo_has_another_content(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30), "olive").save(place.photos / "ann.png")
    changed = explained(place, capsys)["changed"]
    assert (changed["part"], changed["step"]) == ("wires.image", "small")
    [old], [new] = changed["old"], changed["new"]
    assert old != new


def test_explain_says_that_the_code_of_an_op_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, workflow = tmp_path / "mine.py", tmp_path / "w.yaml"
    own.write_text(
        "from engine.op import op\nfrom engine.values import Scalar\n"
        "@op(version=1)\ndef same(value: Scalar) -> Scalar:\n    return value\n"
    )
    workflow.write_text(
        "sources: {n: {values: [1]}}\nsteps: {a: {op: same, in: {value: n}}}\n"
        "outputs: [{from: a, to: a.csv}]\n"
    )
    flags = ["-o", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--ops", str(own)]
    assert main(["run", str(workflow), *flags, "--workers", "1", "-q"]) == 0
    own.write_text(own.read_text() + "# another thought\n")
    capsys.readouterr()
    assert main(["explain", str(workflow), "a", "n=1", *flags]) == 0
    assert "the code of the op changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "item", "told"),
    [
        (
            "small",
            "photo=cut",
            "photo=cut: quarantined\nthe last run set it aside: decode:",
        ),
        (
            "framed",
            "photo=cut edge=1",
            "for it needs small of photo=cut: the last run set it aside",
        ),
        ("best", "photo=ann", "best of photo=ann: cached\nit stands for small of photo=ann"),
    ],
)
def test_explain_tells_of_items_without_a_value_of_their_own(
    step: str, item: str, told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "  best: {op: coalesce, in: {values: [small]}}\noutputs:"
    place.workflow.write_text(WORKFLOW.replace("outputs:", more))
    for _ in range(2):
        place.run(capsys)
    assert main([*place.command("explain"), step, item]) == 0
    assert told in capsys.readouterr().out


def test_retry_failed_tries_again(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["--workers", "1", "--json", "--reason", "timeout"]
    assert main(place.command("retry-failed", *again)) == 3
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert (steps["small"]["done"], steps["small"]["quarantined"]) == (0, 1)
    Image.new("RGB", (40, 30), "navy").save(place.photos / "cut.jpg")
    assert main(place.command("retry-failed", "--workers", "1", "--json")) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert steps["small"]["done"] == 1


def test_an_output_folder_asks_for_its_run_again(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again = ["--workers", "1", "--json"]
    assert main([*place.command("run", *again), "-p", "px=8"]) == 3
    monkeypatch.chdir("/")
    capsys.readouterr()
    assert main(["retry-failed", str(place.out), *again]) == 3
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert (steps["small"]["cached"], steps["small"]["quarantined"]) == (2, 1)


def test_a_second_driver_is_turned_away(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.folder import locked

    with locked(place.out, place.out / ".run"):
        assert main(place.command("run")) == 2
    assert "another run" in capsys.readouterr().err


def test_the_cache_can_be_looked_after(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("stats", "gc", "verify", "rebuild"):
        assert main(["cache", action, "--cache", str(place.root / "cache"), "--json"]) == 0
        json.loads(capsys.readouterr().out)


def test_the_same_from_python(finished: Place, capsys: pytest.CaptureFixture[str]) -> None:
    folders = {"out": finished.out, "cache": finished.root / "cache"}
    counted = plan(finished.workflow, **folders)
    assert counted.steps["small"].cached == 2
    result = run(finished.workflow, {"px": 16}, workers=1, **folders)
    assert (result.exit_code, result.outputs) == (3, 5)
    assert [path.name for path in result.files] == sorted(path.name for path in result.files)
    assert len(result.files) == 5
    assert all(path.is_file() for path in result.files)
    assert result.steps["small"]["done"] == 0
    assert capsys.readouterr().out == ""


def test_a_workflow_can_be_text(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)
    counted = plan(WORKFLOW, out=place.out, cache=place.root / "cache")
    assert counted.steps["sheet"].items == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["-o", "/dev/null/x"], "cannot be"),
        (["--gpus", "9"], "--gpus 9"),
    ],
)
def test_what_cannot_start_says_why(
    place: Place, extra: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (9, 9)).save(place.photos / "new.png")
    assert main([*place.command("run"), *extra]) in (1, 2)
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
