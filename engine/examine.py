"""What one item of one step reads, with which settings: its key before anything is computed.

`Examiner` turns (step, number) into a `Case`. It asks the board only two things: the key of another
item, and whether that item is blocked (quarantined or skipped).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine import keys, settings
from engine.dag import Hole, Json, Link, Ref, Step, evaluate, fill, holes
from engine.errors import Reason
from engine.items import Cell, Items, Place
from engine.jobs import FromItem, FromPhoto, FromScalar, Input, ItemId
from engine.listing import Contents
from engine.op import Members
from engine.values import Network


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why an item cannot be had: skipped, or quarantined here with a reason."""

    reason: Reason | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A step's settings for one combination of hole values."""

    settings: Mapping[str, Json]  # as the op gets them
    for_key: Mapping[str, Json]  # with asset paths replaced by digests
    seeds: Mapping[str, Json]  # as given
    problem: str = ""


@dataclass(slots=True)
class Case:
    """One item under examination; `blocked` is set when it cannot be computed at all."""

    id: ItemId
    place: Place
    home: int
    key: str = ""
    components: Mapping[str, Any] = field(default_factory=dict)
    wires: dict[str, tuple[Input, ...]] = field(default_factory=dict)
    when: tuple[Input, ...] = ()
    resolved: Resolved | None = None
    seeds: dict[str, int] = field(default_factory=dict)
    captions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    members: Members | None = None
    networks: dict[str, Input] = field(default_factory=dict)
    blocked: Blocked | None = None

    def inputs(self) -> list[FromItem]:
        """What this item reads of other steps."""
        found = [i for wire in self.wires.values() for i in wire]
        found += [*self.when, *self.networks.values()]
        return [i for i in found if isinstance(i, FromItem)]


#: What stands before the place-holder of a key that hangs on an unread photo.
UNREAD = "unread:"


