"""engine/aside.py: what is missing because of an item set aside, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.history import load_run
from engine.report import read_page
from engine.status import read_status
from run_workflow import run

OPS = Path(__file__).with_name("toy_ops.py")
FLOW = """
version: 1
name: fallback
sources: {x: {values: [1, 2, 3]}}
steps:
  first:  {op: picky, in: {value: x}, with: {hate: 2}}
  again:  {op: double, in: {value: first}}
  second: {op: picky, in: {value: x}, with: {hate: OTHER}}
  best:   {op: coalesce, in: {values: [again, second]}}
  sum:    {op: total, in: {values: best}, gather: {over: x}, with: {names: "{x.value}"}}
outputs: [{from: sum, to: sum.csv}]
"""


@pytest.mark.parametrize(
    ("flow", "code", "missing", "covered"),
    [
        (FLOW.replace("OTHER", "9"), 0, 0, 1),
        (FLOW.replace("OTHER", "2"), 3, 1, 0),  # refused twice, and counted once
        (FLOW.replace("OTHER", "3"), 0, 0, 2),  # the fallback was not needed where it failed
        (FLOW.replace("OTHER", "9").replace("from: sum", "from: again"), 3, 1, 0),
        (FLOW.replace("OTHER", "9").replace("values: best", "values: again"), 3, 1, 0),
    ],
)
def test_only_what_something_lacks_is_missing(
    flow: str, code: int, missing: int, covered: int, tmp_path: Path
) -> None:
    places: dict[str, Any] = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    for _ in range(2):
        result = run(flow, ops=[OPS], workers=0, **places)
        found = (result.exit_code, result.aside.missing, result.aside.covered)
        assert found == (code, missing, covered)
    told = result.as_text()
    assert (f"{missing} item set aside" in told) == bool(missing)
    assert ("covered by coalesce" in told) == bool(covered)
    assert ("covered by coalesce" in read_status(tmp_path / "out").as_text()) == bool(covered)
    refusals = read_page(result.run_dir).refusals
    assert any("covered by coalesce" in r.step for r in refusals) == bool(covered)
    assert json.dumps(load_run(result.run_dir).summary)
