"""Workers: processes on this machine, one per GPU, or somebody's Dask cluster."""

import logging
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import RunError, UsageError
from engine.greeting import Terms, code_digest, complaints, terms
from engine.local import GPU, cpu_count, gpu_numbers, helpers, open_local, restore
from engine.profiles import ClusterSpec
from engine.remote import open_hired
from engine.segments import Pool
from engine.steady import steady
from engine.task import pack

if TYPE_CHECKING:
    from distributed import Client

CUT_OFF = "the connection to the Dask scheduler is lost; the same command again goes on from here"
#: Seconds that a scheduler may take to answer.
ANSWER_S = 30
#: Seconds that it may say nothing, twice, in the midst of a run: frozen, or off the network.
SILENT_S = 60.0
#: Seconds that a worker who leaves may take to be off the list.
LEAVING_S = 3.0
_LOGGERS = ("distributed", "tornado", "bokeh", "asyncio")


@dataclass(frozen=True, slots=True)
class Workers:
    """Where chunks run. Futures are Dask's or concurrent's: both have done-callbacks and results.

    `guard`: a worker is a process that may be ended without asking. `slots` counts them now.
    `code`: the digest of the code that workers must run, for they may come and go; `fit`: what else
        is asked of them (Terms, packed).
    `roster`: the workers there are now, by address, and the kind of each: "gpu" or "cpu" where
        there are both (chunks go to their own kind only), else "".
    """

    submit: Callable[..., Any]
    slots: Callable[[], int]
    guard: bool = True
    code: str = ""
    fit: bytes = b""
    roster: Callable[[], Mapping[str, Pool]] = lambda: {"": ""}

    def send(self, address: str, *task: Any) -> Any:
        """Submit a task to one worker, or to whoever comes."""
        return self.submit(*task, workers=[address]) if address else self.submit(*task)


def planned_slots(spec: ClusterSpec) -> int:
    """How many chunks will run at a time, as far as that is known before anything starts."""
    if spec.elsewhere:  # a guess that only sets the size of the first chunks
        return spec.hire.workers if spec.hire else 4
    if spec.gpus:
        gpus = len(gpu_numbers(spec.gpus))
        return gpus + helpers(spec, gpus)
    return cpu_count() if spec.workers is None else max(1, spec.workers)


@contextmanager
def open_workers(
    spec: ClusterSpec, run_dir: Path, shared: Sequence[Path] = (), files: Sequence[Path] = ()
) -> Iterator[Workers]:
    """Yield the workers asked for; those that we start end with the context.

    `workers=0` runs chunks in a thread of this process: slower to recover, easy to debug.
    Workers elsewhere must see the folders in `shared` and read `files`.
    Raises: UsageError for a GPU that is not there; RunError when a scheduler does not answer or
    its workers are not fit for the run.
    """
    if spec.workers == 0 and not spec.gpus and not spec.elsewhere:
        with ThreadPoolExecutor(1, thread_name_prefix="chunk") as pool:
            yield Workers(pool.submit, lambda: 1, guard=False)
        return
    with open_cluster(spec, run_dir) as client:
        code, fit = "", b""
        if spec.elsewhere:
            code, fit = code_digest(), pack(_greet(client, spec, shared, files))
        submit, roster = partial(client.submit, pure=False), _Roster(client)
        yield Workers(submit, lambda: len(roster()), code=code, fit=fit, roster=roster)


