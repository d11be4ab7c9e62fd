"""Write the pages that are told from the code, and lists and tables inside of others."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

ROOMS = ("engine", "ops", "models", "models/scenes", "models/training")
EXIT_CODES = {
    0: "everything asked for is there; what a `coalesce` covers is not missing",
    1: "it could not be done: the disk, the workers, too many failures, a defect",
    2: "it was asked wrongly: the command line, the workflow, a name; nothing was run",
    3: "done, but something asked for is missing: items were set aside, and are in the report",
    130: "stopped by Ctrl-C (SIGINT); the same command goes on from there",
    143: "stopped by SIGTERM; the same command goes on from there",
}
START, END = "<!-- map -->\n", "<!-- end of map -->\n"


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(doc.split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0].rstrip(".")


def house_map() -> str:
    """One line per room: every module with what it is for."""
    lines = ["```", f"run_workflow.py      {sentence(ROOT / 'run_workflow.py')}"]
    for room in ROOMS:
        folder = ROOT / room
        init = folder / "__init__.py"
        lines += ["", f"{room + '/':<21}{sentence(init)}"]
        modules = sorted(p for p in folder.glob("*.py") if not p.name.startswith("__init__"))
        lines += [f"  {p.name:<19}{sentence(p)}" for p in modules]
    return "\n".join([*lines, "```", ""])


def architecture() -> str:
    """docs/architecture.md with its map brought up to date."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    before, rest = text.split(START)
    return f"{before}{START}{house_map()}{END}{rest.split(END)[1]}"


def cli() -> str:
    """docs/cli.md: the help of every command."""
    from run_workflow import cli as front_door

    lines = [
        "# The command line",
        "",
        "Made by `make docs` from the commands themselves. `run_workflow.py FILE.yaml` is short",
        "for `run_workflow.py run FILE.yaml`.",
        "",
        "| exit code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
        "",
    ]
    context = click.Context(front_door, info_name="run_workflow.py", **front_door.context_settings)
    for name, text in _commands(front_door, context):
        lines += [f"## {name}", "", "```", text, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the name and help text of every command, groups' members included."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, max_content_width=100)
        yield inner.command_path.removeprefix("run_workflow.py "), command.get_help(inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def ops() -> str:
    """docs/ops.md: every op that ships."""
    from engine.oplist import markdown
    from run_workflow import build_ops

    return markdown(build_ops())


def models() -> str:
    """docs/models.md with the directions that ship."""
    from models import builtin_names, describe, library_names

    text = (DOCS / "models.md").read_text(encoding="utf-8")
    for name in builtin_names():
        begin, end = (f"<!-- {name}, directions: {word} -->\n" for word in ("begin", "end"))
        if begin in text:
            before, rest = text.split(begin)
            known = library_names(describe(name).path, "directions")
            listed = "\n".join(f"- `{direction}`" for direction in known)
            text = f"{before}{begin}{listed}\n{end}{rest.split(end)[1]}"
    return text


def soat() -> str:
    """docs/soat.md with the figures that the benchmarks measured."""
    sys.path.insert(0, str(DOCS))
    from tables import filled

    return filled((DOCS / "soat.md").read_text(encoding="utf-8"))


def codes() -> str:
    """docs/codes.md with the figures that the benchmarks measured."""
    sys.path.insert(0, str(DOCS))
    from codes_tables import TABLES
    from tables import filled

    return filled((DOCS / "codes.md").read_text(encoding="utf-8"), TABLES)


def scale() -> str:
    """docs/scale.md with the figures that the benchmarks measured."""
    sys.path.insert(0, str(DOCS))
    from scale_tables import TABLES
    from tables import filled

    return filled((DOCS / "scale.md").read_text(encoding="utf-8"), TABLES)


PAGES = {
    "architecture.md": architecture,
    "cli.md": cli,
    "codes.md": codes,
    "models.md": models,
    "ops.md": ops,
    "scale.md": scale,
    "soat.md": soat,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make(), encoding="utf-8")