class UnreadError(Exception):
    """A photo's content digest is not known yet."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Makes cases. `digests[source][index]` is a content digest, a failure, or None when unread."""

    items: Items
    digests: Mapping[str, Contents[Blocked]]
    key_of: Callable[[ItemId], str]
    blocked: Callable[[ItemId], bool]
    alias: Callable[[FromItem], Input]
    numerics: str
    _resolved: dict[tuple[str, str], Resolved] = field(default_factory=dict)
    _fixed: dict[str, Resolved | None] = field(default_factory=dict)  # settings without holes

    def seeds(self, step: Step, place: Place, resolved: Resolved) -> dict[str, int]:
        """Resolve the seed settings of one item."""
        identities = self._identities(step, place) if resolved.seeds else []
        return {
            name: keys.seed_for(given, step.op.name, identities)
            for name, given in resolved.seeds.items()
        }

    def case(self, step: Step, number: int, home: int) -> Case:
        """Examine one item."""
        place = self.items.spaces[step.name].place(number)
        case = Case((step.name, number), place, home)
        try:
            self._fill(step, case)
        except _BlockedError as stop:
            case.blocked = stop.blocked
        return case

    def first(self, step: Step, number: int, home: int) -> tuple[Case, Input | None]:
        """Find what an item of a `coalesce` stands for; blocked when nothing is there."""
        case = Case((step.name, number), self.items.spaces[step.name].place(number), home)
        for ref in step.wires[0].refs:
            try:
                return case, self._read(ref, case.place, step.links)[0]
            except _BlockedError:
                continue
        case.blocked = Blocked()
        return case, None

    def _fill(self, step: Step, case: Case) -> None:
        """Fill in everything a case has, in the order in which it can fail."""
        place = case.place
        wire_keys: dict[str, list[str]] = {}
        gathered: dict[str, list[Cell]] = {}
        shape: tuple[int, ...] = ()
        for wire in step.wires:
            if wire.many:
                shape, gathered[wire.name] = self.items.cells(step, wire, place)
            else:
                source, key = self._read(wire.refs[0], place, step.links)
                case.wires[wire.name], wire_keys[wire.name] = (source,), [key]
        for name, members in self._present(step, gathered).items() if gathered else ():
            case.wires[name] = tuple(source for _, source, _ in members)
            wire_keys[name] = [key for _, _, key in members]
            cells = [cell for cell, _, _ in members]
            self._about_members(step, case, shape, cells)
        if step.when is not None:
            case.when = tuple(self._read(ref, place, step.links)[0] for ref in step.when.refs)
        resolved = self.settings(step, place)
        if resolved.problem:
            raise _BlockedError(Blocked("bad_input", resolved.problem))
        case.resolved = resolved
        case.seeds = self.seeds(step, place, resolved)
        case.components = keys.components(
            step,
            wires=wire_keys,
            settings=resolved.for_key,
            seeds=case.seeds,
            captions=case.captions,
            members=case.members,
            models=self._models(step, case),
            numerics=self.numerics,
        )
        case.key = keys.key_of(case.components)

    def _read(self, ref: Ref, place: Place, links: tuple[Link, ...]) -> tuple[Input, str]:
        """Say where a ref's value comes from at a place, and its key.

        Raises: _BlockedError when it is not to be had; UnreadError when its photo is unread.
        """
        graph = self.items.graph
        if ref.node in graph.steps:
            named = FromItem((ref.node, self.items.read(ref, place, links)), ref.port)
            if self.blocked(named.item):
                raise _BlockedError(Blocked())
            origin = self.alias(named)
            if not isinstance(origin, FromItem):
                return origin, keys.source_key(origin)
            return origin, keys.port_key(self.key_of(origin.item), origin.port)
        if ref.field or graph.sources[ref.node].kind == "values":
            hole = Hole("field", ref.node, ref.field or "value")
            value = self.items.value(hole, place, links)
            return FromScalar(value), keys.scalar_key(value)
        index = self.items.index(ref.node, place, links)
        digest = self.digests[ref.node][index]
        if digest is None:
            raise UnreadError
        if isinstance(digest, Blocked):
            raise _BlockedError(digest)
        return FromPhoto(self.items.path(ref.node, index), digest), keys.photo_key(digest)

    def _present(
        self, step: Step, gathered: Mapping[str, list[Cell]]
    ) -> dict[str, list[tuple[Cell, Input, str]]]:
        """Read the members of the sequence wires; drop missing ones, jointly where wires pair up.

        Raises: _BlockedError when nothing is left, or something is missing and may not be.
        """
        read: dict[str, list[tuple[Cell, Input, str] | None]] = {
            name: [self._member(cell, step.links) for cell in cells]
            for name, cells in gathered.items()
        }
        missing = {i for members in read.values() for i, m in enumerate(members) if m is None}
        strict = step.gather is not None and step.gather.missing == "fail"
        lengths = {len(members) for members in read.values()}
        together = len(lengths) == 1 and len(read) > 1
        kept = {
            name: [
                m
                for i, m in enumerate(members)
                if m is not None and not (together and i in missing)
            ]
            for name, members in read.items()
        }
        if any(not members for members in kept.values()) or (missing and strict):
            raise _BlockedError(Blocked())
        return kept

    def _member(self, cell: Cell, links: tuple[Link, ...]) -> tuple[Cell, Input, str] | None:
        try:
            source, key = self._read(cell.ref, cell.place, links)
        except _BlockedError:
            return None
        return cell, source, key

    def _about_members(
        self, step: Step, case: Case, shape: tuple[int, ...], cells: Sequence[Cell]
    ) -> None:
        """Fill in what the op may want to know of its members: captions and grid places."""
        for spec in step.op.settings:
            given = step.settings.get(spec.name)
            if spec.role == "caption" and given is not None:
                case.captions[spec.name] = tuple(
                    fill(given, self.items.lookup(cell.place, step.links)) for cell in cells
                )
            elif spec.role == "members":
                case.members = self.items.members(shape, cells)

    def settings(self, step: Step, place: Place) -> Resolved:
        """Resolve a step's settings at a place; every combination of values is checked once."""
        fixed = self._fixed.get(step.name)
        if fixed is not None:
            return fixed
        plain = {n: v for n, v in step.settings.items() if _role(step, n) != "caption"}
        if step.name not in self._fixed:
            self._fixed[step.name] = None if holes(plain) else _resolve(step, plain)
            return self.settings(step, place)
        raw = evaluate(plain, self.items.lookup(place, step.links))
        name = (step.name, keys.canonical(raw))
        found = self._resolved.get(name)
        if found is None:
            found = self._resolved[name] = _resolve(step, raw)
        return found

    def _identities(self, step: Step, place: Place) -> list[str]:
        """The identities of the source items on an item's axes: what its default seed hangs on."""
        found = []
        for name in place:
            axis = self.items.graph.axes[name]
            if axis.kind == "group":
                found.append(keys.scalar_key(self.items.groups[name].names[place[name]]))
            elif axis.kind == "source":
                item = self.items.listings[name][place[name]]
                digest = self.digests[name][place[name]]
                found.append(digest if isinstance(digest, str) else item.identity)
        return found

    def _models(self, step: Step, case: Case) -> dict[str, str]:
        """The digest that fills each model slot; a step's Network is an input like any other."""
        found = declared_models(step)
        for slot, model in step.models.items():
            if model.step:
                ports = self.items.graph.steps[model.step].op.ports
                ref = Ref(model.step, next(port.name for port in ports if port.type is Network))
                case.networks[slot], found[slot] = self._read(ref, case.place, step.links)
        return found


