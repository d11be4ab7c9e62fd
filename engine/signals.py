"""Ctrl-C once drains, twice stops; so does `cancel`, through a file in the run folder."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.errors import WorkflowError

#: What `cancel` writes, and where in the run folder.
CANCEL, DRAIN, NOW = "cancel", "drain", "now"


class InterruptedRunError(WorkflowError):
    """The user stopped the run; what is finished is kept."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name}; the same command again goes on from here")
        self.exit_code = 128 + number


class Interrupts:
    """Signals seen so far: after the first one no new work starts, the second one ends the run."""

    def __init__(self, asked: Path | None = None) -> None:
        self.number = 0
        self._asked = asked

    @property
    def draining(self) -> bool:
        """Whether a signal has come, or somebody has asked in a file.

        Raises: InterruptedRunError when that asks to stop at once.
        """
        if self._asked is not None and self._asked.exists():
            self.number = self.number or signal.SIGINT
            if self._asked.read_text(errors="replace").strip() == NOW:
                raise InterruptedRunError(self.number)
        return self.number != 0

    def check(self) -> None:
        """Raise InterruptedRunError if a signal has come."""
        if self.number:
            raise InterruptedRunError(self.number)

    def _seen(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            raise InterruptedRunError(number)
        self.number = number


@contextmanager
def interrupts(asked: Path | None = None) -> Iterator[Interrupts]:
    """Watch SIGINT and SIGTERM for a while; only the main thread can, others see none.

    Whoever makes the file `asked` is heard too.
    """
    seen = Interrupts(asked)
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, seen._seen)  # noqa: SLF001
    except ValueError:  # not the main thread
        pass
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
