"""What happens before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.runtime import import_torch, tune_malloc

ROOT = Path(__file__).parent.parent.parent


def test_torch_comes_back() -> None:
    assert import_torch().__name__ == "torch"


def test_tunables_of_the_user_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.top_pad=1")
    assert not tune_malloc()


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted on Linux")
def test_freed_memory_is_kept() -> None:
    code = (
        "import resource, sys; from models.runtime import tune_malloc\n"
        "tuned = tune_malloc() if sys.argv[1] == 'tuned' else None\n"
        "for _ in range(20): bytearray(64 * 2**20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, tuned)"
    )
    faults = {}
    for mode in ("tuned", "plain"):
        command = [sys.executable, "-c", code, mode]
        environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment
        )
        count, tuned = run.stdout.split()
        if tuned == "False":
            pytest.skip("no glibc")
        faults[mode] = int(count)
    assert faults["tuned"] < faults["plain"] / 5
