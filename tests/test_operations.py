"""Runs watched, stopped, bounded and foretold from the command line, while they go on."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.store import list_packs
from run_workflow import main

ROOT = Path(__file__).parent.parent
#: A process with mounts of its own.
OWN_MOUNTS = ["unshare", "-rm", "sh", "-c"]
#: Items of a run that is looked at: many more than are under way at a time.
COUNT = 300
#: `gate` holds some items back until a file is there: a run can be looked at in its middle.
OPS = '''
"""Ops for looking at runs."""
import time
from collections.abc import Sequence
from pathlib import Path
from engine.errors import ItemError
from engine.op import op
from engine.values import Image, Scalar

@op(version=1)
def gate(value: Scalar, *, file: str, least: float = 0.0) -> Scalar:
    """The value; one of at least `least` comes when the file is there."""
    while value.data[0] >= least and not Path(file).exists():
        time.sleep(0.02)
    return value

@op(version=1)
def picky(value: Scalar, *, hate: float = -1.0) -> Scalar:
    """The value, unless it is hated."""
    if value.data[0] == hate:
        raise ItemError("bad_input", "not this one")
    return value

@op(version=1)
def most(values: Sequence[Scalar]) -> Scalar:
    """The largest of all."""
    return Scalar((max(value.data[0] for value in values),))

@op(version=1)
def make(value: Scalar, *, px: int, seconds: float = 0.0) -> Image:
    """A picture that took its time."""
    import torch
    time.sleep(seconds)
    noise = torch.Generator().manual_seed(int(value.data[0]))
    return Image(torch.rand(1, 3, px, px, generator=noise) * 2 - 1)

@op(version=1)
def turn(image: Image) -> Image:
    """A picture on its side."""
    return Image(image.data.transpose(2, 3).contiguous())

@op(version=1)
def shade(image: Image) -> Scalar:
    """The mean of a picture."""
    return Scalar((round(float(image.data.mean()), 3),))
'''


class Place:
    """A folder with a workflow, ops, a gate, and the commands on them."""

    def __init__(self, root: Path, steps: str, count: int, run: str = "") -> None:
        self.root = root
        self.out = root / "out"
        self.gate = root / "open"
        self.started: list[subprocess.Popen[str]] = []
        (root / "ops.py").write_text(OPS)
        self.write(steps, count, run)

    def write(self, steps: str, count: int, run: str = "") -> None:
        """Make the workflow: a source `x` of numbers, and these steps."""
        values = ", ".join(map(str, range(count)))
        text = f"version: 1\nname: watched\nsources: {{x: {{values: [{values}]}}}}\n{steps}\n{run}"
        (self.root / "flow.yaml").write_text(text.replace("GATE", str(self.gate)))

    def line(self, name: str, *more: str, out: str = "out") -> list[str]:
        """A command on the workflow."""
        places = ["--cache", str(self.root / "cache"), "-o", str(self.root / out)]
        flow, own = str(self.root / "flow.yaml"), ["--ops", str(self.root / "ops.py")]
        return [name, flow, *own, "--workers", "1", *places, *more]

    def start(self, *command: str, mounts: str = "") -> "subprocess.Popen[str]":
        """Start a command in another process; `mounts` is what it sees differently."""
        own = [*OWN_MOUNTS, f'{mounts} && exec "$@"', "sh"] if mounts else []
        process = subprocess.Popen(
            [*own, sys.executable, str(ROOT / "run_workflow.py"), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.root / "mine")},
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """Leave nothing behind, however a test ended."""
        self.gate.touch()
        for process in self.started:
            process.kill()
            process.communicate()

    def until(self, process: "subprocess.Popen[str]", seen: Callable[[], object]) -> None:
        """Wait until something is to be seen of a run that goes on."""
        while not seen():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)

    def count(self, out: str, state: str) -> int:
        """Pictures in a state, as the metrics of a run tell."""
        path = self.root / out / ".run" / "metrics.prom"
        text = path.read_text() if path.exists() else ""
        found = re.search(rf'step="picture",state="{state}"}} (\d+)', text)
        return int(found.group(1)) if found else 0

    def pictures(self, out: str = "out") -> list[str]:
        return sorted(path.name for path in (self.root / out).glob("*.png"))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


GATED = """
steps:
  pass:    {op: gate, in: {value: x}, with: {file: GATE, least: 8}}
  picture: {op: make, in: {value: pass}, with: {px: 8}}
