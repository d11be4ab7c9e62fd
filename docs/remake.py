"""`python docs/remake.py [NAME ...]`: figures, pictures and tables of docs/soat.md and codes.md.

Runs the scripts of benchmarks/ that the pages tell of, as many at a time as there are processors,
with one thread each, and writes their lines to docs/figures; then pictures.py and make.py.
`--share 0.1` measures a tenth of the items, for a first look. Every run ends with a line that tells
what it cost.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FIGURES = DOCS / "figures"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a script in benchmarks/: how many items it measures, and other flags."""

    name: str
    count: tuple[str, int] | None = None
    flags: tuple[str, ...] = ()

    def line(self, share: float) -> list[str]:
        """The command line for a share of the items."""
        line = [sys.executable, str(ROOT / "benchmarks" / f"{self.name}.py"), *self.flags]
        if self.count:
            line += [self.count[0], str(max(2, round(self.count[1] * share)))]
        return line


STEPS = ("--steps", "30")
#: The longest first, so that none is left to run alone at the end.
RUNS = (
    Measured("transfer", ("--pairs", 200), ("--parts", "pose", "mouth")),
    Measured("transfer", ("--pairs", 200), ("--parts", "hair")),
    Measured(
        "inversion",
        ("--count", 200),
        ("--parts", "priors", *STEPS, "--priors", "none", "w_gaussian"),
    ),
    Measured(
        "inversion", ("--count", 200), ("--parts", "priors", *STEPS, "--priors", "style_gaussian")
    ),
    Measured("seams", ("--strips", 16)),
    Measured("seams", ("--strips", 16), ("--noise", "none")),
    Measured("panorama", None, ("--model", "landscapes-128", "--long")),
    Measured("codes", ("--count", 10_000), ("--parts", "learn", "--threads", "2")),
    Measured("codes", ("--pictures", 2000), ("--parts", "components", "dci")),
    Measured("codes", ("--traced", 8), ("--parts", "channels")),
    Measured("codes", None, ("--parts", "embedding")),
    Measured("directions", ("--flow-codes", 10_000)),
    Measured("inversion", None, ("--parts", "gaussianity")),
    Measured("inversion", ("--count", 8), ("--parts", "tuning", "--ranks", "4")),
)
NAMES = tuple(dict.fromkeys(run.name for run in RUNS))


def measure(run: Measured, share: float) -> str:
    """Run one script. Returns: its lines, and one more that tells its cost."""
    line = run.line(share)
    print(" ".join(line[1:]), flush=True)
    begun = time.perf_counter()
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(line)}: failed with {process.returncode}")
    cost = {
        "benchmark": f"{run.name}.run",
        "flags": line[2:],
        "seconds": round(time.perf_counter() - begun),
        "cpu_seconds": round(used.ru_utime + used.ru_stime),
    }
    print(json.dumps(cost), flush=True)
    return f"{told}{json.dumps(cost)}\n"


def remeasure(names: Sequence[str], share: float, together: int) -> None:
    """Write the figures of some benchmarks; a file is replaced when all of its runs are done."""
    chosen = [run for run in RUNS if run.name in names]
    told: dict[Measured, str] = {}
    lock = threading.Lock()

    def one(run: Measured) -> None:
        lines = measure(run, share)
        with lock:
            told[run] = lines
            mine = [each for each in chosen if each.name == run.name]
            if all(each in told for each in mine):
                FIGURES.mkdir(exist_ok=True)
                text = "".join(told[each] for each in mine)
                (FIGURES / f"{run.name}.jsonl").write_text(text, encoding="utf-8")

    with ThreadPoolExecutor(together) as pool:
        list(pool.map(one, chosen))


def main() -> None:
    """Make what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*NAMES, "pictures")))
    parser.add_argument("--share", type=float, default=1.0, help="of the items that are measured")
    parser.add_argument("--together", type=int, default=os.cpu_count() or 1, help="runs at a time")
    asked = parser.parse_args()
    names = asked.names or [*NAMES, "pictures"]
    if unknown := sorted(set(names) - {*NAMES, "pictures"}):
        parser.error(
            f"no such figure: {', '.join(unknown)}; there are {', '.join(NAMES)}, pictures"
        )
    remeasure(names, asked.share, asked.together)
    if "pictures" in names:
        subprocess.run([sys.executable, str(DOCS / "pictures.py")], check=True)
    subprocess.run([sys.executable, str(DOCS / "make.py")], check=True)


if __name__ == "__main__":
    main()
