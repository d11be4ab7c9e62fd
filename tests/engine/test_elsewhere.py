"""Runs on somebody's cluster, with real processes: workers that come and go, and those unfit."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed.security import Security

from engine.store import list_packs
from run_workflow import main

ROOT = Path(__file__).parents[2]
COUNT = 60
#: `gate` holds some items back until a file is there: workers can come and go in the middle.
OPS = '''
"""Ops for looking at runs."""
import time
from pathlib import Path
from engine.op import op
from engine.values import Scalar

@op(version=1)
def gate(value: Scalar, *, file: str, least: float = 0.0) -> Scalar:
    """The value; one of at least `least` comes when the file is there."""
    while value.data[0] >= least and not Path(file).exists():
        time.sleep(0.02)
    return value
'''
FLOW = """
version: 1
name: elsewhere
sources: {x: {values: [VALUES]}}
steps: {pass: {op: gate, in: {value: x}, with: {file: GATE, least: 8}}}
outputs: [{from: pass, to: all.csv}]
"""
DRAWN = """
version: 1
models: {faces: {file: weights/generator.safetensors}}
sources: {code: {samples: {count: 2, model: faces}}}
steps: {picture: {op: synthesize, in: {latent: code}, model: faces}}
outputs: [{from: picture, to: "{code.index}.png"}]
"""
#: A process with mounts of its own.
OWN_MOUNTS = ["unshare", "-rm", "sh", "-c"]


def certificates(folder: Path) -> list[str]:
    """Make an authority and a certificate of it; give the flags with which Dask takes them."""
    folder.mkdir()
    made = Security.temporary()
    for name, text in (
        ("ca", made.tls_ca_file),
        ("cert", made.tls_client_cert),
        ("key", made.tls_client_key),
    ):
        (folder / f"{name}.pem").write_text(text)
    flags = {"--tls-ca-file": "ca", "--tls-cert": "cert", "--tls-key": "key"}
    told = [text for flag, name in flags.items() for text in (flag, str(folder / f"{name}.pem"))]
    return ["--protocol", "tls", *told]


class Somebody:
    """A scheduler and workers in processes of their own, and the commands of a user of them."""

    def __init__(self, root: Path, *, tls: bool = False) -> None:
        self.root = root
        self.tls = certificates(root / "theirs") if tls else []
        self.out, self.cache, self.gate = (root / name for name in ("out", "cache", "open"))
        self.file = root / "scheduler.json"
        self.started: list[subprocess.Popen[str]] = []
        (root / "ops.py").write_text(OPS)
        (root / "flow.yaml").write_text(
            FLOW.replace("VALUES", ", ".join(map(str, range(COUNT)))).replace(
                "GATE", str(self.gate)
            )
        )
        self.open()

    def open(self) -> None:
        """Start a scheduler, anew if there was one."""
        self.file.unlink(missing_ok=True)
        dask = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0"]
        command = [*dask, "--no-dashboard", "--scheduler-file", str(self.file), *self.tls]
        self.scheduler = self._start(command, {})
        self.until(self.scheduler, lambda: self.file.exists() and self.file.read_text())

    def join(
        self, *, home: str = str(ROOT), mounts: str = "", **environment: str
    ) -> "subprocess.Popen[str]":
        """Start a worker; `home` is where its program is, `mounts` what it sees differently."""
        dask = [sys.executable, "-m", "dask", "worker", "--scheduler-file", str(self.file)]
        own = ["--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", "--no-nanny"]
        command = [*dask, *own, "--local-directory", str(self.root / "scratch"), *self.tls]
        if mounts:
            command = [*OWN_MOUNTS, f'{mounts} && exec "$@"', "sh", *command]
        log = self.root / f"worker-{len(self.started)}.log"
        worker = self._start(command, {"PYTHONPATH": home, **environment}, log)
        self.until(worker, lambda: "Registered to" in log.read_text())
        return worker

    def _start(
        self, command: list[str], environment: dict[str, str], log: Path | None = None
    ) -> "subprocess.Popen[str]":
        with (log or self.root / "log").open("a") as said:
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=said,
                text=True,
                cwd=self.root,  # where no program is
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            )
        self.started.append(process)
        return process

    def line(self, *more: str, flow: str = "flow.yaml") -> list[str]:
        """The command line of a run on this cluster."""
        places = ["--cache", str(self.cache), "-o", str(self.out)]
        own = ["--ops", str(self.root / "ops.py"), "-q", "--json"]
        where = ["--scheduler", str(self.file)]
        return ["run", str(self.root / flow), *own, *places, *where, *more]

    def run(self, *more: str) -> "subprocess.Popen[str]":
        """Start a run in another process."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_workflow.py"), *self.line(*more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.started.append(process)
        return process

    def done(self) -> int:
        """Items that a run that goes on has done."""
        path = self.out / ".run" / "metrics.prom"
        found = re.search(r'state="done"} (\d+)', path.read_text()) if path.exists() else None
        return int(found.group(1)) if found else 0

    def until(self, process: "subprocess.Popen[str]", seen: Callable[[], object]) -> None:
        """Wait until something is to be seen of a process that goes on."""
        while not seen():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)

    def close(self) -> None:
        self.gate.touch()
        for process in reversed(self.started):
            process.kill()
            process.communicate()


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[Somebody]:
    found = Somebody(tmp_path)
    yield found
    found.close()


