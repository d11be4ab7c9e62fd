"""What many items cost: folders of files through three steps that do nothing, on 2 workers.

One JSON line per folder size, 1,000 to 100,000 files; `--million` does 1,000,000 as well, `--files
N ...` other sizes. Everything is of the command as a user types it. `--profile FILE` leaves the
driver's profile of the cold run there, to read with pstats.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SIZES = (1_000, 10_000, 100_000)
PER_FOLDER = 10_000
WORKERS = 2

OPS = '''
from engine.op import op
from engine.values import Latent, Scalar

@op(version=1, batch=64)
def pass_on(value: Scalar) -> Scalar:
    """Give the value back."""
    return value

@op(version=1, batch=64)
def code(value: Scalar) -> Latent:
    """Make a w code of 512 numbers of each value."""
    import torch
    return Latent(torch.tensor([float(x) for x in value.data])[:, None].expand(-1, 512), "w", "f")
'''

WORKFLOW = """
version: 1
name: scale
sources:
  file: {{glob: "{folder}/**/*.jpg"}}
steps:
  first:  {{op: {first}, in: {{value: file.stem}}}}
{more}
outputs: []
"""
PASS_ON = """
  second: {op: pass_on, in: {value: first}}
  third:  {op: pass_on, in: {value: second}}
"""


@dataclass(frozen=True)
class Cost:
    """What one command took and said. Processor seconds tell more where others work too."""

    seconds: float
    cpu_seconds: float  # of the driver and its workers
    first_s: float  # until the first chunk ran, if one did
    first_cpu_s: float  # of the driver, until then
    driver_mb: float
    said: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where one size is measured."""

    folder: Path
    first: str = "pass_on"

    def prepare(self, files: int) -> None:
        """Make the files, the ops and the workflow."""
        for i in range(files):
            folder = self.folder / "photos" / f"{i // PER_FOLDER:04d}"
            if i % PER_FOLDER == 0:
                folder.mkdir(parents=True)
            (folder / f"{i:07d}.jpg").write_text(str(i))
        (self.folder / "ops.py").write_text(OPS)
        more = PASS_ON if self.first == "pass_on" else ""
        text = WORKFLOW.format(folder=self.folder / "photos", first=self.first, more=more)
        (self.folder / "scale.yaml").write_text(text)

    def command(self, name: str, *flags: str, profile: str = "") -> Cost:
        """Do one command and watch it."""
        run = self.folder / "out" / ".run"
        profiled = ("-m", "cProfile", "-o", profile) if profile else ()
        line = [
            *(sys.executable, *profiled, str(ROOT / "run_workflow.py"), name),
            *(str(self.folder / "scale.yaml"), "--ops", str(self.folder / "ops.py"), "--json"),
            *("--cache", str(self.folder / "cache"), "-o", str(self.folder / "out")),
            *("--workers", str(WORKERS), *flags),
        ]
        answer = self.folder / "answer.json"
        first, peak, busy = 0.0, 0.0, 0.0
        began = time.perf_counter()
        with answer.open("wb") as output:
            process = subprocess.Popen(line, stdout=output, cwd=ROOT)
            while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
                peak = max(peak, peak_mb(process.pid))
                if not first and any((run / "hands").glob("*")):
                    first, busy = time.perf_counter() - began, busy_s(process.pid)
                time.sleep(0.02)
        seconds = time.perf_counter() - began
        _, status, usage = ended
        said = json.loads(answer.read_text())
        assert status == 0, said
        return Cost(seconds, usage.ru_utime + usage.ru_stime, first, busy, peak, said)

    def packs(self) -> int:
        """Files in the store."""
        return sum(1 for _ in (self.folder / "cache" / "packs").rglob("*.pack"))


def peak_mb(pid: int) -> float:
    """The most memory a process has used so far, without its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it is just ending


def busy_s(pid: int) -> float:
    """Processor seconds of a process so far, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def both(name: str, cost: Cost) -> dict[str, float]:
    """Wall and processor seconds of a command."""
    return {f"{name}, s": cost.seconds, f"{name}, processor s": cost.cpu_seconds}


def total(said: dict[str, Any], fate: str) -> int:
    """Items of all steps with one fate."""
    return sum(int(step[fate]) for step in said["steps"].values())


def measure(folder: Path, files: int, profile: str = "") -> dict[str, object]:
    """All figures of one folder size."""
    place = Place(folder)
    place.prepare(files)
    unread = place.command("plan")
    assert total(unread.said, "to_run") == 3 * files
    cold = place.command("run", "-q", profile=profile)
    assert total(cold.said, "done") == 3 * files
    again = place.command("run", "-q")
    assert total(again.said, "cached") == 3 * files
    planned = place.command("plan")
    assert total(planned.said, "cached") == 3 * files
    packs = place.packs()
    (place.folder / "photos" / "0000" / "one-more.jpg").write_text("one more")
    one = place.command("run", "-q")
    assert (total(one.said, "done"), total(one.said, "cached")) == (3, 3 * files)
    return {
        "files": files,
        "first chunk running, s": cold.first_s,
        "first chunk running, processor s": cold.first_cpu_s,
        **both("plan of a new folder", unread),
        **both("cold", cold),
        "cold, ms per item-step": cold.seconds / files / 3 * 1e3,
        **both("cached repeat", again),
        **both("plan of a cached folder", planned),
        **both("one file added", one),
        "driver cold, MB": cold.driver_mb,
        "driver repeated, MB": again.driver_mb,
        "files in the store": packs,
    }


def latents(folder: Path, files: int) -> dict[str, object]:
    """In how many files, and how fast, latents of 2 KB are stored."""
    place = Place(folder, "code")
    place.prepare(files)
    cold = place.command("run", "-q")
    assert total(cold.said, "done") == files
    return {
        "latents": files,
        **both("cold", cold),
        "driver cold, MB": cold.driver_mb,
        "files in the store": place.packs(),
    }


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--files", type=int, nargs="*", default=SIZES)
    flags.add_argument("--million", action="store_true", help="do 1,000,000 files too")
    flags.add_argument("--latents", type=int, default=10_000, help="how many latents to store")
    flags.add_argument("--profile", default="", help="a file for the driver's profile, cold")
    asked = flags.parse_args()
    works = [(measure, size) for size in (*asked.files, *[1_000_000] * asked.million)]
    if asked.latents:
        works.append((latents, asked.latents))
    for work, size in works:
        machine = {"cpus": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1)}
        with tempfile.TemporaryDirectory() as name:
            extra = (asked.profile,) if work is measure else ()
            found = work(Path(name), size, *extra)
        told = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
        print(json.dumps({"benchmark": f"scale.{work.__name__}", **told, **machine}), flush=True)


if __name__ == "__main__":
    main()
