"""The commands and flags of the command line, as thin as they can be.

What the engine cannot know by itself (ops, models) comes in as a `Home`, click's context object.
Heavy imports wait inside the commands, so that `--help` is there at once.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine import watching
from engine.errors import REASONS, UsageError
from engine.flags import (
    A_FILE,
    AS_JSON,
    CACHE,
    ON_FINISH,
    OPS,
    PRUNE,
    QUIET,
    VERBOSE,
    how_much,
    what,
    where,
)

if TYPE_CHECKING:
    from engine.dag import Json
    from engine.doctor import Finding
    from engine.forecast import PlanResult
    from engine.registry import Registry
    from engine.session import Request


@dataclass(frozen=True, slots=True)
class Home:
    """What the front door brings: ops (with the user's own files), requests, word of the models."""

    ops: "Callable[[Iterable[Path]], Registry]"
    request: "Callable[..., Request]"
    models: "Callable[[], Iterable[Finding]]"


class FrontDoor(click.Group):
    """A group in which `FILE.yaml ...` means `run FILE.yaml ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` in front of a file, or of a flag that is not the group's own."""
        if args and self.get_command(ctx, args[0]) is None:
            first = args[0]
            flag = first.startswith("-") and first not in ("-h", "--help", "--version")
            if flag or first.endswith((".yaml", ".yml")) or Path(first).is_file():
                args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=FrontDoor, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="latentloom", prog_name="latentloom")
def cli() -> None:
    """Edit folders of photographs with StyleGAN generators, as a YAML file says.

    `run_workflow.py FILE.yaml` is short for `run_workflow.py run FILE.yaml`.
    """


def asked(given: tuple[str, ...], params_file: Path | None) -> "dict[str, Json]":
    """Read the params of a command line: the file first, then `-p`."""
    from engine.params import AsTyped, read_params_file

    params: dict[str, Json] = {}
    if params_file is not None:
        params.update(read_params_file(params_file.read_bytes(), str(params_file)))
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"-p {text}: must be NAME=VALUE")
        params[name] = AsTyped(value)
    return params


def from_flags(home: Home, flags: dict[str, Any]) -> "Request":
    """Make a request of a command's flags. An output folder asks for its own run again."""
    given = asked(flags.pop("given"), flags.pop("params_file"))
    present = {name: value for name, value in flags.items() if value is not None}
    if present["workflow"].is_dir():
        before = last_request(present["workflow"])
        given = {**before.pop("params"), **given}
        own = (*before.pop("ops"), *present.pop("ops", ()))
        present.pop("workflow")
        return home.request(params=given, ops=own, **{**before, **present})
    return home.request(params=given, **present)


def last_request(out: Path) -> dict[str, Any]:
    """What the last run in an output folder was asked."""
    from engine.history import load_run
    from engine.status import run_folder
    from engine.story import read_again

    run_dir = run_folder(out)
    return {**read_again(load_run(run_dir).info["again"]), "out": run_dir.parent}


@cli.command("run")
@what
@how_much
@where
@click.option("-n", "--dry-run", is_flag=True, help="Only print the plan.")
@PRUNE
@ON_FINISH
@AS_JSON
@QUIET
@VERBOSE
@click.pass_obj
def run_command(home: Home, /, *, dry_run: bool, as_json: bool, **flags: Any) -> int:
    """Run WORKFLOW: compute what is not known yet, and write its outputs.

    WORKFLOW is a YAML file, or the output folder of an earlier run, which is run again as it was.
    """
    from engine.forecast import plan_request

    wanted = from_flags(home, flags)
    if dry_run:
        return print_plan(plan_request(wanted), as_json)
    return run_and_tell(wanted, as_json)


def run_and_tell(wanted: "Request", as_json: bool) -> int:
    """Run, and print one line of JSON when asked: also of a run that broke off without a result."""
    from engine.runner import run_request

    try:
        result = run_request(wanted)
    except (Exception, KeyboardInterrupt) as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
        if as_json and code != UsageError.exit_code:  # what was asked wrongly is no run
            told: dict[str, Any] = {
                "exit_code": code,
                "run_dir": None,
                "outputs": 0,
                "seconds": 0.0,
                "steps": {},
            }
            print(json.dumps(told))
        raise
    if as_json:
        print(json.dumps(result.as_json()))
    return result.exit_code


@cli.command("plan")
@what
@how_much
@where
@AS_JSON
@VERBOSE
@click.pass_obj
def plan_command(home: Home, /, *, as_json: bool, **flags: Any) -> int:
    """Count what a run of WORKFLOW would do, step by step."""
    from engine.forecast import plan_request

    return print_plan(plan_request(from_flags(home, flags)), as_json)


def print_plan(result: "PlanResult", as_json: bool) -> int:
    """Print a plan on stdout."""
    print(json.dumps(result.as_json()) if as_json else result.as_text())
    return 0


