"""What a run says while it works: a bar per step on a terminal, a line every 30 s elsewhere.

Everything goes to stderr, so that stdout stays free for results. NO_COLOR is honoured.
"""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engine.pace import NOTHING, Counts, Parts, parts_done, time_left_s
from engine.page import duration, number, plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 30.0
#: Lines about single items before the rest is left to the report.
MOST_ITEM_LINES = 20


class Screen:
    """The progress of one run. Use as a context; `show` as often as you like."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        from rich.console import Console

        self.verbose = verbose
        self._quiet = quiet
        self._console: Console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started = time.monotonic()
        self._next_line = self._started + LINE_EVERY_S
        self._item_lines = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._bars = _bars(self._console)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        if not self._quiet:
            self._console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print one line even when quiet."""
        self._console.print(text, markup=False)

    def item(self, text: str) -> None:
        """Print a line about one item; after a few, leave the rest to the report."""
        self._item_lines += 1
        if self.verbose or self._item_lines <= MOST_ITEM_LINES:
            self.say(text)
        elif self._item_lines == MOST_ITEM_LINES + 1:
            self.say("... more of these are in the report")

    def show(self, counts: Counts, under_way: Parts = NOTHING) -> None:
        """Show how far every step is, with what is done of the items under way."""
        if self._bars is not None:
            self._move_bars(counts, under_way)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_EVERY_S
            self.say(progress_line(counts, time.monotonic() - self._started, under_way))

    def _move_bars(self, counts: Counts, under_way: Parts) -> None:
        assert self._bars is not None
        parts = parts_done(counts, under_way)
        for name, count in counts.items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=None, aside="")
            aside = f"{number(count['quarantined'])} set aside" if count["quarantined"] else ""
            finished = count["items"] - count["to_run"] + parts[name]
            self._bars.update(
                self._tasks[name], total=count["items"], completed=finished, aside=aside
            )


def _bars(console: "Console") -> "Progress":
    """Make the bars: name, bar, done of all, rate, time left, items set aside."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Items per second, as measured over the last half minute."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f}/s" if speed else "", style="dim")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("[red]{task.fields[aside]}"),
        console=console,
        transient=False,
        refresh_per_second=8,
    )


def progress_line(counts: Counts, seconds: float, under_way: Parts = NOTHING) -> str:
    """Write how far a run is on one line, for logs: unfinished steps, rate, time left.

    A step whose items take long tells parts of them: "strip 0/1 + 37%".
    """
    parts = parts_done(counts, under_way)
    items = sum(count["items"] for count in counts.values())
    left = sum(count["to_run"] for count in counts.values())
    done = sum(count["done"] for count in counts.values()) + sum(parts.values())
    aside = sum(count["quarantined"] for count in counts.values())
    told = [
        f"{name} {number(count['items'] - count['to_run'])}/{number(count['items'])}"
        + (f" + {parts[name]:.0%}" if parts[name] else "")
        for name, count in counts.items()
        if count["to_run"]
    ]
    rate = done / seconds if seconds > 0 else 0.0
    if rate >= 0.05:
        told.append(f"{rate:.1f} items/s")
    if left and (time_left := time_left_s(counts, rate, under_way)) is not None:
        told.append(f"about {duration(time_left)} left")
    if aside:
        told.append(f"{plural(aside, 'item')} set aside")
    head = f"{time.strftime('%H:%M:%S')} {number(items - left)}/{number(items)}"
    return " · ".join([head, *told])
