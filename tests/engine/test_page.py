import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from engine.drawing import Node, Outline, Tally
from engine.page import (
    Comparison,
    Fact,
    Page,
    Refusal,
    Shot,
    StepLine,
    breakable,
    by_folder,
    curve,
    duration,
    number,
    render,
)

PIXEL = "data:image/webp;base64,UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
OUTLINE = Outline((Node("photo", "source", "photo", "glob"), Node("face", "step", "face")), ())
PAGE = Page("summer", "done", 31.4, "today", OUTLINE)


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that elements nest."""

    VOID = frozenset({"meta", "img", "input", "br", "rect", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(render(page))
    assert not reader.open
    return reader


def full() -> Page:
    small, wide = Shot("a.png", PIXEL, 100, 100, "../a.png"), Shot("b.png", PIXEL, 300, 100)
    refusal = Refusal("face", "photo=<rocket>", "no_face", "no face & nothing else", "Trace", PIXEL)
    return replace(
        PAGE,
        steps=[StepLine("face", "align_face", "photo", Tally(3, 1, 1, 0), 2.5)],
        outputs=2,
        shots=[small, wide],
        comparisons=[Comparison("one", small, small)],
        refusals=[refusal],
        moments=[0.1 * i for i in range(1, 10)],
        saved_seconds=70,
        facts=[Fact("file", "<f>")],
        workflow="version: 1",
    )


def test_the_page_fetches_nothing() -> None:
    for tag, attributes in read(full()).found:
        assert tag != "link"
        for name in ("src", "srcset", "poster", "data"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?://", render(full()))


def test_texts_are_escaped() -> None:
    text = render(full())
    assert "photo=&lt;rocket&gt;" in text
    assert "no face &amp; nothing else" in text
    assert "<rocket>" not in text


def test_before_and_after_share_a_slider() -> None:
    found = read(full()).found
    assert sum(attributes.get("class") == "stack" for _, attributes in found) == 1


def test_pictures_stand_under_the_name_of_their_folder() -> None:
    labels = ("edited/a_1.jpg", "edited/b_1.jpg", "top.jpg")
    sheet = Shot("sheet.jpg", PIXEL, 900, 300, featured=True)
    shots = [sheet, *(Shot(label, PIXEL, 128, 128) for label in labels)]
    assert {name: len(group) for name, group in by_folder(shots).items()} == {
        "": 1,
        "edited/": 2,
        "./": 1,
    }
    text = render(replace(PAGE, shots=shots))
    assert "<code>edited/</code>" in text
    assert "2 pictures" in text


def test_a_name_breaks_between_its_parts() -> None:
    assert breakable("a/<b>_yaw+1.jpg") == "a/<wbr>&lt;b&gt;_<wbr>yaw+1.jpg"


def test_an_empty_run_has_no_empty_sections() -> None:
    text = render(PAGE)
    for absent in ("Before and after", "Set aside</h2>", "Items over time", "Not computed again"):
        assert absent not in text
    assert "All good" in text


def test_quarantined_items_are_grouped_the_most_frequent_first() -> None:
    refusals = [Refusal("s", str(i), "decode" if i else "no_face", "m") for i in range(3)]
    text = render(replace(PAGE, refusals=refusals))
    assert text.index("<code>decode</code>") < text.index("<code>no_face</code>")
    assert "2 items" in text


def test_an_item_that_several_steps_refuse_counts_for_each() -> None:
    refusal = Refusal("face, square", "photo=a", "decode", "m", items=2)
    text = render(replace(PAGE, refusals=[refusal]))
    assert "at face, square" in text
    assert "2 items" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0174, "17 ms"),
        (0.44, "0.4 s"),
        (12.2, "12 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_have_thin_spaces() -> None:
    assert number(1234567) == "1\u202f234\u202f567"


def test_the_curve_is_as_high_as_its_fullest_moment() -> None:
    text = curve([1, 1, 1, 1, 2, 3, 3, 4], width=40, height=100)
    tops = [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)H", text)]
    assert min(tops) == 8.0
    assert curve([1.0]) == ""
