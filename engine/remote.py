"""Workers that the driver starts elsewhere: on hosts by SSH, or as jobs of a queue.

The scheduler runs in the driver's process for SLURM, and on the first host for SSH. Workers have
one thread each, because a chunk may end its process.
"""

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RunError, UsageError
from engine.local import MALLOC, worker_threads
from engine.profiles import ClusterSpec, Hire
from engine.supply import DEVICE_VARIABLE
from engine.task import MEMORY_VARIABLE

if TYPE_CHECKING:
    from distributed import Client

#: Seconds that a queue may take to start the first worker.
QUEUE_S = 24 * 3600.0
#: Of a job's memory, what its worker may allocate; the rest is for its nanny and the libraries.
OWN_SHARE = 0.9


@contextmanager
def open_hired(spec: ClusterSpec, scratch: Path) -> Iterator["Client"]:
    """Yield a client of workers started as a profile says; they end with the context.

    Raises: UsageError when a package for that is missing; RunError when they do not start.
    """
    import dask
    from distributed import Client

    assert spec.hire is not None
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # who is to blame is ours to say
        "distributed.comm.timeouts.connect": "60s",
    }
    scratch.mkdir(parents=True, exist_ok=True)
    with dask.config.set(settings):
        try:
            cluster = _slurm(spec.hire, scratch) if spec.hire.kind == "slurm" else _ssh(spec.hire)
        except (OSError, RuntimeError, ValueError) as error:
            raise RunError(f"{spec.name} cannot be started: {error}") from error
        with (
            cluster,
            Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        ):
            try:
                client.wait_for_workers(1, timeout=QUEUE_S)
            except TimeoutError as error:
                raise RunError(f"none of {spec.name} came within a day") from error
            yield client


def _slurm(hire: Hire, logs: Path) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise UsageError("SLURM needs dask-jobqueue: pip install 'latentloom[slurm]'") from error
    cluster = SLURMCluster(**slurm_options(hire, logs))
    cluster.scale(jobs=hire.count)
    return cluster


def _ssh(hire: Hire) -> Any:
    from distributed import SSHCluster

    if importlib.util.find_spec("asyncssh") is None:
        raise UsageError("SSH needs asyncssh: pip install asyncssh")
    return SSHCluster(**ssh_options(hire))


def slurm_options(hire: Hire, logs: Path) -> dict[str, Any]:
    """What dask-jobqueue is told: one worker a job."""
    directives = [f"--gres=gpu:{hire.gpus}"] if hire.gpus else []
    exports = [f"export {name}={value}" for name, value in environment(hire).items()]
    options: dict[str, Any] = {
        "cores": 1,
        "processes": 1,
        "memory": f"{hire.memory_bytes}B",
        "job_cpu": hire.cpus,
        "walltime": hire.walltime,
        "job_extra_directives": [*directives, *hire.directives],
        "job_script_prologue": [*hire.prologue, *exports],
        "python": hire.python or sys.executable,
        "log_directory": str(logs),
        "local_directory": str(logs),
    }
    named = {"queue": hire.queue, "account": hire.account, "interface": hire.interface}
    return options | {name: value for name, value in named.items() if value}


def ssh_options(hire: Hire) -> dict[str, Any]:
    """What Dask's SSH cluster is told: the first host has the scheduler too."""
    assert hire.hosts
    worker: dict[str, Any] = {"nthreads": 1, "n_workers": hire.count}
    if hire.folder:
        worker["local_directory"] = hire.folder
    return {
        "hosts": [hire.hosts[0], *hire.hosts],
        "worker_options": worker,
        "remote_python": hire.python or None,
    }


def environment(hire: Hire) -> Mapping[str, str]:
    """What must be in a worker's environment before it starts."""
    threads = worker_threads(hire.cpus)
    if hire.gpus:
        return {**MALLOC, **threads, DEVICE_VARIABLE: "cuda:0"}
    limit = str(int(hire.memory_bytes * OWN_SHARE))
    return {**MALLOC, **threads, DEVICE_VARIABLE: "cpu", MEMORY_VARIABLE: limit}
