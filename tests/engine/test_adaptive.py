"""Runs on Dask clusters that are not ours: workers come with the work, and may be lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from engine.cluster import _Roster
from engine.runner import RunResult
from run_workflow import run

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toy_ops.py")
SERVER = """
import sys
from distributed import LocalCluster
def main(folder, workers):
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0",
                      worker_dashboard_address="127.0.0.1:0", local_directory=folder,
                      silence_logs=50) as cluster:
        if not workers:
            cluster.adapt(minimum=0, maximum=2, interval="200ms", target_duration="500ms")
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
"""


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """The address of a cluster in another process; with no workers it starts them as needed."""
    script = folder / "server.py"
    script.write_text(SERVER)
    server = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.communicate("")


def start(folder: Path, address: str, steps: str, retries: int) -> RunResult:
    text = f"""
version: 1
name: elsewhere
sources: {{x: {{values: {list(range(40))}}}}}
steps:
  first: {{op: tarry, in: {{value: x}}}}
  {steps}
outputs: [{{from: last, to: last.csv}}]
run: {{retries: {retries}}}
"""
    (folder / "flow.yaml").write_text(text)
    places = {"out": folder / "out", "cache": folder / "cache"}
    return run(folder / "flow.yaml", ops=[OPS], scheduler=address, **places)


def test_workers_come_with_the_work(tmp_path: Path) -> None:
    (tmp_path / "met").mkdir()
    settings = f"{{folder: '{tmp_path / 'met'}'}}"
    with cluster(tmp_path, 0) as address:
        step = f"last: {{op: meet_others, in: {{value: first}}, with: {settings}}}"
        result = start(tmp_path, address, step, 0)
    assert (result.exit_code, result.message) == (0, "")
    assert result.steps["last"]["done"] == 40
    assert len(list((tmp_path / "met").iterdir())) == 2, "there was work for a second worker"


def test_a_cluster_that_has_let_all_workers_go_is_woken(tmp_path: Path) -> None:
    with cluster(tmp_path, 0) as address, Client(address, set_as_default=False) as client:
        roster = _Roster(client)
        assert roster() == {}
        while not roster():
            client.wait_for_workers(1, timeout=120)


def test_work_follows_a_worker_that_is_lost(tmp_path: Path) -> None:
    settings = f"{{mark: '{tmp_path / 'mark'}'}}"
    with cluster(tmp_path, 2) as address:
        step = f"last: {{op: die_once, in: {{value: first}}, with: {settings}}}"
        result = start(tmp_path, address, step, 1)
    assert (result.exit_code, result.message) == (0, "")
    assert result.steps["last"]["done"] == 40
