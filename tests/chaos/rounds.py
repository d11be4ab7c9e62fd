"""The rounds of the campaign: a scene, disturbed again and again, that must come out as if not."""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.damage import harm, run_files, store_files
from tests.chaos.scene import DEFECT, BrokenPromiseError, Driver, Scene, contents

#: The stubbornest scene ends within so many further runs of the same command.
MOST_REPEATS = 1
#: After so long without a sign of life a worker counts as lost (Dask's default is 5 minutes).
TTL_S = 10.0
HASTE = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{TTL_S:g}s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30s",
}


@dataclass(slots=True)
class Round:
    """One scene with its events so far."""

    name: str
    scene: Scene
    rng: random.Random
    events: list[str] = field(default_factory=list)

    def note(self, event: str) -> None:
        """Count an event; nothing happened when it is empty."""
        if event:
            self.events.append(event)


def ended(scene: Scene, code: int) -> int:
    """Look at how a disturbed driver ended: well, killed, or with a typed error.

    Raises: BrokenPromiseError for anything else.
    """
    if code not in (0, 1, 3, -signal.SIGKILL):
        word = "an untyped error" if code == DEFECT else f"exit code {code}"
        raise BrokenPromiseError(f"a driver ended with {word}: {scene.last_words()}")
    if code == 1 and "Traceback" in scene.last_words():
        raise BrokenPromiseError(f"a traceback: {scene.last_words()}")
    return code


# -- a driver with its worker in a thread ---------------------------------------------------------


def kill_driver(round_: Round) -> str:
    """Kill it dead at any moment; one that has ended before is started again, and met sooner."""
    when = moment(round_)
    while (driver := round_.scene.fork()).wait_for(when) is not None:
        ended(round_.scene, driver.wait())
        when /= 2
    driver.signal(signal.SIGKILL)
    driver.wait()
    return "driver killed"


def stop_driver(round_: Round) -> str:
    """Let it freeze for a while."""
    driver = round_.scene.fork()
    if driver.wait_for(moment(round_)) is not None:
        return ""
    driver.signal(signal.SIGSTOP)
    time.sleep(round_.rng.uniform(0.05, 0.5))
    driver.signal(signal.SIGCONT)
    ended(round_.scene, driver.wait())
    return "driver stopped and continued"


def interrupt_driver(round_: Round) -> str:
    """Ask it to end."""
    driver = round_.scene.fork()
    if driver.wait_for(moment(round_)) is not None:
        return ""
    number = round_.rng.choice([signal.SIGTERM, signal.SIGINT])
    driver.signal(number)
    if (code := driver.wait()) not in (0, 128 + number, -number):
        raise BrokenPromiseError(f"{number!r} gave exit code {code}: {round_.scene.last_words()}")
    return f"driver got {number.name}"


def limit_files(round_: Round) -> str:
    """Let no file grow beyond a size: what a quota does, and needs no rights."""
    driver = round_.scene.fork(longest_file=int(2 ** round_.rng.uniform(6, 17)))
    return "files too large" if ended(round_.scene, driver.wait()) == 1 else ""


def harm_store(round_: Round) -> str:
    """Damage the store, now or in the middle of a run."""
    return harm_files(round_, lambda: store_files(round_.scene.cache))


def harm_run(round_: Round) -> str:
    """Damage ledger or outputs, now or in the middle of a run."""
    return harm_files(round_, lambda: run_files(round_.scene.out))


def harm_files(round_: Round, files: Callable[[], list[Path]]) -> str:
    """Damage a file between runs, or in the middle of one."""
    if round_.rng.random() < 0.3:
        return harm(files(), round_.rng)
    driver = round_.scene.fork()
    driver.wait_for(moment(round_))
    done = harm(files(), round_.rng)
    ended(round_.scene, driver.wait())
    return f"{done} mid-run" if done else ""


def moment(round_: Round) -> float:
    """Any time before the end of an undisturbed run."""
    return round_.rng.uniform(0.0, round_.scene.photos * round_.scene.seconds + 0.6)


ALONE: tuple[Callable[[Round], str], ...] = (
    *(kill_driver,) * 5,
    stop_driver,
    interrupt_driver,
    limit_files,
    *(harm_store,) * 4,
    harm_run,
)


def alone(round_: Round, count: int) -> None:
    """Drivers with their worker in a thread, killed, stopped, and their files harmed."""
    # Drawn beforehand, so that what is tried hangs on the seed and not on the machine's speed.
    for disturb in round_.rng.choices(ALONE, k=4 * count):
        round_.note(disturb(round_))
        if len(round_.events) == count:
            break
    finish(round_, round_.scene.fork)


