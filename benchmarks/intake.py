"""Whether reading and writing keep up: a folder of 12-megapixel JPEGs on 2 workers.

Photos of 4000 x 3000 pixels and 3 to 5 MB are cut to the model's size and turned into codes, which
are drawn again; pictures and codes are kept. One JSON line per chain: "encoder" reads the code off
in one pass, "inversion" descends from there by `--steps` steps. Everything is of the command as a
user types it.

The compute share is the part of the seconds in which workers had a chunk that they spent in ops:
the rest they waited, for a photo to be decoded, a network's input to be read, a pack or a file to
be written. It is the workers' own count, as `status` and `.run/metrics.prom` tell it. What is
decoded or encoded by a thread while an op runs takes processor time, but nobody waits for it; so
the processor seconds of a photo are told too, and beside them those of decoding one and nothing
else. What starting up costs (importing torch, loading networks) is left out: all figures are of the
photos by which a large run exceeds a small one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

WIDTH, HEIGHT = 4000, 3000

WORKFLOW = """
version: 1
name: intake
models: {{portraits: portraits-128}}
sources:
  photo: {{glob: "{folder}/*.jpg"}}
steps:
  square:  {{op: align_center, in: {{image: photo}}}}
  code:
    op: invert
    in: {{image: square.image}}
    with: {settings}
  picture: {{op: synthesize, in: {{latent: code.latent}}}}
outputs:
  - {{from: picture, to: "{{photo.stem}}.png"}}
  - {{from: code.latent, to: "{{photo.stem}}.safetensors"}}
"""


def make_photos(folder: Path, count: int) -> None:
    """Drawn people on gradients, with the grain of a sensor: other pixels in every file."""
    import numpy
    from PIL import Image

    from models.training.draw import write

    write("portraits", count, 0, folder / "drawn")
    folder.mkdir(exist_ok=True)
    random = numpy.random.default_rng(0)
    across = numpy.linspace(-40, 40, WIDTH, dtype=numpy.float32)[None, :, None]
    down = numpy.linspace(-40, 40, HEIGHT, dtype=numpy.float32)[:, None, None]
    for drawn in sorted((folder / "drawn").iterdir()):
        person = Image.open(drawn).resize((HEIGHT, HEIGHT), Image.Resampling.BICUBIC)
        place = Image.new("RGB", (WIDTH, HEIGHT), tuple(random.integers(60, 190, 3).tolist()))
        place.paste(person, ((WIDTH - HEIGHT) // 2, 0))
        light = across * random.uniform(-1, 1) + down * random.uniform(-1, 1)
        grain = random.normal(0, 7, (HEIGHT, WIDTH, 1)).astype(numpy.float32)
        pixels = (numpy.asarray(place) + light + grain).clip(0, 255).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / drawn.name, quality=88)
        drawn.unlink()
    (folder / "drawn").rmdir()


def busy_s(who: int) -> float:
    """Processor seconds of this process, or of those it started that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def decoding(paths: Sequence[Path]) -> float:
    """Processor seconds of reading one photo as workers do, in one thread and nothing else."""
    from models.runtime import import_torch

    import_torch().set_num_threads(1)
    from engine.photos import read_photo

    read_photo(paths[0])
    began = busy_s(resource.RUSAGE_SELF)
    for path in paths:
        read_photo(path)
    return (busy_s(resource.RUSAGE_SELF) - began) / len(paths)


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds of its workers, of these in ops, and processor seconds."""

    photos: int
    seconds: float
    computing: float
    processor: float


def run(folder: Path, chain: str, steps: int, workers: int) -> Cost:
    """Run a chain on the photos of a folder, as a command."""
    settings = "{method: encoder}" if chain == "encoder" else f"{{method: hybrid, steps: {steps}}}"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "intake.yaml").write_text(WORKFLOW.format(folder=folder, settings=settings))
        line = [
            *(sys.executable, str(ROOT / "run_workflow.py"), str(place / "intake.yaml"), "-q"),
            *("--json", "--workers", str(workers)),
            *("--cache", str(place / "cache"), "-o", str(place / "out")),
        ]
        used = busy_s(resource.RUSAGE_CHILDREN)
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
        used = busy_s(resource.RUSAGE_CHILDREN) - used
        pulse = json.loads((place / "out" / ".run" / "pulse.json").read_text())
    told = pulse["workers"].values()
    return Cost(
        json.loads(done.stdout)["steps"]["picture"]["done"],
        sum(worker["seconds"] for worker in told),
        sum(worker["computing"] for worker in told),
        used,
    )


def measure(small: Cost, large: Cost) -> dict[str, float]:
    """The figures of the photos by which one run exceeds the other."""
    more = large.photos - small.photos
    seconds = large.seconds - small.seconds
    return {
        "photos": more,
        "compute share": (large.computing - small.computing) / seconds,
        "compute share with starting up": large.computing / large.seconds,
        "worker s per photo": seconds / more,
        "processor s per photo": (large.processor - small.processor) / more,
    }


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--encoder", type=int, nargs=2, default=(8, 40), help="photos, small, large")
    flags.add_argument("--inversion", type=int, nargs=2, default=(4, 20))
    flags.add_argument("--steps", type=int, default=50, help="of an inversion")
    flags.add_argument("--workers", type=int, default=2)
    asked = flags.parse_args()
    chains = {"encoder": asked.encoder, "inversion": asked.inversion}
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        make_photos(photos, max(map(max, chains.values())))
        made = sorted(photos.iterdir())
        common = {
            "cpus": len(os.sched_getaffinity(0)),
            "workers": asked.workers,
            "MB per photo": sum(path.stat().st_size for path in made) / len(made) / 1e6,
            "decoding alone, processor s": decoding(made),
        }
        for chain, counts in chains.items():
            if not counts[1]:
                continue
            costs = []
            for count in counts:
                some = Path(name) / f"{chain}-{count}"
                some.mkdir()
                for path in made[:count]:
                    (some / path.name).hardlink_to(path)
                costs.append(run(some, chain, asked.steps, asked.workers))
            taken = {"steps": asked.steps if chain == "inversion" else 0}
            found = {**taken, **measure(*costs), **common, "load": os.getloadavg()[0]}
            told = {k: round(v, 3) if isinstance(v, float) else v for k, v in found.items()}
            print(json.dumps({"benchmark": "intake.chain", "chain": chain, **told}), flush=True)


if __name__ == "__main__":
    main()