class _BlockedError(Exception):
    """An input, or the item itself, cannot be had."""

    def __init__(self, blocked: Blocked) -> None:
        super().__init__(blocked.message)
        self.blocked = blocked


def declared_models(step: Step) -> dict[str, str]:
    """The digests of the declared models of a step, by slot, and of what it reads beside them."""
    found = {
        slot: keys.model_key(model.info)
        for slot, model in step.models.items()
        if not model.step and model.info is not None
    }
    kinds = [kind.partition(":") for kind in step.op.options.beside]
    read = {kind for kind, always, setting in kinds if not always or setting in step.settings}
    for slot, model in step.models.items():
        info = model.info or model.base
        for kind, digest in info.beside if info is not None else ():
            if kind in read:
                found[f"{slot} {kind}"] = digest
    return found


def _role(step: Step, setting: str) -> str:
    spec = step.op.setting(setting)
    return spec.role if spec else "plain"


def _resolve(step: Step, raw: Mapping[str, Json]) -> Resolved:
    """Check evaluated settings, and put assets' paths and digests in their places."""
    checked, problems = settings.check(step.op, dict(raw))
    if problems:
        return Resolved({}, {}, {}, "; ".join(problems))
    given: dict[str, Json] = {}
    for_key: dict[str, Json] = {}
    for name, value in checked.items():
        role = _role(step, name)
        if role.startswith("asset:"):
            unknown = [v for v in _texts(value) if v not in step.assets]
            if unknown:
                return Resolved({}, {}, {}, f"{name}: no such {role[6:]}: {unknown[0]}")
            given[name] = _swap(value, {v: step.assets[v][0] for v in _texts(value)})
            for_key[name] = _swap(value, {v: step.assets[v][1] for v in _texts(value)})
        elif role != "seed":
            given[name] = for_key[name] = value
    seeds = {s.name: checked.get(s.name) for s in step.op.settings if s.role == "seed"}
    return Resolved(given, for_key, seeds)


def _texts(value: Json) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def _swap(value: Json, names: Mapping[str, str]) -> Json:
    if isinstance(value, list):
        return [_swap(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
