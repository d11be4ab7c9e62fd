"""Workers on hosts that are reached by SSH: a real server, real keys, real worker processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from engine.cluster import open_workers
from engine.errors import RunError
from engine.profiles import ClusterSpec, read_profile
from run_workflow import main

asyncssh = pytest.importorskip("asyncssh")

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toy_ops.py")
NAMES = ("127.0.0.1", "127.0.0.2")
#: As sshd does it: a command runs in a session of its own, hears signals, and is not told of a
#: connection that is lost.
SERVER = """
import asyncio, os, signal, sys
import asyncssh
folder, *names = sys.argv[1:]

class Session(asyncssh.SSHServerSession):
    def connection_made(self, channel):
        self.channel = channel
    def exec_requested(self, command):
        self.command = command
        return True
    def session_started(self):
        self.task = asyncio.create_task(self.execute())
    async def execute(self):
        pipe = asyncio.subprocess.PIPE
        self.child = await asyncio.create_subprocess_shell(
            self.command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
            start_new_session=True,
        )
        out = self.pass_on(self.child.stdout, self.channel.write)
        await asyncio.gather(out, self.pass_on(self.child.stderr, self.channel.write_stderr))
        self.channel.exit(await self.child.wait())
    async def pass_on(self, stream, write):
        while data := await stream.read(65536):
            if not self.channel.is_closing():
                write(data)
    def signal_received(self, name):
        os.killpg(self.child.pid, getattr(signal, f"SIG{name}"))

class Server(asyncssh.SSHServer):
    def session_requested(self):
        return Session()

async def serve():
    port = 0
    for name in names:
        listener = await asyncssh.create_server(
            Server, name, port, server_host_keys=[f"{folder}/host"], encoding=None,
            authorized_client_keys=f"{folder}/me.pub",
        )
        port = listener.get_port()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(serve())
"""
FLOW = """
version: 1
name: far
sources:
  x: {values: [VALUES]}
steps:
  wait: {op: tarry, in: {value: x}, with: {seconds: SECONDS}}
  picture: {op: paint, in: {value: wait}, with: {size_px: 16}}
outputs:
  - {from: picture.image, to: "{x.value}.png"}
""".replace("VALUES", ", ".join(str(i / 100) for i in range(12)))


class Host:
    """Two names of one SSH server, and a profile that reaches it with a key of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "me", "stranger"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            key.write_public_key(folder / f"{name}.pub")
        (folder / "server.py").write_text(SERVER)
        command = [sys.executable, str(folder / "server.py"), str(folder), *NAMES]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},  # it is installed there
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.know("host")

    def know(self, key: str) -> None:
        """Expect that the server shows this key."""
        public = (self.folder / f"{key}.pub").read_text()
        lines = [f"[{name}]:{self.port} {public}" for name in NAMES]
        (self.folder / "known_hosts").write_text("".join(lines))

    def profile(self, *lines: str, key: str = "me") -> Path:
        """Write a profile with these lines more."""
        path = self.folder / "cluster.yaml"
        told = [
            "kind: ssh",
            f"hosts: [{', '.join(NAMES)}]",
            "username: me",
            f"port: {self.port}",
            f"key: {key}",
            "known_hosts: known_hosts",
            "interface: lo",
            *lines,
        ]
        path.write_text("\n  ".join(["cluster:", *told]) + "\n")
        return path

    def spec(self, *lines: str, key: str = "me") -> ClusterSpec:
        return read_profile(self.profile(*lines, key=key))

    def processes(self) -> list[psutil.Process]:
        """What runs on the host."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def close(self) -> None:
        if self.process.poll() is not None:
            return
        left = self.processes()
        self.process.communicate("")
        for process in left:
            process.kill()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "host"
    folder.mkdir()
    host = Host(folder)
    yield host
    host.close()


def line(folder: Path, out: str, *more: str, seconds: float = 0.02) -> list[str]:
    """The command line of a run in a folder, each of whose items takes so long."""
    (folder / "flow.yaml").write_text(FLOW.replace("SECONDS", str(seconds)))
    places = ["--cache", str(folder / f"cache-{out}"), "-o", str(folder / out)]
    return ["run", str(folder / "flow.yaml"), "--ops", str(OPS), *places, "--json", "-q", *more]


def pictures(folder: Path) -> dict[str, str]:
    return {p.name: sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.png")}


def test_a_run_on_two_hosts_makes_the_same_files(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line(tmp_path, "far", "--cluster", str(host.profile("workers: 2")))) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"]["wait"]["done"] == 12
    assert psutil.wait_procs(host.processes(), 30)[1] == []
    assert main(line(tmp_path, "near", "--workers", "1")) == 0
    assert len(pictures(tmp_path / "near")) == 12
    assert pictures(tmp_path / "far") == pictures(tmp_path / "near")


def test_workers_have_their_environment_before_they_start(host: Host, tmp_path: Path) -> None:
    with open_workers(host.spec("cpus: 3"), tmp_path / "run", [tmp_path]) as workers:
        assert workers.slots() == 2
        names = ("OMP_NUM_THREADS", "LATENTLOOM_DEVICE", "MALLOC_MMAP_MAX_")
        found = [workers.submit(os.getenv, name).result(60) for name in names]
        assert found == ["3", "cpu", "0"]
        there = {process.pid for process in host.processes()}
        assert workers.submit(os.getpid).result(60) in there
    assert psutil.wait_procs(host.processes(), 30)[1] == []


def refused(spec: ClusterSpec, folder: Path, told: str) -> None:
    with pytest.raises(RunError, match=told), open_workers(spec, folder):
        pytest.fail("nobody should have let us in")


def test_a_host_with_another_key_is_not_talked_to(host: Host, tmp_path: Path) -> None:
    host.know("stranger")
    refused(host.spec(), tmp_path, r"the ssh workers cannot be started: .*Host key is not trusted")
    assert host.processes() == []


def test_who_has_the_wrong_key_is_told(host: Host, tmp_path: Path) -> None:
    refused(host.spec(key="stranger"), tmp_path, r"Permission denied for user me on host 127")
    assert host.processes() == []


def test_a_host_that_cannot_start_workers_is_told_in_its_own_words(
    host: Host, tmp_path: Path
) -> None:
    spec = host.spec("python: /opt/none/bin/python")
    refused(spec, tmp_path, r"cannot be started: .*it said: .*/opt/none/bin/python.*[Nn]o")


def test_a_host_that_is_not_there_is_told(host: Host, tmp_path: Path) -> None:
    spec = host.spec()
    host.close()
    refused(spec, tmp_path, r"the ssh workers cannot be started: .*127\.0\.0\.1")


def test_hosts_are_left_empty_when_the_driver_is_killed(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys, engine.remote, run_workflow\n"
        "engine.remote.IDLE_S = 15\n"
        "sys.exit(run_workflow.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code]
    command += line(tmp_path, "far", "--cluster", str(host.profile()), seconds=0.5)
    driver = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not list((tmp_path / "far").glob("*.png")):
        with pytest.raises(subprocess.TimeoutExpired):
            driver.wait(0.05)
    driver.kill()
    driver.wait()
    assert len(host.processes()) >= 3
    assert psutil.wait_procs(host.processes(), 120)[1] == []
    assert main(line(tmp_path, "far", "--workers", "1", seconds=0.5)) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert 0 < steps["wait"]["done"] < 12
    assert len(pictures(tmp_path / "far")) == 12