@cli.command()
@what
@QUIET
@VERBOSE
@click.pass_obj
def validate(home: Home, /, **flags: Any) -> int:
    """Check WORKFLOW without reading a photo; report every mistake at once."""
    from engine.page import plural
    from engine.session import load

    graph = load(from_flags(home, flags))
    if not flags["quiet"]:
        count = f"{plural(len(graph.steps), 'step')}, {plural(len(graph.outputs), 'output')}"
        print(f"{graph.file}: valid ({count})", file=sys.stderr)
    return 0


@cli.command()
@what
@click.option("--format", "form", type=click.Choice(["svg", "mermaid", "dot"]), default="svg")
@VERBOSE
@click.pass_obj
def graph(home: Home, /, form: str, **flags: Any) -> int:
    """Draw WORKFLOW on stdout: an SVG picture, or text for Mermaid or Graphviz."""
    from engine import drawing
    from engine.session import load

    drawn = drawing.outline(load(from_flags(home, flags)))
    texts = {"mermaid": drawing.mermaid, "dot": drawing.dot}
    print(texts[form](drawn) if form in texts else drawing.svg(drawn, alone=True))
    return 0


@cli.command()
@what
@how_much
@where
@click.argument("step")
@click.argument("item")
@AS_JSON
@VERBOSE
@click.pass_obj
def explain(home: Home, /, *, step: str, item: str, as_json: bool, **flags: Any) -> int:
    """Say why ITEM of STEP would be computed again: what differs from the last run.

    ITEM is a label as `status` prints it, such as "photo=anna", or a number.
    """
    from engine.explain import explain_item
    from engine.session import open_session

    with open_session(from_flags(home, flags)) as session:
        found = explain_item(session, step, item)
    print(json.dumps(found.as_json()) if as_json else found.as_text())
    return 0


@cli.command()
@click.argument("picture", type=A_FILE)
@click.option(
    "--among",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="A folder of earlier outputs: go on through those the picture was made of.",
)
@AS_JSON
@VERBOSE
def lineage(*, picture: Path, among: tuple[Path, ...], as_json: bool, **_: Any) -> int:
    """Draw what PICTURE was made of, back to photos and seeds, from what the file itself tells."""
    from engine.ancestry import read_ancestry

    found = read_ancestry(picture, among)
    print(json.dumps(found.as_json()) if as_json else found.as_text())
    return 0


@cli.command("retry-failed")
@what
@how_much
@where
@click.option("--reason", "reasons", type=click.Choice(REASONS), multiple=True, help="Only these.")
@PRUNE
@ON_FINISH
@AS_JSON
@QUIET
@VERBOSE
@click.pass_obj
def retry_failed(home: Home, /, *, as_json: bool, **flags: Any) -> int:
    """Run WORKFLOW again, and try even those items whose failure is remembered.

    With --reason, items that the last run set aside for other reasons stay aside.
    """
    return run_and_tell(from_flags(home, {**flags, "retry_failed": True}), as_json)


@cli.command("ops")
@click.argument("name", required=False)
@OPS
@AS_JSON
@VERBOSE
@click.pass_obj
def ops_command(
    home: Home, /, *, name: str | None, ops: tuple[Path, ...], as_json: bool, **_: Any
) -> int:
    """List the ops, or say all there is to say of one.

    --json gives a summary by name, or of one op its doc, `in`, `models`, `with` and `gives`.
    """
    from engine import oplist
    from engine.registry import unknown_op

    registry = oplist.with_coalesce(home.ops(ops))
    if name and name not in registry:
        raise UsageError(unknown_op(name, registry))
    if name:
        spec = registry[name]
        print(json.dumps(oplist.as_json(spec)) if as_json else oplist.document(spec))
    elif as_json:
        print(json.dumps({key: oplist.summary(spec) for key, spec in registry.items()}))
    else:
        print(oplist.listing(registry))
    return 0


@cli.command()
@OPS
@VERBOSE
@click.pass_obj
def schema(home: Home, /, *, ops: tuple[Path, ...], **_: Any) -> int:
    """Print the JSON Schema of workflow files, from the installed ops; editors use it."""
    from engine.schema import workflow_schema

    print(json.dumps(workflow_schema(home.ops(ops)), indent=2))
    return 0


@cli.command()
@where
@CACHE
@VERBOSE
@click.pass_obj
def doctor(home: Home, /, *, cache: Path | None, verbose: bool, **flags: Any) -> int:
    """Check this machine: torch, GPUs, models, disk, workers."""
    from engine.doctor import examine
    from engine.profiles import cluster_of
    from engine.store import default_root

    cluster = cluster_of(flags)
    bad = False
    for found in (*home.models(), *examine(cache or default_root(), cluster)):
        print(f"{found.verdict:<5} {found.name:<14} {found.text}")
        bad = bad or found.verdict == "bad"
    return int(bad)


for command in (watching.status, watching.cancel, watching.report, watching.cache):
    cli.add_command(command)
