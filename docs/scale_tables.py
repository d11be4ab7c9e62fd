"""The tables of docs/scale.md, from the lines that the benchmarks wrote to docs/figures/*.jsonl."""

from collections.abc import Callable

from tables import lines, table

#: What `benchmarks/scale.py` tells of a folder, and how the page says it.
ITEMS = {
    "first chunk running, s": "first chunk running, s",
    "plan of a new folder, s": "`plan`, s",
    "cold, s": "cold run, s",
    "cold, ms per item-step": "per item and step, ms",
    "cached repeat, s": "repeated, s",
    "plan of a cached folder, s": "`plan` when all is cached, s",
    "one file added, s": "one file added, s",
    "driver cold, MB": "driver at most, MB",
    "driver repeated, MB": "driver when repeated, MB",
    "files in the store": "files in the store",
}


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def items() -> str:
    """What many items cost."""
    found = sorted(lines("scale", "measure"), key=lambda line: line["files"])
    rows = [
        (told, *(number(line[key]) if key in line else "" for line in found))
        for key, told in ITEMS.items()
    ]
    stored = [
        f"{line['latents']:,} codes of 2 KB: {number(line['cold, s'])} s, in "
        f"{line['files in the store']:,} files, driver {number(line['driver cold, MB'])} MB."
        for line in lines("scale", "latents")
    ]
    if not found:
        return table((), ())
    return "\n\n".join(
        (table(("", *(f"{line['files']:,} files" for line in found)), rows), *stored)
    )


def by_hand() -> str:
    """What the engine costs beside a loop."""
    rows = [
        (
            line["chain"],
            f"{line['by hand, s per item']:.4f}",
            f"{line['engine, s per item']:.4f}",
            f"{line['engine / by hand']:.2f}",
        )
        for line in lines("by_hand", "chain")
    ]
    head = ("chain", "by hand, processor s per item", "with the engine", "ratio")
    return table(head, rows)


def peers() -> str:
    """The same nothing in other tools, as a table of wall seconds."""
    found = lines("peers", "run")
    kinds = dict.fromkeys((line["files"], line["run"]) for line in found)
    by_peer: dict[str, dict[tuple[int, str], str]] = {}
    for line in found:
        told = line.get("failed") or f"{number(line['seconds'])} s"
        by_peer.setdefault(line["peer"], {})[line["files"], line["run"]] = told
    rows = [(peer, *(told.get(kind, "") for kind in kinds)) for peer, told in by_peer.items()]
    return table(("", *(f"{files:,} files, {run}" for files, run in kinds)), rows)


TABLES: dict[str, Callable[[], str]] = {
    "items": items,
    "by_hand": by_hand,
    "peers": peers,
}