def leave(worker: "subprocess.Popen[str]") -> None:
    """Let a worker go in peace, as a queue does that takes its machine back."""
    worker.terminate()
    worker.wait()


# -- coming and going ----------------------------------------------------------------------------


def test_workers_join_and_leave_in_the_middle(somebody: Somebody) -> None:
    early = somebody.join()
    run = somebody.run()
    somebody.until(run, somebody.done)
    somebody.join()
    leave(early)
    somebody.gate.touch()
    output, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    steps = json.loads(output)["steps"]
    assert (steps["pass"]["done"], steps["pass"]["quarantined"]) == (COUNT, 0)
    assert len((somebody.out / "all.csv").read_text().splitlines()) == COUNT + 1


def test_a_worker_that_is_silent_for_longer_than_its_heartbeat_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "10s")
    somebody = Somebody(tmp_path)
    try:
        frozen = somebody.join()
        run = somebody.run()
        somebody.until(run, somebody.done)
        somebody.join()
        frozen.send_signal(signal.SIGSTOP)
        somebody.gate.touch()
        output, errors = run.communicate()
        assert (run.returncode, errors) == (0, "")
        assert json.loads(output)["steps"]["pass"]["done"] == COUNT
        table = (somebody.out / "all.csv").read_bytes()
        frozen.send_signal(signal.SIGCONT)  # what it still holds changes nothing
        assert main(somebody.line()) == 0
        assert json.loads(capsys.readouterr().out)["steps"]["pass"]["cached"] == COUNT
        assert (somebody.out / "all.csv").read_bytes() == table
    finally:
        somebody.close()


