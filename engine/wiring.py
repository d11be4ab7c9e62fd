"""The wires of a step: which references fill them, of which types, and what is gathered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.axes import AxisError, Gathering, read_through
from engine.dag import Hole, Link, Wire
from engine.errors import suggestion
from engine.holes import doubt
from engine.op import OpSpec, WireSpec
from engine.scope import Reading, Scope, find
from engine.spec import GatherSpec, InputSpec, StepSpec
from engine.values import Scalar
from engine.yaml_text import Path


@dataclass(frozen=True, slots=True)
class Filled:
    """One wire with what was found for it; `places` line up with the readings."""

    spec: WireSpec
    readings: tuple[Reading, ...]
    places: tuple[Path, ...]
    listed: bool

    @property
    def wire(self) -> Wire:
        """As the DAG has it."""
        refs = tuple(reading.ref for reading in self.readings)
        return Wire(self.spec.name, refs, self.spec.many)


def fill(scope: Scope, step: StepSpec, op: OpSpec) -> tuple[dict[str, Filled], bool]:
    """Fill the wires of a step; false when one of them is in doubt after a mistake."""
    found: dict[str, Filled] = {}
    sure = True
    for name, given in step.inputs.items():
        spec = op.wire(name)
        if spec is None:
            scope.problems.add(given.path, _unknown(op, name), key=True)
            if not op.setting(name) and name not in op.models:
                read_all(scope, given)
            continue
        if given.listed and not spec.many:
            message = f"wire '{name}' of {op.name} takes one {spec.type.__name__}, not a list"
            scope.problems.add(given.path, message)
            sure = False
            continue
        filled = _filled(scope, spec, given)
        sure = sure and len(filled.readings) == len(given.refs)
        found[name] = filled
    for spec in op.wires:
        if not spec.optional and spec.name not in step.inputs:
            kind = f"a sequence of {spec.type.__name__}" if spec.many else spec.type.__name__
            place = (*step.path, "in") if step.inputs else (*step.path, "op")
            scope.problems.add(place, f"{op.name} needs the wire '{spec.name}': {kind}")
            sure = False
    wired = [name for name in op.options.one_of if name in step.inputs]
    if op.options.one_of and len(wired) != 1:
        every, has = (", ".join(map(repr, names)) for names in (op.options.one_of, wired))
        place = (*step.path, "in") if step.inputs else (*step.path, "op")
        scope.problems.add(
            place, f"{op.name} takes exactly one of the wires {every}, not {has or 'none'}"
        )
        sure = False
    return found, sure


def read(scope: Scope, text: str, path: Path, offset: int | None = None) -> Reading | None:
    """Find what a reference reads, or note why it cannot be found."""
    try:
        return find(text, scope.nodes)
    except LookupError as error:
        scope.problems.add(path, str(error.args[0]), offset=offset)
        return None


def read_all(scope: Scope, given: InputSpec) -> None:
    """Note the wrong references of an input that fills no wire."""
    for i, text in enumerate(given.refs):
        read(scope, text, (*given.path, i) if given.listed else given.path)


def gathering(
    scope: Scope, gather: GatherSpec, links: tuple[Link, ...]
) -> tuple[Gathering, Hole | None]:
    """Check what a gather groups and sorts by: values of axes that it gathers.

    Raises: AxisError when they are not.
    """
    by, sort = (
        _field(scope, text, key, gather.over) if text else None
        for text, key in ((gather.by, "by"), (gather.sort, "sort"))
    )
    if by is not None and by.kind == "matrix":
        raise AxisError("gather", f"by: '{gather.by}' is a matrix; leave it out of `over` instead")
    for hole, key in ((by, "by"), (sort, "sort")):
        if hole is None:
            continue
        (home,) = read_through((hole.name,), links, scope.axes)
        if home not in gather.over:
            raise AxisError("gather", f"{key}: '{home}' is not among the gathered axes")
    return Gathering(gather.over, by), sort


def gathers(
    scope: Scope, wires: Mapping[str, Filled], links: tuple[Link, ...], what: Gathering | None
) -> frozenset[str]:
    """Name the wires that are gathered: all sequences of a step that gathers.

    One without the gathered axis is repeated for every member; some other must carry it.
    Raises: AxisError when sequences and gather do not fit together.
    """
    over = what.over if what else ()
    axes = {
        name: tuple(
            axis
            for reading in filled.readings
            for axis in read_through(reading.ref.axes, links, scope.axes)
        )
        for name, filled in wires.items()
    }
    many = {name for name, filled in wires.items() if filled.spec.many}
    for axis in over:
        if not any(axis in axes[name] for name in many):
            raise AxisError("gather", _not_gathered(axis, wires, axes, links))
    for name in sorted(many):
        if not wires[name].listed and what is None:
            carried = ", ".join(axes[name])
            remedy = f"gather one of its axes ({carried}), or list" if carried else "list"
            raise AxisError("in", f"wire '{name}' takes a sequence: {remedy} its members")
    return frozenset(many if what else ())


def _filled(scope: Scope, spec: WireSpec, given: InputSpec) -> Filled:
    """Find the references of one wire and check their types."""
    readings: list[Reading] = []
    places: list[Path] = []
    for i, text in enumerate(given.refs):
        path = (*given.path, i) if given.listed else given.path
        reading = read(scope, text, path)
        if reading is None:
            continue
        if reading.type is not spec.type:
            scope.problems.add(path, _mismatch(spec, text, reading))
            continue
        readings.append(reading)
        places.append(path)
    return Filled(spec, tuple(readings), tuple(places), given.listed)


def _unknown(op: OpSpec, name: str) -> str:
    """Say that an op has no such wire."""
    wires = [wire.name for wire in op.wires]
    if op.setting(name):
        return f"'{name}' is a setting of {op.name}: write it under `with`"
    if name in op.models:
        return f"'{name}' is a model of {op.name}: write it under `models`"
    near = suggestion(name, wires) or f"; it has {', '.join(wires) or 'none'}"
    return f"{op.name} has no wire '{name}'{near}"


def _mismatch(spec: WireSpec, text: str, reading: Reading) -> str:
    """Say that types differ, and which port would fit."""
    fitting = [port.name for port in reading.node.ports if port.type is spec.type]
    hint = f"; '{reading.node.name}.{fitting[0]}' is one" if fitting else ""
    if spec.type is Scalar and reading.node.source and reading.node.fields:
        hint = f"; a field such as '{reading.node.name}.{reading.node.fields[0]}' is one"
    wanted, given = spec.type.__name__, reading.type.__name__
    return f"wire '{spec.name}' takes {wanted}; '{text}' is {given}{hint}"


def _field(scope: Scope, text: str, key: str, over: Sequence[str]) -> Hole:
    """Read `photo.dir` or the name of a matrix.

    Raises: AxisError when there is no such thing.
    """
    name, dot, field = text.partition(".")
    hole = Hole("field", name, field) if dot else Hole("matrix", name)
    if message := doubt(scope, hole):
        nodes = [scope.nodes[axis] for axis in over if axis in scope.nodes]
        homes = [node.name for node in nodes if text in node.fields]
        if homes and not dot:
            message = f"'{text}' is a field, did you mean '{homes[0]}.{text}'?"
        raise AxisError("gather", f"{key}: {message}")
    return hole


def _not_gathered(
    axis: str,
    wires: Mapping[str, Filled],
    axes: Mapping[str, tuple[str, ...]],
    links: tuple[Link, ...],
) -> str:
    """Say why an axis cannot be gathered."""
    home = next((link.axis for link in links if link.source == axis), "")
    if home:
        return f"'{axis}' is paired with '{home}'; gather over {home}"
    single = [name for name in wires if axis in axes[name] and not wires[name].spec.many]
    if single:
        kind = wires[single[0]].spec.type.__name__
        return f"wire '{single[0]}' takes one {kind}, so '{axis}' cannot be gathered into it"
    carried = sorted({a for name, found in axes.items() if wires[name].spec.many for a in found})
    near = suggestion(axis, carried) or f"; they have {', '.join(carried) or 'none'}"
    return f"no sequence wire has the axis '{axis}'{near}"
