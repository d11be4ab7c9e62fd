"""Commands for another terminal: how a run is doing, its end, its report, and the cache of all."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from engine.flags import AS_JSON, CACHE, RUN_DIR, VERBOSE

#: Seconds between words of how far a long copy is.
TELL_EVERY_S = 10.0


@click.command()
@RUN_DIR
@click.option("-f", "--follow", is_flag=True, help="Say it again every second until it ends.")
@AS_JSON
@VERBOSE
def status(*, out: Path, follow: bool, as_json: bool, **_: Any) -> int:
    """Say how far the run in folder OUT is, or how it ended.

    The `state` of --json is "running", or how it ended: "done", "partial" (everything else is done,
    but `quarantined` items were set aside; exit code 3), "failed" or "interrupted".
    """
    from engine.status import read_status

    while True:
        found = read_status(out)
        print(json.dumps(found.as_json()) if as_json else found.as_text(), flush=True)
        if not follow or found.state != "running":
            return 0
        time.sleep(1.0)


@click.command()
@RUN_DIR
@click.option("--now", is_flag=True, help="Stop at once: what is under way is done again later.")
@VERBOSE
def cancel(*, out: Path, now: bool, **_: Any) -> int:
    """Let the run in folder OUT finish what is under way, and stop.

    Its command ends as after Ctrl-C (exit code 130), and goes on from there when it is repeated.
    """
    from engine import folder
    from engine.status import run_folder

    folder.cancel(run_folder(out), now=now)
    return 0


@click.command()
@RUN_DIR
@VERBOSE
def report(*, out: Path, **_: Any) -> int:
    """Write the report of the run in folder OUT anew."""
    from engine.report import write_report
    from engine.status import run_folder

    print(write_report(run_folder(out)))
    return 0


@click.command()
@click.argument(
    "action", type=click.Choice(["stats", "gc", "verify", "rebuild", "export", "import"])
)
@click.argument("where", metavar="[FILE|URL]", required=False)
@click.option("--max-size", metavar="SIZE", help="gc: keep at most this much, such as 20GB.")
@CACHE
@AS_JSON
@VERBOSE
def cache(*, action: str, where: str | None, as_json: bool, **flags: Any) -> int:
    """Look after the cache: its size, what may go, whether it is sound, a new index.

    `export FILE` writes all of it to a tar file, `import FILE` takes one in.

    `export URL` copies what is not there yet to a folder of an object store, `import URL` what is
    not here yet: s3://bucket/cache, gs://..., file:///mnt/..., whatever fsspec knows; also while
    runs go on. s3:// needs s3fs, gs:// gcsfs. Keys and addresses of services are read from where
    those packages look.
    """
    from engine import upkeep
    from engine.op import Progress

    told = time.monotonic()

    def tell(part: float) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            print(f"{part:.0%} of the files", file=sys.stderr)

    progress = Progress(tell)
    found = upkeep.look_after(action, flags["cache"], flags["max_size"], where, progress)
    print(json.dumps(found.as_json()) if as_json else found.as_text())
    return 0 if found.sound else 1
