"""What is disturbed: photos, a workflow, the command that runs it, and what must be true after."""

import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil
from PIL import Image

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toys.py")
MARK = "CHAOS_SCENE"
#: What a driver that met a defect of ours exits with, unlike any typed error.
DEFECT = 70
PATIENCE_S = 900.0
_NO_LIMIT = resource.RLIM_INFINITY

WORKFLOW = """
version: 1
name: scene
sources: {{photo: {{glob: "{photos}/*.png"}}}}
steps:
  safe:   {{op: trust, in: {{image: photo}}}}
  slow:   {{op: tone, in: {{image: safe}}, with: {{gamma: 0.8, seconds: {seconds}}}}}
  toned:
    op: tone
    in: {{image: slow}}
    matrix: {{gamma: [0.5, 2.0]}}
    with: {{gamma: "${{matrix.gamma}}"}}
  mean:   {{op: brightness, in: {{image: toned}}}}
outputs:
  - {{from: toned, to: "{{photo.rel}}_{{gamma}}.png"}}
  - {{from: mean, to: means.csv}}
run: {{retries: {retries}, timeout: {timeout}}}
"""
GUILTY = {
    "crash": ((255, 0, 0), "worker_died"),
    "hang": ((0, 255, 0), "timeout"),
    "hoard": ((0, 0, 255), "out_of_memory"),
}


class BrokenPromiseError(AssertionError):
    """Something that the engine promises was not so."""


