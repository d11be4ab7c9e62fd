"""How long a run still takes, as far as what is done can tell."""

from collections.abc import Mapping

#: Per step: items, to_run, done, cached, quarantined, skipped.
Counts = Mapping[str, Mapping[str, int]]
#: Per step: how many items' worth is done of those under way.
Parts = Mapping[str, float]
NOTHING: Parts = {}


def parts_done(counts: Counts, under_way: Parts) -> dict[str, float]:
    """What is done of the items under way, at most as many as each step has left."""
    return {name: min(under_way.get(name, 0.0), c["to_run"]) for name, c in counts.items()}


def time_left_s(counts: Counts, rate: float, under_way: Parts = NOTHING) -> float | None:
    """Seconds until everything is done, at `rate` items per second; None while nobody can know.

    Items of different steps differ in cost by orders of magnitude, so before every unfinished step
    has begun, any number would be made up.
    """
    parts = parts_done(counts, under_way)
    waiting = {name: count["to_run"] for name, count in counts.items() if count["to_run"]}
    if not rate or any(not counts[name]["done"] and not parts[name] for name in waiting):
        return None
    return (sum(waiting.values()) - sum(parts.values())) / rate
