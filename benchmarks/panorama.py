"""What a panorama costs: one exact canvas against the published weave.

One JSON line per figure, all from one run. `cost`: arithmetic (counted) and processor time (fastest
turn) for one picture's width of strip, in plain pictures of the same generator. `memory`: peak of
a process that draws strips of growing length, tile by tile. `--long` draws 100,096 px through the
front door, into PNG and BigTIFF. How panoramas look is measured in seams.py.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models.runtime import import_torch  # noqa: E402  (found once the root is on the path)

torch = import_torch()

import models  # noqa: E402  (torch comes first, with the allocator tuned)
from models import blend  # noqa: E402
from models.canvas import noise_field  # noqa: E402
from models.panorama import Panorama, weave_spans  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

    from models.stylegan2 import Generator

Draw = Callable[["Tensor"], Iterable[object]]


def tell(figure: str, **values: Any) -> None:
    """Print one line."""
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps({"benchmark": f"panorama.{figure}", **values, "machine": machine}), flush=True)


def exact(generator: "Generator", noise: str = "const") -> Draw:
    """A strip on one canvas, tile by tile."""
    field = noise_field(generator, noise)  # type: ignore[arg-type]
    return lambda styles: Panorama(generator, styles, 1, len(styles), field).tiles()


def woven(generator: "Generator", noise: str = "const") -> Draw:
    """A strip of spans, cut and joined, each code computed only where it shows."""
    field = noise_field(generator, noise)  # type: ignore[arg-type]
    return lambda styles: weave_spans(generator, styles, field)


def published(generator: "Generator") -> Draw:
    """The same with both codes computed on the whole of each span, as published."""

    def draw(styles: "Tensor") -> Iterable[object]:
        usual, blend.WORTH_CUTTING = blend.WORTH_CUTTING, 0.0
        yield from woven(generator)(styles)
        blend.WORTH_CUTTING = usual

    return draw


def plain(generator: "Generator") -> Draw:
    """As many pictures on their own."""
    return lambda styles: (generator.synthesize_styles(one[None]) for one in styles)


def spend(draw: Draw, styles: "Tensor") -> None:
    """Draw all of it and keep nothing."""
    for _ in draw(styles):
        pass


def operations(draw: Draw, styles: "Tensor") -> int:
    """The multiplications and additions of all of it."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        spend(draw, styles)
    return int(counter.get_total_flops())


def cost(generator: "Generator", styles: "Tensor", turns: int) -> None:
    """Per picture's width: the operations of a strip made longer, the time of the whole strip."""
    forms = {
        "plain pictures": plain(generator),
        "exact canvas": exact(generator),
        "soat, codes where they show": woven(generator),
        "soat as published": published(generator),
    }
    half = len(styles) // 2
    best = dict.fromkeys(forms, float("inf"))
    for _ in range(turns):
        for name, draw in forms.items():
            began = time.process_time()
            spend(draw, styles)
            best[name] = min(best[name], time.process_time() - began)
    more = {
        name: operations(draw, styles) - operations(draw, styles[:half])
        for name, draw in forms.items()
    }
    base = "plain pictures"
    for name in forms:
        tell(
            "cost",
            form=name,
            codes=len(styles),
            image_equivalents_counted=round(more[name] / more[base], 3),
            image_equivalents_timed=round(best[name] / best[base], 3),
        )


def child(model: str, form: str, count: int) -> None:
    """Draw one strip and print the peak of this process in MB, and its processor seconds."""
    generator, styles = load(model, count)
    with torch.no_grad():
        spend({"exact canvas": exact, "soat": woven}[form](generator, "seeded"), styles)
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps([round(peak / 1024), round(time.process_time(), 1)]))


def memory(model: str, lengths: Iterable[int]) -> None:
    """Peak memory and time against length, each in a process of its own."""
    for form in ("exact canvas", "soat"):
        for count in lengths:
            line = [sys.executable, __file__, "--model", model, "--child", form, str(count)]
            done = subprocess.run(line, capture_output=True, text=True, check=True)
            peak, seconds = json.loads(done.stdout)
            tell("memory", form=form, codes=count, peak_mb=peak, cpu_seconds=seconds)


def long_strip() -> None:
    """100,096 px of strip from the recipe: codes, strip, store, measures, PNG and BigTIFF."""
    with tempfile.TemporaryDirectory() as folder:
        line = [
            *(sys.executable, str(ROOT / "run_workflow.py"), str(ROOT / "workflows/panorama.yaml")),
            *("-p", "count=782", "-p", "closed=false", "--workers", "1", "-q"),
            *("-o", f"{folder}/out", "--cache", f"{folder}/cache"),
        ]
        began = time.perf_counter()
        subprocess.run(line, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        tell(
            "long",
            width_px=782 * 128,
            seconds=round(time.perf_counter() - began, 1),
            cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
            peak_mb_of_a_process=round(used.ru_maxrss / 1024),
            png_mb=round(Path(folder, "out/panorama.png").stat().st_size / 1e6, 1),
            tif_mb=round(Path(folder, "out/panorama.tif").stat().st_size / 1e6, 1),
        )


def load(model: str, count: int) -> "tuple[Generator, Tensor]":
    """A generator and some codes of it, a little towards the mean."""
    path = ROOT / "models" / "builtin" / model / "generator.safetensors"
    generator = models.load_generator(path if path.is_file() else model).requires_grad_(False)
    z = torch.randn(count, generator.config.z_dim, generator=torch.Generator().manual_seed(1))
    w = torch.lerp(generator.w_avg, generator.mapping(z), 0.8)
    return generator, generator.styles(generator.broadcast(w))


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="portraits-128", help="one that ships, or a file")
    parser.add_argument("--codes", type=int, default=32)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.model, asked.child[0], int(asked.child[1]))
        return
    memory(asked.model, (8, 64, 256))
    if asked.long:
        long_strip()
    with torch.no_grad():
        generator, styles = load(asked.model, asked.codes)
        cost(generator, styles, asked.turns)


if __name__ == "__main__":
    main()
