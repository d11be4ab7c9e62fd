"""Workers: processes on this machine, one per GPU, or somebody's Dask cluster."""

import asyncio
import logging
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RunError, UsageError
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
CUT_OFF = "the connection to the Dask scheduler is lost; the same command again goes on from here"
#: When a run breaks off, seconds that a worker has to end by itself.
GRACE_S = 0.5
_LOGGERS = ("distributed", "tornado", "bokeh", "asyncio")


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Which workers to use.

    workers: local processes, None = one per CPU, 0 = a thread of this process.
    gpus: "all" or device numbers, "0,1": one process each, instead of CPU workers.
    scheduler: an address or a scheduler file of a cluster that runs already.
    memory_bytes: most a CPU worker may allocate, None = its share of the machine, 0 = no limit.
    """

    workers: int | None = None
    gpus: str = ""
    scheduler: str = ""
    memory_bytes: int | None = None
    dashboard: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


def cpu_count() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environment(workers: int, cpus: int) -> dict[str, str]:
    """What must be in a worker's environment before it starts."""
    threads = str(max(1, cpus // max(1, workers)))
    return {**MALLOC, **dict.fromkeys(_THREAD_VARIABLES, threads)}


def memory_share(workers: int) -> int:
    """Most bytes one of `workers` processes may allocate: its share, and at least 4 GiB."""
    from distributed.system import MEMORY_LIMIT

    total = int(MEMORY_LIMIT * 0.9)
    return min(total, max(total // max(1, workers), 4 << 30))


def gpu_numbers(text: str) -> tuple[str, ...]:
    """Make the list of device numbers of `--gpus`.

    Raises: UsageError when there is no such GPU.
    """
    import torch

    found = tuple(str(number) for number in range(torch.cuda.device_count()))
    wanted = found if text == "all" else tuple(part.strip() for part in text.split(","))
    missing = [number for number in wanted if number not in found]
    if missing or not wanted:
        have = ", ".join(found) or "none"
        raise UsageError(f"--gpus {text}: no such GPU on this machine (found: {have})")
    return wanted


@dataclass(frozen=True, slots=True)
class Workers:
    """Where chunks run. Futures are Dask's or concurrent's: both have done-callbacks and results.

    `guard`: a worker is a process that may be ended without asking. `slots` counts them now.
    """

    submit: Callable[..., Any]
    slots: Callable[[], int]
    guard: bool = True


def planned_slots(spec: ClusterSpec) -> int:
    """How many chunks will run at a time, as far as that is known before anything starts."""
    if spec.gpus:
        return len(gpu_numbers(spec.gpus))
    if spec.scheduler:
        return 4  # a guess that only sets the size of the first chunks
    return cpu_count() if spec.workers is None else max(1, spec.workers)


@contextmanager
def open_workers(
    spec: ClusterSpec, run_dir: Path, shared: Sequence[Path] = ()
) -> Iterator[Workers]:
    """Yield the workers asked for; local ones end with the context.

    `workers=0` runs chunks in a thread of this process: slower to recover, easy to debug.
    Workers of somebody's cluster must see the folders in `shared`.
    Raises: UsageError for a GPU that is not there; RunError when a scheduler does not answer or
    its workers see other disks.
    """
    if spec.workers == 0 and not spec.gpus and not spec.scheduler:
        with ThreadPoolExecutor(1, thread_name_prefix="chunk") as pool:
            yield Workers(pool.submit, lambda: 1, guard=False)
        return
    with open_cluster(spec, run_dir) as client:
        if spec.scheduler:
            _check_disks(client, spec.scheduler, shared)
        yield Workers(partial(client.submit, pure=False), partial(_count, client))


def _count(client: "Client") -> int:
    """How many workers there are now.

    Raises: RunError when the scheduler is gone.
    """
    try:
        return len(client.nthreads())  # type: ignore[no-untyped-call]
    except OSError as error:
        raise RunError(CUT_OFF) from error


def has_died(error: BaseException) -> bool:
    """Whether a future's error says that the worker process is gone."""
    return type(error).__name__ == "KilledWorker"


def is_cut_off(error: BaseException) -> bool:
    """Whether a future's error says that the scheduler is gone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"CancelledError", "FutureCancelledError", "CommClosedError"})


@contextmanager
def open_cluster(spec: ClusterSpec, run_dir: Path) -> Iterator["Client"]:
    """Yield a client of the workers asked for; local ones end with the context.

    Raises: UsageError for a GPU that is not there; RunError when a scheduler does not answer.
    """
    with _quiet(run_dir / "dask.log"):
        if spec.scheduler:
            with _connect(spec) as client:
                yield client
        else:
            with _local(spec, run_dir / "dask") as client:
                yield client


@contextmanager
def _local(spec: ClusterSpec, scratch: Path) -> Iterator["Client"]:
    """Yield a client of worker processes of our own, reachable from this machine only."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    devices = gpu_numbers(spec.gpus) if spec.gpus else ("",) * (spec.workers or cpu_count())
    settings = {
        "distributed.nanny.pre-spawn-environ": worker_environment(len(devices), cpu_count()),
        "distributed.scheduler.allowed-failures": 0,  # who is to blame is ours to say
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "60s",
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
        client.wait_for_workers(len(devices), timeout=120)
        yield client


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
    environment = {MEMORY_VARIABLE: str(limit), DEVICE_VARIABLE: "cpu"}
    if device:
        # The one visible GPU is always cuda:0; the limit is for heaps, CUDA maps far more.
        environment = {"CUDA_VISIBLE_DEVICES": device, DEVICE_VARIABLE: "cuda:0"}
    return {
        "nthreads": 1,
        "memory_limit": 0,
        "local_directory": str(scratch),
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
        "env": environment,
    }


@contextmanager
def _connect(spec: ClusterSpec) -> Iterator["Client"]:
    """Yield a client of a cluster that already runs."""
    from distributed import Client
    from distributed.security import Security

    where: dict[str, Any] = {"address": spec.scheduler}
    if spec.scheduler.endswith(".json"):
        if not Path(spec.scheduler).exists():  # Dask would wait for it for ever
            raise UsageError(f"--scheduler {spec.scheduler}: there is no such file")
        where = {"scheduler_file": spec.scheduler}
    if spec.tls_ca:
        where["security"] = Security(  # type: ignore[no-untyped-call]
            tls_ca_file=spec.tls_ca,
            tls_client_cert=spec.tls_cert,
            tls_client_key=spec.tls_key,
            require_encryption=True,
        )
    try:
        client = Client(  # type: ignore[no-untyped-call]
            **where, timeout="30s", set_as_default=False
        )
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        raise RunError(f"--scheduler {spec.scheduler}: no answer ({error})") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=300)
        except TimeoutError as error:
            raise RunError(f"--scheduler {spec.scheduler}: it has no workers") from error
        _check_threads(client, spec.scheduler)
        yield client


def _check_threads(client: "Client", address: str) -> None:
    """Refuse workers with several threads: a chunk may end its process, alone in it."""
    counts = client.nthreads()  # type: ignore[no-untyped-call]
    if wide := [name for name, threads in counts.items() if threads > 1]:
        raise RunError(
            f"--scheduler {address}: {len(wide)} of {len(counts)} workers have several threads; "
            "start them with --nthreads 1 (and more of them)"
        )


def _check_disks(client: "Client", address: str, folders: Sequence[Path]) -> None:
    """Refuse workers that do not see our folders, or do not have this program."""
    marks = [folder / f"probe-{os.getpid()}" for folder in folders]
    try:
        for mark in marks:
            mark.touch()
        seen = client.run(sees, [str(mark) for mark in marks], on_error="return")
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
    for worker, answer in seen.items():
        if isinstance(answer, BaseException):
            raise RunError(f"--scheduler {address}: {worker} lacks this program ({answer!r})")
        if missing := [str(f) for f, found in zip(folders, answer, strict=True) if not found]:
            raise RunError(
                f"--scheduler {address}: {worker} does not see {', '.join(missing)}; "
                "the cache and the output folder must be on a disk that all machines share"
            )


def sees(paths: Sequence[str]) -> list[bool]:
    """Tell which files exist, seen from here."""
    return [Path(path).exists() for path in paths]


def _speakers() -> list[str]:
    """Names of the loggers of Dask and below it that print by themselves."""
    known = logging.root.manager.loggerDict
    return sorted({*_LOGGERS, *(name for name in known if name.split(".")[0] in _LOGGERS)})


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send what Dask says to a file in the run folder: deaths and retries are reported by us."""
    import distributed  # noqa: F401  (sets its loggers up when first imported, so before us)

    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    before = []
    for logger in [logging.getLogger(name) for name in _speakers()]:
        before.append((logger, logger.handlers[:], logger.level, logger.propagate))
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()
