"""One step as written -> one checked step: op, wires, models, settings, axes, condition."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine import early, given_settings, matrix, packages, slots, sources, vocabulary, wiring
from engine.axes import AxisError, Gathering, Incoming, Joined, gathered, join, pair_up, project
from engine.axes import read_through as through
from engine.coalesce import coalesce_op
from engine.dag import Axis, Gather, Hole, Json, Link, ModelRef, Step, Template, When, holes
from engine.errors import suggestion
from engine.holes import doubt, known
from engine.op import OpSpec
from engine.scope import Node, Reading, Scope
from engine.spec import StepSpec
from engine.template import write_hole
from engine.values import Scalar
from engine.when import WhenError, check_kinds, parse
from engine.when import names as names_in
from engine.wiring import Filled
from engine.yaml_text import Path


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a step, before their axes are known."""

    spec: StepSpec
    op: OpSpec
    wires: Mapping[str, Filled]
    models: Mapping[str, ModelRef]
    settings: Mapping[str, Json]
    when: When | None

    @property
    def bound(self) -> dict[Path, Reading]:
        """The inputs that belong to a model, by place, the surest types first."""
        found = [
            (place, reading)
            for filled in self.wires.values()
            for place, reading in zip(filled.places, filled.readings, strict=True)
            if reading.type in slots.BOUND
        ]
        return dict(sorted(found, key=lambda item: slots.BOUND.index(item[1].type)))

    @property
    def fields(self) -> list[Hole]:
        """The source fields that settings and condition read, captions apart."""
        captions = {s.name for s in self.op.settings if s.role == "caption"}
        found = [
            hole
            for name, value in self.settings.items()
            if name not in captions
            for hole in holes(value)
        ]
        for ref in self.when.refs if self.when else ():
            found += [Hole("field", ref.node, ref.field)] if ref.field else []
        return [hole for hole in found if hole.kind == "field"]


def build(scope: Scope, spec: StepSpec) -> Step | None:
    """Make one checked step and its node; None, and an unknown node, after a mistake in it."""
    scope.nodes[spec.name] = Node(spec.name, known=False)
    op = _op(scope, spec)
    if op is None:
        _read_anyway(scope, spec)
        return None
    wires, sure = wiring.fill(scope, spec, op)
    settings = given_settings.read(scope, spec, op)
    packages.check(scope, spec, op, settings)
    condition = _when(scope, spec)
    parts = Parts(spec, op, wires, {}, settings, condition)
    models, filled = slots.fill(scope, spec, op, list(parts.bound.values()))
    parts = replace(parts, models=models)
    if not (sure and filled):
        return None
    try:
        joined, gather = _axes(scope, parts)
    except AxisError as error:
        place = (*spec.path, error.key)
        scope.problems.add(place, str(error))
        return None
    return _finish(scope, parts, joined, gather)


def _read_anyway(scope: Scope, spec: StepSpec) -> None:
    """Note the wrong references of a step that cannot be checked further."""
    for given in spec.inputs.values():
        wiring.read_all(scope, given)
    _when(scope, spec)


def _op(scope: Scope, spec: StepSpec) -> OpSpec | None:
    """Find the op of a step."""
    registry = scope.around.registry
    if spec.op == "coalesce":
        return coalesce_op(scope, spec)
    if spec.op in registry:
        return registry[spec.op]
    message = f"unknown op '{spec.op}'{suggestion(spec.op, [*registry, 'coalesce'])}"
    scope.problems.add((*spec.path, "op"), message)
    return None


