"""A workflow as a picture: layered inline SVG, or Mermaid and Graphviz text. No service, no script.

The layout is the classic one for DAGs (Sugiyama et al. 1981): longest-path layers, bends for edges
that span several, barycentre sweeps against crossings, then a few rounds of pulling every box
towards its neighbours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import fmean
from typing import Literal

from engine.dag import Graph

BOX_HEIGHT, ROW_GAP, LAYER_GAP, MARGIN = 58, 22, 46, 6
#: A workflow that would be wider than this from left to right is drawn from top to bottom.
WIDEST = 1100
LETTER = 8.0  # width of one letter of the title, px


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `title` is its name, `caption` what it does, `axes` its named axes."""

    id: str
    kind: Literal["source", "step", "output"]
    title: str
    caption: str = ""
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """The boxes and arrows of a workflow, in topological order."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of a step's items, for the bar and the line inside its box."""

    done: int = 0
    cached: int = 0
    quarantined: int = 0
    skipped: int = 0
    text: str = ""

    @property
    def items(self) -> int:
        """All items of the step."""
        return self.done + self.cached + self.quarantined + self.skipped


def outline(graph: Graph) -> Outline:
    """Make the boxes and arrows of a checked workflow."""
    nodes = [Node(s.name, "source", s.name, s.kind) for s in graph.sources.values()]
    edges: dict[tuple[str, str], None] = {}
    for step in graph.steps.values():
        nodes.append(Node(step.name, "step", step.name, step.op.name, step.axes))
        reads = [ref.node for wire in step.wires for ref in wire.refs]
        reads += [ref.node for ref in step.when.refs] if step.when else []
        reads += [model.step for model in step.models.values() if model.step]
        edges.update({(node, step.name): None for node in reads})
    for number, output in enumerate(graph.outputs):
        name = f"output {number}"
        nodes.append(Node(name, "output", output.to.source, output.format))
        edges[output.ref.node, name] = None
    return Outline(tuple(nodes), tuple(edges))


def _layers(drawn: Outline) -> dict[str, int]:
    """Put every box one layer right of its rightmost input, then sources next to their readers."""
    layer = {node.id: 0 for node in drawn.nodes}
    for node in drawn.nodes:
        inputs = [layer[a] + 1 for a, b in drawn.edges if b == node.id]
        layer[node.id] = max(inputs, default=0)
    for node in drawn.nodes:
        readers = [layer[b] for a, b in drawn.edges if a == node.id]
        if node.kind == "source" and readers:
            layer[node.id] = min(readers) - 1
    return layer


def _bend(drawn: Outline) -> tuple[list[list[str]], list[list[str]]]:
    """Make the rows of each layer and every edge as a path with one point per layer it crosses."""
    layer = _layers(drawn)
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in drawn.nodes:
        rows[layer[node.id]].append(node.id)
    paths: list[list[str]] = []
    for a, b in drawn.edges:
        bends = [f"{a}\0{b}\0{i}" for i in range(layer[a] + 1, layer[b])]
        for i, bend in enumerate(bends, layer[a] + 1):
            rows[i].append(bend)
        paths.append([a, *bends, b])
    return rows, paths


Neighbours = Mapping[str, Sequence[str]]


