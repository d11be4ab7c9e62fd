"""`coalesce`, the one op the engine brings itself: the first input that has a value."""

from engine.op import OpOptions, OpSpec, PortSpec, WireSpec
from engine.scope import Scope
from engine.spec import StepSpec
from engine.values import VALUE_TYPES
from engine.wiring import read

NAME = "coalesce"
DOC = """The first of several values that was neither skipped nor quarantined.

All are of one type and belong to the same items. `when` cannot stand on this step: put it on those
that it reads. It may end with a source, such as the photo itself, for want of anything better:

    best: {op: coalesce, in: {values: [retouched, face.image]}}

Shapes: those of the value that is taken.  Source: own.
"""
#: Stands for the type of the values where the op is described rather than used.
ANY = type("any one type", (), {})


def coalesce_op(scope: Scope, step: StepSpec) -> OpSpec | None:
    """Make the op for the type of the first input; None when no input is known."""
    given = step.inputs.get("values")
    if given is None:
        scope.problems.add((*step.path, "op"), f"{NAME} needs the wire 'values': a list")
        return None
    if step.gather is not None:
        scope.problems.add((*step.path, "gather"), f"{NAME} gathers nothing", key=True)
    if step.when:
        message = f"{NAME} has no condition; put `when` on a step it reads, or on one that reads it"
        scope.problems.add((*step.path, "when"), message, key=True)
    found: OpSpec | None = None
    for i, text in enumerate(given.refs):
        place = (*given.path, i) if given.listed else given.path
        reading = read(scope, text, place)
        if reading is not None and found is None:
            found = coalesce_of(reading.type)
    return found


def coalesce_of(kind: type) -> OpSpec:
    """Make the op that chooses among values of one type."""
    options = OpOptions(version=1, batch=1, batch_cuda=1, fixed=False, cache=False, endless=False)
    port = VALUE_TYPES.get(kind, "value")
    return OpSpec(
        name=NAME,
        module="engine.coalesce",
        function="",
        wires=(WireSpec("values", kind, many=True),),
        models=(),
        settings=(),
        ports=(PortSpec(port, kind),),
        single=True,
        options=options,
        doc=DOC.strip(),
    )
