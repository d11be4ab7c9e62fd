"""What the main job costs: the quickstart from nothing, the same command again, and one photo more.

Prints one JSON line per figure. All told: seconds are those of the command as a user types it. The
last line counts the items that ran for one added photo; each step that works per photo runs its
items for that photo only.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "workflows"
EXTRA = RECIPES / "photos" / "grace_hopper.jpg"


def run(folder: Path) -> tuple[float, dict[str, Any]]:
    """Run the quickstart on a folder's photos; return seconds and what it told."""
    command = [
        *(sys.executable, str(ROOT / "run_workflow.py"), str(RECIPES / "quickstart.yaml")),
        *("-p", f"photos={folder / 'photos'}", "--json", "-q"),
        *("--cache", str(folder / "cache"), "-o", str(folder / "out")),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=folder, check=True)
    return time.perf_counter() - began, json.loads(done.stdout)


def add_photo(folder: Path) -> None:
    """Add a photo that is new to the cache: a mirrored one."""
    from PIL import Image, ImageOps

    ImageOps.mirror(Image.open(EXTRA)).save(folder / "photos" / "mirrored.jpg")


def main() -> None:
    """Measure and print."""
    machine = {"cpus": os.cpu_count(), "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(RECIPES / "photos", folder / "photos")
        for figure in ("quickstart_cold_s", "quickstart_repeated_s"):
            seconds, told = run(folder)
            done = sum(step["done"] for step in told["steps"].values())
            print(
                json.dumps({"figure": figure, "value": round(seconds, 2), "items": done} | machine)
            )
        add_photo(folder)
        seconds, told = run(folder)
        ran = {step: counts["done"] for step, counts in told["steps"].items()}
        figure = {"figure": "quickstart_one_photo_more_s", "value": round(seconds, 2), "ran": ran}
        print(json.dumps(figure | machine))


if __name__ == "__main__":
    main()