def _neighbours(paths: Sequence[Sequence[str]]) -> tuple[Neighbours, Neighbours]:
    """For every point, the points before it and the points after it."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for path in paths:
        for a, b in pairwise(path):
            after.setdefault(a, []).append(b)
            before.setdefault(b, []).append(a)
    return before, after


def _untangle(rows: list[list[str]], before: Neighbours, after: Neighbours) -> None:
    """Sort each layer by the mean rank of its neighbours, sweeping right and left."""
    for sweep in range(8):
        near = before if sweep % 2 == 0 else after
        rank = {name: i for row in rows for i, name in enumerate(row)}
        for row in rows if sweep % 2 == 0 else reversed(rows):
            keys = {n: fmean([rank[m] for m in near.get(n, ())] or [rank[n]]) for n in row}
            row.sort(key=keys.__getitem__)
            rank.update({name: i for i, name in enumerate(row)})


def _middles(
    rows: list[list[str]], before: Neighbours, after: Neighbours, boxes: Mapping[str, float]
) -> dict[str, float]:
    """Choose the middle of every point: near its neighbours, never overlapping its layer.

    `boxes` is how much room each box takes along its layer.
    """
    size = {n: boxes[n] + ROW_GAP if n in boxes else 14.0 for row in rows for n in row}
    y: dict[str, float] = {}
    for row in rows:
        top = -sum(size[n] for n in row) / 2
        for name in row:
            y[name], top = top + size[name] / 2, top + size[name]
    for _ in range(24):
        for row in rows:
            wish = {
                n: fmean([y[m] for m in (*before.get(n, ()), *after.get(n, ()))] or [y[n]])
                for n in row
            }
            for block in _blocks(row, wish, size):
                y.update(block)
    return y


def _blocks(
    row: Sequence[str], wish: Mapping[str, float], size: Mapping[str, float]
) -> Iterator[dict[str, float]]:
    """Yield positions closest to the wishes that keep order and distance (isotonic regression)."""
    blocks: list[tuple[list[str], float]] = []  # members, wished top of the block
    for name in row:
        members, top = [name], wish[name] - size[name] / 2
        while blocks and blocks[-1][1] + sum(size[n] for n in blocks[-1][0]) > top:
            above, wished = blocks.pop()
            shift = sum(size[n] for n in above)
            top = (wished * len(above) + (top - shift) * len(members)) / (len(above) + len(members))
            members = [*above, *members]
        blocks.append((members, top))
    for members, start in blocks:
        top = start
        placed: dict[str, float] = {}
        for name in members:
            placed[name], top = top + size[name] / 2, top + size[name]
        yield placed


def _short(text: str, limit: int = 24) -> str:
    """Cut a long title in the middle."""
    half = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[-half:]}"


def svg(drawn: Outline, tallies: Mapping[str, Tally] | None = None, *, alone: bool = False) -> str:
    """Make the picture. Colours are CSS variables of the page; `alone` brings its own style."""
    tallies = tallies or {}
    rows, paths = _bend(drawn)
    _untangle(rows, *_neighbours(paths))
    widths = {node.id: _width(node, tallies.get(node.id)) for node in drawn.nodes}
    layers = [max([widths[n] for n in row if n in widths], default=0.0) for row in rows]
    down = sum(layers) + LAYER_GAP * (len(layers) - 1) > WIDEST
    spans = _spans(rows, paths, widths, layers, down=down)
    ends = [spans[node.id] for node in drawn.nodes]
    width = max((span.right for span in ends), default=0.0) + MARGIN
    height = max((span.bottom for span in ends), default=0.0) + MARGIN
    arrows = [_arrow([spans[n] for n in path], down=down) for path in paths]
    boxes = [_box(node, tallies.get(node.id), spans[node.id]) for node in drawn.nodes]
    xmlns = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    return (
        f'<svg class="dag"{xmlns} viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="max-width:100%;min-width:{0.68 * width:.0f}px" role="img" '
        'aria-label="The workflow as a graph">'
        + (f"<style>{_STYLE}</style>" if alone else "")
        + "".join(arrows + boxes)
        + "</svg>"
    )


@dataclass(frozen=True, slots=True)
class Span:
    """Where a box, or the bend of an arrow, lies; a bend has no extent across the flow."""

    left: float
    top: float
    right: float
    bottom: float


def _spans(
    rows: list[list[str]],
    paths: Sequence[Sequence[str]],
    widths: Mapping[str, float],
    layers: Sequence[float],
    *,
    down: bool,
) -> dict[str, Span]:
    """Place every point: layers one after the other along the flow, their points across it."""
    across = widths if down else dict.fromkeys(widths, float(BOX_HEIGHT))
    middle = _middles(rows, *_neighbours(paths), across)
    lift = min((middle[n] - across[n] / 2 for n in across), default=0.0) - MARGIN
    found: dict[str, Span] = {}
    start = float(MARGIN)
    for row, layer in zip(rows, layers, strict=True):
        end = start + (BOX_HEIGHT if down else layer)
        for name in row:
            low = middle[name] - lift - across.get(name, 0.0) / 2
            high = low + across.get(name, 0.0)
            found[name] = Span(low, start, high, end) if down else Span(start, low, end, high)
        start = end + LAYER_GAP
    return found


def _width(node: Node, tally: Tally | None) -> float:
    """How wide a box must be for its texts."""
    small = max(len(_caption(node)), len(tally.text) if tally else 0)
    return 24 + max(LETTER * len(_short(node.title)), 6.2 * small, 56.0)


def _caption(node: Node) -> str:
    """The second line of a box: what it does, and along which axes."""
    return " · ".join(filter(None, (node.caption, " × ".join(node.axes))))


def _arrow(points: Sequence[Span], *, down: bool) -> str:
    """One edge: straight through the layers' boxes, a smooth curve in each gap."""
    # Along the flow (u) and across it (v); an arrow that runs down has its axes swapped.
    ends = [(p.top, p.bottom, (p.left + p.right) / 2) for p in points]
    ends = ends if down else [(p.left, p.right, (p.top + p.bottom) / 2) for p in points]

    def at(u: float, v: float) -> str:
        return f"{v:.1f} {u:.1f}" if down else f"{u:.1f} {v:.1f}"

    _, u, v = ends[0]
    path = f"M{at(u, v)}"
    for start, end, level in ends[1:]:
        middle = (u + start) / 2
        path += f"C{at(middle, v)} {at(middle, level)} {at(start, level)}"
        u, v = end, level
        path += f"{'V' if down else 'H'}{end:.1f}" if (start, end, level) != ends[-1] else ""
    return f'<path class="edge" d="{path}"/>'