def test_who_joins_with_other_code_ends_the_run_before_it_computes_anything(
    somebody: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    good = somebody.join()
    run = somebody.run()
    somebody.until(run, somebody.done)
    older = somebody.root / "older"
    older.mkdir()
    for room in ("ops", "models"):
        (older / room).symlink_to(ROOT / room)
    subprocess.run(["cp", "-r", str(ROOT / "engine"), str(older)], check=True)
    with (older / "engine" / "keys.py").open("a") as file:
        file.write("# as it was last week\n")
    bad = somebody.join(home=str(older))
    leave(good)
    somebody.gate.touch()
    output, errors = run.communicate()
    assert run.returncode == json.loads(output)["exit_code"] == 1
    assert "joined with other code" in errors
    assert "Traceback" not in errors
    leave(bad)
    somebody.join()
    assert main(somebody.line()) == 0
    again = json.loads(capsys.readouterr().out)["steps"]["pass"]
    assert again["cached"] >= 8
    assert again["done"] + again["cached"] == COUNT


def test_a_scheduler_that_dies_ends_the_run_and_loses_nothing(
    somebody: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    somebody.join()
    run = somebody.run()
    somebody.until(run, somebody.done)
    somebody.scheduler.send_signal(signal.SIGKILL)
    somebody.gate.touch()
    output, errors = run.communicate()
    assert run.returncode == json.loads(output)["exit_code"] == 1
    assert "the connection to the Dask scheduler is lost" in errors
    assert "Traceback" not in errors
    somebody.open()
    somebody.join()
    assert main(somebody.line()) == 0
    again = json.loads(capsys.readouterr().out)["steps"]["pass"]
    assert again["cached"] >= 8
    assert again["done"] + again["cached"] == COUNT


def test_a_scheduler_that_freezes_ends_the_run_after_a_while(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.cluster.SILENT_S", 3.0)
    somebody.join()

    def freeze() -> None:
        while not somebody.done():
            time.sleep(0.05)
        somebody.scheduler.send_signal(signal.SIGSTOP)

    watcher = threading.Thread(target=freeze)
    watcher.start()
    assert main(somebody.line()) == 1
    watcher.join()
    output, errors = capsys.readouterr()
    assert json.loads(output)["exit_code"] == 1
    assert "the connection to the Dask scheduler is lost" in errors
    assert "Traceback" not in errors


def test_a_scheduler_that_is_not_there_is_told(
    somebody: Somebody, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.cluster.ANSWER_S", 1)
    nobody = ["--scheduler", "tcp://127.0.0.1:9"]
    assert main([*somebody.line(), *nobody]) == 1
    output, errors = capsys.readouterr()
    assert json.loads(output)["exit_code"] == 1
    assert "error: --scheduler tcp://127.0.0.1:9: no answer" in errors
    assert list(list_packs(somebody.cache)) == []


def test_certificates_open_a_cluster_and_those_of_another_authority_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    somebody = Somebody(tmp_path, tls=True)
    try:
        somebody.gate.touch()
        somebody.join()
        address = json.loads(somebody.file.read_text())["address"]
        assert address.startswith("tls://")
        certificates(tmp_path / "ours")
        for folder, code in (("ours", 1), ("theirs", 0)):
            tls = ", ".join(f"{name}: {folder}/{name}.pem" for name in ("ca", "cert", "key"))
            profile = tmp_path / f"{folder}.yaml"
            profile.write_text(
                f"cluster: {{kind: scheduler, address: '{address}', tls: {{{tls}}}}}\n"
            )
            line = somebody.line()[: -len(["--scheduler", "FILE"])]
            assert main([*line, "--cluster", str(profile)]) == code
            output, errors = capsys.readouterr()
            assert json.loads(output)["exit_code"] == code
            hinted = "needs --tls-ca, --tls-cert and --tls-key of the authority" in errors
            assert hinted == bool(code)
    finally:
        somebody.close()


# -- unfit workers -------------------------------------------------------------------------------


def refused(somebody: Somebody, capsys: pytest.CaptureFixture[str], line: list[str]) -> str:
    """Run, and give what is said of the worker; nothing may have been computed or left."""
    assert main(line) == 1
    output, errors = capsys.readouterr()
    assert json.loads(output)["exit_code"] == 1
    assert "Traceback" not in errors
    assert re.search(r"error: --scheduler \S+: tcp://127\.0\.0\.1:\d+ ", errors)
    assert list(list_packs(somebody.cache)) == []
    left = [p for root in (somebody.cache, somebody.out) for p in root.rglob("probe-*")]
    assert left == []
    return errors


def test_a_worker_without_a_gpu_is_told_when_one_is_asked_for(
    somebody: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    somebody.join(CUDA_VISIBLE_DEVICES="")
    told = refused(somebody, capsys, somebody.line("--gpus", "all"))
    assert "has no GPU that torch can use, and one is asked for" in told


def test_a_worker_with_another_version_of_a_package_is_told(
    somebody: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    card = somebody.root / "other" / "pillow-1.0.dist-info" / "METADATA"
    card.parent.mkdir(parents=True)
    card.write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 1.0\n")
    somebody.join(home=os.pathsep.join([str(ROOT), str(card.parents[1])]))
    assert "has pillow 1.0, the driver " in refused(somebody, capsys, somebody.line())


@pytest.fixture
def mounts() -> None:
    """Skip where processes may have no mounts of their own."""
    try:
        subprocess.run([*OWN_MOUNTS, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount")


@pytest.mark.usefixtures("mounts")
def test_a_worker_without_the_model_file_is_told(
    somebody: Somebody, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = somebody.root / "weights"
    weights.mkdir()
    model = weights / "generator.safetensors"
    model.write_bytes((ROOT / "models/builtin/portraits-128/generator.safetensors").read_bytes())
    (somebody.root / "drawn.yaml").write_text(DRAWN)
    somebody.join(mounts=f"mount -t tmpfs none '{weights}'")
    told = refused(somebody, capsys, somebody.line(flow="drawn.yaml"))
    assert f"cannot read {model}: No such file or directory" in told


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("mount -t tmpfs none '{0}'", "does not see {0}; the cache and the output folder must be"),
        (
            "mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'",
            "cannot write to {0}: Read-only file system",
        ),
    ],
    ids=["another disk", "read-only"],
)
def test_a_worker_that_cannot_use_the_cache_is_told(
    somebody: Somebody, capsys: pytest.CaptureFixture[str], how: str, said: str
) -> None:
    somebody.cache.mkdir()
    somebody.join(mounts=how.format(somebody.cache))
    assert said.format(somebody.cache) in refused(somebody, capsys, somebody.line())