def finish(round_: Round, start: Callable[[], Driver]) -> None:
    """Run the same command to its end, look at everything, and run it again: nothing is done."""
    scene = round_.scene
    scene.check(start().wait())
    made = {p: p.stat().st_mtime_ns for p in scene.out.glob("*.png")}
    if not scene.poison:
        scene.check(scene.fork().wait())
        if made != {p: p.stat().st_mtime_ns for p in scene.out.glob("*.png")}:
            raise BrokenPromiseError("a repeat wrote something")


# -- a disk that is full --------------------------------------------------------------------------


def full_disk(round_: Round, count: int) -> None:
    """Cache and outputs on a disk that has room for some of it, then for all of it."""
    scene = round_.scene
    for place in (scene.cache, scene.out):
        place.mkdir(exist_ok=True)
    for _ in range(count):
        size_kb = int(2 ** round_.rng.uniform(4, 10.5))
        place = round_.rng.choice([scene.cache, scene.out])
        with small_disk(place, size_kb) as grow:
            driver = scene.fork()
            code = ended(scene, driver.wait())
            if code == 1 and "space" not in (said := scene.last_words()):
                raise BrokenPromiseError(f"it does not say that the disk is full: {said}")
            round_.note(f"{place.name} full" if code == 1 else "")
            grow()
            scene.check(scene.fork().wait())
        for place in (scene.cache, scene.out):
            shutil.rmtree(place)
            place.mkdir()


def can_mount() -> bool:
    """Whether this process may mount a disk."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder), 64):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextmanager
def small_disk(place: Path, size_kb: int) -> Iterator[Callable[[], None]]:
    """Mount a small disk on a folder; yields what makes it large enough."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "chaos", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield (
            lambda: (
                subprocess.run(
                    ["mount", "-o", "remount,size=256m", str(place)],
                    check=True,
                    capture_output=True,
                )
                and None
            )
        )
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# -- workers of their own -------------------------------------------------------------------------


def workers_of(driver: Driver) -> list[psutil.Process]:
    """The worker processes of a driver, without the helper that multiprocessing starts."""
    try:
        family = psutil.Process(driver.pid).children(recursive=True)
        return [p for p in family if "spawn_main" in " ".join(p.cmdline())]
    except psutil.Error:
        return []


def kill_worker(round_: Round, driver: Driver) -> str:
    """Kill one of its workers."""
    return strike(round_, workers_of(driver), signal.SIGKILL, "worker killed")


def stop_worker(round_: Round, driver: Driver) -> str:
    """Let a worker freeze for longer than it may be silent; then it goes on, if it still is."""
    found = workers_of(driver)
    told = strike(round_, found, signal.SIGSTOP, "worker stopped beyond its heartbeat")
    driver.wait_for(round_.rng.uniform(1.2, 2.0) * TTL_S)
    for worker in found:
        strike(round_, [worker], signal.SIGCONT, "")
    return told


def stop_whole(round_: Round, driver: Driver) -> str:
    """Let the driver freeze for longer than the heartbeat of its workers."""
    driver.signal(signal.SIGSTOP)
    time.sleep(round_.rng.uniform(1.1, 1.6) * TTL_S)
    driver.signal(signal.SIGCONT)
    return "driver stopped beyond the heartbeat"


def jump(round_: Round, _: Driver) -> str:
    """Set all clocks wrong, by seconds or by years."""
    hours = round_.rng.choice([-1, 1]) * 10 ** round_.rng.uniform(-3, 4)
    round_.scene.set_clock(3600 * hours)
    return "clock set forward" if hours > 0 else "clock set back"


def harm_pack(round_: Round, _: Driver) -> str:
    """Damage the store under the eyes of its workers."""
    done = harm(store_files(round_.scene.cache), round_.rng)
    return f"{done} mid-run" if done else ""


def kill_whole(_: Round, driver: Driver) -> str:
    """Kill the driver; its workers must end by themselves."""
    driver.signal(signal.SIGKILL)
    return "driver with workers killed"


def strike(round_: Round, found: list[psutil.Process], number: signal.Signals, told: str) -> str:
    """Send a signal to one of some processes."""
    try:
        if found:
            round_.rng.choice(found).send_signal(number)
            return told
    except psutil.Error:
        pass
    return ""


TOGETHER: Mapping[Callable[[Round, Driver], str], int] = {
    kill_worker: 16,
    stop_worker: 1,
    stop_whole: 1,
    jump: 3,
    harm_pack: 4,
    kill_whole: 2,
}


def together(round_: Round, count: int) -> None:
    """A driver with two worker processes, all of them struck while they work."""
    scene, rng = round_.scene, round_.rng

    def start() -> Driver:
        return scene.command("--workers", "2", **HASTE)

    while len(round_.events) < count:
        driver = start()
        began(scene, driver)
        while driver.wait_for(rng.expovariate(1.0)) is None and len(round_.events) < count:
            act = rng.choices(list(TOGETHER), list(TOGETHER.values()))[0]
            round_.note(act(round_, driver))
        ended(scene, driver.wait())
        scene.check_orphans()
        if complete(scene) and len(round_.events) < count:
            scene.check(start().wait())
            start_over(scene)
    finish(round_, start)