outputs: [{from: picture, to: "{x.value}.png"}]
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Makes a place."""
    made: list[Place] = []

    def make(steps: str, count: int, run: str = "") -> Place:
        made.append(Place(tmp_path, steps, count, run))
        return made[-1]

    yield make
    for one in made:
        one.close()


Make = Callable[..., Place]


@pytest.fixture
def gated(place: Make) -> Place:
    """A place whose run stops after its first chunk until the gate is open."""
    return place(GATED, COUNT)


# -- watching and stopping -----------------------------------------------------------------------


def test_a_run_is_followed_from_another_terminal_to_its_end(gated: Place) -> None:
    run = gated.start(*gated.line("run", "-q"))
    gated.until(run, lambda: gated.count("out", "done"))
    follower = gated.start("status", str(gated.out), "--follow", "--json")
    assert follower.stdout is not None
    lines = [json.loads(follower.stdout.readline())]
    gated.gate.touch()
    lines += map(json.loads, follower.communicate()[0].splitlines())
    assert (run.wait(), follower.returncode) == (0, 0)
    run.communicate()
    first, last = lines[0], lines[-1]
    assert first["state"] == "running"
    assert 0 < first["steps"]["picture"]["done"] < COUNT
    assert {"rate", "eta_s"} <= first.keys()
    [worker] = first["workers"].values()
    assert worker["items"] >= first["steps"]["picture"]["done"]
    assert {line["state"] for line in lines[:-1]} == {"running"}
    assert (last["state"], last["exit_code"]) == ("done", 0)
    assert last["steps"]["picture"]["done"] == COUNT


def test_a_run_tells_of_itself_in_lines_and_metrics(gated: Place) -> None:
    run = gated.start(*gated.line("run", "-q"))
    metrics, events = (gated.out / ".run" / name for name in ("metrics.prom", "events.jsonl"))
    gated.until(run, lambda: gated.count("out", "done"))
    form = re.compile(r"# (TYPE|HELP) \w+ .*|\w+(\{(\w+=\"[^\"]*\",?)+\})? [-+\d.e]+")
    assert [line for line in metrics.read_text().splitlines() if not form.fullmatch(line)] == []
    gated.gate.touch()
    assert run.communicate() == ("", "")
    found = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(found) >= 2
    assert all({"time", "event"} <= line.keys() for line in found)


@pytest.mark.parametrize("now", [False, True], ids=["drain", "now"])
def test_a_run_is_cancelled_from_another_terminal(
    gated: Place, now: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = gated.start(*gated.line("run", "-q", "--json"))
    gated.until(run, gated.pictures)
    assert main(["cancel", str(gated.out), *["--now"] * now]) == 0
    if not now:
        gated.until(run, lambda: "draining" in (gated.out / ".run/events.jsonl").read_text())
        gated.gate.touch()
    output, errors = run.communicate()
    assert run.returncode == json.loads(output)["exit_code"] == 130
    assert "Traceback" not in errors
    kept = len(gated.pictures())
    assert 0 < kept < COUNT
    gated.gate.touch()
    assert main(gated.line("run", "-q", "--json")) == 0
    steps = told(capsys)["steps"]
    assert 0 < steps["picture"]["done"] <= COUNT - kept
    assert len(gated.pictures()) == COUNT


def test_only_what_timed_out_is_tried_again(
    place: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = """
steps:
  liked:   {op: picky, in: {value: x}, with: {hate: 1}}
  pass:    {op: gate, in: {value: liked}, with: {file: GATE, least: 4}, timeout: 3s}
