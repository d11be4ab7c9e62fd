"""The same nothing in other tools: a folder of files through three steps, here and in peers.

Snakemake, redun, Prefect and plain `dask.delayed` against ours, in one run on one machine, cold and
repeated; one JSON line per figure. Each step passes the content of a small file on. `--venv DIR` is
the environment with the peers, made apart from ours (`pip install snakemake redun prefect dask
distributed`); whatever is not in it is skipped, and said so. docs/scale.md says how each is set up.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKERS = 2

OURS_OPS = '''
from engine.op import op
from engine.values import Scalar

@op(version=1, batch=64)
def pass_on(value: Scalar) -> Scalar:
    """Give the value back."""
    return value
'''
OURS = """
version: 1
name: peers
sources: {file: {glob: "in/*.txt"}}
steps:
  first:  {op: pass_on, in: {value: file.stem}}
  second: {op: pass_on, in: {value: first}}
  third:  {op: pass_on, in: {value: second}}
outputs: [{from: third, to: all.csv}]
"""
SNAKEFILE = """
NAMES = glob_wildcards("in/{name}.txt").name
rule all:
    input: expand("c/{name}", name=NAMES)
rule first:
    input: "in/{name}.txt"
    output: "a/{name}"
    shell: "cp {input} {output}"
rule second:
    input: "a/{name}"
    output: "b/{name}"
    shell: "cp {input} {output}"
rule third:
    input: "b/{name}"
    output: "c/{name}"
    shell: "cp {input} {output}"
"""
REDUN = """
from redun import File, task
redun_namespace = "peers"

@task()
def first(file: File) -> str:
    return file.read()

@task()
def second(text: str) -> str:
    return text

@task()
def third(text: str) -> str:
    return text

@task()
def every(count: int) -> list:
    return [third(second(first(File(f"in/{i:06}.txt")))) for i in range(count)]

@task()
def main(count: int) -> int:
    return total(every(count))

@task()
def total(texts: list) -> int:
    return len(texts)
"""
PREFECT = """
import sys
from pathlib import Path
from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE
from prefect.task_runners import ThreadPoolTaskRunner

KEPT = {"cache_policy": INPUTS + TASK_SOURCE, "persist_result": True}

@task(**KEPT)
def first(path: str) -> str:
    return Path(path).read_text()

@task(**KEPT)
def second(text: str) -> str:
    return text

@task(**KEPT)
def third(text: str) -> str:
    return text

@flow(task_runner=ThreadPoolTaskRunner(max_workers=2), log_prints=False)
def peers(paths: list[str]) -> int:
    found = third.map(second.map(first.map(paths)))
    return len(found.result())

if __name__ == "__main__":
    assert peers(sorted(str(p) for p in Path("in").glob("*.txt"))) == int(sys.argv[1])
"""
DELAYED = """
import sys
from pathlib import Path
import dask
from dask import delayed
from distributed import Client

@delayed
def first(path):
    return Path(path).read_text()

@delayed
def second(text):
    return text

@delayed
def third(text):
    return text

if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        paths = sorted(str(p) for p in Path("in").glob("*.txt"))
        assert len(dask.compute(*[third(second(first(p))) for p in paths])) == int(sys.argv[1])
"""


@dataclass(frozen=True)
class Peer:
    """A tool: the files of its workflow, and its command for a number of items."""

    name: str
    files: Mapping[str, str]
    command: Callable[[Path, int], list[str]]
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def _ours(_: Path, __: int) -> list[str]:
    line = [sys.executable, str(ROOT / "run_workflow.py"), "peers.yaml", "--ops", "ops.py"]
    return [*line, "--workers", str(WORKERS), "--cache", "cache", "-o", "out", "-q"]


def _snakemake(bin_: Path, _: int) -> list[str]:
    return [str(bin_ / "snakemake"), "--cores", str(WORKERS), "--quiet", "all"]


def _redun(bin_: Path, count: int) -> list[str]:
    return [str(bin_ / "redun"), "run", "peers.py", "main", "--count", str(count)]


def _script(bin_: Path, count: int) -> list[str]:
    return [str(bin_ / "python"), "peers.py", str(count)]


PEERS = (
    Peer("ours", {"peers.yaml": OURS, "ops.py": OURS_OPS}, _ours),
    Peer("dask.delayed", {"peers.py": DELAYED}, _script, needs="distributed"),
    Peer("snakemake", {"Snakefile": SNAKEFILE}, _snakemake, needs="snakemake"),
    Peer("redun", {"peers.py": REDUN}, _redun, needs="redun"),
    Peer("prefect", {"peers.py": PREFECT}, _script, needs="prefect"),
)


def has(venv: Path | None, package: str) -> bool:
    """Whether an environment has a package."""
    if venv is None:
        return False
    command = [str(venv / "bin" / "python"), "-c", f"import {package}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def measure(peer: Peer, venv: Path, folder: Path, count: int, limit_s: float) -> dict[str, object]:
    """Run a tool once; its wall and processor seconds, or how it failed."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    places = {"HOME": str(home), "PREFECT_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR"}
    env = {**os.environ, **places, "OMP_NUM_THREADS": "1", **peer.environment}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            peer.command(venv / "bin", count),
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return {"failed": f"not done after {limit_s:g} s"}
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if code:
        return {"failed": (folder / "log").read_text(errors="replace")[-400:]}
    per_item_step = round(1e3 * seconds / count / 3, 3)
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(cpu, 2),
        "ms_per_item_step": per_item_step,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, help="the environment that has the peers")
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds for one command")
    parser.add_argument("--only", nargs="+", default=[peer.name for peer in PEERS])
    asked = parser.parse_args()
    machine = {"cpus": len(os.sched_getaffinity(0))}
    for peer in PEERS:
        if peer.name not in asked.only:
            continue
        if peer.needs and not has(asked.venv, peer.needs):
            skipped = {"benchmark": "peers.skipped", "peer": peer.name, "why": "not in --venv"}
            print(json.dumps(skipped), flush=True)
            continue
        for count in asked.files:
            folder = Path(tempfile.mkdtemp(prefix="peers-"))
            (folder / "in").mkdir()
            for i in range(count):
                (folder / "in" / f"{i:06}.txt").write_text(str(i))
            for name, text in peer.files.items():
                (folder / name).write_text(text)
            for kind in ("cold", "repeated"):
                load = {"load": round(os.getloadavg()[0], 1)}
                found = measure(peer, asked.venv or Path(), folder, count, asked.limit)
                told = {
                    "benchmark": "peers.run",
                    "peer": peer.name,
                    "files": count,
                    "run": kind,
                    **found,
                }
                print(json.dumps({**told, **machine, **load}), flush=True)
                if "failed" in found:
                    break
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
