"""name -> OpSpec, with "did you mean"; collected from a list of modules, never mutated."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType, ModuleType

from engine.errors import UsageError, suggestion
from engine.op import OpSpec, read_op

Registry = Mapping[str, OpSpec]


def marked(module: ModuleType) -> Iterator[OpSpec]:
    """Yield the spec of every op defined in a module, in the order they are written."""
    for function in list(vars(module).values()):
        if hasattr(function, "__op__") and function.__module__ == module.__name__:
            yield read_op(function)


def build_registry(specs: Iterable[OpSpec]) -> Registry:
    """Make the read-only registry of these ops.

    Raises: UsageError when two ops share a name.
    """
    found: dict[str, OpSpec] = {}
    for spec in specs:
        if spec.name in found:
            other = found[spec.name]
            raise UsageError(f"op '{spec.name}' is defined in {other.module} and in {spec.module}")
        found[spec.name] = spec
    return MappingProxyType(found)


def unknown_op(name: str, registry: Registry) -> str:
    """Say that there is no such op, and which one may be meant."""
    return f"unknown op '{name}'{suggestion(name, registry)}"