def began(scene: Scene, driver: Driver) -> None:
    """Wait until the run has something to lose, or has ended."""
    journals = scene.out / ".run" / "hands"
    for _ in range(20_000):
        if driver.wait_for(0.01) is not None or any(journals.glob("*.jsonl")):
            return
    raise BrokenPromiseError(f"a run does not begin: {scene.last_words()}")


def complete(scene: Scene) -> bool:
    """Whether all outputs are there."""
    return contents(scene.out) == scene.expected


def start_over(scene: Scene) -> None:
    """Empty cache and outputs."""
    for place in (scene.cache, scene.out):
        shutil.rmtree(place, ignore_errors=True)


def guilty(round_: Round, _: int) -> None:
    """Photos that crash their worker, never return, or eat all memory, among good ones."""
    scene = round_.scene
    driver = scene.command("--workers", "1")
    scene.check(driver.wait())
    for name in scene.poison:
        round_.note(f"{name} photo")


def guilty_abroad(round_: Round, _: int) -> None:
    """The same on somebody's cluster, which gives what killed a worker to the next one."""
    scene = round_.scene
    with Cluster(scene, 2, haste=False) as cluster:
        driver = scene.command("--scheduler", str(cluster.file))
        code = driver.wait()
    scene.check(code)
    for name in scene.poison:
        round_.note(f"{name} photo on a cluster")


# -- somebody's scheduler -------------------------------------------------------------------------


class Cluster:
    """A scheduler and workers in processes of their own."""

    def __init__(self, scene: Scene, workers: int, *, haste: bool = True) -> None:
        self.scene = scene
        self.settings = HASTE if haste else {}
        self.file = Path(tempfile.mkdtemp(dir=scene.folder)) / "scheduler.json"
        self.scheduler = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
        )
        while not self.file.exists() and self.scheduler.poll() is None:
            time.sleep(0.05)
        self.workers = [self.join() for _ in range(workers)]

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in (*self.workers, self.scheduler):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def join(self) -> "subprocess.Popen[bytes]":
        """Start another worker, under a nanny."""
        return self._start(
            *("worker", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"),
            *("--death-timeout", "60", "--local-directory", str(self.file.parent)),
        )

    def _start(self, role: str, *flags: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *flags]
        with (self.file.parent / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--scheduler-file", str(self.file)],
                stdout=log,
                stderr=log,
                env=self.scene.environment(**self.settings),
                start_new_session=True,
            )

    def hands(self) -> list[psutil.Process]:
        """The processes under the nannies."""
        found = []
        for nanny in self.workers:
            try:
                family = psutil.Process(nanny.pid).children(recursive=True)
                found += [p for p in family if "spawn_main" in " ".join(p.cmdline())]
            except psutil.Error:
                continue
        return found


def abroad(round_: Round, count: int) -> None:
    """A driver with somebody's scheduler: it dies, is stopped, workers die, leave and join."""
    scene, rng = round_.scene, round_.rng
    while len(round_.events) < count:
        with Cluster(scene, 2) as cluster:
            driver = scene.command("--scheduler", str(cluster.file), **HASTE)
            began(scene, driver)
            while driver.wait_for(rng.expovariate(0.8)) is None and len(round_.events) < count:
                round_.note(strike_cluster(round_, cluster, driver))
                if cluster.scheduler.poll() is not None:
                    break
            ended(scene, driver.wait())
        scene.check_orphans()
        if complete(scene) and len(round_.events) < count:
            start_over(scene)
    finish(round_, scene.fork)


def strike_cluster(round_: Round, cluster: Cluster, driver: Driver) -> str:
    """Do something to a cluster."""
    rng = round_.rng
    what = rng.choices(["kill", "leave", "join", "scheduler", "stop", "driver"], [6, 2, 2, 2, 1, 1])
    if what == ["kill"]:
        return strike(round_, cluster.hands(), signal.SIGKILL, "cluster's worker killed")
    if what == ["leave"]:
        cluster.workers.append(cluster.join())
        gone = cluster.workers.pop(0)
        gone.terminate()
        gone.wait()
        return "worker left the cluster"
    if what == ["join"]:
        cluster.workers.append(cluster.join())
        return "worker joined the cluster"
    if what == ["driver"]:
        driver.signal(signal.SIGKILL)
        return "cluster's driver killed"
    if what == ["stop"]:
        cluster.scheduler.send_signal(signal.SIGSTOP)
        driver.wait_for(rng.uniform(1.1, 1.6) * TTL_S)
        cluster.scheduler.send_signal(signal.SIGCONT)
        return "scheduler stopped beyond the heartbeat"
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    return "scheduler killed"