class _Roster:
    """The workers that there are now, and their kinds; ours come back if they were lost."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._has_gpu: dict[str, bool] = {}
        self._wake: object = None  # an adaptive cluster starts workers when it sees work

    def __call__(self) -> Mapping[str, Pool]:
        """Ask the scheduler. Raises: RunError when it is gone."""
        if self._client.cluster is not None:
            restore(self._client.cluster)
        try:
            try:
                there = self._threads()
            except TimeoutError:  # unless it was this process that was stopped
                there = self._threads()
            if there.keys() - self._has_gpu.keys():
                self._has_gpu |= _with_gpu(self._client)
            if not there and self._wake is None:
                self._wake = self._client.submit(bool, pure=False)
        except OSError as error:
            raise RunError(CUT_OFF) from error
        if there:
            self._wake = None
        has_gpu = {address: self._has_gpu.get(address, False) for address in there}
        if all(has_gpu.values()) or not any(self._has_gpu.values()):
            return dict.fromkeys(there, "")  # of one kind: all do everything
        return {address: "gpu" if has else "cpu" for address, has in has_gpu.items()}

    def _threads(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self._client.nthreads(  # type: ignore[no-untyped-call]
            callback_timeout=SILENT_S
        )
        return found


def _with_gpu(client: "Client") -> dict[str, bool]:
    """Whether each worker was started as one with a GPU: `--resources "GPU=1"`."""
    told = client.scheduler_info(n_workers=-1)["workers"]
    return {address: bool(worker["resources"].get(GPU)) for address, worker in told.items()}


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
    if "tornado.ioloop" not in sys.modules:  # nor has the caller a loop of their own
        steady()
    with _quiet(run_dir / "dask.log"):
        if spec.elsewhere:
            with _connect(spec) if spec.scheduler else open_hired(spec, run_dir / "dask") as client:
                yield client
        else:
            with open_local(spec, run_dir / "dask") as client:
                yield client


@contextmanager
def _connect(spec: ClusterSpec) -> Iterator["Client"]:
    """Yield a client of a cluster that already runs."""
    from distributed import Client
    from distributed.security import Security

    where: dict[str, Any] = {"address": spec.scheduler}
    if spec.scheduler.endswith(".json"):
        if not Path(spec.scheduler).exists():  # Dask would wait for it for ever
            raise UsageError(f"{spec.name}: there is no such file")
        where = {"scheduler_file": spec.scheduler}
    files = {"--tls-ca": spec.tls_ca, "--tls-cert": spec.tls_cert, "--tls-key": spec.tls_key}
    for flag, name in files.items():
        if name and not Path(name).is_file():
            raise UsageError(f"{flag} {name}: there is no such file")
    if spec.tls_ca:
        where["security"] = Security(  # type: ignore[no-untyped-call]
            tls_ca_file=spec.tls_ca,
            tls_client_cert=spec.tls_cert,
            tls_client_key=spec.tls_key,
            require_encryption=True,
        )
    try:
        client = Client(  # type: ignore[no-untyped-call]
            **where, timeout=ANSWER_S, set_as_default=False
        )
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        raise RunError(f"{spec.name}: no answer ({error}){_tls_hint(spec, error)}") from error
    with client:
        # An adaptive cluster may have no workers as long as there is nothing to do.
        wake = client.submit(bool, pure=False)
        try:
            client.wait_for_workers(1, timeout=300)
        except TimeoutError as error:
            raise RunError(f"{spec.name}: it has no workers") from error
        _check_threads(client, spec.name)
        wake.cancel()  # type: ignore[no-untyped-call]
        yield client


def _tls_hint(spec: ClusterSpec, error: BaseException) -> str:
    """What to look at when certificates are the likely reason."""
    chain = [error, error.__cause__, error.__context__]
    if "tls" in spec.scheduler[:3] or any(isinstance(e, ssl.SSLError) for e in chain):
        return (
            "; a tls:// scheduler needs --tls-ca, --tls-cert and --tls-key of the authority "
            "that its own certificate is from"
        )
    return ""


def _check_threads(client: "Client", name: str) -> None:
    """Refuse workers with several threads: a chunk may end its process, alone in it."""
    counts = client.nthreads()  # type: ignore[no-untyped-call]
    if wide := [worker for worker, threads in counts.items() if threads > 1]:
        raise RunError(
            f"{name}: {len(wide)} of {len(counts)} workers have several threads; "
            "start them with --nthreads 1 (and more of them)"
        )


def _greet(
    client: "Client", spec: ClusterSpec, folders: Sequence[Path], files: Sequence[Path]
) -> Terms:
    """Refuse workers that lack something, before the first item; give what to ask of later ones.

    Raises: RunError.
    """
    marks = [folder / f"probe-{os.getpid()}" for folder in folders]
    try:
        for mark in marks:
            mark.touch()
        has_gpu = _with_gpu(client)
        seen: dict[str, Any] = {}
        for has in set(has_gpu.values()):  # where some have one, only these must
            asked = [address for address in has_gpu if has_gpu[address] == has]
            gpu = bool(spec.gpus) and (has or not any(has_gpu.values()))
            wanted = terms(marks, files, gpu=gpu)
            seen |= client.run(complaints, wanted, workers=asked, on_error="return")
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)
    for worker, answer in seen.items():
        if isinstance(answer, OSError) and _has_left(client, worker):
            continue  # an adaptive cluster ends who is idle; who comes later is asked by its chunk
        if isinstance(answer, BaseException):
            raise RunError(f"{spec.name}: {worker} lacks this program ({answer!r})")
        if answer:
            raise RunError(f"{spec.name}: {worker} {'; '.join(answer)}")
    # Files that lie in the folders by now: a disk of one's own under the same path lacks them.
    there = [folder / name for folder in folders for name in ("format", "workflow.yaml")]
    return terms((), [*files, *there], gpu=bool(spec.gpus) and not any(has_gpu.values()))


def _has_left(client: "Client", worker: str) -> bool:
    """Whether a worker that did not answer is gone, or just going."""
    until = time.monotonic() + LEAVING_S
    while worker in client.nthreads():  # type: ignore[no-untyped-call]
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


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