@dataclass(slots=True)
class Scene:
    """A folder with photos, workflow, cache and outputs; `expected` is what a run must leave.

    `poison` names the photos among GUILTY that are there. Every process of the scene has its folder
    in its environment, so that none can hide.
    """

    folder: Path
    photos: int = 10
    seconds: float = 0.01
    retries: int = 100
    timeout_s: float = 60.0
    poison: tuple[str, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    cache: Path = field(init=False)
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.cache, self.out = self.folder / "cache", self.folder / "out"
        pictures = self.folder / "photos"
        pictures.mkdir(parents=True)
        random_colours = random.Random(self.photos)
        for i in range(self.photos):
            colour = tuple(random_colours.randrange(20, 230) for _ in range(3))
            photo = Image.new("RGB", (24, 16), colour)
            photo.paste((colour[1], colour[2], colour[0]), (4, 4, 12, 12))
            photo.save(pictures / f"p{i:03}.png")
        for name in self.poison:
            Image.new("RGB", (24, 16), GUILTY[name][0]).save(pictures / f"{name}.png")
        flow = WORKFLOW.format(
            photos=pictures, seconds=self.seconds, retries=self.retries, timeout=self.timeout_s
        )
        self.flow.write_text(flow)
        self.clock.write_bytes(struct.pack("d", 0.0))

    @property
    def flow(self) -> Path:
        """The workflow file."""
        return self.folder / "scene.yaml"

    @property
    def clock(self) -> Path:
        """By how many seconds the clocks of all processes are wrong."""
        return self.folder / "clock"

    @property
    def log(self) -> Path:
        """What the drivers said."""
        return self.folder / "log"

    def set_clock(self, seconds: float) -> None:
        """Let all clocks jump."""
        with self.clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    # -- running ---------------------------------------------------------------------------------

    def fork(self, longest_file: int | None = None) -> "Driver":
        """Start a driver with its worker in a thread: a fork of this process, hence cheap.

        No file may get longer than `longest_file` bytes.
        """
        pid = os.fork()
        if pid:
            return Driver(pid)
        code, told = DEFECT, ""
        try:
            os.setsid()
            said = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            if longest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, _NO_LIMIT))
            code, told = run_here(self)
        except BaseException:  # noqa: BLE001  (the harness reads it in the log)
            told = traceback.format_exc()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (_NO_LIMIT, _NO_LIMIT))
            print(told, file=sys.stderr)
            sys.stderr.flush()
            os._exit(code)

    def command(self, *flags: str, **environment: str) -> "Driver":
        """Start a driver as a user does."""
        line = [
            *(sys.executable, str(ROOT / "run_workflow.py"), str(self.flow), "--ops", str(OPS)),
            *("--cache", str(self.cache), "-o", str(self.out), "-q", *flags),
        ]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                line,
                stdout=log,
                stderr=log,
                env=self.environment(**environment),
                start_new_session=True,
            )
        return Driver(process.pid, process)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of every process of the scene."""
        paths = os.pathsep.join([str(Path(__file__).with_name("clock")), str(ROOT)])
        return {
            **os.environ,
            MARK: str(self.folder),
            "CHAOS_CLOCK": str(self.clock),
            "PYTHONPATH": paths,
            **more,
        }

    # -- afterwards ------------------------------------------------------------------------------

    def check(self, code: int) -> None:
        """Look whether everything is as promised, now that the same command ended with a code.

        Raises: BrokenPromiseError.
        """
        wanted = 3 if self.poison else 0
        if code != wanted:
            raise BrokenPromiseError(f"exit code {code} instead of {wanted}: {self.last_words()}")
        if (made := contents(self.out)) != self.expected:
            odd = sorted(set(made.items()) ^ set(self.expected.items()))
            raise BrokenPromiseError(f"the outputs differ: {odd[:6]}")
        if left := [str(p) for root in (self.out, self.cache) for p in unfinished(root)]:
            raise BrokenPromiseError(f"left behind: {left[:6]}")
        blamed = {(row["step"], row["label"]): row["reason"] for row in self.quarantined()}
        guilty = {("safe", f"photo={name}"): GUILTY[name][1] for name in self.poison}
        if blamed != guilty:
            raise BrokenPromiseError(f"set aside: {blamed} instead of {guilty}")
        self.check_orphans()

    def check_orphans(self) -> None:
        """Wait for all processes of the scene to end.

        Raises: BrokenPromiseError when some go on.
        """
        deadline = time.monotonic() + 20
        while left := list(self.processes()):
            if time.monotonic() > deadline:
                raise BrokenPromiseError(f"orphans: {[p.info for p in left]}")
            time.sleep(0.1)

    def processes(self) -> Iterator[psutil.Process]:
        """The living processes that have the scene in their environment."""
        for process in psutil.process_iter(["pid", "ppid", "cmdline", "status"]):
            try:
                mine = process.environ().get(MARK) == str(self.folder)
            except (psutil.Error, OSError):
                continue
            if mine and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                yield process

    def quarantined(self) -> list[dict[str, str]]:
        """The items that the last run set aside."""
        from engine.history import load_items

        rows = load_items(self.out / ".run", status="quarantined")
        return [{"step": r.step, "label": r.label, "reason": str(r.reason)} for r in rows]

    def last_words(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


@dataclass(slots=True)
class Driver:
    """A driver under way."""

    pid: int
    process: "subprocess.Popen[bytes] | None" = None
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.process is not None:
            return self.process.poll()
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for the end.

        Raises: BrokenPromiseError when it does not come.
        """
        deadline = time.monotonic() + patience_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                raise BrokenPromiseError(f"the driver did not end within {patience_s:g} s")
            time.sleep(0.02)
        return code

    def wait_for(self, seconds: float) -> int | None:
        """Wait a while; give the exit code if it ended meanwhile."""
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.002)
        return code

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


def run_here(scene: Scene) -> tuple[int, str]:
    """Run a scene in this process; typed errors become their exit code. Tells what was said."""
    from engine.errors import WorkflowError
    from run_workflow import run

    try:
        result = run(scene.flow, ops=[OPS], out=scene.out, cache=scene.cache, workers=0)
    except WorkflowError as error:
        return error.exit_code, f"error: {error}"
    except KeyboardInterrupt:  # before a run has begun to listen to signals
        return 128 + signal.SIGINT, "interrupted"
    return result.exit_code, f"{json.dumps(result.as_json())} {result.message}"


def contents(folder: Path) -> dict[str, str]:
    """Digest of every visible file below a folder."""
    found = (p for p in folder.rglob("*") if p.is_file() and ".run" not in p.parts)
    return {str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() for p in found}


def unfinished(folder: Path) -> Iterator[Path]:
    """What nobody should find after a finished run."""
    for path in folder.rglob("*"):
        if "tmp" in path.name or path.name in ("hands", "dask") or path.name.startswith("probe-"):
            yield path
