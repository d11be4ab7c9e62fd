"""`python -m models.training.draw portraits --count 48 --ink --out DIR`: renders as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.runtime import import_torch

torch = import_torch()

from PIL import Image  # noqa: E402

from models.scenes.manners import ink  # noqa: E402
from models.training.domains import domain  # noqa: E402
from models.training.features import draw  # noqa: E402

_BATCH = 16


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(prog="python -m models.training.draw", description=__doc__)
    parser.add_argument("domain", help="what to draw: portraits or landscapes")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ink", action="store_true", help="as drawings in sepia ink")
    parser.add_argument("--out", type=Path, default=Path("drawings"))
    options = parser.parse_args(arguments)
    write(options.domain, options.count, options.seed, options.out, in_ink=options.ink)


def write(name: str, count: int, seed: int, out: Path, *, in_ink: bool = False) -> None:
    """Write `count` renders of random factors at 128 px into `out`, as 0000.jpg and so on."""
    subject = domain(name)
    out.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(seed)
    for start in range(0, count, _BATCH):
        with torch.no_grad():
            scene = draw(subject, _BATCH, random, torch.device("cpu"), subject.render)
        image = ink(scene.image) if in_ink else scene.image
        pixels = (image.clamp(-1, 1) + 1).mul(127.5).round().byte().permute(0, 2, 3, 1)
        for place, picture in enumerate(pixels[: count - start], start):
            Image.fromarray(picture.contiguous().numpy()).save(out / f"{place:04d}.jpg", quality=88)


if __name__ == "__main__":
    main()
