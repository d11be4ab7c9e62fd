"""What a run leaves beside its ledger so that its report can be written later, by anybody.

At its beginning: what was asked, the outline of the workflow, models, versions. At its end: which
photo stands before which output.
"""

import os
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.dag import Graph
from engine.doctor import machine, versions
from engine.drawing import Node, Outline, outline
from engine.items import Items
from engine.ledger import OutputRow
from engine.params import AsTyped
from engine.session import Request, Session
from engine.shots import PICTURES
from engine.values import Alignment, Image

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
        "part": part_of(session.request),
    }


def part_of(request: Request) -> str:
    """The flags that make a run do only a part of its workflow; empty for all of it."""
    until = [f"--until {request.until}"] * bool(request.until)
    return ", ".join(until + [f"--limit {request.limit}"] * (request.limit is not None))


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
    """Say which photo stands before which output picture, and what the item is called.

    Only outputs that lie in their photo's own frame: a crop beside a whole photo compares nothing.
    """
    frames = framed(items.graph)
    groups: dict[int, list[OutputRow]] = {}
    for row in rows:
        if Path(row.path).suffix.lower() in PICTURES and frames.get(row.item[0]):
            groups.setdefault(row.output, []).append(row)
    share = max(1, MOST_PAIRS // max(1, len(groups)))
    return [
        {"path": row.path, "photo": photo, "label": items.label(*row.item)}
        for group in groups.values()
        for row in sorted(group, key=lambda row: row.item[1])[:share]
        if (photo := _photo(items, row, frames[row.item[0]]))
    ]


def framed(graph: Graph) -> dict[str, frozenset[str]]:
    """Name, for every step, the sources whose pictures its own may lie on, point for point.

    A picture that was cut out (its step gives an Alignment), drawn from a code or gathered lies
    elsewhere. What was only scaled or cropped shows by its size, which the report compares.
    """
    found = {name: frozenset({name}) for name in graph.sources}
    for name, step in graph.steps.items():
        single = {wire.name for wire in step.op.wires if wire.type is Image and not wire.many}
        elsewhere = any(port.type is Alignment for port in step.op.ports)
        read = [ref.node for wire in step.wires if wire.name in single for ref in wire.refs]
        kept = [] if elsewhere else [found.get(node, frozenset()) for node in read]
        found[name] = frozenset[str]().union(*kept)
    return found


def _photo(items: Items, row: OutputRow, frames: Collection[str]) -> str:
    """The path of the photo in whose frame an output lies; empty when it cannot be told."""
    step, number = row.item
    if step not in items.spaces or number >= items.spaces[step].full:
        return ""
    for axis, index in items.spaces[step].place(number).items():
        if items.graph.axes[axis].kind == "source" and axis in frames:
            path = items.listings[axis][index].path
            if path:
                return path
    return ""
