"""Which items each step has, and which items of its inputs each one reads.

An item of a step is a place along each of its axes; its number is the row-major rank of that place
in the full product of the axes. Pure arithmetic on a checked graph and the listings of its sources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from engine.dag import (
    Allowed,
    Axis,
    Graph,
    Hole,
    Json,
    Link,
    Lookup,
    Ref,
    SourceItem,
    Step,
    Wire,
)
from engine.errors import UsageError, suggestion
from engine.labels import longer_labels, plain_label
from engine.listing import Listing
from engine.natural import by_nature
from engine.op import Members

Place = Mapping[str, int]  # axis name -> index along it


@dataclass(frozen=True, slots=True)
class Space:
    """The items of one step: sizes of its axes, and the numbers that exist."""

    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    allowed: tuple[Allowed, ...] = ()

    @property
    def full(self) -> int:
        """Size of the whole product, existing or not."""
        return prod(self.sizes)

    def place(self, number: int) -> dict[str, int]:
        """The place of an item along each axis."""
        found = dict.fromkeys(self.axes, 0)
        for axis, size in zip(reversed(self.axes), reversed(self.sizes), strict=True):
            number, found[axis] = divmod(number, size)
        return found

    def number(self, place: Place) -> int:
        """The number of the item at a place."""
        rank = 0
        for axis, size in zip(self.axes, self.sizes, strict=True):
            rank = rank * size + place[axis]
        return rank

    def exists(self, place: Place) -> bool:
        """Whether exclude and include leave this combination in."""
        return all(tuple(place[a] for a in rule.axes) in rule.combos for rule in self.allowed)

    def numbers(self, axis: str = "", index: int = 0) -> Sequence[int]:
        """All existing numbers, or those at one index of one axis, in order."""
        if not self.allowed and (not axis or self.axes == (axis,)):
            return range(self.full) if not axis else range(index, index + 1)
        spans = [
            (index,) if a == axis else range(n) for a, n in zip(self.axes, self.sizes, strict=True)
        ]
        places = (dict(zip(self.axes, combo, strict=True)) for combo in product(*spans))
        return [self.number(place) for place in places if self.exists(place)]

    def count(self) -> int:
        """How many items exist."""
        return len(self.numbers()) if self.allowed else self.full


@dataclass(frozen=True, slots=True)
class Groups:
    """A source axis grouped by one of its fields, in natural order."""

    names: tuple[Json, ...]
    of: tuple[int, ...]  # item index -> group index
    members: tuple[tuple[int, ...], ...]  # group index -> item indices


@dataclass(frozen=True, slots=True)
class Cell:
    """One member of a sequence wire: which item it reads, its place, and where it sits."""

    ref: Ref
    place: Place
    index: tuple[int, ...]


class Items:
    """The graph's axes bound to listed sources. Immutable after construction.

    Raises: UsageError when zip or match does not pair the listings one to one.
    """

    def __init__(self, graph: Graph, listings: Mapping[str, Sequence[SourceItem]]) -> None:
        self.graph = graph
        self.listings = listings
        self.groups = {
            axis.name: _groups(axis, listings[axis.source])
            for axis in graph.axes.values()
            if axis.kind == "group"
        }
        self.sizes = {name: self._size(axis) for name, axis in graph.axes.items()}
        self._pairs: dict[Link, tuple[int, ...]] = {}
        self._by_path: dict[str, dict[str, SourceItem]] = {}
        self._longer: dict[str, dict[int, str]] = {}  # made when a label is first asked for
        for step in graph.steps.values():
            for link in step.links:
                if link not in self._pairs:
                    self._pairs[link] = _pair(link, listings)
        self.spaces = {name: self.space(s.axes, s.allowed) for name, s in graph.steps.items()}

    def space(self, axes: tuple[str, ...], allowed: tuple[Allowed, ...] = ()) -> Space:
        """The items that a thing with these axes has."""
        rules = tuple(rule for rule in allowed if set(rule.axes) <= set(axes))
        return Space(axes, tuple(self.sizes[a] for a in axes), rules)

    def _size(self, axis: Axis) -> int:
        if axis.kind == "source":
            return len(self.listings[axis.name])
        return len(axis.values) if axis.kind == "matrix" else len(self.groups[axis.name].names)

    def index(self, axis: str, place: Place, links: tuple[Link, ...]) -> int:
        """The index along an axis, a linked source, or a group of either, at a place.

        Raises: KeyError when the axis cannot be told from the place.
        """
        if axis in place:
            return place[axis]
        for link in links:
            if link.source == axis:
                return self._pairs[link][self.index(link.axis, place, links)]
        if axis in self.groups:
            source = self.graph.axes[axis].source
            return self.groups[axis].of[self.index(source, place, links)]
        raise KeyError(axis)

    def read(self, ref: Ref, place: Place, links: tuple[Link, ...]) -> int:
        """The item number of a step, or index of a source, that `ref` means at a place."""
        if ref.node not in self.graph.steps:
            return self.index(ref.node, place, links)
        space = self.spaces[ref.node]
        if all(axis in place for axis in space.axes):
            return space.number(place)
        return space.number({axis: self.index(axis, place, links) for axis in space.axes})

    def cells(self, step: Step, wire: Wire, place: Place) -> tuple[tuple[int, ...], list[Cell]]:
        """The shape and the existing members of a sequence wire of one item, in order.

        One ref over several axes: rows are the leading axes, columns the last. Several refs are
        laid side by side along the columns, each as wide as it has places on the last axis.
        """
        if step.gather is None:
            row = [Cell(ref, place, (i,)) for i, ref in enumerate(wire.refs)]
            return (len(row),), row
        *leading, last = step.gather.over
        side_by_side = len(wire.refs) > 1
        if side_by_side and not leading:
            leading, last = [last], ""
        spans = {axis: self._span(step, axis, place) for axis in step.gather.over}
        rows = [dict(zip(leading, c, strict=True)) for c in product(*(spans[a] for a in leading))]
        cells: list[Cell] = []
        width = 0
        for r, row_place in enumerate(rows):
            column = 0
            for ref in wire.refs:
                wide = bool(last) and (not side_by_side or last in ref.axes)
                for i in spans[last] if wide else (None,):
                    here = {**place, **row_place, **({} if i is None else {last: i})}
                    if self._exists(ref, here, step.links):
                        cells.append(Cell(ref, here, (r, column) if leading else (column,)))
                    column += 1
            width = max(width, column)
        return ((len(rows), width) if leading else (width,)), cells

    def _span(self, step: Step, axis: str, place: Place) -> list[int]:
        """The indices of a gathered axis that belong to the group at hand, sorted as asked."""
        gather = step.gather
        assert gather is not None
        found = list(range(self.sizes[axis]))
        through = {link.source: link.axis for link in step.links}
        if gather.by is not None and gather.by.name == axis:
            group = f"{gather.by.name}.{gather.by.field}"
            found = list(self.groups[group].members[place[group]])
        elif gather.by is not None and through.get(gather.by.name) == axis:
            group = f"{gather.by.name}.{gather.by.field}"
            found = [i for i in found if self.index(group, {axis: i}, step.links) == place[group]]
        if gather.sort is not None and axis in (
            gather.sort.name,
            through.get(gather.sort.name),
        ):
            hole = gather.sort
            found.sort(key=lambda i: by_nature(self.value(hole, {**place, axis: i}, step.links)))
        return found

    def _exists(self, ref: Ref, place: Place, links: tuple[Link, ...]) -> bool:
        if ref.node not in self.graph.steps:
            return True
        space = self.spaces[ref.node]
        if not space.allowed:
            return True
        return space.exists({axis: self.index(axis, place, links) for axis in space.axes})

    def members(self, shape: tuple[int, ...], cells: Sequence[Cell]) -> Members:
        """Say where the members that are left sit in their grid."""
        return Members(shape, tuple(cell.index for cell in cells))

    def value(self, hole: Hole, place: Place, links: tuple[Link, ...]) -> Json:
        """The value of a hole at a place."""
        if hole.kind == "matrix":
            return self.graph.axes[hole.name].values[place[hole.name]]
        group = f"{hole.name}.{hole.field}"
        if group in place and hole.name not in place:
            return self.groups[group].names[place[group]]
        listing, index = self.listings[hole.name], self.index(hole.name, place, links)
        fields: Mapping[str, Json] = (
            listing.fields(index) if isinstance(listing, Listing) else listing[index].fields
        )
        if hole.field not in fields:
            allowed, near = ", ".join(fields), suggestion(hole.field, fields)
            raise UsageError(f"source '{hole.name}' has no field '{hole.field}' ({allowed}){near}")
        return fields[hole.field]

    def lookup(self, place: Place, links: tuple[Link, ...]) -> Lookup:
        """Make the function that fills holes at a place."""
        return lambda hole: self.value(hole, place, links)

    def label(self, step: str, number: int) -> str:
        """Name an item for people, as no other item of its step: 'photo=anna strength=+2'."""
        return self.describe(self.spaces[step].place(number))

    def describe(self, place: Place) -> str:
        """Name a place for people."""
        return " ".join(f"{axis}={self._name(axis, i)}" for axis, i in place.items()) or "all"

    def path(self, source: str, index: int) -> str:
        """Where a picture file lies."""
        listing = self.listings[source]
        return listing.path(index) if isinstance(listing, Listing) else listing[index].path

    def photo_name(self, path: str) -> str:
        """What a listed picture file is called below its source's folder."""
        for name, listing in reversed(list(self.listings.items())):
            if isinstance(listing, Listing):
                item = listing.find(path)
            else:
                if name not in self._by_path:
                    self._by_path[name] = {item.path: item for item in listing if item.path}
                item = self._by_path[name].get(path)
            if item is not None:
                return f"{item.fields['rel']}{item.fields['ext']}"
        raise KeyError(path)

    def _name(self, axis: str, index: int) -> str:
        kind = self.graph.axes[axis]
        if kind.kind == "group":
            return str(self.groups[axis].names[index])
        if kind.kind == "matrix":
            return str(kind.values[index])
        if axis not in self._longer:
            self._longer[axis] = longer_labels(self.listings[axis])
        return self._longer[axis].get(index) or plain_label(self.listings[axis][index])


