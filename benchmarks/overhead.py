"""What the engine costs by itself: 10,000 items through three steps that do nothing, on 2 workers.

One JSON line per figure. Everything is of the command as a user types it: interpreter, worker
processes, cache, ledger and report included. Processor figures hold on a busy machine too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
ITEMS = 10_000
STEPS = 3
WORKERS = 2

OPS = '''
from engine.op import op
from engine.values import Scalar

@op(version=1, batch=64)
def pass_on(value: Scalar) -> Scalar:
    """Give the value back."""
    return value
'''

WORKFLOW = """
version: 1
name: overhead
sources:
  number: {{values: [{values}]}}
steps:
  first:  {{op: pass_on, in: {{value: number}}}}
  second: {{op: pass_on, in: {{value: first}}}}
  third:  {{op: pass_on, in: {{value: second}}}}
outputs: []
"""


@dataclass(frozen=True)
class Cost:
    """What one command took: wall and processor seconds (workers too), the driver's peak memory."""

    seconds: float
    cpu_seconds: float
    driver_mb: float


def run(folder: Path, items: int) -> Cost:
    """Run the workflow once as a command."""
    workflow = folder / f"{items}.yaml"
    workflow.write_text(WORKFLOW.format(values=", ".join(map(str, range(items)))))
    command = [
        *(sys.executable, str(ROOT / "run_workflow.py"), str(workflow)),
        *("--ops", str(folder / "ops.py"), "--workers", str(WORKERS), "--json", "-q"),
        *("--cache", str(folder / f"cache{items}"), "-o", str(folder / f"out{items}")),
    ]
    answer = folder / "answer.json"
    began = time.perf_counter()
    with answer.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, cwd=ROOT)
        peak = 0.0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.02)
    seconds = time.perf_counter() - began
    _, status, usage = ended
    result = json.loads(answer.read_text())
    assert status == 0, result
    assert all(step["done"] + step["cached"] == items for step in result["steps"].values())
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


def peak_mb(pid: int) -> float:
    """The most memory a process has used so far, without its children."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it is just ending


def main() -> None:
    """Measure and print."""
    machine = {"cpus": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ops.py").write_text(OPS)
        small = run(folder, ITEMS // 10)
        cold = run(folder, ITEMS)
        again = run(folder, ITEMS)
    per_item_step = 1e3 / ITEMS / STEPS
    figures = {
        "engine overhead, ms per item-step": cold.seconds * per_item_step,
        "engine overhead, processor ms per item-step": cold.cpu_seconds * per_item_step,
        "engine overhead repeated, s": again.seconds,
        "engine overhead repeated, processor s": again.cpu_seconds,
        "driver memory, MB": cold.driver_mb,
        "driver memory, MB more for ten times the items": cold.driver_mb - small.driver_mb,
    }
    for figure, value in figures.items():
        print(json.dumps({"figure": figure, "value": round(value, 3), **machine}))


if __name__ == "__main__":
    main()
