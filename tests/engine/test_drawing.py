import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from engine.drawing import BOX_HEIGHT, WIDEST, Node, Outline, Tally, dot, mermaid, svg

DIAMOND = Outline(
    (
        Node("photo", "source", "photo", "glob"),
        Node("face", "step", "face", "align_face", ("photo",)),
        Node("code", "step", "code", "invert", ("photo",)),
        Node("back", "step", "back", "paste_back", ("photo",)),
        Node("output 0", "output", "{photo.stem}.png", "png"),
    ),
    (
        ("photo", "face"),
        ("face", "code"),
        ("code", "back"),
        ("photo", "back"),
        ("back", "output 0"),
    ),
)


def boxes(text: str) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, width, height of every box, by title."""
    found = {}
    for group in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}g"):
        title = group.find("{http://www.w3.org/2000/svg}title").text
        box = group.find("{http://www.w3.org/2000/svg}rect")
        found[title] = tuple(float(box.get(k)) for k in ("x", "y", "width", "height"))
    return found


def test_every_arrow_leads_to_the_right() -> None:
    placed = boxes(svg(DIAMOND, alone=True))
    titles = {node.id: node.title for node in DIAMOND.nodes}
    for a, b in DIAMOND.edges:
        left, right = placed[titles[a]], placed[titles[b]]
        assert left[0] + left[2] < right[0]


def test_a_long_arrow_goes_around_the_boxes_between() -> None:
    text = svg(DIAMOND, alone=True)
    placed = boxes(text)
    path = re.findall(r'<path class="edge" d="([^"]+)"', text)[3]  # photo -> back
    levels = [float(n) for n in re.findall(r" (\d+\.\d)(?=H)", path)]
    for level, title in zip(levels, ("face", "code"), strict=True):
        top = placed[title][1]
        assert not top < level < top + BOX_HEIGHT


def test_a_wide_workflow_runs_down_the_page() -> None:
    names = [f"a step with a long name {i}" for i in range(9)]
    nodes = tuple(Node(name, "step", name, "op") for name in names)
    drawn = Outline(nodes, tuple(pairwise(names)))
    placed = boxes(svg(drawn, alone=True))
    assert all(left + width < WIDEST for left, _, width, _ in placed.values())
    for above, below in pairwise(names):
        assert placed[above][1] + placed[above][3] < placed[below][1]


@st.composite
def outlines(draw: st.DrawFn) -> Outline:
    count = draw(st.integers(1, 14))
    pairs = list(combinations(range(count), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    nodes = tuple(Node(f"n{i}", "step", f"n{i}", "op") for i in range(count))
    return Outline(nodes, tuple((f"n{a}", f"n{b}") for a, b in chosen))


@given(outlines())
def test_boxes_never_overlap_and_stay_inside(drawn: Outline) -> None:
    text = svg(drawn, alone=True)
    placed = list(boxes(text).values())
    assert len(placed) == len(drawn.nodes)
    width, height = (float(n) for n in re.search(r'viewBox="0 0 (\d+) (\d+)"', text).groups())
    for x, y, w, h in placed:
        assert x >= 0
        assert y >= 0
        assert x + w <= width + 1
        assert y + h <= height + 1
    for (ax, ay, aw, ah), (bx, by, bw, bh) in combinations(placed, 2):
        assert ax + aw <= bx or bx + bw <= ax or ay + ah <= by or by + bh <= ay


def test_names_are_escaped() -> None:
    drawn = Outline((Node("a", "step", '<b>"&', "x"),), ())
    ET.fromstring(svg(drawn, alone=True))
    assert "<b>" not in mermaid(drawn)
    assert r"<b>\"&" in dot(drawn)


def test_the_bar_has_the_parts_of_the_tally() -> None:
    tally = Tally(done=2, cached=1, quarantined=1, text="4 items")
    text = svg(DIAMOND, {"face": tally}, alone=True)
    widths = {
        kind: float(width)
        for kind, width in re.findall(
            r'<rect class="(\w+)" [^>]*width="([\d.]+)" height="2.5"', text
        )
    }
    assert set(widths) == {"done", "cached", "quarantined"}
    assert abs(widths["done"] - 2 * widths["cached"]) < 0.2
    assert "4 items" in text


def test_text_forms_have_every_arrow() -> None:
    assert mermaid(DIAMOND).count("-->") == len(DIAMOND.edges)
    assert dot(DIAMOND).count("->") == len(DIAMOND.edges)
