"""Outputs with a row per item: CSV files, in the order of the items."""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from engine import keys
from engine.codecs import decode
from engine.dag import Json, Output, fill
from engine.destinations import links_of, safe
from engine.errors import ItemError, RunError
from engine.export import STAGING, check_inside
from engine.items import Items
from engine.jobs import FromItem, FromScalar, Lost, Written
from engine.ledger import Ledger
from engine.outputs import Standing
from engine.plan import Board
from engine.records import Record
from engine.session import Session
from engine.staging import write_whole
from engine.store import read_port
from engine.values import Scores

#: Items whose records are looked up at once.
_AT_ONCE = 1000


def tables(
    items: Items, output: Output, root: Path, found: Iterable[tuple[int, Record | None]]
) -> dict[str, bytes]:
    """Make the files of a table output, by path: a column per axis, then the numbers.

    Axes that the name tells apart have a file each; all others are rows. `found` gives every item's
    number with its record, None for one set aside, which has no row.
    """
    step = items.graph.steps[output.ref.node]
    space = items.spaces[step.name]
    links = links_of(items, output)
    rows: dict[str, list[tuple[list[str], dict[str, Json]]]] = {}
    for number, record in found:
        place = space.place(number)
        path = safe(fill(output.to, items.lookup(place, links)), output.to.source)
        mine = rows.setdefault(path, [])
        told = _numbers(root, record, output.ref.port) if record is not None else None
        if told is not None:
            mine.append((list(_labels(items, place)), told))
    return {path: _file(space.axes, mine) for path, mine in rows.items()}


def _file(axes: Sequence[str], rows: Sequence[tuple[list[str], dict[str, Json]]]) -> bytes:
    """Make one file; its columns are all names that occur, in order of appearance."""
    names = list(dict.fromkeys(name for _, found in rows for name in found))
    lines = [[*labels, *(found.get(name, "") for name in names)] for labels, found in rows]
    return as_csv([[*axes, *names], *lines])


def as_csv(rows: Sequence[Sequence[Json]]) -> bytes:
    """Make the bytes of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # A file name that is no UTF-8 still makes a table that is.
    return text.getvalue().encode(errors="backslashreplace")


def _labels(items: Items, place: dict[str, int]) -> Iterator[str]:
    """Name an item's place along each axis, as its label does."""
    for axis, index in place.items():
        yield items.describe({axis: index}).partition("=")[2]


def _numbers(root: Path, record: Record, port: str) -> dict[str, Json] | None:
    """The named numbers of one item; None when they are no longer stored."""
    if port in record.scalars:
        return {port: record.scalars[port]}
    payload = read_port(root, record, port)
    if payload is None:
        return None
    value = decode(payload)
    assert isinstance(value, Scores)
    return dict(zip(value.names, value.data[0].tolist(), strict=True))


def records_behind(board: Board, output: Output) -> Iterator[tuple[int, Record | None]]:
    """The items of an output with their records, through coalesce; None for one set aside."""
    step, port = output.ref.node, output.ref.port
    numbers = iter(board.items.spaces[step].numbers())
    while some := list(islice(numbers, _AT_ONCE)):
        origins = {
            number: board.states.through(FromItem((step, number), port))
            for number in some
            if not board.states.blocked((step, number))
        }
        items = [origin.item for origin in origins.values() if isinstance(origin, FromItem)]
        known = board.surveyor.records(items)
        for number in some:
            origin = origins.get(number)
            if isinstance(origin, FromScalar):
                yield number, Record(keys.source_key(origin), "ok", scalars={port: origin.value})
            else:
                yield number, known.get(origin.item) if isinstance(origin, FromItem) else None


def lost_rows(board: Board) -> list[Lost]:
    """Items whose numbers a table needs and the store no longer has."""
    return [
        Lost((output.ref.node, number), record.key)
        for output in board.graph.outputs
        if output.table
        for number, record in records_behind(board, output)
        if record is not None and not record.has(output.ref.port)
    ]


def write_tables(session: Session, board: Board, standing: Standing, ledger: Ledger) -> list[str]:
    """Write all table outputs, where they differ from what stands; give their paths.

    Raises: RunError when a link leads out of the output folder; OSError.
    """
    paths: list[str] = []
    for i, output in enumerate(session.items.graph.outputs):
        if not output.table:
            continue
        found = records_behind(board, output)
        for path, content in tables(session.items, output, session.store, found).items():
            paths.append(path)
            digest = hashlib.sha256(content).hexdigest()
            item = (output.ref.node, -1)  # no single item's
            if standing.current(path, item, digest):
                continue
            file = session.out / path
            try:
                check_inside(file, session.out)
            except ItemError as error:  # a link led it astray
                raise RunError(str(error)) from error
            write_whole(file, [content], session.out / STAGING)
            stamp = file.stat().st_mtime_ns
            written = Written(i, str(file), item, digest, digest, len(content), stamp)
            ledger.record_outputs([written])
            standing.note([written])
    return paths
