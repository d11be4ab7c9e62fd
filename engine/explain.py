"""Why an item would be computed again: the first part of its key that differs from the last run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.aside import items_above
from engine.dag import Json
from engine.errors import UsageError, suggestion
from engine.examine import UnreadError
from engine.forecast import open_board, survey
from engine.history import load_components, load_fate
from engine.inputs import content_digest
from engine.jobs import FromItem, ItemId
from engine.keys import difference
from engine.plan import Board
from engine.session import Session


@dataclass(frozen=True, slots=True)
class Explanation:
    """What an item's state is and, when its key has changed, which part of it did.

    `through` names the step upstream whose key changed first.
    """

    step: str
    item: str
    state: str
    key: str
    part: str = ""
    old: Json = None
    new: Json = None
    through: str = ""
    known_before: bool = True
    fate: str = ""  # what the last run made of an item that has no value of its own

    def as_json(self) -> dict[str, Any]:
        """The explanation as `--json` prints it."""
        change = {"part": self.part, "old": self.old, "new": self.new, "step": self.through}
        told = {"step": self.step, "item": self.item, "state": self.state, "key": self.key}
        told |= {"told": self.fate} if self.fate else {}
        return {**told, "changed": change if self.part else None}

    def as_text(self) -> str:
        """The explanation for people."""
        head = f"{self.step} of {self.item}: {self.state}"
        if self.fate:
            return f"{head}\n{self.fate}"
        if not self.known_before:
            return f"{head}\nno run has looked at this item before"
        if not self.part:
            return f"{head}\nits key is the same as in the last run: {self.key[:16]}"
        if self.part == "code":
            where = (
                "" if self.through == self.step else f" of {self.through}, which it is made from,"
            )
            return f"{head}\nthe code of the op{where} changed: its --ops file has other content"
        where = f" (in {self.through}, which it is made from)" if self.through != self.step else ""
        old, new = _shown(self.old), _shown(self.new)
        return f"{head}\n{self.part} changed{where}\n  was  {old}\n  is   {new}"


def _shown(value: Json) -> str:
    """Write one side of a difference."""
    return "not given" if value is None else json.dumps(value)


def explain_item(session: Session, step: str, item: str) -> Explanation:
    """Explain the state of one item, named by its label or number.

    Raises: UsageError when there is no such step or item, or no run to compare with.
    """
    address = _find(session, step, item)
    board = open_board(session)
    board.digests(_read_now(session, address))
    survey(board)
    label = session.items.label(*address)
    state = board.state_of(address).replace("waiting", "to run")
    key = board.states.key(address)
    if load_components(session.run_dir, step, label) is None:
        fate = _fate(session, board, address)
        return Explanation(step, label, state, key, known_before=bool(fate), fate=fate)
    try:
        found = _change(session, board, address)
    except UnreadError:
        raise UsageError("no run has read all the photos that this item is made from") from None
    if found is None:
        return Explanation(step, label, state, key)
    through, part, old, new = found
    return Explanation(step, label, state, key, part, old, new, through)


def _fate(session: Session, board: Board, item: ItemId) -> str:
    """What the last run made of an item that it did not compute; empty when none came to it."""
    items = session.items
    label = items.label(*item)
    row = load_fate(session.run_dir, item[0], label)
    if row is None:
        return ""
    step = items.graph.steps[item[0]]
    if row.status == "quarantined":
        return f"the last run set it aside: {row.reason}: {row.message}"
    if row.status == "skipped":
        for above in items_above(items, step, item[1]):
            before = load_fate(session.run_dir, above[0], items.label(*above))
            if before is not None and before.status in ("quarantined", "skipped"):
                of = f"{above[0]} of {items.label(*above)}"
                return f"skipped, for it needs {of}: {_fate(session, board, above)}"
        return f"the last run skipped it: {row.message}"
    if step.coalesce:
        chosen = board.states.through(FromItem(item, ""))
        if isinstance(chosen, FromItem) and chosen.item != item:
            return f"it stands for {chosen.item[0]} of {items.label(*chosen.item)}"
        return "it stands for what a source has"
    return ""


def _read_now(session: Session, item: ItemId) -> Iterator[tuple[str, int, str]]:
    """Read the contents of the photos on an item's axes that no run has read as they are now."""
    items = session.items
    for axis, index in items.spaces[item[0]].place(item[1]).items():
        if items.graph.axes[axis].kind == "source":
            listed = items.listings[axis][index]
            if listed.path and not listed.identity:
                yield axis, index, content_digest(listed.path)


def _find(session: Session, step: str, item: str) -> ItemId:
    """The address of an item."""
    spaces = session.items.spaces
    if step not in spaces:
        raise UsageError(f"there is no step '{step}'{suggestion(step, spaces)}")
    labels = {session.items.label(step, n): n for n in spaces[step].numbers()}
    if item.isdigit() and int(item) in labels.values():
        return step, int(item)
    same = [label for label in labels if sorted(label.split()) == sorted(item.split())]
    if same:
        return step, labels[same[0]]
    few = ", ".join(list(labels)[:5]) + (", ..." if len(labels) > 5 else "")
    raise UsageError(f"step '{step}' has no item '{item}' ({few}){suggestion(item, labels)}")


def _change(session: Session, board: Board, item: ItemId) -> tuple[str, str, Json, Json] | None:
    """What changed first on the way to an item: the step, the part, its old and new value."""
    case = board.surveyor.case(item)
    for origin in case.inputs():
        above = _change(session, board, origin.item)
        if above is not None:
            return above
    before = load_components(session.run_dir, item[0], session.items.label(*item))
    found = None if before is None else difference(before, case.components)
    if found is None:
        return None
    part, old, new = found
    group, _, name = part.partition(".")
    setting = board.graph.steps[item[0]].op.setting(name) if group == "settings" else None
    if setting is not None:  # a default is left out of keys
        old, new = (setting.default if side is None else side for side in (old, new))
    return item[0], part, old, new
