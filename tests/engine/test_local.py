"""Worker processes of our own: their share of the machine, their GPUs, their coming back."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from distributed import KilledWorker

from engine.cluster import open_workers
from engine.errors import UsageError
from engine.local import HELPERS, cpu_count, gpu_numbers, helpers, memory_share, worker_environment
from engine.profiles import ClusterSpec


def test_workers_share_the_cpus() -> None:
    environment = worker_environment(workers=3, cpus=8)
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "2"
    assert environment["OPENBLAS_NUM_THREADS"] == "2"  # NumPy's and SciPy's
    assert worker_environment(workers=16, cpus=8)["OMP_NUM_THREADS"] == "1"


def test_a_worker_may_use_its_share_of_memory_but_never_too_little() -> None:
    assert memory_share(1) >= memory_share(2) >= memory_share(10_000)
    assert memory_share(10_000) >= min(memory_share(1), 4 << 30)


def test_a_gpu_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such GPU on this machine"):
        gpu_numbers("97")


def test_stand_ins_are_taken_for_gpus_and_have_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTLOOM_GPU_STAND_INS", "3")
    assert gpu_numbers("all") == ("0", "1", "2")
    assert gpu_numbers("2,0") == ("2", "0")
    with pytest.raises(UsageError, match="found: 0, 1, 2"):
        gpu_numbers("3")
    assert helpers(ClusterSpec(workers=5), 2) == 5
    assert helpers(ClusterSpec(), 2) == min(2 * HELPERS, max(0, cpu_count() - 2))


def test_a_script_without_a_guard_is_told_so_in_one_line(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    flow = "sources: {x: {values: [1]}}\nsteps: {a: {op: double, in: {value: x}}}\n"
    (tmp_path / "flow.yaml").write_text(f"version: 1\nname: bare\n{flow}")
    script = tmp_path / "script.py"
    ops = Path(__file__).with_name("toy_ops.py")
    call = f"run('flow.yaml', ops=[{str(ops)!r}], out='out', cache='cache', workers=1)"
    script.write_text(f"from run_workflow import run\nprint({call}.exit_code)\n")
    env = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.stdout == "1\n"
    [line] = done.stderr.splitlines()
    assert 'under `if __name__ == "__main__":`' in line
    assert str(script) in line


LEAVE = "from distributed import get_worker as here; w = here(); w.loop.add_callback(w.close)"


def test_a_worker_that_left_comes_back(tmp_path: Path) -> None:
    with open_workers(ClusterSpec(workers=1), tmp_path) as workers:
        first = found = workers.submit(os.getpid).result(60)
        with suppress(TimeoutError, KilledWorker):  # its answer may leave with it
            workers.submit(exec, LEAVE).result(5)
        for _ in range(200):
            assert workers.slots() <= 1
            with suppress(TimeoutError, KilledWorker):  # sent to the one that is leaving
                found = workers.submit(os.getpid).result(0.5)
            if found != first:
                break
        assert found != first
