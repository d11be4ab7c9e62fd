"""When a run is broken rather than unlucky: `max_failures` and `on_error: fail`."""

from collections.abc import Mapping, Sequence

from engine.dag import Graph
from engine.errors import RunError
from engine.jobs import Outcome


def check_failures(
    graph: Graph, news: Sequence[Outcome], counts: Mapping[str, Mapping[str, int]]
) -> None:
    """Stop the run when an item failed that must not, or too many did.

    A percentage is of the items of one step; a count is of the whole run.
    Raises: RunError.
    """
    failed = [outcome for outcome in news if outcome.status == "quarantined"]
    for outcome in failed:
        if graph.steps[outcome.item[0]].on_error == "fail":
            raise RunError(f"step '{outcome.item[0]}' must not fail, but did: {outcome.message}")
    limit = graph.run.max_failures
    if not failed or not limit:
        return
    if not limit.endswith("%"):
        total = sum(count["quarantined"] for count in counts.values())
        if total > int(limit):
            raise RunError(f"{total} items failed, more than max_failures: {limit} allows")
        return
    share = float(limit[:-1]) / 100
    for name in {outcome.item[0] for outcome in failed}:
        count = counts[name]
        if count["quarantined"] > share * count["items"]:
            raise RunError(
                f"{count['quarantined']} of {count['items']} items failed in step '{name}', "
                f"more than max_failures: {limit} allows; the last one: {failed[-1].message}"
            )
