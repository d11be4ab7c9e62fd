"""engine/items.py: members of a gather that is grouped and sorted by a paired table."""

from engine.dag import SourceItem
from engine.items import Items
from tests.engine.language import load

FLOW = """
sources: {photo: {glob: '*.jpg'}, row: {table: rows.csv}}
steps:
  code: {op: invert, in: {image: photo}}
  direction: {op: learn, in: {codes: code, labels: row.smile},
              pair: {match: {photo: stem, row: id}},
              gather: {over: photo, by: row.file, sort: row.smile}}
"""
STEMS = ("d", "a", "c", "b")
ROWS = (("a", 3, "x"), ("b", 1, "x"), ("c", 2, "y"), ("d", 10, "x"))


def test_members_follow_their_rows():
    photos = tuple(SourceItem(i, {"stem": stem}) for i, stem in enumerate(STEMS))
    rows = tuple(
        SourceItem(i, dict(zip(("id", "smile", "file"), row, strict=True)))
        for i, row in enumerate(ROWS)
    )
    graph = load(FLOW)
    items = Items(graph, {"photo": photos, "row": rows})
    step = graph.steps["direction"]

    groups = {}
    for number in items.spaces["direction"].numbers():
        place = items.spaces["direction"].place(number)
        _, cells = items.cells(step, step.wires[0], place)
        read = [items.read(cell.ref, cell.place, step.links) for cell in cells]
        groups[items.groups["row.file"].names[number]] = [STEMS[i] for i in read]

    assert groups == {"x": ["b", "a", "d"], "y": ["c"]}
