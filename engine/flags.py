"""Flags that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Make one decorator of several."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
A_PATH = click.Path(path_type=Path)
RUN_DIR = click.argument("out", type=click.Path(exists=True, file_okay=False, path_type=Path))
VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Say more; show tracebacks.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON on stdout.")
CACHE = click.option("--cache", type=A_PATH, help="The cache folder [in the user's cache folder].")
OPS = click.option("--ops", type=A_FILE, multiple=True, help="A Python file with your own ops.")
ON_FINISH = click.option(
    "--on-finish",
    metavar="COMMAND|URL",
    help="Tell a command (stdin) or an address (POST) the result, as JSON.",
)
PRUNE = click.option("--prune", is_flag=True, help="Remove files that an older run left in --out.")

what = options(
    click.argument("workflow", type=click.Path(exists=True, path_type=Path)),
    click.option(
        "-p", "--param", "given", multiple=True, metavar="NAME=VALUE", help="Set a param, in YAML."
    ),
    click.option("--params-file", type=A_FILE, help="A YAML file of params."),
    OPS,
)
how_much = options(
    click.option("-o", "--out", type=A_PATH, help="The output folder [out/<workflow name>]."),
    CACHE,
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Only N of each source."),
    click.option("--until", metavar="STEP", help="Only this step and what it needs."),
    click.option("--force", multiple=True, metavar="STEP", help="Compute this step again."),
)
where = options(
    click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes [one per CPU]."),
    click.option("--gpus", metavar="all|0,1", help="A process per GPU, CPU workers beside."),
    click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster that is already running."),
    click.option("--cluster", type=A_FILE, help="A YAML file with a `cluster:` profile."),
    click.option("--tls-ca", metavar="FILE", help="Authority of a tls:// cluster."),
    click.option("--tls-cert", metavar="FILE", help="Certificate to show to it."),
    click.option("--tls-key", metavar="FILE", help="Key of that certificate."),
)