def _box(node: Node, tally: Tally | None, span: Span) -> str:
    """One box with its texts and the bar of what became of its items."""
    x, top, width = span.left, span.top, span.right - span.left
    middle = top + BOX_HEIGHT / 2
    lines = [("t", _short(node.title)), ("c", _caption(node))]
    if tally and tally.text:
        lines.append(("n", tally.text))
    first = middle - 8.5 * (len(lines) - 1) + (2 if tally else 4)
    texts = "".join(
        f'<text class="{kind}" x="{x + 12:.1f}" y="{first + 17 * i:.1f}">{escape(text)}</text>'
        for i, (kind, text) in enumerate(lines)
    )
    round_px = BOX_HEIGHT / 2 if node.kind == "source" else 7
    frame = (
        f'<rect class="box" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BOX_HEIGHT}" '
        f'rx="{round_px:g}"/>'
    )
    bar = "".join(_bar(tally, x + 8, top + BOX_HEIGHT - 5, width - 16)) if tally else ""
    hint = f"<title>{escape(node.title)}</title>"
    return f'<g class="{node.kind}">{hint}{frame}{texts}{bar}</g>'


def _bar(tally: Tally, x: float, y: float, width: float) -> Iterator[str]:
    """The parts of the bar, in the colours of their fate."""
    for fate in ("done", "cached", "quarantined", "skipped"):
        part = width * getattr(tally, fate) / max(tally.items, 1)
        if part:
            yield f'<rect class="{fate}" x="{x:.1f}" y="{y:.1f}" width="{part:.1f}" height="2.5"/>'
            x += part


_STYLE = """
svg{--ink:#22201c;--soft:#7a746a;--line:#b9b2a6;--card:#fff;--tint:#f3efe8;
--done:#3f7d58;--cached:#8fb8a0;--bad:#c2553d;--skip:#cfc8bc;font-family:system-ui,sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#ece7de;--soft:#9c958a;--line:#5a544b;--card:#26231f;
--tint:#1d1b18;--done:#6fb58c;--cached:#476b57;--bad:#e07a61;--skip:#4a453e}}
.edge{fill:none;stroke:var(--line);stroke-width:1.4}.box{fill:var(--card);stroke:var(--line)}
.source .box{fill:var(--tint)}.output .box{stroke-dasharray:4 3}
.t{font-size:13px;font-weight:600;fill:var(--ink)}.c,.n{font-size:11px;fill:var(--soft)}
.done{fill:var(--done)}.cached{fill:var(--cached)}.quarantined{fill:var(--bad)}.skipped{fill:var(--skip)}
"""


def mermaid(drawn: Outline) -> str:
    """Make Mermaid text, which code hosts draw inside Markdown."""
    ids = {node.id: f"n{i}" for i, node in enumerate(drawn.nodes)}
    brackets = {"source": ("([", "])"), "step": ("[", "]"), "output": ("[/", "/]")}
    lines = ["flowchart LR"]
    for node in drawn.nodes:
        start, end = brackets[node.kind]
        text = "<br>".join(filter(None, (escape(node.title), escape(_caption(node)))))
        lines.append(f'  {ids[node.id]}{start}"{text}"{end}')
    lines += [f"  {ids[a]} --> {ids[b]}" for a, b in drawn.edges]
    return "\n".join(lines) + "\n"


def dot(drawn: Outline) -> str:
    """Make Graphviz text."""
    shapes = {"source": "oval", "step": "box", "output": "note"}

    def quote(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = ["digraph workflow {", "  rankdir=LR; node [fontname=sans];"]
    for node in drawn.nodes:
        label = quote(node.title)[:-1] + r"\n" + quote(_caption(node))[1:]
        lines.append(f"  {quote(node.id)} [label={label} shape={shapes[node.kind]}];")
    lines += [f"  {quote(a)} -> {quote(b)};" for a, b in drawn.edges]
    return "\n".join([*lines, "}"]) + "\n"
