"""The state of every item of every step, and its key.

The only mutable memory of a run that grows with its items, so it is packed: one byte of state and
32 of key each. What a key produced is not kept here: the index has it.
"""

from collections.abc import Mapping

from engine.errors import Reason
from engine.examine import UNREAD
from engine.items import Items
from engine.jobs import FromItem, Input, ItemId, Outcome, Status
from engine.keys import source_key
from engine.marks import Marks
from engine.records import Fate, Record

FATES = range(7)
UNKNOWN, WANTED, RUNNING, DONE, CACHED, QUARANTINED, SKIPPED = FATES
SETTLED = frozenset({DONE, CACHED, QUARANTINED, SKIPPED})
STATUS: Mapping[int, Status] = {
    DONE: "done",
    CACHED: "cached",
    QUARANTINED: "quarantined",
    SKIPPED: "skipped",
}
CODE: Mapping[Status, int] = {status: code for code, status in STATUS.items()}
KEY = 32  # bytes


class States:
    """States by (step, number). `news` collects every settlement until somebody drains it.

    Not `telling`, it leaves those out that were known before.
    """

    def __init__(self, items: Items, *, telling: bool = True) -> None:
        self.news: list[Outcome] = []
        self.telling = telling
        self.packs: set[str] = set()  # those that hold what was settled
        self.left = {name: space.count() for name, space in items.spaces.items()}
        self._tallies = {name: [0] * len(FATES) for name in items.spaces}
        self._codes = {name: bytearray(space.full) for name, space in items.spaces.items()}
        self._keys = {name: bytearray(KEY * space.full) for name, space in items.spaces.items()}
        self._fresh = Marks()
        self._stands_for: dict[ItemId, Input] = {}

    def __getitem__(self, item: ItemId) -> int:
        return self._codes[item[0]][item[1]]

    def mark(self, item: ItemId, code: int) -> None:
        """Make an unsettled item wanted or running."""
        self._codes[item[0]][item[1]] = code

    def settled(self, item: ItemId) -> bool:
        """Whether an item's fate is known."""
        return self[item] in SETTLED

    def blocked(self, item: ItemId) -> bool:
        """Whether an item is not to be had: quarantined or skipped."""
        return self[item] in (QUARANTINED, SKIPPED)

    def key(self, item: ItemId) -> str:
        """The key of an item, through coalesce; a place-holder while a photo is unread."""
        origin = self._stands_for.get(item)
        if origin is not None and not isinstance(origin, FromItem):
            return source_key(origin)
        step, number = item if origin is None else origin.item
        found = self._keys[step][KEY * number : KEY * (number + 1)]
        return found.hex() if any(found) else f"{UNREAD}{step}:{number}"

    def is_keyed(self, item: ItemId) -> bool:
        """Whether an item's key is known; it is not while a photo that it hangs on is unread."""
        return not self.key(item).startswith(UNREAD)

    def set_key(self, item: ItemId, key: str) -> None:
        """Note an item's key, a sha256 in hex; an empty one says nothing."""
        if not key:
            return
        step, number = item
        self._keys[step][KEY * number : KEY * (number + 1)] = bytes.fromhex(key)

    def fresh(self, key: str) -> bool:
        """Whether a key was computed in this run."""
        return key in self._fresh

    def stand_for(self, item: ItemId, origin: Input) -> None:
        """Let a coalesced item stand for the one it chose, or for a source."""
        self._stands_for[item] = origin

    def through(self, origin: FromItem) -> Input:
        """The item and port, or the source, that really hold a value."""
        return self._stands_for.get(origin.item, origin)

    def settle(self, outcome: Outcome) -> None:
        """Settle an item, once, and spread the news."""
        if self.settled(outcome.item):
            return
        if outcome.status == "done":
            self._fresh.add(outcome.key)
        step, number = outcome.item
        self.left[step] -= 1
        code = self._codes[step][number] = CODE[outcome.status]
        self._tallies[step][code] += 1
        if outcome.record is not None and outcome.record.pack:
            self.packs.add(outcome.record.pack)
        self.news.append(outcome)

    def note(
        self,
        item: ItemId,
        status: Status,
        *,
        record: Record | None = None,
        reason: Reason | None = None,
        message: str = "",
    ) -> None:
        """Settle an item that needed no work; a cached one tells the seconds it took when made."""
        seconds = record.seconds if record is not None else 0.0
        key = self.key(item)
        self.settle(Outcome(item, status, key, record, reason, message, seconds=seconds))

    def know(self, item: ItemId, key: str, fate: Fate) -> None:
        """Settle an item that a successful record was found of."""
        if fate.pack:
            self.packs.add(fate.pack)
        code = DONE if key in self._fresh else CACHED
        step, number = item
        self.left[step] -= 1
        self._codes[step][number] = code
        self._tallies[step][code] += 1
        if self.telling:
            self.news.append(Outcome(item, STATUS[code], key, seconds=fate.seconds))

    def reopen(self, item: ItemId) -> None:
        """Forget that an item was settled."""
        if self.settled(item):
            self.left[item[0]] += 1
            self._tallies[item[0]][self[item]] -= 1
        self._codes[item[0]][item[1]] = UNKNOWN

    def tally(self, step: str) -> dict[str, int]:
        """How many items of a step have each settled status."""
        return {status: self._tallies[step][code] for code, status in STATUS.items()}
