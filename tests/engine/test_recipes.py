"""The quick way to a key leads to the same key as an examination."""

from collections.abc import Sequence

import pytest

from engine import keys
from engine.dag import Graph, SourceItem
from engine.errors import UsageError
from engine.examine import Blocked, Examiner
from engine.graph import Surroundings, load_graph
from engine.items import Items
from engine.listing import Contents
from engine.op import Seed, op, read_op
from engine.recipes import Recipes
from engine.registry import build_registry
from engine.states import States
from engine.values import Image, Scalar


@op(version=1)
def scale(value: Scalar, *, by: float = 1.0, note: str = "") -> Scalar:
    """Multiply the value."""
    return value


@op(version=1)
def drawn(value: Scalar, *, seed: Seed = None) -> Scalar:
    """Something that draws."""
    return value


@op(version=1)
def look(image: Image) -> Scalar:
    """How bright a picture is."""
    return Scalar((0.0,))


@op(version=1)
def total(values: Sequence[Scalar]) -> Scalar:
    """Add the values up."""
    return values[0]


TEXT = """
version: 1
name: t
sources:
  x: {values: [1, "two \\" ü", 3.5]}
  y: {values: [7, 8]}
  photo: {glob: "*.jpg"}
steps:
  a: {op: scale, in: {value: x}, with: {by: 2}}
  b: {op: scale, in: {value: a}, matrix: {by: [1, 2, 4]}, with: {by: "${matrix.by}"}}
  c: {op: scale, in: {value: b}, with: {note: "${x.value} ü"}}
  d: {op: drawn, in: {value: c}}
  e: {op: drawn, in: {value: d}, with: {seed: 5}}
  seen: {op: look, in: {image: photo}}
  kept: {op: scale, in: {value: x}, when: "a > 1"}
  sum: {op: total, in: {values: a}, gather: {over: [x]}}
outputs: []
"""


def graph() -> Graph:
    def nothing(*_: object) -> tuple[str, str]:
        raise UsageError("nothing here")

    registry = build_registry([read_op(f) for f in (scale, drawn, look, total)])
    return load_graph(TEXT, Surroundings(registry, nothing, nothing))  # type: ignore[arg-type]


def world() -> tuple[Items, States, Examiner]:
    def values(*given: object) -> tuple[SourceItem, ...]:
        return tuple(SourceItem(i, {"value": v}, f"id{v}") for i, v in enumerate(given))

    photos = (SourceItem(0, {}, "a" * 64, "/a.jpg"), SourceItem(1, {}, "", "/b.jpg"))
    listings = {"x": values(1, 'two " ü', 3.5), "y": values(7, 8), "photo": photos}
    items = Items(graph(), listings)
    states = States(items)
    digests: dict[str, Contents[Blocked]] = {n: Contents(of) for n, of in listings.items()}
    look = Examiner(items, digests, states.key, states.blocked, states.through, "cpu")
    return items, states, look


def test_both_ways_lead_to_one_key() -> None:
    items, states, look = world()
    recipes = Recipes(look)
    plain = [step for step in items.graph.steps.values() if recipes.is_plain(step)]
    assert [step.name for step in plain] == ["a", "b", "c", "d", "e", "seen"]
    seen = set()
    for step in plain:
        for number in items.spaces[step.name].numbers():
            if (step.name, number) == ("seen", 1):
                continue
            case = look.case(step, number, 0)
            assert recipes.key(step, number) == case.key == keys.digest(case.components)
            states.set_key(case.id, case.key)
            seen.add(case.key)
    assert len(seen) == 3 + 9 + 9 + 9 + 9 + 1


def test_what_has_no_key_yet_or_takes_a_closer_look() -> None:
    items, states, look = world()
    recipes = Recipes(look)
    steps = items.graph.steps
    assert recipes.key(steps["seen"], 1) == "", "its photo is not read"
    assert recipes.key(steps["b"], 0) == "", "what it reads has no key yet"
    states.note(("a", 0), "quarantined", reason="bad_input")
    assert recipes.key(steps["b"], 0) is None
    look.digests["photo"].learn(1, Blocked("decode", "no picture"))
    assert recipes.key(steps["seen"], 1) is None


@pytest.mark.parametrize("name", ["kept", "sum"])
def test_conditions_and_gathers_take_a_closer_look(name: str) -> None:
    items, _, look = world()
    assert not Recipes(look).is_plain(items.graph.steps[name])
