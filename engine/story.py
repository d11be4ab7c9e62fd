"""What a run leaves beside its ledger so that its report can be written later, by anybody.

At its beginning: what was asked, the outline of the workflow, models, versions. At its end: which
photo stands before which output.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.doctor import machine, versions
from engine.drawing import Node, Outline, outline
from engine.items import Items
from engine.ledger import OutputRow
from engine.params import AsTyped
from engine.session import Session
from engine.shots import PICTURES

#: Pairs of photo and output that are kept for the report.
MOST_PAIRS = 60


def opening(session: Session) -> dict[str, Any]:
    """Make what is told at the beginning of a run."""
    graph = session.declared
    params = {name: str(value) for name, value in graph.params.items()}
    models = {
        name: f"{info.name}, {info.resolution} px, {info.digest[:16]}"
        for name, info in graph.models.items()
    }
    return {
        "name": graph.name,
        "file": graph.file,
        "text": graph.text,
        "command": shlex.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]]),
        "out": str(session.out),
        "params": params,
        "models": models,
        "versions": versions(),
        "machine": machine(),
        "outline": asdict(outline(graph)),
        "again": _again(session),
    }


def _again(session: Session) -> dict[str, Any]:
    """What it takes to ask the same again, wherever the next command is typed."""
    request = session.request
    as_text = isinstance(request.workflow, str) and "\n" in request.workflow
    own = {op.source_path for op in request.surroundings.registry.values() if op.source_path}
    return {
        "workflow": request.workflow if as_text else str(Path(request.workflow).absolute()),
        "params": [[k, v, isinstance(v, AsTyped)] for k, v in request.params.items()],
        "ops": sorted(own),
        "cache": str(session.store),
    }


def read_again(told: Mapping[str, Any]) -> dict[str, Any]:
    """Read from an opening what to ask again: workflow, params, ops, cache."""
    params = {name: AsTyped(v) if typed else v for name, v, typed in told["params"]}
    return {**told, "params": params, "cache": Path(told["cache"])}


def read_outline(told: Mapping[str, Any]) -> Outline:
    """Read the outline back from `opening`."""
    nodes = tuple(Node(**{**node, "axes": tuple(node["axes"])}) for node in told["nodes"])
    return Outline(nodes, tuple((a, b) for a, b in told["edges"]))


def pairs(items: Items, rows: Iterable[OutputRow]) -> list[dict[str, str]]:
    """Say which photo stands before which output picture, and what the item is called."""
    groups: dict[int, list[OutputRow]] = {}
    for row in rows:
        if Path(row.path).suffix.lower() in PICTURES:
            groups.setdefault(row.output, []).append(row)
    share = max(1, MOST_PAIRS // max(1, len(groups)))
    return [
        {"path": row.path, "photo": photo, "label": items.label(*row.item)}
        for group in groups.values()
        for row in sorted(group, key=lambda row: row.item[1])[:share]
        if (photo := _photo(items, row))
    ]


def _photo(items: Items, row: OutputRow) -> str:
    """The path of the photo on an output's axes; empty when there is none, or it cannot be told."""
    step, number = row.item
    if step not in items.spaces or number >= items.spaces[step].full:
        return ""
    for axis, index in items.spaces[step].place(number).items():
        if items.graph.axes[axis].kind == "source":
            path = items.listings[axis][index].path
            if path:
                return path
    return ""
