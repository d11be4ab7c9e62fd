"""`python -m models.training portraits --minutes 90 --out DIR`: fit the networks of one domain.

With `torchrun --nproc-per-node N -m models.training ...` N processes work on one network.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from models.errors import ModelError
from models.runtime import import_torch


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("domain", help="what to draw: portraits or landscapes")
    parser.add_argument(
        "--part",
        choices=["generator", "features", "adversarial", "encoder", "export"],
        default="generator",
        help="adversarial goes on with the generator in --out, the encoder needs generator and "
        "features there; export writes weights into --builtin",
    )
    parser.add_argument("--minutes", type=float, help="how long to work in all, > 0")
    parser.add_argument("--steps", type=int, help="how many steps to take in all, repeatable, > 0")
    parser.add_argument("--out", type=Path, default=Path("training-out"))
    parser.add_argument("--seed", type=int, default=0, help="a resumed run keeps its own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's choice)")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument("--warm", action="store_true", help="start from the weights that ship")
    parser.add_argument("--compile", action="store_true", help="compile the renderer (needs g++)")
    parser.add_argument("--builtin", type=Path, help="the folder of the model that export writes")
    game = parser.add_argument_group("adversarial")
    game.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="pull of the discriminator beside the render's, 0: none",
    )
    game.add_argument(
        "--meaning", type=float, default=8.0, help="weight of what a feature network reads amiss"
    )
    game.add_argument("--mixing", type=float, help="share of pictures of mixed styles, < 1")
    game.add_argument("--r1", type=float, help="weight of the R1 penalty")
    game.add_argument("--path", type=float, help="weight of path length regularisation")
    game.add_argument("--steady", type=float, help="hold the sign of real scores by augmentation")
    options = parser.parse_args()
    if options.part != "export" and (options.minutes is None) == (options.steps is None):
        parser.error("give either --minutes or --steps")
    if any(amount is not None and amount <= 0 for amount in (options.minutes, options.steps)):
        parser.error("--minutes and --steps are more than 0")
    try:
        _run(options)
    except ModelError as error:
        parser.error(str(error))


def _run(options: argparse.Namespace) -> None:
    torch = import_torch()  # the allocator is tuned before anything imports torch

    from models.adversarial import Rules
    from models.training import adversarial, encoder, export, features, generator
    from models.training.domains import domain
    from models.training.loop import Budget, Job

    if "WORLD_SIZE" in os.environ:
        torch.distributed.init_process_group("gloo")
    if options.threads:
        torch.set_num_threads(options.threads)
    job = Job(
        domain(options.domain),
        options.out,
        Budget(options.minutes, options.steps),
        seed=options.seed,
        device=options.device,
        resume=options.resume,
        warm=options.warm,
        compile_render=options.compile,
    )
    if options.part == "export":
        export.export(job, options.builtin)
        return
    if options.part == "adversarial":
        given = {key: getattr(options, key) for key in ("mixing", "r1", "path", "steady")}
        rules = Rules(**{key: value for key, value in given.items() if value is not None})
        adversarial.train(job, adversarial.Game(rules, options.share, meaning=options.meaning))
        return
    train = {"generator": generator, "features": features, "encoder": encoder}[options.part].train
    train(job)


if __name__ == "__main__":
    main()