def _when(scope: Scope, spec: StepSpec) -> When | None:
    """Read the condition of a step; every name in it must be a scalar."""
    if not spec.when:
        return None
    path = (*spec.path, "when")
    try:
        tree = parse(spec.when)
    except WhenError as error:
        scope.problems.add(path, str(error), offset=error.offset)
        return None
    refs = []
    for name in names_in(tree):
        reading = wiring.read(scope, name.text, path, name.offset)
        if reading is not None and reading.type is not Scalar:
            scalars = [port.name for port in reading.node.ports if port.type is Scalar]
            near = f"; {reading.node.name} has {', '.join(scalars)}" if scalars else ""
            kind = reading.type.__name__
            message = f"`when` reads scalars; '{name.text}' is {kind}{near}"
            scope.problems.add(path, message, offset=name.offset)
        elif reading is not None:
            refs.append(reading.ref)
    if len(refs) != len(names_in(tree)):
        return None
    try:
        kinds = (sources.field_kind(scope.spec, ref) for ref in refs)
        check_kinds(tree, dict(zip((name.text for name in names_in(tree)), kinds, strict=True)))
    except WhenError as error:
        scope.problems.add(path, str(error), offset=error.offset)
    return When(spec.when, tree, tuple(refs))


def _axes(scope: Scope, parts: Parts) -> tuple[Joined, Gather | None]:
    """Infer the axes of a step.

    Raises: AxisError when they do not go together.
    """
    spec = parts.spec
    brought = _incoming(scope, parts)
    fields = [Incoming(write_hole(hole), (hole.name,)) for hole in parts.fields]
    inherited = tuple(
        link for node in _nodes(scope, parts) for link in node.links if link.axis in node.axes
    )
    links = pair_up([*brought, *fields], scope.axes, inherited, spec.pair)
    _check_match(scope, links)
    what, sort = wiring.gathering(scope, spec.gather, links) if spec.gather else (None, None)
    if what is not None and what.by is not None:
        by = what.by
        scope.axes.setdefault(what.group, Axis(what.group, "group", by.name, by.field))
    chosen = wiring.gathers(scope, parts.wires, links, what)
    brought = [replace(part, gathered=part.name in chosen) for part in brought]
    brought += _fields_of_their_own(scope, parts, brought, links, what)
    own = tuple(name for name in (spec.matrix.axes if spec.matrix else ()) if name in scope.axes)
    if what is not None and set(own) & set(what.over):
        raise AxisError("matrix", "a step cannot gather an axis of its own matrix")
    cross = spec.pair is not None and spec.pair.kind == "cross"
    joined = join(brought, scope.axes, links, own, cross=cross, gathering=what)
    gather = Gather(what.over, what.by, sort, spec.gather.missing) if what and spec.gather else None
    return joined, gather


def _incoming(scope: Scope, parts: Parts) -> list[Incoming]:
    """The axes that wires and trained models bring."""
    found = [
        Incoming(name, reading.ref.axes)
        for name, filled in parts.wires.items()
        for reading in filled.readings
    ]
    trained = [ref.step for ref in parts.models.values() if ref.step]
    return found + [Incoming(f"model {name}", scope.nodes[name].axes) for name in trained]


def _nodes(scope: Scope, parts: Parts) -> list[Node]:
    """The nodes a step reads."""
    found = [reading.node for filled in parts.wires.values() for reading in filled.readings]
    return found + [scope.nodes[ref.step] for ref in parts.models.values() if ref.step]


def _check_match(scope: Scope, links: tuple[Link, ...]) -> None:
    """Check the fields that a match compares.

    Raises: AxisError for a field that a source does not have.
    """
    for link in links:
        for source, field in ((link.source, link.field), (link.axis, link.axis_field)):
            if link.by == "match" and (message := doubt(scope, Hole("field", source, field))):
                raise AxisError("pair", message)


def _fields_of_their_own(
    scope: Scope,
    parts: Parts,
    brought: list[Incoming],
    links: tuple[Link, ...],
    what: Gathering | None,
) -> list[Incoming]:
    """The axes that only settings or the condition bring; gathered ones are out of reach.

    Raises: AxisError for a field of items that were gathered.
    """
    on_step: set[str] = set()
    for part in brought:
        axes = through(part.axes, links, scope.axes)
        on_step |= {*(gathered(axes, what, links, scope.axes) if what and part.gathered else axes)}
    found: list[Incoming] = []
    for hole in parts.fields:
        (home,) = through((hole.name,), links, scope.axes)
        if home in on_step or write_hole(hole) in on_step:
            continue
        groups = [axis for axis in on_step if scope.axes[axis].source in (hole.name, home)]
        if groups or (what and home in what.over):
            reach = f"; {{{groups[0]}}} is" if groups else ""
            message = f"'{write_hole(hole)}' is not known here: '{home}' is gathered{reach}"
            raise AxisError("with", message)
        found.append(Incoming(write_hole(hole), (hole.name,)))
    return found


