"""A first glance at a slice: what was done before is settled at a fraction of the cost.

Most of what a repeated run or a plan sees is done already, or not begun. To tell that of a home
takes the keys of its items and one look-up; only homes that are neither need a survey.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from engine.examine import Examiner
from engine.jobs import ItemId
from engine.recipes import Recipes
from engine.records import Fate, Record
from engine.segments import Segment, Segmented
from engine.states import UNKNOWN, WANTED, States


@dataclass(frozen=True, slots=True)
class Questions:
    """What planning asks the outside world."""

    records: Callable[[Collection[str]], Mapping[str, Record]]  # those the index knows
    current: Callable[[str, ItemId, str], bool]  # is output `path` already made from this key?
    seconds: Callable[[str], float | None] = lambda _op: None  # past seconds per item of an op
    fates: Callable[[Collection[str]], Mapping[str, Fate]] | None = None  # the least of records


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run is to be planned. With `forecast` nothing is handed out, only counted."""

    out_root: str = ""
    numerics: str = "cpu-float32"
    forced: frozenset[str] = frozenset()  # steps computed again whatever is known
    slots: int = 1
    forecast: bool = False
    pools: bool = False  # some workers have a GPU, others none


class Glance:
    """Settles the homes of plain segments that need no closer look.

    `outputs_left` tells how many files of an item must be written, of how many.
    """

    def __init__(
        self,
        plan: Segmented,
        states: States,
        look: Examiner,
        ask: Questions,
        terms: Terms,
        outputs_left: Callable[[ItemId], tuple[int, int]],
    ) -> None:
        self._states = states
        self._recipes = Recipes(look)
        self._items = look.items
        self._ask = ask
        self._forecast = terms.forecast
        self._outputs_left = outputs_left
        steps = self._items.graph.steps
        self._plain = {
            part.name
            for part in plan.segments
            if not terms.forced.intersection(part.steps)
            and all(self._recipes.is_plain(steps[name]) for name in part.steps)
        }

    def __call__(self, part: Segment, homes: Sequence[int], gone: Collection[str]) -> list[int]:
        """Settle the homes that can be; give the others. `gone` are keys of lost payloads."""
        if part.name not in self._plain:
            return list(homes)
        keys = {home: self._keys(part, home) for home in homes}
        asked = {key for mine in keys.values() if mine for key in mine.values() if key}
        fates = self._fates(asked.difference(gone))
        return [h for h, mine in keys.items() if mine is None or not self._settle(mine, fates)]

    def _keys(self, part: Segment, home: int) -> dict[ItemId, str] | None:
        """The keys of a home's items; None when some of them must be looked at closely."""
        found: dict[ItemId, str] = {}
        for name in part.steps:
            step = self._items.graph.steps[name]
            for number in self._items.spaces[name].numbers(part.home, home):
                item = (name, number)
                key = self._recipes.key(step, number) if self._states[item] == UNKNOWN else None
                if key is None:
                    return None
                self._states.set_key(item, key)
                found[item] = key
        return found

    def _fates(self, wanted: Collection[str]) -> Mapping[str, Fate]:
        if self._ask.fates is not None:
            return self._ask.fates(wanted) if wanted else {}
        found = self._ask.records(wanted) if wanted else {}
        return {key: Fate(r.status == "ok", r.seconds, r.pack) for key, r in found.items()}

    def _settle(self, keys: Mapping[ItemId, str], fates: Mapping[str, Fate]) -> bool:
        """Settle a home's items if all of them, or in a forecast none, were done before."""
        found = [fate for key in keys.values() if (fate := fates.get(key)) is not None]
        if len(found) == len(keys) and all(fate.ok for fate in found):
            if any(self._outputs_left(item)[0] for item in keys):
                return False
            for (item, key), fate in zip(keys.items(), found, strict=True):
                self._states.know(item, key, fate)
            return True
        if not self._forecast or found:
            return False
        if any(stale < files for stale, files in map(self._outputs_left, keys)):
            return False
        for item in keys:
            self._states.mark(item, WANTED)
        return True