outputs: [{from: pass, to: all.csv}]
"""
    here = place(steps, 5, "run: {retries: 0}")
    assert main(here.line("run", "-q", "--json")) == 3
    steps_told = told(capsys)["steps"]
    assert (steps_told["pass"]["quarantined"], steps_told["liked"]["quarantined"]) == (1, 1)
    assert main(["status", str(here.out), "--json"]) == 0
    assert {row["reason"] for row in told(capsys)["quarantined"]} == {"timeout", "bad_input"}
    here.gate.touch()
    assert main(here.line("retry-failed", "-q", "--json", "--reason", "timeout")) == 3
    steps_told = told(capsys)["steps"]
    assert (steps_told["pass"]["done"], steps_told["liked"]["quarantined"]) == (1, 1)


# -- when it has ended ---------------------------------------------------------------------------


@pytest.fixture
def quick(place: Make) -> Place:
    found = place(GATED, 3)
    found.gate.touch()
    return found


def test_a_command_hears_how_a_run_ended(quick: Place, capfd: pytest.CaptureFixture[str]) -> None:
    note = quick.root / "note it.py"
    note.write_text("import sys; open(sys.argv[1], 'w').write(sys.stdin.read()); print('noted')")
    heard = quick.root / "heard.json"
    finish = f"'{sys.executable}' '{note}' '{heard}'"
    assert main(quick.line("run", "-q", "--json", "--on-finish", finish)) == 0
    output, errors = capfd.readouterr()
    assert json.loads(heard.read_text()) == json.loads(output)  # and 'noted' is not in between
    assert errors == "noted\n"
    quick.write(
        GATED.replace("op: gate", "op: picky, when: x != 9").replace(
            "{file: GATE, least: 8}", "{hate: 1}"
        ),
        3,
    )
    assert main(quick.line("run", "-q", "--on-finish", finish)) == 3
    assert json.loads(heard.read_text())["exit_code"] == 3


def test_an_address_hears_it_too_and_silence_changes_nothing(
    quick: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[Any] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/done"
        assert main(quick.line("run", "-q", "--json", "--on-finish", address)) == 0
        thread.join()
    assert heard == [told(capsys)]
    assert main(quick.line("run", "-q", "--json", "--on-finish", address)) == 0
    output, errors = capsys.readouterr()
    assert json.loads(output)["exit_code"] == 0
    assert address in errors


# -- a cache that is bounded, or shared ----------------------------------------------------------

MIXED = """
steps:
  dear:  {op: make, in: {value: x}, with: {px: 40, seconds: 0.1}}
  cheap: {op: make, in: {value: x}, with: {px: 200}}
  dark:  {op: shade, in: {image: dear}}
  light: {op: shade, in: {image: cheap}}
  all:   {op: most, in: {values: light}, gather: {over: [x]}}
  pass:  {op: gate, in: {value: all}, with: {file: GATE, least: -9}}
outputs: [{from: pass, to: all.csv}, {from: dark, to: dark.csv}]
"""
TURNED = """
steps:
  dear:   {op: make, in: {value: x}, with: {px: 40, seconds: 0.1}}
  cheap:  {op: make, in: {value: x}, with: {px: 200}}
  turned: {op: turn, in: {image: NAME}}
outputs: [{from: turned, to: "{x.value}.png"}]
"""


def weight(place: Place) -> int:
    """Bytes of all packs."""
    return sum(size for _, size, _ in list_packs(place.root / "cache"))


def test_what_is_cheap_to_make_goes_while_the_run_goes_on(
    place: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = 600_000  # 16 dear pictures are 0.08 MB, 16 cheap ones 1.9 MB
    here = place(MIXED, 16, f"run: {{cache: {{max_size: {limit}B}}}}")
    run = here.start(*here.line("run", "-q", "--json"))
    most = 0

    def bounded() -> bool:
        nonlocal most
        now = weight(here)
        most = max(most, now)
        return most > limit >= now

    here.until(run, bounded)
    here.gate.touch()
    output, _ = run.communicate()
    assert run.returncode == 0
    assert json.loads(output)["steps"]["cheap"]["done"] == 16
    assert weight(here) <= limit
    made = {}
    for name in ("dear", "cheap"):
        here.write(TURNED.replace("NAME", name), 16)
        assert main(here.line("run", "-q", "--json", "--until", "turned", out=name)) == 0
        made[name] = told(capsys)["steps"][name]["done"]
        assert len(here.pictures(name)) == 16
    assert made["dear"] == 0
    assert made["cheap"] > 8


def test_a_run_uses_at_once_what_another_has_stored(
    gated: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gated.start(*gated.line("run", "-q"))
    gated.until(first, lambda: gated.count("out", "done"))
    second = gated.start(*gated.line("run", "-q", "--json", out="second"))
    gated.until(second, lambda: gated.count("second", "cached"))
    assert first.poll() is None
    gated.gate.touch()
    output, _ = second.communicate()
    first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert json.loads(output)["steps"]["picture"]["cached"] >= 4
    one, two = (
        [(gated.root / out / name).read_bytes() for name in gated.pictures(out)]
        for out in ("out", "second")
    )
    assert len(one) == COUNT
    assert one == two
    assert main(["cache", "verify", "--cache", str(gated.root / "cache")]) == 0
    capsys.readouterr()
    assert main(gated.line("run", "-q", "--json", out="third")) == 0
    assert {step["done"] for step in told(capsys)["steps"].values()} == {0}


# -- what a plan foretells -----------------------------------------------------------------------

FORETOLD = {
    "waiting": """
