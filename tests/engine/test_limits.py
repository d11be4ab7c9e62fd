"""Broken rather than unlucky."""

from dataclasses import replace

import pytest

from engine.dag import Graph, RunOptions, Step
from engine.errors import RunError
from engine.jobs import Outcome
from engine.limits import check_failures
from engine.op import op, read_op
from engine.values import Scalar


@op(version=1)
def same(value: Scalar) -> Scalar:
    """The value."""
    return value


def graph(limit: str, on_error: str = "quarantine") -> Graph:
    step = Step("a", read_op(same), (), {}, {}, ("x",), on_error=on_error)  # type: ignore[arg-type]
    empty = Graph("t", "", "", {}, {}, {}, {}, {"a": step}, ())
    return replace(empty, run=RunOptions(max_failures=limit))


BAD = [Outcome(("a", 0), "quarantined", "k", message="ouch")]


@pytest.mark.parametrize(("limit", "allowed"), [("", 100), ("5%", 5), ("3", 3), ("0", 0)])
def test_a_run_may_fail_so_often_and_no_more(limit: str, allowed: int) -> None:
    check_failures(graph(limit), BAD, {"a": {"items": 100, "quarantined": allowed}})
    if limit:
        with pytest.raises(RunError, match="max_failures"):
            check_failures(graph(limit), BAD, {"a": {"items": 100, "quarantined": allowed + 1}})


def test_a_step_that_must_not_fail_stops_the_run() -> None:
    with pytest.raises(RunError, match="step 'a' must not fail, but did: ouch"):
        check_failures(graph("", "fail"), BAD, {"a": {"items": 9, "quarantined": 1}})


def test_what_is_skipped_is_no_failure() -> None:
    skipped = [Outcome(("a", 0), "skipped", "k")]
    check_failures(graph("0", "fail"), skipped, {"a": {"items": 9, "quarantined": 1}})
