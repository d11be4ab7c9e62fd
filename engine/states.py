"""The state of every item of every step, and what is known of the settled ones.

The only mutable memory of a run that grows with its items: one byte, a key and a record each.
"""

from collections.abc import Mapping

from engine.errors import Reason
from engine.items import Items
from engine.jobs import FromItem, ItemId, Outcome, Status
from engine.records import Record

UNKNOWN, WANTED, RUNNING, DONE, CACHED, QUARANTINED, SKIPPED = range(7)
SETTLED = frozenset({DONE, CACHED, QUARANTINED, SKIPPED})
STATUS: Mapping[int, Status] = {
    DONE: "done",
    CACHED: "cached",
    QUARANTINED: "quarantined",
    SKIPPED: "skipped",
}
CODE: Mapping[Status, int] = {status: code for code, status in STATUS.items()}


class States:
    """States by (step, number). `news` collects every settlement until somebody drains it."""

    def __init__(self, items: Items) -> None:
        self.news: list[Outcome] = []
        self.fresh: set[str] = set()  # keys computed in this run
        self.left = {name: space.count() for name, space in items.spaces.items()}
        self.records: dict[ItemId, Record] = {}
        self._codes = {name: bytearray(space.full) for name, space in items.spaces.items()}
        self._keys: dict[ItemId, str] = {}
        self._stands_for: dict[ItemId, FromItem] = {}

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
        found = self._keys.get(item)
        return found if found is not None else f"unread:{item[0]}:{item[1]}"

    def set_key(self, item: ItemId, key: str) -> None:
        """Note an item's key."""
        self._keys[item] = key

    def stand_for(self, item: ItemId, origin: FromItem) -> None:
        """Let a coalesced item stand for the one it chose."""
        self._stands_for[item] = origin
        self._keys[item] = self.key(origin.item)

    def through(self, origin: FromItem) -> FromItem:
        """The item and port that really hold a value."""
        return self._stands_for.get(origin.item, origin)

    def settle(self, outcome: Outcome) -> None:
        """Settle an item, once, and spread the news."""
        if self.settled(outcome.item):
            return
        if outcome.status == "done":
            self.fresh.add(outcome.key)
        self.left[outcome.item[0]] -= 1
        self._codes[outcome.item[0]][outcome.item[1]] = CODE[outcome.status]
        if outcome.record is not None and outcome.record.status == "ok":
            self.records[outcome.item] = outcome.record
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

    def reopen(self, item: ItemId) -> None:
        """Forget that an item was settled."""
        if self.settled(item):
            self.left[item[0]] += 1
        self._codes[item[0]][item[1]] = UNKNOWN
        self.records.pop(item, None)

    def tally(self, step: str) -> dict[str, int]:
        """How many items of a step have each settled status."""
        return {status: self._codes[step].count(code) for code, status in STATUS.items()}
