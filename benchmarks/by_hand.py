"""What the engine costs at 128 px: the aim is 15% at plain synthesis, and 5% at inversion.

The same chain of the same ops, written as a loop in one process and run as a workflow with one
worker, on one CPU. What starting up costs is left out: the figures are of the items by which a
large run exceeds a small one, in processor seconds of all processes together: the least of some
turns, for what else the machine does can only add to them. One JSON line each.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

MODEL = "portraits-128"
DRAWN = """
version: 1
name: by-hand
models: {{portraits: portraits-128}}
sources:
  code: {{samples: {{count: {count}, seed: 0, truncation: 0.8}}}}
steps:
  picture: {{op: synthesize, in: {{latent: code}}}}
"""
OUTPUT = 'outputs: [{{from: picture, to: "{{code.index:04d}}.png"}}]\n'
INVERTED = """\
  found: {{op: invert, in: {{image: picture}}, with: {{steps: {steps}}}}}
outputs: []
"""


def by_hand(kind: str, count: int, steps: int, folder: Path) -> None:
    """The chain as a loop: batches as the ops declare them, files as the engine writes them."""
    from models.runtime import import_torch

    torch = import_torch()
    torch.set_num_threads(1)
    from PIL import Image as Picture

    from engine.op import Seed, read_op
    from engine.values import Network, Scalar, take
    from ops.codes import sample_codes
    from ops.inversion import invert
    from ops.synthesis import synthesize
    from run_workflow import describe_model

    info = describe_model(MODEL)
    named = (info.name, info.path, info.digest, info.family, info.resolution, info.num_rows)
    model = Network(*named, device="cpu")
    size = read_op(synthesize).options.batch
    for start in range(0, count, size):
        here = range(start, min(start + size, count))
        codes = sample_codes(Scalar(tuple(here)), model, seed=0, truncation=0.8)
        pictures = synthesize(codes, model)
        for at, index in enumerate(here):
            if kind == "inversion":
                invert(take(pictures, at, at + 1), model, steps=steps, seed=Seed((index,)))
                continue
            data = ((pictures.data[at] + 1) * 127.5).round().clamp(0, 255).byte()
            Picture.fromarray(data.permute(1, 2, 0).numpy()).save(folder / f"{index:04d}.png")


def busy_s(command: list[str]) -> float:
    """Processor seconds of a command and all it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def loop_s(kind: str, count: int, steps: int) -> float:
    """Processor seconds by hand."""
    with tempfile.TemporaryDirectory() as name:
        flags = ["--hand", kind, "--count", str(count), "--steps", str(steps), "--out", name]
        return busy_s([sys.executable, __file__, *flags])


def engine_s(kind: str, count: int, steps: int) -> float:
    """Processor seconds with the engine."""
    with tempfile.TemporaryDirectory() as name:
        workflow = Path(name, "by_hand.yaml")
        text = DRAWN + (INVERTED if kind == "inversion" else OUTPUT)
        workflow.write_text(text.format(count=count, steps=steps))
        line = [sys.executable, str(ROOT / "run_workflow.py"), str(workflow), "-q"]
        places = ["--cache", str(Path(name, "cache")), "-o", str(Path(name, "out"))]
        return busy_s([*line, "--workers", "1", *places])


def main() -> None:
    """Measure and print; or do the loop itself, as a process of its own."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--hand", default="", help="do the loop of this kind")
    flags.add_argument("--count", type=int, default=0)
    flags.add_argument("--steps", type=int, default=50, help="of an inversion")
    flags.add_argument("--out", type=Path, default=Path())
    flags.add_argument("--pictures", type=int, nargs=2, default=(40, 240))
    flags.add_argument("--inversions", type=int, nargs=2, default=(4, 16))
    flags.add_argument("--turns", type=int, default=3)
    asked = flags.parse_args()
    if asked.hand:
        by_hand(asked.hand, asked.count, asked.steps, asked.out)
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for kind, counts in (("synthesis", asked.pictures), ("inversion", asked.inversions)):
        if not counts[1]:
            continue
        least = {}
        for _ in range(asked.turns):
            for way in (loop_s, engine_s):
                for count in counts:
                    found = way(kind, count, asked.steps)
                    least[way, count] = min(found, least.get((way, count), found))
        more = counts[1] - counts[0]
        hand, engine = (
            (least[way, counts[1]] - least[way, counts[0]]) / more for way in (loop_s, engine_s)
        )
        told = {"by hand, s per item": round(hand, 4), "engine, s per item": round(engine, 4)}
        ratio = {"engine / by hand": round(engine / hand, 3)}
        load = {"turns": asked.turns, "load": round(os.getloadavg()[0], 1)}
        print(json.dumps({"benchmark": "by_hand.chain", "chain": kind, **told, **ratio, **load}))


if __name__ == "__main__":
    main()
