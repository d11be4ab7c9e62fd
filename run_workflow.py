"""The front door: commands and flags -> engine calls; the one file that knows engine and ops.

From Python, `run` and `plan` do what the commands of these names do, and return what they print.
"""

import json
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands import Home, cli
from engine.errors import SpecError, UsageError, WorkflowError, suggestion
from engine.flags import A_FILE, A_PATH, AS_JSON, VERBOSE

if TYPE_CHECKING:
    from engine.dag import Json, ModelInfo
    from engine.doctor import Finding
    from engine.forecast import PlanResult
    from engine.registry import Registry
    from engine.runner import RunResult
    from engine.session import Request
    from engine.surroundings import Surroundings

OPS_GROUP = "latentloom.ops"
DEFAULT_MODEL = "portraits-128"
#: Networks that may stand beside a generator's file.
COMPANIONS = ("discriminator", "encoder", "features")


# -- what the engine cannot know by itself: ops, models, library entries -------------------------


def build_ops(own: Iterable[Path] = ()) -> "Registry":
    """Collect the ops: those that ship, those of installed packages, and the user's own files."""
    from importlib.metadata import entry_points

    from engine.own_ops import read_own_ops
    from engine.registry import build_registry, marked
    from ops import op_modules

    specs = [spec for module in op_modules() for spec in marked(module)]
    for point in entry_points(group=OPS_GROUP):
        specs += marked(point.load())
    for path in own:
        specs += read_own_ops(path)
    return build_registry(specs)


def surroundings(registry: "Registry") -> "Surroundings":
    """Make what the checks ask of the world: these ops, the models and their libraries."""
    from engine.surroundings import Surroundings

    return Surroundings(registry, describe_model, find_asset, names_in=names_in)


def describe_model(source: str) -> "ModelInfo":
    """Say what a weight file or a builtin model is, without torch.

    Raises: UsageError when it is none, or of another kind.
    """
    import models
    from engine.dag import ModelInfo

    try:
        found = models.describe(source)
    except models.ModelError as error:
        raise UsageError(str(error)) from error
    return ModelInfo(
        name=found.name,
        path=found.path,
        digest=found.digest,
        family=found.base,
        resolution=found.resolution,
        num_rows=found.num_rows,
        w_dim=found.w_dim,
        z_dim=found.z_dim,
        style_width=sum(found.style_widths),
        num_classes=found.c_dim,
        delta=found.delta,
        names=known_names(found.delta or found.path),
        beside=tuple(
            (path.stem, models.file_digest(path))
            for kind in COMPANIONS
            if (path := Path(found.path).with_name(f"{kind}.safetensors")).is_file()
        ),
    )


def known_names(file: str) -> tuple[str, ...]:
    """What a flow, scorer or sampler knows, or else the feature network beside a generator reads.

    None where that cannot be told: whoever reads the file says why.
    """
    from models import ModelError
    from models.entries import attributes_known

    try:
        return attributes_known(Path(file))
    except ModelError:
        return ()


def names_in(kind: str, path: str) -> tuple[str, ...]:
    """Say which scores a library entry gives: those of a scorer."""
    return known_names(path) if kind == "scorers" else ()


def find_asset(kind: str, value: str, folder: str, model: "ModelInfo | None") -> tuple[str, str]:
    """Find the file a setting names: an entry of the model's library, or a path; and its digest.

    Raises: UsageError when there is none, with the nearest name.
    """
    from models import ModelError, file_digest, library_names
    from models.entries import CHECKS
    from models.library import library_file

    path = Path(folder, value).expanduser()
    known: tuple[str, ...] = ()
    if kind != "file" and model is not None:
        known = library_names(model.path, kind)
        if value in known:
            path = library_file(model.path, kind, value)
    if not path.is_file():
        if kind == "file":
            raise UsageError(f"there is no file '{path}'")
        owner = f"model '{model.name}'" if model else "a model"
        there = ", ".join(known) or "none"
        near = suggestion(value, known)
        raise UsageError(
            f"'{value}' is neither in the {kind} of {owner} nor a file{near} (there are {there})"
        )
    try:
        if kind in CHECKS:
            CHECKS[kind](path, model)
    except ModelError as error:
        raise UsageError(str(error)) from error
    return str(path.resolve()), file_digest(path)


