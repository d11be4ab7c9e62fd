"""Axis inference: which named axes a step has, given those of its inputs.

Inputs that share an axis join on it. Two source axes that meet for the first time need `pair`:
cross keeps both, zip and match make one of them readable through a Link. `gather` removes axes of
sequence wires, or replaces a source axis by its groups. A group axis that meets its own source
axis gives way to it (the group of that item).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.dag import Allowed, Axis, Hole, Link
from engine.errors import suggestion
from engine.spec import PairSpec

_NOTHING = "there is nothing to pair: no unrelated source axes meet here"


@dataclass(frozen=True, slots=True)
class Incoming:
    """The axes one input of a step brings; `gathered` when it feeds a gathering wire."""

    name: str
    axes: tuple[str, ...]
    gathered: bool = False


@dataclass(frozen=True, slots=True)
class Gathering:
    """A checked gather: the axes removed, and the group axis put in their place."""

    over: tuple[str, ...]
    by: Hole | None = None

    @property
    def group(self) -> str:
        """The name of the group axis, or ""."""
        return f"{self.by.name}.{self.by.field}" if self.by else ""


@dataclass(frozen=True, slots=True)
class Joined:
    """The axes and links of a step; `members` are the axes its gathered inputs had."""

    axes: tuple[str, ...]
    links: tuple[Link, ...] = ()
    members: tuple[str, ...] = ()


class AxisError(ValueError):
    """Axes that do not go together; `key` is the key of the step to look at."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def pair_up(
    incoming: Sequence[Incoming],
    axes: Mapping[str, Axis],
    inherited: tuple[Link, ...] = (),
    pair: PairSpec | None = None,
) -> tuple[Link, ...]:
    """Make the links of a step: those its inputs bring, then those of zip and match.

    Raises: AxisError when the pair does not fit the inputs.
    """
    seen: dict[str, Link] = {}
    for link in inherited:
        if seen.setdefault(link.source, link) != link:
            raise AxisError("in", f"inputs pair '{link.source}' in two different ways")
    links = tuple(seen.values())
    if pair is None or pair.kind == "cross":
        return links
    parts = [read_through(part.axes, links, axes) for part in incoming]
    if pair.fields:
        return (*links, *_matched_by_name(pair.fields, parts, axes))
    return (*links, *_matched(pair, _meeting(parts, axes), axes))


def join(
    incoming: Sequence[Incoming],
    axes: Mapping[str, Axis],
    links: tuple[Link, ...] = (),
    own: tuple[str, ...] = (),
    *,
    cross: bool = False,
    gathering: Gathering | None = None,
) -> Joined:
    """Infer the axes of a step from its inputs, its links and its own matrix.

    Raises: AxisError when source axes meet and `cross` does not allow it, or needlessly does.
    """
    before = [read_through(part.axes, links, axes) for part in incoming]
    after = [
        gathered(names, gathering, links, axes) if part.gathered and gathering else names
        for part, names in zip(incoming, before, strict=True)
    ]
    collected = [names for part, names in zip(incoming, before, strict=True) if part.gathered]
    result = _absorbed(_union(after), links, axes)
    lifted = [_lifted(names, result, links, axes) for names in after]
    strangers = _strangers(collected, axes) or _strangers(lifted, axes)
    if strangers and not cross:
        first, second = strangers
        raise AxisError(
            "in",
            f"'{first}' and '{second}' meet here: every {first} with every {second}, "
            f"count({first}) x count({second}) items; write `pair: cross` if that is "
            "meant, else `pair: zip` or `pair: {match: field}`",
        )
    if cross and not strangers:
        raise AxisError("pair", _NOTHING)
    members = _union(collected)
    kept = tuple(link for link in links if link.axis in (*result, *members))
    return Joined(_union([result, own]), kept, members)


def read_through(
    names: Iterable[str], links: tuple[Link, ...], axes: Mapping[str, Axis]
) -> tuple[str, ...]:
    """Replace linked axes by those they are read through."""
    through = {link.source: link.axis for link in links}
    found: dict[str, None] = {}
    for start in names:
        name, seen = start, {start}
        while name in through and through[name] not in seen:
            name = through[name]
            seen.add(name)
        found[name] = None
    return _absorbed(tuple(found), links, axes)


def gathered(
    names: tuple[str, ...],
    gathering: Gathering,
    links: tuple[Link, ...],
    axes: Mapping[str, Axis],
) -> tuple[str, ...]:
    """Remove the gathered axes; a group axis stands where its source axis stood."""
    found: dict[str, None] = {}
    home = ""
    if gathering.by is not None:
        home = read_through((gathering.by.name,), links, axes)[0]
    for name in names:
        if name == home and name in gathering.over:
            found[gathering.group] = None
        elif name not in gathering.over:
            found[name] = None
    return tuple(found)


