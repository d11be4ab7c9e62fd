"""Whether a slice of a segment can be surveyed: all that it reads is settled, or digested."""

from collections.abc import Callable, Mapping

from engine.dag import Ref, Step
from engine.examine import Blocked
from engine.items import Items, Place
from engine.listing import Contents
from engine.segments import Read, Segment, Segmented, reads
from engine.states import States


class Readiness:
    """Tells it of any slice. `undigested` counts the photos whose content is not known."""

    def __init__(
        self,
        items: Items,
        plan: Segmented,
        states: States,
        digests: Mapping[str, Contents[Blocked]],
        undigested: Callable[[], int],
    ) -> None:
        self._items = items
        self._graph = items.graph
        self._plan = plan
        self._states = states
        self._digests = digests
        self._undigested = undigested
        self._watched = {name: self._watch(step) for name, step in self._graph.steps.items()}

    def __call__(self, part: Segment, home: int) -> bool:
        """Whether all digests and settled items that a home's work needs are there."""
        return all(
            self._inputs_ready(self._graph.steps[name], number)
            for name in part.steps
            for number in self._items.spaces[name].numbers(part.home, home)
        )

    def _inputs_ready(self, step: Step, number: int) -> bool:
        if not self._undigested() and not self._watched[step.name]:
            return True
        place = self._items.spaces[step.name].place(number)
        if any(a in self._digests and self._digests[a][i] is None for a, i in place.items()):
            return False
        return all(self._read_ready(step, read, place) for read in self._watched[step.name])

    def _watch(self, step: Step) -> tuple[Read, ...]:
        """The reads of a step that may have to wait: of other segments, and of other sources."""
        mine = self._plan.segment_of[step.name]
        return tuple(
            read
            for read in reads(step)
            if self._plan.segment_of.get(read.ref.node, "") != mine
            and read.ref.node not in step.axes
        )

    def _read_ready(self, step: Step, read: Read, place: Place) -> bool:
        """Whether everything one read means at a place is settled."""
        node = read.ref.node
        if node in self._graph.steps:
            if not self._states.left[node]:
                return True
            if read.gathered and step.gather is not None and step.gather.by is None:
                return False  # it wants all of them, and some are left
        if not read.gathered:
            return self._there(read.ref, place, step)
        wire = next(w for w in step.wires if w.many and read.ref in w.refs)
        _, cells = self._items.cells(step, wire, place)
        return all(self._there(c.ref, c.place, step) for c in cells if c.ref == read.ref)

    def _there(self, ref: Ref, place: Place, step: Step) -> bool:
        number = self._items.read(ref, place, step.links)
        if ref.node in self._graph.steps:
            return self._states.settled((ref.node, number))
        return self._digests[ref.node][number] is not None
