"""What the report shows, as data, and the one self-contained HTML page made of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.drawing import Outline, Tally, svg

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step: what it is and what became of its items."""

    name: str
    op: str
    axes: str
    tally: Tally
    seconds: float  # of this run
    in_all: float = 0.0  # what its items took whenever they were made


@dataclass(frozen=True, slots=True)
class Shot:
    """One small embedded picture. `thumbnail` is a data URI; `href` leads to the file itself."""

    label: str
    thumbnail: str
    width: int
    height: int
    href: str = ""
    featured: bool = False  # shown large: a contact sheet
    full_px: tuple[int, int] = (0, 0)  # width and height of the file itself, upright

    @property
    def name(self) -> str:
        """The label without its folder."""
        return self.label.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A photo before and after, of one size: they lie on top of each other."""

    label: str
    before: Shot
    after: Shot


@dataclass(frozen=True, slots=True)
class Refusal:
    """One quarantined item, or one at several steps that all refuse it for the same reason."""

    step: str  # several are joined by commas
    label: str
    reason: str
    message: str
    traceback: str = ""
    thumbnail: str = ""
    items: int = 1


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a list of facts."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the page shows."""

    title: str
    state: str  # one of STATES
    seconds: float
    started: str
    outline: Outline
    steps: Sequence[StepLine] = ()
    outputs: int = 0
    shots: Sequence[Shot] = ()
    comparisons: Sequence[Comparison] = ()
    refusals: Sequence[Refusal] = ()
    moments: Sequence[float] = ()  # when each computed item was done, seconds from the start
    saved_seconds: float = 0.0
    stale: Sequence[str] = ()
    part: str = ""  # the flags of a run that did only a part of its workflow
    facts: Sequence[Fact] = ()
    params: Sequence[Fact] = ()
    models: Sequence[Fact] = ()
    versions: Sequence[Fact] = ()
    workflow: str = ""


#: Fewer finished items than this make no curve.
FEWEST_MOMENTS = 8
STATES = {
    "running": "Still running",
    "done": "All good",
    "partial": "Finished, some items set aside",
    "interrupted": "Interrupted",
    "failed": "Stopped",
}


def duration(seconds: float) -> str:
    """Write a time span as people say it: 17 ms, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.0005 else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: int) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def size_text(size: float) -> str:
    """Write a size as people read it: 12 kB, 3.4 GB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{number(int(size))} {unit}" if size >= 10 else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def plural(count: int, noun: str) -> str:
    """Write '1 item', '2 items'."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def curve(moments: Sequence[float], width: int = 640, height: int = 120) -> str:
    """Draw items per second over time as an SVG area; empty when there is too little to see."""
    if len(moments) < FEWEST_MOMENTS:
        return ""
    end = max(moments)
    bins = min(48, ceil(len(moments) / 2))
    span = end / bins or 1.0
    counts = [0] * bins
    for moment in moments:
        counts[min(int(moment / span), bins - 1)] += 1
    peak = max(counts)
    step = width / bins
    tops = [height - (height - 8) * count / peak for count in counts]
    line = f"M0 {height}" + "".join(
        f"L{i * step:.1f} {top:.1f}H{(i + 1) * step:.1f}" for i, top in enumerate(tops)
    )
    return (
        f'<svg class="curve" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="Items finished per second, up to {peak / span:.1f}">'
        f'<path d="{line}L{width} {height}Z"/></svg>'
    )


def peak_rate(moments: Sequence[float]) -> float:
    """Items per second over the whole run."""
    return len(moments) / max(moments) if moments and max(moments) > 0 else 0.0


def by_folder(shots: Sequence[Shot]) -> dict[str, list[Shot]]:
    """Group pictures by the folder they lie in; featured ones come alone, under ""."""
    groups: dict[str, list[Shot]] = {}
    for shot in shots:
        folder = "" if shot.featured else shot.label[: -len(shot.name)] or "./"
        groups.setdefault(folder, []).append(shot)
    return groups


def breakable(text: str) -> "Markup":
    """Write a file name as HTML that breaks between its parts, not within a word."""
    from markupsafe import Markup, escape

    pieces = re.findall(r"[^_/]*[_/]+|[^_/]+", text)
    return Markup("<wbr>").join(map(escape, pieces))


def by_reason(refusals: Sequence[Refusal]) -> dict[str, list[Refusal]]:
    """Group quarantined items by reason, the most frequent first."""
    groups: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault(refusal.reason, []).append(refusal)
    return dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))


def render(page: Page) -> str:
    """Make the HTML text: styles, script and pictures inside, nothing fetched from anywhere."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(duration=duration, number=number, plural=plural, breakable=breakable)
    template = environment.from_string(
        Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    )
    tallies = {line.name: line.tally for line in page.steps}
    return template.render(
        page=page,
        verdict=STATES[page.state],
        dag=Markup(svg(page.outline, tallies)),  # noqa: S704  # drawing.py escapes its texts
        curve=Markup(curve(page.moments)),  # noqa: S704  # numbers only
        rate=peak_rate(page.moments),
        groups=by_reason(page.refusals),
        folders=by_folder(page.shots),
        refused=sum(refusal.items for refusal in page.refusals),
        cached=sum(line.tally.cached for line in page.steps),
        done=sum(line.tally.done for line in page.steps),
    )
