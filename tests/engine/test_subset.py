import pytest

from engine.dag import Graph, Link, Output, Ref, Source, SourceItem, Step, Template, Wire
from engine.errors import UsageError
from engine.op import OpOptions, OpSpec
from engine.subset import first, until

OP = OpSpec("op", "m", "f", (), (), (), (), True, OpOptions(1, 1, 1, False, True, False), "")


def step(name: str, *reads: str, links: tuple[Link, ...] = ()) -> Step:
    wires = tuple(Wire(node, (Ref(node),)) for node in reads)
    return Step(name, OP, wires, {}, {}, ("photo",), links)


def graph(*steps: Step) -> Graph:
    source = Source("photo", "glob", {}, ("stem",), None)
    outputs = tuple(Output(Ref(s.name), Template((), f"{s.name}.png"), "png") for s in steps)
    named = {s.name: s for s in steps}
    return Graph("g", "g.yaml", ".", {}, {}, {"photo": source}, {}, named, outputs)


def test_until_keeps_a_step_and_what_it_needs() -> None:
    whole = graph(step("a", "photo"), step("b", "a"), step("c", "photo"), step("d", "b", "c"))
    part = until(whole, "b")
    assert list(part.steps) == ["a", "b"]
    assert [output.ref.node for output in part.outputs] == ["a", "b"]


def test_until_an_unknown_step_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'face'"):
        until(graph(step("face", "photo")), "fase")


def items(*stems: str) -> tuple[SourceItem, ...]:
    return tuple(SourceItem(i, {"stem": stem}) for i, stem in enumerate(stems))


def test_first_keeps_the_partners_of_matched_sources() -> None:
    link = Link("row", "photo", "match", "stem", "stem")
    whole = graph(step("a", "photo", links=(link,)))
    kept = first(whole, {"photo": items("a", "b", "c"), "row": items("c", "b", "a")}, 2)
    assert [item.fields["stem"] for item in kept["photo"]] == ["a", "b"]
    assert [(item.index, item.fields["stem"]) for item in kept["row"]] == [(0, "b"), (1, "a")]