# -- from Python ---------------------------------------------------------------------------------


def run(
    workflow: str | Path, params: "Mapping[str, Json] | None" = None, **flags: Any
) -> "RunResult":
    """Run a workflow, given as a path or as YAML text.

    `flags` are those of the command, by name: out, cache, limit, until, force, workers, gpus,
    scheduler, cluster, ops, prune, quiet.
    Raises: WorkflowError when it cannot start; what happens later is in the result's exit code.
    """
    from engine.runner import run_request

    return run_request(request(workflow, params, **{"quiet": True, **flags}))


def plan(
    workflow: str | Path, params: "Mapping[str, Json] | None" = None, **flags: Any
) -> "PlanResult":
    """Count what a run would do: axes, items, what is cached and what is not, for every step.

    Raises: WorkflowError when the workflow is not valid.
    """
    from engine.forecast import plan_request

    return plan_request(request(workflow, params, **flags))


def request(
    workflow: str | Path,
    params: "Mapping[str, Json] | None" = None,
    *,
    ops: Iterable[str | Path] = (),
    **flags: Any,
) -> "Request":
    """Make a request of what was asked; flags that are not given keep their defaults.

    Raises: UsageError for a flag that does not exist.
    """
    from engine.profiles import cluster_of
    from engine.session import make_request

    world = surroundings(build_ops(map(Path, ops)))
    if cluster_of(flags).elsewhere:  # what is installed here says nothing of workers elsewhere
        world = replace(world, installed=lambda _: True)
    return make_request(workflow, params or {}, world, flags)


def check_models() -> "Iterator[Finding]":
    """Say of every model that ships, and of its directions, whether the files are sound."""
    import models
    from engine.doctor import Finding
    from models.entries import survey_directions
    from models.library import BUILTIN

    if not models.builtin_names():
        yield Finding("models", "bad", f"none: {BUILTIN} holds no weights; install again")
    for name in models.builtin_names():
        try:
            info = describe_model(name)
            text = f"{info.resolution} px, {info.num_rows} rows, {info.digest[:12]}"
            yield Finding(name, "ok", text)
            sound, faults = survey_directions(info)
            yield from (Finding("", "bad", fault) for fault in faults)
            if sound:
                yield Finding("", "ok", f"directions: {', '.join(sound)}")
        except UsageError as error:
            yield Finding(name, "bad", str(error))


# -- the library of directions -------------------------------------------------------------------

MODEL = click.option("--model", default=DEFAULT_MODEL, help="A weight file, or a model that ships.")
NAME = click.option("--name", default="", help="What it is called here [the file's name].")
CALIBRATE = click.option(
    "--calibrate", default="", metavar="ATTRIBUTE", help="Measure its unit on pictures."
)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace one of that name.")


@contextmanager
def asked_rightly() -> Iterator[None]:
    """Turn what the models refuse into an error of whoever asked."""
    from models import ModelError

    try:
        yield
    except ModelError as error:
        raise UsageError(str(error)) from error


@cli.group()
def directions() -> None:
    """Look after the directions of a model: what there is, and what comes in or goes out."""


@directions.command("list")
@MODEL
@AS_JSON
@VERBOSE
def list_directions(*, model: str, as_json: bool, **_: Any) -> int:
    """List the directions of a model, and how well each does."""
    from models.direction_library import as_line, open_library
    from models.entries import survey_directions

    with asked_rightly():
        library = open_library(model)
        sound, broken = survey_directions(describe_model(model))
        lines = [as_line(library.get(name)) for name in sound]
    if as_json:
        print(json.dumps(lines))
    elif not library.names:
        print(f"none: {library.folder} holds no directions; `add` and `import` put them there")
    else:
        for line in lines:
            facts = [f"{key} {value}" for key, value in line.items() if key not in ("name", "rows")]
            print(f"{line['name']:<24}{', '.join(facts)}")
    if broken:
        raise UsageError("; ".join(broken))
    return 0


