"""The campaign in short: `make chaos` is the long form."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.rounds import began, start_over
from tests.chaos.scene import Scene, contents

ROOT = Path(__file__).parents[2]


def campaign(kinds: str, events: int) -> list[dict[str, Any]]:
    """Play some rounds in a process of their own, in mounts of their own where that is allowed."""
    try:
        subprocess.run(own_mounts := ["unshare", "-rm"], check=True, input=b"", capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        own_mounts = []
    command = [sys.executable, "-m", "tests.chaos.campaign"]
    flags = ["--only", kinds, "--events", str(events)]
    done = subprocess.run(
        [*own_mounts, *command, *flags],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["broken"] for line in lines if line.get("broken")] == []
    assert done.returncode == 0, done.stderr
    return lines


def test_whatever_is_killed_or_damaged_the_same_command_finishes_the_same_files() -> None:
    *_, told = campaign("alone,full_disk", 14)
    events = Counter(told["events"])
    assert events["driver killed"] >= 2
    assert len(events) >= 4
    assert sum(events.values()) >= 12


@pytest.mark.timeout(600)
def test_only_the_guilty_photos_are_set_aside() -> None:
    *_, told = campaign("guilty", 3)
    assert told["events"] == {"crash photo": 1, "hang photo": 1, "hoard photo": 1}


@pytest.mark.timeout(600)
def test_the_clock_may_jump_by_years_and_nothing_hangs_on_it(tmp_path: Path) -> None:
    calm = Scene(tmp_path / "calm", photos=8, seconds=0.05)
    assert calm.command("--workers", "1").wait() == 0
    scene = Scene(tmp_path / "scene", photos=8, seconds=0.05, expected=contents(calm.out))
    for years in (-10, 20):
        start_over(scene)
        driver = scene.command("--workers", "1")
        began(scene, driver)
        scene.set_clock(years * 365 * 86400.0)
        scene.check(driver.wait())
    made = {p: p.stat().st_mtime_ns for p in scene.out.glob("*.png")}
    scene.check(scene.command("--workers", "1").wait())
    assert {p: p.stat().st_mtime_ns for p in scene.out.glob("*.png")} == made
