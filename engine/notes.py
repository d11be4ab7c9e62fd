"""What a run remembers while it goes, and shows: index, ledger, memo, screen."""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from engine.cluster import planned_slots
from engine.console import Screen
from engine.costs import Costs
from engine.dispatch import Unread
from engine.hands import under_way
from engine.jobs import Chunk, ChunkResult, Outcome
from engine.ledger import Ledger
from engine.limits import check_failures
from engine.outputs import Standing
from engine.page import plural
from engine.plan import Board
from engine.pulse import Meter, write_pulse
from engine.session import Session, numerics

SHOW_EVERY_S = 0.2
#: Seconds between pulses, and between looks at the size of the cache.
BEAT_EVERY_S = 1.0
WEIGH_EVERY_S = 5.0
#: Seconds between looks at how far long items are.
LOOK_EVERY_S = 1.0
#: Runs of up to this many items tell the ledger of all keys' parts, larger ones of new items only.
EXPLAIN_ALL = 5_000


class Notes:
    """The memory of one run; its methods are the hooks of the loop."""

    def __init__(
        self, session: Session, ledger: Ledger, standing: Standing, screen: Screen, board: Board
    ) -> None:
        self.session = session
        self.ledger = ledger
        self.standing = standing
        self.screen = screen
        self.board = board
        self.seconds: defaultdict[str, float] = defaultdict(float)  # of computing, by step
        self.meter = Meter()
        self.unwritten: list[str] = []  # files that could not be written, and why
        graph = session.items.graph
        self._costs = Costs(graph.steps, graph.outputs, numerics(session.request))
        self._shown = self._looked = 0.0
        self._under_way: Mapping[str, float] = {}
        self._beaten = self._weighed = time.monotonic()
        self._small = sum(s.count() for s in session.items.spaces.values()) <= EXPLAIN_ALL

    def absorb(self, _chunk: Chunk, result: ChunkResult) -> None:
        """Remember what a chunk stored and wrote."""
        if result.worker:  # what is read off packs, its worker tells later, or never
            self.meter.count(result)
            self._costs.count(result)
        if result.lost:
            self.session.index.absorb()  # another run may have merged these packs
        records = [o.record for o in result.outcomes if o.record is not None]
        if records:
            self.session.index.add(records)
        if result.written:
            self.ledger.record_outputs(result.written)
            self.standing.note(result.written)
        self.unwritten += [f"{export.path}: {why}" for export, why in result.failed_exports]

    def settled(self, news: Sequence[Outcome]) -> None:
        """Note what became of items.

        Raises: RunError when the run is broken rather than unlucky.
        """
        items = self.session.items
        told = [(outcome, items.label(*outcome.item)) for outcome in news]
        self.ledger.record(told)
        self.ledger.record_components(self._components(told))
        for outcome, label in told:
            if outcome.status == "done":
                self.seconds[outcome.item[0]] += outcome.seconds
            elif outcome.status == "quarantined":
                where = f"{outcome.item[0]} of {label}"
                self.screen.item(f"set aside ({outcome.reason}): {where}: {outcome.message}")
                told_of = {"step": outcome.item[0], "item": label, "reason": outcome.reason}
                self.ledger.event("set_aside", **told_of, message=outcome.message)
        check_failures(items.graph, news, self.board.counts())

    def _components(
        self, told: Sequence[tuple[Outcome, str]]
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """The parts of the keys of computed items, for `explain`; of all items in a small run."""
        for outcome, label in told:
            step = self.session.items.graph.steps[outcome.item[0]]
            fresh = outcome.status == "done" or (self._small and outcome.status == "cached")
            if fresh and not step.coalesce:
                yield step.name, label, self.board.surveyor.case(outcome.item).components

    def learned(self, read: Sequence[tuple[Unread, str]]) -> None:
        """Remember the contents of photos that were read."""
        self.session.memo.remember_digests((item, digest) for (_, _, item), digest in read)

    def event(self, kind: str, told: Mapping[str, Any]) -> None:
        """Add a line to the run's story; who presses Ctrl-C hears at once what comes of it."""
        if kind == "draining":
            chunks = plural(told["chunks"], "chunk")
            self.screen.warn(f"finishing {chunks} under way; Ctrl-C again stops now")
        self.ledger.event(kind, **told)

    def tick(self, _flying: int) -> None:
        """Move the bars, a few times a second."""
        now = time.monotonic()
        if now - self._shown > SHOW_EVERY_S:
            self._shown = now
            if now - self._looked > LOOK_EVERY_S:
                self._looked = now
                self._under_way = under_way(self.session.run_dir)
            self.screen.show(self.board.counts(), self._under_way)

        if now - self._beaten > BEAT_EVERY_S:
            self._beaten = now
            self.beat()
        limit = self.session.items.graph.run.max_size_bytes
        if limit is not None and now - self._weighed > WEIGH_EVERY_S:
            self._weighed = now
            self.session.index.evict(limit, self.board.needed())

    def beat(self) -> None:
        """Tell other terminals and monitors how the run is doing; it goes on if it cannot."""
        with suppress(OSError):
            write_pulse(self.session.run_dir, self.meter.take(self.board.counts()))

    def remember_paces(self) -> None:
        """Keep what one item of each op took, for the plans of later runs."""
        slots = planned_slots(self.session.request.cluster)
        self.session.memo.remember_paces(self._costs.paces(slots))
