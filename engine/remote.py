"""Workers that the driver starts elsewhere: on hosts by SSH, or as jobs of a queue.

The scheduler runs in the driver's process for SLURM, and on the first host for SSH. Workers have
one thread each, because a chunk may end its process.
"""

import importlib.util
import logging
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RunError, UsageError, WorkflowError
from engine.local import MALLOC, worker_threads
from engine.profiles import ClusterSpec, Hire
from engine.supply import DEVICE_VARIABLE
from engine.task import MEMORY_VARIABLE

if TYPE_CHECKING:
    from distributed import Client

#: Seconds that a queue may take to start the first worker.
QUEUE_S = 24 * 3600.0
#: Seconds that a host may take to answer.
CONNECT_S = 60
#: Seconds without work after which a scheduler on a host ends, and its workers: whoever started
#: them cannot be asked.
IDLE_S = 3600
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
    settings: dict[str, Any] = {
        "distributed.scheduler.allowed-failures": 0,  # who is to blame is ours to say
        "distributed.comm.timeouts.connect": "60s",
    }
    if spec.hire.kind == "ssh":  # these travel to the hosts with all that is set
        settings["distributed.nanny.pre-spawn-environ"] = environment(spec.hire)
        settings["distributed.scheduler.idle-timeout"] = f"{IDLE_S}s"
    scratch.mkdir(parents=True, exist_ok=True)
    with dask.config.set(settings), _listening() as said:
        try:
            cluster = _slurm(spec.hire, scratch) if spec.hire.kind == "slurm" else _ssh(spec.hire)
        except WorkflowError:
            raise
        except Exception as error:  # asyncssh's are of no common kind, and Dask's are bare
            told = "; it said: " + " / ".join(said) if said else ""
            raise RunError(f"{spec.name} cannot be started: {error}{told}") from error
        with (
            cluster,
            Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        ):
            try:
                client.wait_for_workers(1, timeout=QUEUE_S)
            except TimeoutError as error:
                raise RunError(f"none of {spec.name} came within a day") from error
            yield client


@contextmanager
def _listening() -> Iterator[Sequence[str]]:
    """Give the last lines that processes started by SSH have said, as they say them."""
    said: deque[str] = deque(maxlen=3)
    logger = logging.getLogger("distributed.deploy.ssh")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _slurm(hire: Hire, logs: Path) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise UsageError("SLURM needs dask-jobqueue: pip install 'latentloom[slurm]'") from error
    cluster = SLURMCluster(**slurm_options(hire, logs))
    cluster.scale(jobs=hire.count)
    return cluster


def _ssh(hire: Hire) -> Any:
    """Start scheduler and workers on hosts."""
    from distributed import SpecCluster
    from distributed.deploy.ssh import Scheduler, Worker

    if importlib.util.find_spec("asyncssh") is None:
        raise UsageError("SSH needs asyncssh: pip install 'latentloom[ssh]'")
    scheduler, workers = ssh_options(hire)
    return SpecCluster(  # type: ignore[no-untyped-call]
        workers={i: {"cls": Worker, "options": each} for i, each in enumerate(workers)},
        scheduler={"cls": Scheduler, "options": scheduler},
        name="SSHCluster",
    )


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


def ssh_options(hire: Hire) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What Dask is told of the scheduler, which is on the first host, and of the workers.

    Those of one host are started together; where each has a GPU, one by one.
    """
    assert hire.hosts
    connect = {"username": hire.username, "port": hire.port, "known_hosts": hire.known_hosts}
    options = {name: value for name, value in connect.items() if value}
    if hire.key:
        options["client_keys"] = [hire.key]
    shared: dict[str, Any] = {
        "connect_options": {**options, "connect_timeout": CONNECT_S},
        "remote_python": hire.python or None,
    }
    where = {"interface": hire.interface} if hire.interface else {}
    kwargs: dict[str, Any] = {"nthreads": 1, **where}
    if hire.folder:
        kwargs["local_directory"] = hire.folder
    each: list[dict[str, Any]] = [{"n_workers": hire.count}]
    if hire.gpus:
        each = [{"env": {"CUDA_VISIBLE_DEVICES": str(number)}} for number in range(hire.count)]
    workers = [
        {"address": host, "kwargs": {**kwargs, **more}, **shared}
        for host in hire.hosts
        for more in each
    ]
    return {"address": hire.hosts[0], "kwargs": where, **shared}, workers


def environment(hire: Hire) -> Mapping[str, str]:
    """What must be in a worker's environment before it starts."""
    threads = worker_threads(hire.cpus)
    if hire.gpus:
        return {**MALLOC, **threads, DEVICE_VARIABLE: "cuda:0"}
    if hire.kind == "ssh":
        return {**MALLOC, **threads, DEVICE_VARIABLE: "cpu"}
    limit = str(int(hire.memory_bytes * OWN_SHARE))
    return {**MALLOC, **threads, DEVICE_VARIABLE: "cpu", MEMORY_VARIABLE: limit}
