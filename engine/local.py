"""Worker processes of our own on this machine: CPU workers, and one per GPU."""

import asyncio
import logging
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import steady
from engine.errors import RunError, UsageError
from engine.profiles import ClusterSpec
from engine.supply import DEVICE_VARIABLE
from engine.task import MEMORY_VARIABLE

if TYPE_CHECKING:
    from distributed import Client, Nanny, SpecCluster

#: glibc gives every large tensor its own mapping and returns it at once, which costs two to three
#: times the CPU of the work itself; Dask's own trim threshold makes it worse. Read by glibc once,
#: at process start, so it has to be in the environment before a worker exists.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
    "MALLOC_MMAP_MAX_": "0",
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: What a worker with a GPU declares to Dask that it has.
GPU = "GPU"
#: So many GPUs are taken to be there; for each, a process that computes on the CPU stands in.
STAND_INS_VARIABLE = "LATENTLOOM_GPU_STAND_INS"
#: CPU workers beside each GPU worker, where there are CPUs for them.
HELPERS = 4
#: Seconds that workers may take to start.
START_S = 120.0
#: When a run breaks off, seconds that a worker has to end by itself.
GRACE_S = 0.5


def cpu_count() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environment(workers: int, cpus: int) -> dict[str, str]:
    """What must be in a worker's environment before it starts."""
    return {**MALLOC, **worker_threads(max(1, cpus // max(1, workers)))}


def worker_threads(cpus: int) -> dict[str, str]:
    """What tells the libraries of a worker how many CPUs it has."""
    return dict.fromkeys(_THREAD_VARIABLES, str(cpus))


def memory_share(workers: int) -> int:
    """Most bytes one of `workers` processes may allocate: its share, and at least 4 GiB."""
    from distributed.system import MEMORY_LIMIT

    total = int(MEMORY_LIMIT * 0.9)
    return min(total, max(total // max(1, workers), 4 << 30))


def gpu_numbers(text: str) -> tuple[str, ...]:
    """Make the list of device numbers of `--gpus`.

    Raises: UsageError when there is no such GPU.
    """
    found = tuple(str(number) for number in range(stand_ins() or _device_count()))
    wanted = found if text == "all" else tuple(part.strip() for part in text.split(","))
    missing = [number for number in wanted if number not in found]
    if missing or not wanted:
        have = ", ".join(found) or "none"
        raise UsageError(f"--gpus {text}: no such GPU on this machine (found: {have})")
    return wanted


def stand_ins() -> int:
    """How many processes stand in for GPUs, to try out where things run."""
    text = os.environ.get(STAND_INS_VARIABLE, "")
    return int(text) if text.isdigit() else 0


def _device_count() -> int:
    import torch

    return torch.cuda.device_count()


def helpers(spec: ClusterSpec, gpus: int) -> int:
    """How many CPU workers decode, cut out and encode for the GPU workers."""
    if spec.workers is not None:
        return spec.workers
    return min(HELPERS * gpus, max(0, cpu_count() - gpus))


@contextmanager
def open_local(spec: ClusterSpec, scratch: Path) -> Iterator["Client"]:
    """Yield a client of worker processes of our own, reachable from this machine only."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    gpus = gpu_numbers(spec.gpus) if spec.gpus else ()
    helping = helpers(spec, len(gpus)) if gpus else spec.workers or cpu_count()
    devices = (*gpus, *[""] * helping)
    settings = {
        "distributed.nanny.pre-spawn-environ": worker_environment(len(devices), cpu_count()),
        "distributed.scheduler.allowed-failures": 0,  # who is to blame is ours to say
        "distributed.worker.daemon": True,
        "distributed.deploy.lost-worker-timeout": "120s",  # restarting takes its time
        "distributed.comm.timeouts.connect": "60s",
        # Looking at itself fifty times a second costs a worker two percent of its processor.
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.worker.profile.enabled": False,
    }
    limit = memory_share(len(devices)) if spec.memory_bytes is None else spec.memory_bytes
    workers = {
        number: {"cls": Nanny, "options": _worker(device, limit, scratch)}
        for number, device in enumerate(devices)
    }
    address = "127.0.0.1:8787" if spec.dashboard else "127.0.0.1:0"
    scheduler = {
        "cls": Scheduler,
        "options": {
            "host": "127.0.0.1",
            "dashboard": spec.dashboard,
            "dashboard_address": address,
        },
    }
    shutil.rmtree(scratch, ignore_errors=True)  # a killed run leaves its own behind
    scratch.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.enter_context(dask.config.set(settings))
        with _deaf_children():
            try:
                cluster = stack.enter_context(
                    SpecCluster(  # type: ignore[no-untyped-call]
                        workers=workers, scheduler=scheduler, silence_logs=False
                    )
                )
            except RuntimeError as error:
                raise RunError(f"the workers did not start: {_why_not(error)}") from error
        stack.enter_context(_abandoned(cluster))
        client = stack.enter_context(
            Client(cluster, set_as_default=False)  # type: ignore[no-untyped-call]
        )
        try:
            client.wait_for_workers(len(devices), timeout=START_S)
        except TimeoutError as error:
            raise RunError(
                f"the workers did not start within {START_S:g} s. See dask.log in the run folder"
            ) from error
        yield client


def restore(cluster: "SpecCluster") -> None:
    """Start workers anew that Dask has given up, so that a run goes on with as many as it began.

    It does so when one ends by itself (its own threads ran out of memory, say) or was silent for
    too long and is told to leave when it wakes up.
    """
    if (loop := cluster.loop) is not None:
        loop.add_callback(_restore, cluster)


def _restore(cluster: "SpecCluster") -> None:
    over = ("closed", "failed")
    for name in [n for n, keeper in cluster.workers.items() if keeper.status.name in over]:
        del cluster.workers[name]
    if cluster.status.name == "running" and cluster.worker_spec.keys() - cluster.workers.keys():
        cluster.scale(len(cluster.worker_spec))  # type: ignore[no-untyped-call]


def refuse_to_start_again() -> None:
    """End a worker process that, as it starts, runs its parent's script and comes to a run in it.

    That is how processes start where the script has no guard; the parent says so.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


def _why_not(error: RuntimeError) -> str:
    """Say why workers did not start: most often the script runs again in each of them."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    try:
        guarded = script is None or "__name__" in Path(script).read_text(encoding="utf-8")
    except (OSError, ValueError):
        guarded = True
    if guarded:
        return f"{error} See dask.log in the run folder"
    return f'call run() in {script} under `if __name__ == "__main__":`, for workers import the file'


@contextmanager
def _abandoned(cluster: "SpecCluster") -> Iterator[None]:
    """When things break off, end the workers in the midst of what they do: it can be made again."""
    try:
        yield
    except BaseException:
        with suppress(TimeoutError):
            cluster.sync(  # type: ignore[no-untyped-call]
                _end, tuple(cluster.workers.values())
            )
        raise


async def _end(nannies: "Sequence[Nanny]") -> None:
    ending = (nanny.close(timeout=GRACE_S, reason="run broken off") for nanny in nannies)
    await asyncio.gather(*ending, return_exceptions=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let threads and processes that start meanwhile never hear Ctrl-C.

    It reaches every process of a terminal, but what to do about it is the driver's business. The
    thread that starts workers, now and after a death, passes its signal mask on to them.
    """
    resource_tracker.ensure_running()  # when it starts by itself, it opens the mask again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker(device: str, limit: int, scratch: Path) -> dict[str, Any]:
    """Options of one worker process; `device` is a GPU's number or empty."""
    environment = {MEMORY_VARIABLE: str(limit), DEVICE_VARIABLE: "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if device:
        # The one visible GPU is always cuda:0; the limit is for heaps, CUDA maps far more.
        name = "cpu" if stand_ins() else "cuda:0"
        environment = {"CUDA_VISIBLE_DEVICES": device, DEVICE_VARIABLE: name}
    return {
        "resources": {GPU: 1} if device else {},
        "nthreads": 1,
        "memory_limit": 0,
        "local_directory": str(scratch),
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
        "preload": [steady.__name__],
        "env": environment,
    }
