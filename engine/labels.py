"""What the items of a source are called, for people and in ledgers: no two of them the same."""

from collections import Counter
from collections.abc import Callable, Sequence

from engine.dag import SourceItem
from engine.marks import Marks

#: What an item is called by, the first of these fields that it has.
NAMES = ("rel", "stem", "value")
#: What tells items of one name apart, tried in this order.
_MORE: tuple[Callable[[SourceItem], str], ...] = (
    lambda item: str(item.fields.get("ext", "")),
    lambda item: f"#{item.index}",
)


def plain_label(item: SourceItem) -> str:
    """What an item is called when no other has that name."""
    field = next((name for name in NAMES if name in item.fields), "")
    return str(item.fields[field] if field else item.index)


def longer_labels(items: Sequence[SourceItem]) -> dict[int, str]:
    """What those items of a source are called that would share a name, by their place in it.

    The extension tells pictures of one name apart ('a.jpg', 'a.png'), else the index ('a#0').
    """
    seen = Marks()
    if all(seen.add(plain_label(item)) for item in items):
        return {}
    plain = names = [plain_label(item) for item in items]
    for more in _MORE:
        counts = Counter(names)
        if len(counts) == len(names):
            break
        names = [
            f"{name}{more(item)}" if counts[name] > 1 else name
            for name, item in zip(names, items, strict=True)
        ]
    return {i: name for i, name in enumerate(names) if name != plain[i]}
