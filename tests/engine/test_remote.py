"""Workers started elsewhere: what queue and hosts are told, and a run on a queue that is a stub."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from engine.cluster import open_workers, planned_slots
from engine.errors import UsageError
from engine.profiles import ClusterSpec, Hire
from engine.remote import environment, slurm_options, ssh_options

#: A queue of one machine: jobs run at once, with the number that is their process's. As sbatch
#: does, it keeps a copy of the script, which whoever handed it in deletes.
SBATCH = """#!/bin/sh
job="$0.$$"
cp "$1" "$job"
setsid sh "$job" > "$job.out" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job"; done
"""


def test_a_job_is_one_worker_with_one_thread(tmp_path: Path) -> None:
    hire = Hire("slurm", 8, memory_bytes=10**9, cpus=4, queue="short", prologue=("module load x",))
    told = slurm_options(hire, tmp_path)
    assert (told["cores"], told["processes"], told["job_cpu"]) == (1, 1, 4)
    assert told["queue"] == "short"
    assert "account" not in told
    assert told["job_script_prologue"][0] == "module load x"
    assert "export OMP_NUM_THREADS=4" in told["job_script_prologue"]
    assert environment(hire)["LATENTLOOM_MEMORY_BYTES"] == "900000000"
    assert planned_slots(ClusterSpec(hire=hire)) == 8


def test_a_job_with_a_gpu_asks_for_one(tmp_path: Path) -> None:
    hire = Hire("slurm", 1, gpus=1, directives=("--constraint=a100",))
    told = slurm_options(hire, tmp_path)
    assert told["job_extra_directives"] == ["--gres=gpu:1", "--constraint=a100"]
    assert environment(hire)["LATENTLOOM_DEVICE"] == "cuda:0"
    assert "LATENTLOOM_MEMORY_BYTES" not in environment(hire)


def test_the_first_host_has_the_scheduler_too() -> None:
    hire = Hire("ssh", 2, hosts=("a", "b"), folder="/scratch", username="me", key="/k", cpus=3)
    scheduler, workers = ssh_options(hire)
    connect = {"username": "me", "client_keys": ["/k"], "connect_timeout": 60}
    shared = {"connect_options": connect, "remote_python": None}
    assert scheduler == {"address": "a", "kwargs": {}, **shared}
    kwargs = {"nthreads": 1, "n_workers": 2, "local_directory": "/scratch"}
    assert workers == [{"address": host, "kwargs": kwargs, **shared} for host in "ab"]
    assert environment(hire)["OMP_NUM_THREADS"] == "3"
    assert planned_slots(ClusterSpec(hire=hire)) == 4


def test_each_worker_of_a_host_has_a_gpu_of_its_own() -> None:
    hire = Hire("ssh", 2, hosts=("a", "b"), gpus=1, interface="ib0")
    scheduler, workers = ssh_options(hire)
    assert scheduler["kwargs"] == {"interface": "ib0"}
    told = [(each["address"], each["kwargs"]["env"]["CUDA_VISIBLE_DEVICES"]) for each in workers]
    assert told == [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1")]
    assert environment(hire)["LATENTLOOM_DEVICE"] == "cuda:0"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, hire in (
        ("asyncssh", Hire("ssh", 1, hosts=("a",))),
        ("dask_jobqueue", Hire("slurm", 1)),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        spec = ClusterSpec(hire=hire)
        needed = rf"needs .*: pip install 'latentloom\[{hire.kind}\]'"
        with pytest.raises(UsageError, match=needed), open_workers(spec, tmp_path):
            pytest.fail("nothing can be started")


def test_jobs_of_a_queue_do_the_work_and_end_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    hire = Hire("slurm", 1, interface="lo", python=sys.executable)
    shared = tmp_path / "shared"
    shared.mkdir()
    with open_workers(ClusterSpec(hire=hire), tmp_path / "run", [shared]) as workers:
        found = psutil.Process(workers.submit(os.getpid).result(60))
        assert found.pid != os.getpid()
        assert workers.submit(os.getenv, "OMP_NUM_THREADS").result(60) == "1"
    assert psutil.wait_procs([found], 30)[1] == []
    assert list(shared.iterdir()) == []
