"""`python -m tests.chaos.campaign`: everything that can go wrong does, over and over, by a seed.

One JSON line per round with its events, and one at the end with all figures. The exit code is 1
when something that the engine promises was not so; the folder of that round is kept.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import engine.runner
import engine.worker  # noqa: F401  (forks have it then)
from tests.chaos import rounds
from tests.chaos.damage import respect_permissions
from tests.chaos.rounds import Round
from tests.chaos.scene import GUILTY, BrokenPromiseError, Scene, contents


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of round: what it does, its scene, events in a round, and its share of all events."""

    play: Callable[[Round, int], None]
    events: int
    share: float
    scene: Mapping[str, Any]


#: Nobody gets a second try, so that whoever is blamed is blamed for good.
STRICT: Mapping[str, Any] = {"retries": 0, "timeout_s": 10.0}
KINDS = {
    "alone": Kind(rounds.alone, 6, 0.45, {}),
    "full_disk": Kind(rounds.full_disk, 5, 0.08, {}),
    "together": Kind(rounds.together, 24, 0.33, {"photos": 60, "seconds": 0.15}),
    "abroad": Kind(rounds.abroad, 8, 0.12, {"photos": 60, "seconds": 0.15}),
    "guilty": Kind(rounds.guilty, 3, 0.02, {"poison": tuple(GUILTY), **STRICT}),
    "guilty_abroad": Kind(rounds.guilty_abroad, 2, 0.01, {"poison": ("crash", "hang"), **STRICT}),
}


def play(name: str, seed: int, count: int, folder: Path) -> tuple[list[str], str]:
    """Play one round in a folder; give its events, and what was not as promised."""
    kind = KINDS[name]
    scene = Scene(folder, **kind.scene)
    scene.expected = undisturbed(scene)
    round_ = Round(name, scene, random.Random(f"{name} {seed}"))
    try:
        kind.play(round_, count)
    except BrokenPromiseError as error:
        return round_.events, str(error)
    finally:
        for process in scene.processes():
            process.kill()
    return round_.events, ""


def undisturbed(scene: Scene) -> dict[str, str]:
    """What the good photos of a scene come to when nothing happens."""
    calm = Scene(scene.folder / "calm", photos=scene.photos, seconds=scene.seconds)
    code = calm.fork().wait()
    if code != 0:
        raise BrokenPromiseError(f"undisturbed, it ends with {code}: {calm.last_words()}")
    return contents(calm.out)


def main() -> int:
    """Play rounds until there were enough events."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="KIND,...", help=", ".join(KINDS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    respect_permissions()
    chosen = wanted.only.split(",") if wanted.only else list(KINDS)
    if "full_disk" in chosen and not rounds.can_mount():
        chosen.remove("full_disk")
        print(json.dumps({"kind": "full_disk", "skipped": "no right to mount; try unshare -rm"}))
    shares = sum(KINDS[name].share for name in chosen)
    total: Counter[str] = Counter()
    broken = number = 0
    began = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="chaos-"))
    for name in chosen:
        left = round(wanted.events * KINDS[name].share / shares)
        while left > 0:
            number += 1
            folder, start = base / f"{number:03}-{name}", time.monotonic()
            asked = min(left, KINDS[name].events)
            seen, problem = play(name, wanted.seed + number, asked, folder)
            total.update(seen)
            left -= max(1, len(seen))
            broken += bool(problem)
            tell(round=number, kind=name, events=dict(Counter(seen)), broken=problem, start=start)
            if problem:
                print(f"kept: {folder}", file=sys.stderr)
            else:
                shutil.rmtree(folder)
    events = sum(total.values())
    tell(seed=wanted.seed, rounds=number, total=events, events=total, broken=broken, start=began)
    if not broken:
        shutil.rmtree(base)
    return int(bool(broken))


def tell(*, start: float, **figures: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps({**figures, "seconds": round(time.monotonic() - start, 1)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
