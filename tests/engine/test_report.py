"""The report and the status of a run folder, made by a real ledger with real files beside it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.drawing import Node, Outline
from engine.errors import UsageError
from engine.jobs import Outcome, Written
from engine.ledger import Ledger
from engine.report import read_page, write_report
from engine.status import read_status
from engine.story import framed, read_outline

OUTLINE = Outline(
    (
        Node("photo", "source", "photo", "glob"),
        Node("face", "step", "face", "align_face", ("photo",)),
    ),
    (("photo", "face"),),
)
INFO: dict[str, Any] = {
    "name": "faces",
    "file": "faces.yaml",
    "text": "version: 1\n# <script>",
    "command": "run_workflow.py faces.yaml",
    "out": "out/faces",
    "params": {"size": "128"},
    "models": {"portraits": "portraits-128"},
    "versions": {"python": "3.11"},
    "machine": "Linux",
    "outline": asdict(OUTLINE),
}


def outcome(number: int, status: Any = "done", **more: Any) -> tuple[Outcome, str]:
    return Outcome(("face", number), status, f"key{number}", **more), f"photo=p{number}"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished run: one item done, one cached, one set aside; one output still there."""
    folder = tmp_path / "out"
    run_dir = folder / ".run"
    run_dir.mkdir(parents=True)
    Image.new("RGB", (60, 40), "teal").save(tmp_path / "p0.jpg")
    Image.new("RGB", (60, 40), "coral").save(folder / "a b.png")
    with Ledger(run_dir) as ledger:
        ledger.begin(INFO)
        ledger.record(
            [
                outcome(0, seconds=1.5),
                outcome(1, "cached", seconds=30.0),
                outcome(2, "quarantined", reason="no_face", message="no face was found"),
            ]
        )
        rows = [("a b.png", 0), ("gone.png", 1)]
        ledger.record_outputs(
            Written(0, str(folder / name), ("face", i), f"key{i}", "d", 1, 1) for name, i in rows
        )
        pair = {"path": "a b.png", "photo": str(tmp_path / "p0.jpg"), "label": "photo=p0"}
        ledger.finish({"exit_code": 3, "seconds": 2.0, "pairs": [pair], "stale": ["old.png"]})
    return folder


def test_the_page_tells_the_run(out: Path) -> None:
    page = read_page(out / ".run")
    assert (page.title, page.state, page.seconds) == ("faces", "partial", 2.0)
    [line] = page.steps
    assert (line.tally.done, line.tally.cached, line.tally.quarantined) == (1, 1, 1)
    assert line.tally.text == "3 items · 1.5 s"
    assert (line.seconds, line.in_all) == (1.5, 31.5)
    assert page.saved_seconds == 30.0
    assert page.outputs == 1
    [shot] = page.shots
    assert (shot.label, shot.href) == ("a b.png", "../a%20b.png")
    [pair] = page.comparisons
    assert pair.label == "a b.png · photo=p0"
    [refusal] = page.refusals
    assert (refusal.reason, refusal.label) == ("no_face", "photo=p2")
    assert page.stale == ["old.png"]


def test_only_pictures_of_the_photos_own_size_are_compared(out: Path) -> None:
    Image.new("RGB", (30, 20), "coral").save(out / "a b.png")
    assert read_page(out / ".run").comparisons == []


def test_a_photo_that_several_steps_refuse_alike_is_shown_once(out: Path) -> None:
    refused: dict[str, Any] = {"reason": "decode", "message": "p9 cannot be decoded"}
    with Ledger(out / ".run") as ledger:
        ledger.begin(INFO)
        ledger.record(
            [
                (Outcome((step, 9), "quarantined", "k", **refused), "photo=p9")
                for step in ("face", "square")
            ]
        )
    [refusal] = read_page(out / ".run").refusals
    assert (refusal.step, refusal.items) == ("face, square", 2)


FRAMES = """
sources: {photo: {glob: "*.jpg"}, ref: {glob: "refs/*.jpg"}}
steps:
  face:   {op: align_face, in: {image: photo}}
  code:   {op: invert, in: {image: face}}
  drawn:  {op: synthesize, in: {latent: code}}
  back:   {op: paste_back, in: {photo: photo, edited: drawn, base: face, alignment: face.alignment}}
  small:  {op: resize, in: {image: back}, with: {size: 9}}
  sheet:  {op: make_grid, in: {images: back}, gather: {over: photo}}
"""


def test_only_what_lies_on_a_photo_is_in_its_frame() -> None:
    from engine.graph import load_graph
    from run_workflow import build_ops, surroundings

    frames = framed(load_graph(FRAMES, surroundings(build_ops())))
    assert {name: set(found) for name, found in frames.items() if name not in ("photo", "ref")} == {
        "face": set(),
        "code": set(),
        "drawn": set(),
        "back": {"photo"},
        "small": {"photo"},
        "sheet": set(),
    }


def test_the_report_is_one_file(out: Path) -> None:
    path = write_report(out / ".run")
    text = path.read_text()
    assert path == out / ".run" / "report.html"
    assert "no face was found" in text
    assert "&lt;script&gt;" in text
    assert [p.name for p in (out / ".run").iterdir() if "tmp" in p.name] == []


def test_a_run_that_never_ended_is_said_to_be_interrupted(tmp_path: Path) -> None:
    run_dir = tmp_path / ".run"
    run_dir.mkdir()
    with Ledger(run_dir) as ledger:
        ledger.begin(INFO)
        ledger.record([outcome(0)])
    assert read_page(run_dir).state == "interrupted"
    assert read_status(tmp_path).as_json()["state"] == "interrupted"


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, "done"), (1, "failed"), (2, "failed"), (3, "partial"), (130, "interrupted")],
)
def test_how_a_run_ended_has_a_word_of_its_own(tmp_path: Path, code: int, state: str) -> None:
    run_dir = tmp_path / ".run"
    run_dir.mkdir()
    with Ledger(run_dir) as ledger:
        ledger.begin(INFO)
        ledger.finish({"exit_code": code})
    assert read_status(tmp_path).as_json()["state"] == state
    assert read_status(tmp_path).as_text()


def test_status_counts_and_names(out: Path) -> None:
    found = read_status(out)
    assert found.as_json()["steps"] == {"face": {"done": 1, "cached": 1, "quarantined": 1}}
    assert found.as_json()["exit_code"] == 3
    assert "no_face: face of photo=p2: no face was found" in found.as_text()
    assert read_status(out / ".run") == found


def test_the_steps_of_a_status_stand_in_the_order_of_the_workflow(tmp_path: Path) -> None:
    run_dir = tmp_path / ".run"
    run_dir.mkdir()
    steps = ("zebra", "yak", "ant")
    drawn = Outline(tuple(Node(name, "step", name) for name in steps), ())
    with Ledger(run_dir) as ledger:
        ledger.begin({**INFO, "outline": asdict(drawn)})
        ledger.record([(Outcome((name, 0), "done", "k"), "all") for name in sorted(steps)])
    assert tuple(read_status(tmp_path).steps) == steps


def test_a_folder_without_a_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run was made"):
        read_status(tmp_path)


def test_an_outline_survives_json() -> None:
    import json

    assert read_outline(json.loads(json.dumps(asdict(OUTLINE)))) == OUTLINE