def project(allowed: Iterable[Allowed], axes: tuple[str, ...]) -> tuple[Allowed, ...]:
    """Restrict allowed combinations to the axes a step still has."""
    found: dict[Allowed, None] = {}
    for rule in allowed:
        kept = [i for i, name in enumerate(rule.axes) if name in axes]
        if len(kept) == len(rule.axes):
            found[rule] = None
        elif kept:
            combos = frozenset(tuple(combo[i] for i in kept) for combo in rule.combos)
            found[Allowed(tuple(rule.axes[i] for i in kept), combos)] = None
    return tuple(found)


def covers(axes: tuple[str, ...], links: tuple[Link, ...], known: Mapping[str, Axis]) -> set[str]:
    """Name all axes whose values are known for an item with these axes."""
    found = set(axes)
    while True:
        more = {link.source for link in links if link.axis in found}
        more |= {a.name for a in known.values() if a.kind == "group" and a.source in found | more}
        if more <= found:
            return found
        found |= more


def _absorbed(
    names: tuple[str, ...], links: tuple[Link, ...], axes: Mapping[str, Axis]
) -> tuple[str, ...]:
    """Drop group axes whose source axis is there too."""
    return tuple(name for name in names if _home(name, links, axes) not in {*names} - {name})


def _lifted(
    names: tuple[str, ...],
    result: tuple[str, ...],
    links: tuple[Link, ...],
    axes: Mapping[str, Axis],
) -> tuple[str, ...]:
    """Read group axes as the source axis that absorbed them."""
    return tuple(name if name in result else _home(name, links, axes) for name in names)


def _home(name: str, links: tuple[Link, ...], axes: Mapping[str, Axis]) -> str:
    """The source axis that a group axis is of, read through links; any other axis is its own."""
    if name not in axes or axes[name].kind != "group":
        return name
    through = {link.source: link.axis for link in links}
    return through.get(axes[name].source, axes[name].source)


def _union(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All names, each once, in order of appearance."""
    return tuple(dict.fromkeys(name for part in parts for name in part))


def _spread(names: Iterable[str], axes: Mapping[str, Axis]) -> tuple[str, ...]:
    """The axes of unknown size: sources and groups."""
    return tuple(n for n in names if n not in axes or axes[n].kind != "matrix")


def _related(parts: Iterable[tuple[str, ...]]) -> set[tuple[str, str]]:
    """Pairs of axes that one input already has together."""
    return {(a, b) for part in parts for a in part for b in part if a != b}


def _meeting(parts: list[tuple[str, ...]], axes: Mapping[str, Axis]) -> list[tuple[str, ...]]:
    """Group the source axes that are already related; the groups meet here."""
    clusters: list[tuple[str, ...]] = []
    for part in parts:
        names = _spread(part, axes)
        touching = [cluster for cluster in clusters if set(cluster) & set(names)]
        merged = _union([*touching, names])
        place = clusters.index(touching[0]) if touching else len(clusters)
        clusters = [cluster for cluster in clusters if cluster not in touching]
        if merged:
            clusters.insert(place, merged)
    return clusters


def _strangers(parts: list[tuple[str, ...]], axes: Mapping[str, Axis]) -> tuple[str, ...]:
    """Find two source axes that come together in no input."""
    related = _related(parts)
    names = _spread(_union(parts), axes)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if (a, b) not in related]
    return pairs[0] if pairs else ()


def _matched_by_name(
    fields: Mapping[str, str], parts: list[tuple[str, ...]], axes: Mapping[str, Axis]
) -> tuple[Link, ...]:
    """Make the links of `match: {photo: stem, row: id}`."""
    names, related = _union(parts), _related(parts)
    for name in fields:
        if name not in names or axes[name].kind != "source":
            near = suggestion(name, names) or f"; it has {', '.join(names) or 'none'}"
            raise AxisError("pair", f"this step has no source axis '{name}'{near}")
    first, *others = fields
    for other in others:
        if (first, other) in related:
            raise AxisError("pair", f"'{first}' and '{other}' are already together in an input")
    return tuple(Link(other, first, "match", fields[other], fields[first]) for other in others)


def _matched(
    pair: PairSpec, meeting: list[tuple[str, ...]], axes: Mapping[str, Axis]
) -> tuple[Link, ...]:
    """Make the links of `zip` and `match: field`, which tie all sources to the first."""
    if len(meeting) < 2:
        raise AxisError("pair", _NOTHING)
    for cluster in meeting:
        if len(cluster) > 1 or axes[cluster[0]].kind != "source":
            raise AxisError(
                "pair",
                f"{pair.kind} pairs single sources, and an input has {' x '.join(cluster)}; "
                "name the two that belong together: {match: {source: field, source: field}}",
            )
    first, *others = _union(meeting)
    if pair.kind == "zip":
        return tuple(Link(other, first) for other in others)
    return tuple(Link(other, first, "match", pair.field, pair.field) for other in others)
