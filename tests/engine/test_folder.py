"""One run at a time in an output folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RunError, UsageError
from engine.folder import locked

HOLD = """
import sys
from pathlib import Path
from engine.folder import locked
out = Path(sys.argv[1])
with locked(out, out / ".run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_driver_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    refused = pytest.raises(UsageError, match=f"process {first.pid}")
    with refused, locked(tmp_path, tmp_path / ".run"):
        pytest.fail("two drivers")
    first.kill()  # however it ends
    first.communicate()
    with locked(tmp_path, tmp_path / ".run"):
        assert (tmp_path / ".run" / "lock").exists()


def test_a_folder_that_cannot_be_made_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = tmp_path / "file"
    with pytest.raises(RunError, match="cannot be written"), locked(file, file / ".run"):
        pytest.fail("there is no folder")
