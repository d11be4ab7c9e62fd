"""The keys of plain items, fast: how they are put together is worked out once per step.

A step is plain when its items read their inputs one to one, always: no gather, condition, coalesce
or network made by a step. The key is the one an examination finds, at a fraction of its cost.
"""

from collections.abc import Callable
from typing import TypeAlias

from engine import keys
from engine.dag import Hole, Link, Ref, Step
from engine.examine import UNREAD, Blocked, Examiner, Resolved, declared_models
from engine.items import Place

#: The key of an item; empty while it hangs on an unread photo; None when it takes a closer look.
Recipe: TypeAlias = Callable[[int], str | None]
Reader: TypeAlias = Callable[[int, Place], str | None]  # of an input, with the same two exceptions


class Recipes:
    """Finds keys of items of plain steps."""

    def __init__(self, look: Examiner) -> None:
        self._look = look
        self._items = look.items
        self._recipes: dict[str, Recipe] = {}

    def is_plain(self, step: Step) -> bool:
        """Whether the keys of a step can be found here."""
        refs = [ref for wire in step.wires for ref in wire.refs]
        steps = self._items.graph.steps
        return not (
            step.coalesce
            or step.when is not None
            or any(wire.many for wire in step.wires)
            or any(model.step for model in step.models.values())
            or any(ref.node in steps and steps[ref.node].coalesce for ref in refs)
        )

    def key(self, step: Step, number: int) -> str | None:
        """The key of an item; empty while it hangs on an unread photo.

        None when it takes a closer look: what it reads is not to be had, or a setting is wrong.
        """
        if step.name not in self._recipes:
            self._recipes[step.name] = self._recipe(step)
        return self._recipes[step.name](number)

    def _recipe(self, step: Step) -> Recipe:
        space = self._items.spaces[step.name]
        only = space.axes[0] if len(space.axes) == 1 else ""
        readers = [(wire.name, self._reader(step, wire.refs[0], step.links)) for wire in step.wires]
        rests: dict[int, str] = {}

        def key(number: int) -> str | None:
            place = {only: number} if only else space.place(number)
            read = {}
            for name, reader in readers:
                found = reader(number, place)
                if not found:
                    return found
                read[name] = (found,)
            resolved = self._look.settings(step, place)
            if resolved.problem:
                return None
            if resolved.seeds:
                return keys.join(self._rest(step, place, resolved), read)
            if id(resolved) not in rests:
                rests[id(resolved)] = self._rest(step, place, resolved)
            return keys.join(rests[id(resolved)], read)

        return key

    def _rest(self, step: Step, place: Place, resolved: Resolved) -> str:
        """All that goes into a key but what the item reads, as JSON."""
        told = keys.components(
            step,
            wires={},
            settings=resolved.for_key,
            seeds=self._look.seeds(step, place, resolved),
            captions={},
            members=None,
            models=declared_models(step),
            numerics=self._look.numerics,
        )
        del told["wires"]
        return keys.canonical(told)

    def _reader(self, step: Step, ref: Ref, links: tuple[Link, ...]) -> Reader:
        """Make what finds the key of one input."""
        graph = self._items.graph
        if ref.node in graph.steps:
            return self._of_step(step, ref, links)
        if ref.field or graph.sources[ref.node].kind == "values":
            hole = Hole("field", ref.node, ref.field or "value")
            value = self._items.value
            return lambda _number, place: keys.scalar_key(value(hole, place, links))
        digests = self._look.digests[ref.node]
        index = self._items.index

        def of_photo(_number: int, place: Place) -> str | None:
            digest = digests[index(ref.node, place, links)]
            if isinstance(digest, Blocked):
                return None
            return keys.photo_key(digest) if digest else ""

        return of_photo

    def _of_step(self, step: Step, ref: Ref, links: tuple[Link, ...]) -> Reader:
        spaces = self._items.spaces
        same = spaces[ref.node].axes == spaces[step.name].axes
        read, blocked, key_of = self._items.read, self._look.blocked, self._look.key_of

        def of_step(number: int, place: Place) -> str | None:
            item = (ref.node, number if same else read(ref, place, links))
            if blocked(item):
                return None
            key = key_of(item)
            return "" if key.startswith(UNREAD) else keys.port_key(key, ref.port)

        return of_step