steps:
  picture: {op: make, in: {value: x}, with: {px: 96, seconds: 0.25}}
outputs: [{from: picture, to: "{x.value}.png"}]
""",
    "numbers": """
steps:
  same:  {op: picky, in: {value: x}}
  twice: {op: picky, in: {value: same}, with: {hate: -2}}
outputs: [{from: twice, to: all.csv}]
""",
}


@pytest.mark.parametrize(("kind", "pilot", "count"), [("waiting", 6, 30), ("numbers", 300, 3000)])
def test_disk_is_foretold_within_a_factor_of_two_and_time_from_the_past(
    place: Make, capsys: pytest.CaptureFixture[str], kind: str, pilot: int, count: int
) -> None:
    here = place(FORETOLD[kind], count)

    def sizes() -> tuple[int, int]:
        files = [path for path in (here.root / "cache").rglob("*") if path.is_file()]
        pictures = list((here.root / "out").glob("*.png"))
        return tuple(sum(path.stat().st_size for path in found) for found in (files, pictures))

    assert main(here.line("plan", "--json")) == 0
    assert told(capsys)["estimate"]["seconds"] is None
    assert main(here.line("run", "-q", "--json", "--limit", str(pilot))) == 0
    capsys.readouterr()
    before = sizes()
    assert main(here.line("plan", "--json")) == 0
    estimate = told(capsys)["estimate"]
    assert main(here.line("run", "-q", "--json")) == 0
    capsys.readouterr()
    grown, written = (after - then for after, then in zip(sizes(), before, strict=True))
    # What it really takes is up to the machine; that every item waits so long is not.
    assert estimate["seconds"] > (0.9 * (count - pilot) * 0.25 if kind == "waiting" else 0)
    assert 0.5 < estimate["bytes"] / grown < 2
    assert 0.5 <= (estimate["output_bytes"] + 1) / (written + 1) <= 2
    assert main(here.line("plan", "--json")) == 0
    assert told(capsys)["estimate"] == {"seconds": 0, "bytes": 0, "output_bytes": 0, "workers": 1}


def test_settings_that_cost_more_are_foretold_by_their_own_past(
    place: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    here = place(FORETOLD["waiting"], 4)
    assert main(here.line("run", "-q")) == 0
    here.write(FORETOLD["waiting"].replace("0.25", "0.01"), 4)
    assert main(here.line("run", "-q", "--until", "picture")) == 0
    capsys.readouterr()
    guessed = {}
    for seconds in ("0.25", "0.01"):
        here.write(FORETOLD["waiting"].replace("0.25", seconds), 40)
        assert main(here.line("plan", "--json")) == 0
        guessed[seconds] = told(capsys)["estimate"]["seconds"]
    assert guessed["0.25"] > 0.9 * 36 * 0.25
    assert guessed["0.01"] < guessed["0.25"]


# -- stores that cannot be used ------------------------------------------------------------------


def test_a_store_of_a_newer_version_is_left_alone(
    quick: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(quick.line("run", "-q")) == 0
    cache = quick.root / "cache"
    (cache / "format").write_text("2\n")
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    commands = [quick.line("run", "-q"), quick.line("plan")]
    for command in (*commands, ["cache", "gc", "--cache", str(cache)]):
        capsys.readouterr()
        assert main(command) == 1
        assert "has format '2', this version knows 1" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", "Read-only file system"),
        ("mount -t tmpfs -o size=1m none '{0}'", "free some space, or name another folder"),
    ],
    ids=["read-only", "full"],
)
def test_a_store_that_cannot_be_written_stops_the_run_and_nothing_is_half_done(
    quick: Place, capsys: pytest.CaptureFixture[str], how: str, said: str
) -> None:
    try:
        subprocess.run([*OWN_MOUNTS, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount")
    assert main(quick.line("run", "-q")) == 0
    before = weight(quick)
    quick.write(GATED.replace("px: 8", "px: 128"), 60)
    run = quick.start(*quick.line("run", "-q"), mounts=how.format(quick.root / "cache"))
    _, errors = run.communicate()
    assert run.returncode == 1
    assert said in errors
    assert "Traceback" not in errors
    assert weight(quick) == before
    assert [path for path in quick.root.rglob("*.tmp") if path.is_file()] == []
    capsys.readouterr()
    assert main(quick.line("run", "-q", "--json")) == 0
    assert told(capsys)["steps"]["picture"]["done"] > 0
    assert len(quick.pictures()) == 60
