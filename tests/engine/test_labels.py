"""engine/labels.py: every item of a source has a name of its own."""

import pytest

from engine.dag import SourceItem
from engine.items import Items
from engine.labels import longer_labels
from tests.engine.language import load


def listed(*fields: dict[str, object]) -> list[SourceItem]:
    return [SourceItem(i, {"index": i, **some}) for i, some in enumerate(fields)]


@pytest.mark.parametrize(
    ("items", "longer"),
    [
        (listed({"rel": "a"}, {"rel": "b"}), {}),
        (
            listed({"rel": "a", "ext": ".jpg"}, {"rel": "a", "ext": ".png"}, {"rel": "b"}),
            {0: "a.jpg", 1: "a.png"},
        ),
        (listed({"value": 1}, {"value": 2}, {"value": 1}), {0: "1#0", 2: "1#2"}),
        (  # the longer name of one is the plain name of another
            listed(
                {"rel": "a", "ext": ".jpg"},
                {"rel": "a", "ext": ".png"},
                {"rel": "a.jpg", "ext": ".png"},
            ),
            {0: "a.jpg#0", 1: "a.png", 2: "a.jpg#2"},
        ),
        (listed({}, {}), {}),
    ],
)
def test_names_that_would_be_the_same_grow(items: list[SourceItem], longer: dict[int, str]) -> None:
    assert longer_labels(items) == longer


def test_the_labels_of_a_step_tell_its_items_apart() -> None:
    photos = listed({"rel": "a", "ext": ".jpg"}, {"rel": "a", "ext": ".png"})
    flow = "sources: {p: {glob: '*'}}\nsteps: {code: {op: invert, in: {image: p}}}"
    items = Items(load(flow), {"p": photos})
    assert [items.label("code", n) for n in (0, 1)] == ["p=a.jpg", "p=a.png"]
