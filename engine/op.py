"""@op and OpSpec: wires and settings are read from the function's signature.

Before the star, wires; after the star, settings::

    @op(version=1, batch=8, fixed=True)
    def synthesize(latent: Latent, model: Network, *, psi: float = 1.0) -> Image:

A parameter before the star is a wire (a value type, `T | None` when optional, `Sequence[T]` when it
gathers an axis) or a model slot (`Network`). A parameter after the star is a setting; a few types
are filled in by the engine: `Seed`, `Caption`, `Members`, `Scratch`, `Progress`. `@op` only
marks the function; the registry collects. Pure: no torch, no disk.
"""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    NewType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from engine.values import VALUE_TYPES, Network

F = TypeVar("F", bound=Callable[..., object])

#: One non-negative 63-bit integer per item of the batch; the user gives `7` or `{shared: 7}`.
Seed = NewType("Seed", tuple)  # type: ignore[type-arg]
#: One text per gathered member; the user gives a template such as "{photo.stem} {strength:+.1f}".
Caption = NewType("Caption", tuple)  # type: ignore[type-arg]
#: A folder that survives kills and is emptied on success; never part of the key.
Scratch = NewType("Scratch", str)


class Progress:
    """Says how far a call is, as often as the op likes: `progress(3, 40)`. Not part of the key."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[float], None] | None = None) -> None:
        self._tell = tell

    def __call__(self, done: float, of: float) -> None:
        """Say that `done` of `of` steps, tiles or whatever are done."""
        if self._tell is not None and of > 0:
            self._tell(min(1.0, max(0.0, done / of)))


#: The default of a setting of type Progress: nobody listens.
SILENT = Progress()


@dataclass(frozen=True, slots=True)
class Members:
    """Where the gathered members of a group sit: grid shape, and each member's place in it."""

    shape: tuple[int, ...]
    index: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a numeric setting, both included; None is open."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A text setting that names a file or a library entry; its digest is part of the key.

    `kind` is "file" (a path relative to the workflow) or a folder of the model's library such as
    "directions" (a name there, or a path). The op receives the absolute path.
    """

    kind: str = "file"


class NamedFile(str):
    """A name that a setting gives for an `Asset`, as an op's own check sees it: it knows its file.

    `file` is the absolute path, "" where there is none (which is told elsewhere).
    """

    file: str

    def __new__(cls, name: str, file: str = "") -> "NamedFile":
        """The name, with its file."""
        found = super().__new__(cls, name)
        found.file = file
        return found


@dataclass(frozen=True, slots=True)
class KnownTo:
    """A text setting, or a list of them, that names what is known elsewhere: told before a run.

    `whom` are wires of scores, model slots and library settings, whose names count together; a text
    that says nothing ("") is left alone. See `names` of `op`.
    """

    whom: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WireSpec:
    """One input of an op."""

    name: str
    type: type
    many: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One setting of an op. `role` says who fills it: the user, or the engine by type."""

    name: str
    annotation: Any
    default: Any
    role: str = "plain"  # plain | seed | caption | members | scratch | progress | asset:<kind>
    required: bool = False
    known_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One output of an op."""

    name: str
    type: type


@dataclass(frozen=True, slots=True)
class Needs:
    """Packages, as they are imported, that an op cannot do without; looked for before a run.

    install: what to type when one is missing. instead: how to do without it.
    when: needed only if each of these settings has one of these values (a default counts).
    """

    packages: tuple[str, ...]
    install: str
    instead: str = ""
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpOptions:
    """What `@op` was given."""

    version: int
    batch: int
    batch_cuda: int
    fixed: bool
    cache: bool
    endless: bool
    needs: tuple[Needs, ...] = ()
    check: str = ""
    draft: str = ""
    one_of: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    beside: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpSpec:
    """Everything the engine knows of an op; `module` and `function` find it on a worker."""

    name: str
    module: str
    function: str
    wires: tuple[WireSpec, ...]
    models: tuple[str, ...]
    settings: tuple[SettingSpec, ...]
    ports: tuple[PortSpec, ...]
    single: bool
    options: OpOptions
    doc: str
    ports_doc: str = ""  # what a returned dataclass says of its fields
    source_digest: str = ""  # digest of a user's --ops file, part of its ops' keys
    source_path: str = ""

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        return self.doc.split("\n", 1)[0]

    def wire(self, name: str) -> WireSpec | None:
        """The wire of that name, if any."""
        return next((w for w in self.wires if w.name == name), None)

    def setting(self, name: str) -> SettingSpec | None:
        """The setting of that name, if any."""
        return next((s for s in self.settings if s.name == name), None)

    def port(self, name: str) -> PortSpec | None:
        """The port of that name, if any."""
        return next((p for p in self.ports if p.name == name), None)


def op(  # noqa: PLR0913 (what can be said of an op is said here)
    bare: None = None,
    /,
    *,
    version: int = 0,
    batch: int = 1,
    batch_cuda: int | None = None,
    fixed: bool = False,
    cache: bool = True,
    endless: bool = False,
    needs: Sequence[Needs] = (),
    check: Callable[..., object] | None = None,
    draft: Callable[..., int] | None = None,
    one_of: Sequence[str] = (),
    names: Sequence[Sequence[str]] = (),
    beside: Sequence[str] = (),
    carried: Sequence[str] = (),
) -> Callable[[F], F]:
    """Mark a function as an op.

    version: raise it when the result changes; it is part of every key.
    batch: most items given to one call (`batch_cuda` on a GPU worker).
    fixed: every call gets exactly that many items, the last batch padded by repeating its last
      item, because the bits of a network's answer depend on the batch size.
    cache: whether results go to disk by default; cheap ops say no.
    endless: no default timeout (training).
    needs: optional packages it cannot do without.
    check: a function of its module that judges settings before a run, as `engine.early` asks it:
      (settings, resolution of each model slot) -> pairs of a setting and what is wrong with it;
      names of an `Asset` are `NamedFile` there.
    draft: a function of its module, settings -> the least side in pixels that it needs a photo to
      have: larger JPEGs come decoded at a half, a quarter or an eighth of their size.
    one_of: wires that may be left out, of which a step has exactly one.
    names: whose names the scores or the model that it yields have: the first of these groups of
      wires, model slots and settings (by what they say) of which all are known and any has names.
    beside: networks beside a model's file that it reads, such as "features"; with "features:limit"
      only where a step sets `limit`. They are part of the key.
    carried: model slots that no plain generator fills, only what a step learned, or its file.
    Raises: TypeError without a version, as by a bare `@op`.
    """
    if bare is not None or version < 1:
        raise TypeError("write @op(version=1), and a higher number once the op's results change")

    def mark(function: F) -> F:
        options = OpOptions(
            version=version,
            batch=batch,
            batch_cuda=batch_cuda or batch,
            fixed=fixed,
            cache=cache,
            endless=endless,
            needs=tuple(needs),
            check=check.__name__ if check else "",
            draft=draft.__name__ if draft else "",
            one_of=tuple(one_of),
            names=tuple(map(tuple, names)),
            beside=tuple(beside),
            carried=tuple(carried),
        )
        function.__op__ = options  # type: ignore[attr-defined]
        return function

    return mark


def read_op(function: Callable[..., object]) -> OpSpec:
    """Make the OpSpec of a marked function from its signature and docstring.

    Raises: TypeError when the signature does not follow the rules of this module.
    """
    hints = get_type_hints(function, include_extras=True)
    wires: list[WireSpec] = []
    models: list[str] = []
    settings: list[SettingSpec] = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name)
        if annotation is None:
            raise TypeError(f"op {function.__name__}: parameter '{name}' has no type")
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            settings.append(_setting(name, annotation, parameter.default))
        elif annotation is Network:
            models.append(name)
        else:
            wires.append(_wire(function.__name__, name, annotation))
    returned = hints.get("return")
    ports = _ports(function.__name__, returned)
    return OpSpec(
        name=function.__name__,
        module=function.__module__,
        function=function.__qualname__,
        wires=tuple(wires),
        models=tuple(models),
        settings=tuple(settings),
        ports=ports,
        single=returned in VALUE_TYPES,
        options=function.__op__,  # type: ignore[attr-defined]
        doc=inspect.cleandoc(function.__doc__ or ""),
        ports_doc="" if returned in VALUE_TYPES else _own_doc(returned),
    )


def _wire(op_name: str, name: str, annotation: Any) -> WireSpec:
    """Read one wire from its annotation: T, T | None, Sequence[T]."""
    optional = many = False
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arg for arg in get_args(annotation) if arg is not type(None)]
        optional, annotation = True, inner[0] if len(inner) == 1 else None
    if get_origin(annotation) is Sequence:
        many, annotation = True, get_args(annotation)[0]
    if annotation not in VALUE_TYPES:
        raise TypeError(f"op {op_name}: wire '{name}' must be a value type, not {annotation!r}")
    return WireSpec(name, annotation, many, optional)


_ROLES: dict[Any, str] = {
    Seed: "seed",
    Caption: "caption",
    Members: "members",
    Scratch: "scratch",
    Progress: "progress",
}
#: Roles of settings that the engine fills in and no user writes.
ENGINE_ROLES = ("members", "scratch", "progress")


def _setting(name: str, annotation: Any, default: Any) -> SettingSpec:
    """Read one setting from its annotation."""
    role = _ROLES.get(annotation, "plain")
    known_to: tuple[str, ...] = ()
    for part in get_args(annotation) if get_origin(annotation) is Annotated else ():
        if isinstance(part, Asset):
            role = f"asset:{part.kind}"
        if isinstance(part, KnownTo):
            known_to = part.whom
    required = default is inspect.Parameter.empty and role not in ENGINE_ROLES
    return SettingSpec(
        name,
        annotation,
        None if default is inspect.Parameter.empty else default,
        role,
        required,
        known_to,
    )


def _own_doc(made: Any) -> str:
    """The docstring that somebody wrote for a dataclass; not the signature it has otherwise."""
    text = inspect.cleandoc(made.__doc__ or "")
    return "" if text.startswith(f"{made.__name__}(") else text


def _ports(op_name: str, returned: Any) -> tuple[PortSpec, ...]:
    """Read the ports from the return type: one value type, or a dataclass of them."""
    if returned in VALUE_TYPES:
        return (PortSpec(VALUE_TYPES[returned], returned),)
    if not is_dataclass(returned) or not isinstance(returned, type):
        raise TypeError(f"op {op_name}: must return a value type or a dataclass of them")
    hints = get_type_hints(returned)
    ports = tuple(PortSpec(f.name, hints[f.name]) for f in fields(returned))
    for port in ports:
        if port.type not in VALUE_TYPES:
            raise TypeError(f"op {op_name}: port '{port.name}' must be a value type")
    return ports
