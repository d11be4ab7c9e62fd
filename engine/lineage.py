"""An output's provenance: the chain of ops, settings, models and sources that made it.

No workflow digest, time, host or absolute path in it, so unrelated edits change no output.
"""

from collections.abc import Callable
from typing import Any

from engine.examine import Case
from engine.items import Items
from engine.jobs import FromItem, FromPhoto, FromScalar, Input, ItemId

#: A gathered wire with more members than this names only the digest of their keys.
MOST_MEMBERS = 16


def provenance(items: Items, case_of: Callable[[ItemId], Case], item: ItemId) -> dict[str, Any]:
    """Make the provenance of one item as JSON data."""
    seen: dict[ItemId, dict[str, Any]] = {}

    def source(origin: Input) -> Any:
        if isinstance(origin, FromItem):
            return {**node(origin.item), "port": origin.port}
        if isinstance(origin, FromPhoto):
            return {"photo": items.photo_name(origin.path), "sha256": origin.digest}
        assert isinstance(origin, FromScalar)
        return {"value": origin.value}

    def node(item: ItemId) -> dict[str, Any]:
        if item not in seen:
            case = case_of(item)
            told = dict(case.components)
            told["step"] = item[0]
            wires = told.pop("wires")
            told["inputs"] = {
                name: {"members": len(wires[name]), "keys": wires[name][:MOST_MEMBERS]}
                if len(origins) > MOST_MEMBERS
                else [source(origin) for origin in origins]
                for name, origins in case.wires.items()
            }
            seen[item] = told
        return seen[item]

    return node(item)