def _groups(axis: Axis, items: Sequence[SourceItem]) -> Groups:
    """Group a source's items by a field."""
    values = [item.fields.get(axis.field) for item in items]
    names = sorted(dict.fromkeys(values), key=by_nature)
    rank = {name: i for i, name in enumerate(names)}
    of = tuple(rank[value] for value in values)
    members: list[list[int]] = [[] for _ in names]
    for i, group in enumerate(of):
        members[group].append(i)
    return Groups(tuple(names), of, tuple(map(tuple, members)))


def _pair(link: Link, listings: Mapping[str, Sequence[SourceItem]]) -> tuple[int, ...]:
    """Pair the axis's items with the linked source's items, one to one."""
    first, second = listings[link.axis], listings[link.source]
    if link.by == "zip":
        if len(first) != len(second):
            raise UsageError(
                f"pair: zip needs equal lengths, but {link.axis} has {len(first)} items and "
                f"{link.source} has {len(second)}"
            )
        return tuple(range(len(first)))
    here = _positions(first, link.axis, link.axis_field)
    there = _positions(second, link.source, link.field)
    missing = [str(v) for v in here if v not in there] + [str(v) for v in there if v not in here]
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise UsageError(
            f"pair: match of {link.axis}.{link.axis_field} with {link.source}.{link.field}: "
            f"{len(missing)} values have no partner: {shown}"
        )
    partner = {index: there[value] for value, index in here.items()}
    return tuple(partner[i] for i in range(len(first)))


def _positions(items: Sequence[SourceItem], source: str, field: str) -> dict[Json, int]:
    """Map each value of a field to the one item that has it."""
    found: dict[Json, int] = {}
    for item in items:
        value = item.fields.get(field)
        if value in found:
            raise UsageError(f"pair: match: {source}.{field} is '{value}' more than once")
        found[value] = item.index
    return found