@directions.command("show")
@click.argument("name")
@MODEL
@VERBOSE
def show_direction(*, name: str, model: str, **_: Any) -> int:
    """Print all that is known of a direction, as JSON."""
    from models.direction_library import as_line, open_library

    with asked_rightly():
        found = open_library(model).get(name)
    told = {**json.loads(found.card), **as_line(found), "made for": found.family}
    print(json.dumps({**told, "shape": list(found.data.shape)}, indent=2, sort_keys=True))
    return 0


@directions.command("add")
@click.argument("file", type=A_FILE)
@MODEL
@NAME
@CALIBRATE
@click.option("--recalibrate", is_flag=True, help="Take one of another model, if faces follow it.")
@OVERWRITE
@VERBOSE
def add_direction(*, file: Path, **flags: Any) -> int:
    """Add FILE, a direction that a workflow wrote as .safetensors."""
    if file.suffix != ".safetensors":
        raise UsageError(f"{file}: add takes .safetensors; other formats come by `import`")
    return take_direction(file, flags)


@directions.command("import")
@click.argument("file", type=A_FILE)
@MODEL
@NAME
@CALIBRATE
@click.option("--component", default=0, help="Which one, of a file that holds many [0].")
@click.option("--rows", default="", metavar="0,1,...", help="The rows it is to move [all].")
@click.option("--licence", default="", help="What the card says of its licence.")
@OVERWRITE
@VERBOSE
def import_direction(*, file: Path, rows: str, **flags: Any) -> int:
    """Add FILE, a direction of another project: .npy, .npz, .pkl or .pt; nothing in it is run.

    Its unit is the file's own, or how far the model's codes spread along it; with --calibrate, what
    moves pictures by one standard deviation.
    """
    if file.suffix == ".safetensors":
        raise UsageError(f"{file}: import takes .npy, .npz, .pkl and .pt; this comes by `add`")
    try:
        chosen = tuple(int(row) for row in rows.split(",")) if rows else ()
    except ValueError as error:
        raise UsageError(f"--rows {rows}: must be numbers, such as 0,1,2") from error
    return take_direction(file, {**flags, "rows": chosen})


def take_direction(file: Path, flags: dict[str, Any]) -> int:
    """Take a direction into a model's library, and say so."""
    from models.direction_library import Wish, as_line, open_library, take_in

    flags.pop("verbose")
    with asked_rightly():
        found = take_in(open_library(flags.pop("model")), file, Wish(**flags))
    facts = [f"{key} {value}" for key, value in as_line(found).items() if value not in ("", [])]
    print(", ".join(facts))
    return 0


@directions.command("export")
@click.argument("name")
@click.argument("file", type=A_PATH)
@MODEL
@VERBOSE
def export_direction(*, name: str, file: Path, model: str, **_: Any) -> int:
    """Write the direction NAME as FILE: .safetensors, .npy or .pt.

    The array formats hold a row per layer of the step that is strength 1, and have the card beside
    them as .json.
    """
    from models.direction_library import open_library, write_out

    with asked_rightly():
        write_out(open_library(model), name, file)
    print(file)
    return 0


HOME = Home(ops=build_ops, request=request, models=check_models)


# -- the way out ---------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run a command and turn whatever happens into an exit code and a message on stderr."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        return int(
            cli.main(given, prog_name="run_workflow.py", standalone_mode=False, obj=HOME) or 0
        )
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        return told(error, verbose=bool({"-v", "--verbose"} & set(given)))


def told(error: Exception, *, verbose: bool) -> int:
    """Tell of an error, with its traceback only when asked, and choose the exit code."""
    if verbose:
        traceback.print_exception(error)
    elif isinstance(error, SpecError):
        print(error, file=sys.stderr)
    elif isinstance(error, WorkflowError):
        print(f"error: {error}", file=sys.stderr)
    else:
        print(f"error: {type(error).__name__}: {error} (-v shows where)", file=sys.stderr)
    return error.exit_code if isinstance(error, WorkflowError) else 1


if __name__ == "__main__":
    sys.exit(main())
