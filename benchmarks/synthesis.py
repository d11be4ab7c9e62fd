"""Claim: the walk is faster than the textbook form, forward and for a step of inversion.

Both run the same random 256 px generator of channel multiplier 2, in turns, and the fastest turn
counts, so that other work on the machine hurts both alike. One JSON line per figure.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from models.config import GeneratorConfig, standard_channels
from models.runtime import import_torch

if TYPE_CHECKING:
    from torch import Tensor

torch = import_torch()

from models import reference  # noqa: E402  (torch comes first, with the allocator tuned)
from models.stylegan2 import Generator  # noqa: E402

Synthesis = Callable[["Tensor"], "Tensor"]


def forward(synthesize: Synthesis, styles: "Tensor") -> None:
    """One batch of pictures."""
    with torch.no_grad():
        synthesize(styles)


def inversion_step(synthesize: Synthesis, styles: "Tensor") -> None:
    """The pictures and their gradient back to the codes."""
    code = styles.clone().requires_grad_(True)
    synthesize(code).square().mean().backward()


def seconds(work: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one call, the latter over all threads."""
    wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    busy = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return time.perf_counter() - wall, busy


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Print one line per kind of work and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    torch.manual_seed(0)
    config = GeneratorConfig(asked.resolution, standard_channels(asked.resolution))
    generator = Generator(config).requires_grad_(False)
    styles = generator.styles(torch.randn(asked.batch, generator.num_rows, config.w_dim))

    def fast_half(given: "Tensor") -> "Tensor":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return generator.synthesize_styles(given)

    forms: dict[str, Synthesis] = {
        "reference": lambda given: reference.synthesize(generator, given),
        "fast": generator.synthesize_styles,
        "fast bfloat16": fast_half,
    }
    for kind in (forward, inversion_step):
        best = dict.fromkeys(forms, (float("inf"), float("inf")))
        for turn in range(asked.turns + 1):
            for name, synthesize in forms.items():
                taken = seconds(lambda work=kind, form=synthesize: work(form, styles))  # type: ignore[misc]
                if turn:  # the first turn warms up
                    best[name] = min(best[name], taken)
        for name, (wall, busy) in best.items():
            figure = {
                "benchmark": f"synthesis.{kind.__name__}",
                "form": name,
                "resolution": asked.resolution,
                "batch": asked.batch,
                "seconds_per_image": round(wall / asked.batch, 4),
                "cpu_seconds_per_image": round(busy / asked.batch, 4),
                "times_faster": round(best["reference"][0] / wall, 2),
            }
            print(json.dumps(figure | {"machine": machine()}), flush=True)


if __name__ == "__main__":
    main()