def _finish(scope: Scope, parts: Parts, joined: Joined, gather: Gather | None) -> Step:
    """Check what needs the axes, and make the step and its node."""
    spec, op, run = parts.spec, parts.op, scope.spec.run
    _check_known(scope, parts, joined)
    slots.check_families(scope, spec, parts.models, parts.bound)
    model, info = slots.yielded(scope, parts.models, list(parts.bound.values()))
    assets = given_settings.assets(scope, spec, op, info)
    early.check(scope, spec, op, parts.settings, parts.models, assets)
    there = vocabulary.known(scope, op, parts.wires, parts.models, parts.settings, assets)
    vocabulary.check(scope, spec, op, there)
    nodes = _nodes(scope, parts)
    upstream = project([rule for node in nodes for rule in node.allowed], joined.axes)
    inherited = {axis for node in nodes for axis in node.axes}
    rules = tuple(
        dict.fromkeys(
            (*upstream, *matrix.allowed(spec, scope.axes, inherited, upstream, scope.problems))
        )
    )
    names = vocabulary.names(op, there, info)
    scope.nodes[spec.name] = Node(
        spec.name, op.ports, (), joined.axes, joined.links, rules, model, info, names=names
    )
    timeout = None if op.options.endless else run.timeout_s
    return Step(
        name=spec.name,
        op=op,
        wires=tuple(filled.wire for filled in parts.wires.values()),
        settings=parts.settings,
        models=parts.models,
        axes=joined.axes,
        links=joined.links,
        allowed=rules,
        gather=gather,
        when=parts.when,
        coalesce=spec.op == "coalesce",
        on_error=spec.on_error,
        retries=run.retries if spec.retries is None else spec.retries,
        timeout_s=timeout if spec.timeout_s is None else spec.timeout_s,
        cache=op.options.cache if spec.cache is None else spec.cache,
        batch=spec.batch,
        device=spec.device,
        place=scope.problems.document.place(spec.path),
        assets=assets,
    )


def _check_known(scope: Scope, parts: Parts, joined: Joined) -> None:
    """Note matrix values, captions and conditions that are not known for the step's items."""
    spec = parts.spec
    for name, value in parts.settings.items():
        caption = isinstance(value, Template) and parts.op.setting(name).role == "caption"  # type: ignore[union-attr]
        axes = (*joined.axes, *joined.members) if caption else joined.axes
        for hole in holes(value):
            if not known(hole, axes, joined.links, scope):
                have = ", ".join(axes) or "none"
                message = f"'{write_hole(hole)}' is not known here; the axes are {have}"
                if hole.kind == "matrix" and hole.name in scope.axes:
                    message += f"; declare it again: matrix: {{{hole.name}: [...]}}"
                scope.problems.add((*spec.path, "with", name), message)
    for ref in parts.when.refs if parts.when else ():
        there = through(ref.axes, joined.links, scope.axes)
        strange = [axis for axis in there if not _reached(axis, joined, scope)]
        if strange:
            have = ", ".join(joined.axes) or "none"
            message = f"`when` reads '{ref.node}' along '{strange[0]}'; the step's axes are {have}"
            scope.problems.add((*spec.path, "when"), message)


def _reached(axis: str, joined: Joined, scope: Scope) -> bool:
    """Whether an axis is on a step, itself or as the group of its items."""
    return axis in joined.axes or (
        scope.axes[axis].kind == "group" and scope.axes[axis].source in joined.axes
    )
