"""Which items that were set aside leave something undone that was asked for, and which do not."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.dag import Step
from engine.items import Items
from engine.jobs import FromItem, ItemId
from engine.plan import Board
from engine.segments import reads
from engine.states import QUARANTINED


@dataclass(frozen=True, slots=True)
class Aside:
    """What a run set aside, counted by source items: a photo that two steps refuse is one.

    An item is covered when everything asked for is there without it: a `coalesce` took another.
    """

    missing: int = 0
    covered: int = 0
    covered_items: frozenset[ItemId] = frozenset()


NOTHING = Aside()


def set_aside(board: Board) -> Aside:
    """Say of a finished board what was set aside, and whether anything asked for lacks it."""
    refused = [item for item in _items(board) if board.states[item] == QUARANTINED]
    if not refused:
        return NOTHING
    lacking = _Search(board).lacking()
    covered = frozenset(refused) - lacking
    missed = {_origin(board.items, item) for item in lacking}
    spared = {_origin(board.items, item) for item in covered} - missed
    return Aside(len(missed), len(spared), covered)


def _items(board: Board) -> Iterator[ItemId]:
    for name, space in board.items.spaces.items():
        if board.states.tally(name)["quarantined"]:
            yield from ((name, number) for number in space.numbers())


def _origin(items: Items, item: ItemId) -> object:
    """The places on source axes that an item comes from; the item itself when there are none."""
    place = items.spaces[item[0]].place(item[1])
    kinds = items.graph.axes
    return tuple((a, i) for a, i in place.items() if kinds[a].kind == "source") or item


class _Search:
    """Looks upwards from everything that was asked for."""

    def __init__(self, board: Board) -> None:
        self.items = board.items
        self.states = board.states
        steps = board.graph.steps
        self.consumed = {read.ref.node for step in steps.values() for read in reads(step)}
        self.outputs = {output.ref.node for output in board.graph.outputs}
        self.loose: set[str] = set()  # steps that are done even when something above is not
        for name, step in steps.items():
            above = {read.ref.node for read in reads(step)}
            if step.coalesce or any(wire.many for wire in step.wires) or above & self.loose:
                self.loose.add(name)

    def lacking(self) -> set[ItemId]:
        """The items set aside that an output, or a step nothing reads, was to be made from."""
        open_ = [
            (name, number)
            for name, space in self.items.spaces.items()
            if name in self.outputs or name not in self.consumed
            for number in space.numbers()
            if name in self.loose or self.states.blocked((name, number))
        ]
        seen = set(open_)
        found: set[ItemId] = set()
        while open_:
            item = open_.pop()
            if self.states[item] == QUARANTINED:
                found.add(item)
                continue
            for above in self._above(item):
                if above not in seen:
                    seen.add(above)
                    open_.append(above)
        return found

    def _above(self, item: ItemId) -> Iterator[ItemId]:
        """What an item was to be made from that is not there, or may hide such a thing."""
        step = self.items.graph.steps[item[0]]
        blocked = self.states.blocked(item)
        if step.coalesce and not blocked:
            chosen = self.states.through(FromItem(item, ""))
            if isinstance(chosen, FromItem) and chosen.item[0] in self.loose:
                yield chosen.item
            return
        for above in items_above(self.items, step, item[1]):
            if self.states.blocked(above) or (not blocked and above[0] in self.loose):
                yield above


def items_above(items: Items, step: Step, number: int) -> Iterator[ItemId]:
    """Every item of another step that an item reads."""
    place = items.spaces[step.name].place(number)
    steps = items.graph.steps
    for wire in step.wires:
        if wire.many:
            for cell in items.cells(step, wire, place)[1]:
                if cell.ref.node in steps:
                    yield cell.ref.node, items.read(cell.ref, cell.place, step.links)
    many = {ref for wire in step.wires if wire.many for ref in wire.refs}
    for read in reads(step):
        if read.ref.node in steps and read.ref not in many:
            yield read.ref.node, items.read(read.ref, place, step.links)
