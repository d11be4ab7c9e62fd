"""One file for all items."""

from pathlib import Path

from engine.codecs import encode
from engine.graph import load_graph
from engine.inputs import list_source
from engine.items import Items
from engine.op import op, read_op
from engine.records import Record
from engine.registry import build_registry
from engine.store import open_store, write_pack
from engine.surroundings import Surroundings
from engine.tables import as_csv, tables
from engine.values import Scalar, Scores


@op(version=1)
def same(value: Scalar) -> Scalar:
    """The value."""
    return value


def nothing(*_: object) -> tuple[str, str]:
    raise AssertionError("no model and no file is named here")


def world(values: str, to: str = "t.csv") -> Items:
    text = f"""
        version: 1
        name: t
        sources: {{x: {{values: {values}}}}}
        steps: {{a: {{op: same, in: {{value: x}}}}}}
        outputs: [{{from: a, to: '{to}'}}]
    """
    graph = load_graph(text, Surroundings(build_registry([read_op(same)]), nothing, nothing))
    return Items(graph, {"x": list_source(graph.sources["x"])})


def test_scalars_make_a_row_per_item_that_is_there(tmp_path: Path) -> None:
    found = [(n, None if n == 1 else Record("k", scalars={"value": n + 0.5})) for n in range(3)]
    items = world("[anna, no face, 'b,ob']")
    files = tables(items, items.graph.outputs[0], tmp_path, found)
    assert files["t.csv"].decode() == 'x,value\nanna,0.5\n"b,ob",2.5\n'


def test_scores_make_a_column_per_name_and_lost_ones_no_row(tmp_path: Path) -> None:
    import torch

    root = open_store(tmp_path)
    scores = Scores(torch.tensor([[1.0, 0.5]]), ("smile", "age"))
    (there,) = write_pack(root, [(Record("k"), {"value": encode(scores)})])
    gone = Record("l", ports=there.ports, pack="packs/00/gone.pack")
    items = world("[1, 2]")
    files = tables(items, items.graph.outputs[0], root, [(0, there), (1, gone)])
    assert files["t.csv"].decode() == "x,smile,age\n1,1.0,0.5\n"


def test_nothing_makes_a_header() -> None:
    assert as_csv([["x", "y"]]) == b"x,y\n"


def test_a_name_with_an_axis_makes_a_file_each(tmp_path: Path) -> None:
    items = world("[anna, bob]", "{x.value}/t.csv")
    known = [(i, Record("k", scalars={"value": i})) for i in range(2)]
    files = tables(items, items.graph.outputs[0], tmp_path, known)
    assert files == {"anna/t.csv": b"x,value\nanna,0\n", "bob/t.csv": b"x,value\nbob,1\n"}


def test_a_file_name_that_is_no_text_leaves_the_table_readable() -> None:
    assert as_csv([["photo"], ["caf\udce9"]]).decode() == "photo\ncaf\\udce9\n"
