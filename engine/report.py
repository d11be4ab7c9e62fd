"""ledger -> report.html: what a run was asked, did, made and set aside."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.drawing import Outline, Tally
from engine.history import ItemRow, RunRecord, load_items, load_run, load_times
from engine.ledger import OutputRow
from engine.page import Comparison, Fact, Page, Refusal, StepLine, duration, plural, render
from engine.shots import PICTURES, Wanted, data_uri, take_shots
from engine.staging import write_whole
from engine.story import read_outline

REPORT = "report.html"
#: Most pictures, comparisons and tracebacks on the page, which must open everywhere.
MOST_SHOTS, MOST_PAIRS, MOST_TRACEBACKS = 60, 30, 200
#: Exit codes above this are 128 and the number of the signal that stopped the run.
STOPPED = 128
#: What is said of items that a coalesce found another for.
COVERED = " (covered by coalesce)"
_FATES = ("done", "cached", "quarantined", "skipped")


def write_report(run_dir: Path) -> Path:
    """Write the report of the last run of a folder; give its path.

    Raises: UsageError when no run was made there.
    """
    path = run_dir / REPORT
    text = render(read_page(run_dir))
    write_whole(path, [text.encode(errors="replace")], run_dir / "staging")
    return path


def read_page(run_dir: Path) -> Page:
    """Make the page of the last run of a folder."""
    run = load_run(run_dir)
    refused = load_items(run_dir, status="quarantined")
    moments, saved = load_times(run_dir)
    out = run_dir.parent
    asked = _asked(run_dir, run)
    present = [
        row
        for row in run.outputs.values()
        if (asked is None or row.path in asked) and (out / row.path).exists()
    ]
    drawn = read_outline(run.info["outline"])
    return Page(
        title=str(run.info["name"]),
        state=state_of(run),
        seconds=float(run.summary.get("seconds", _elapsed(run))),
        started=_when(run.started),
        outline=drawn,
        steps=[_line(node.id, node.caption, node.axes, run) for node in _steps(drawn)],
        outputs=len(present),
        shots=[shot for shot in take_shots(_chosen(present, out)) if shot],
        comparisons=_comparisons(run.summary.get("pairs", ()), out),
        refusals=_refusals(refused, run),
        moments=moments,
        saved_seconds=saved,
        stale=run.summary.get("stale", ()),
        part=run.part,
        facts=[
            *_facts({"workflow": run.info["file"], "command": run.info["command"]}),
            *_facts({"outputs": run.info["out"], "machine": run.info["machine"]}),
            *_facts({"stopped by": run.summary["error"]} if run.summary.get("error") else {}),
        ],
        params=_facts(run.info["params"]),
        models=_facts(run.info["models"]),
        versions=_facts(run.info["versions"]),
        workflow=str(run.info["text"]),
    )


def state_of(run: RunRecord) -> str:
    """Say in one word how a run is or ended; see page.STATES."""
    if run.running:
        return "running"
    if run.finished is None:
        return "interrupted"
    code = int(run.summary.get("exit_code", 0))
    return {0: "done", 3: "partial"}.get(code, "interrupted" if code > STOPPED else "failed")


def _asked(run_dir: Path, run: RunRecord) -> set[str] | None:
    """The files that a finished run was to make, which need not be all that lie there."""
    try:
        told = json.loads((run_dir / "manifest.json").read_text()) if run.finished else None
        return None if told is None else {output["path"] for output in told["outputs"]}
    except (OSError, ValueError):
        return None


def _steps(drawn: Outline) -> list[Any]:
    return [node for node in drawn.nodes if node.kind == "step"]


def _line(name: str, op: str, axes: Sequence[str], run: RunRecord) -> StepLine:
    """What became of one step's items."""
    counts = run.counts.get(name, {})
    took = run.seconds.get(name, 0.0)
    done, cached, refused, skipped = (counts.get(fate, 0) for fate in _FATES)
    text = plural(done + cached + refused + skipped, "item")
    shown = took or run.spent.get(name, 0.0)  # a repeat tells what it took when it was made
    text += f" · {duration(shown)}" if shown >= 0.05 else ""
    tally = Tally(done, cached, refused, skipped, text)
    return StepLine(name, op, " × ".join(axes), tally, took, run.spent.get(name, 0.0))


def _chosen(rows: Sequence[OutputRow], out: Path) -> list[Wanted]:
    """Choose the pictures to show: sheets first, outputs with few files, then the others."""
    groups: dict[int, list[OutputRow]] = {}
    for row in rows:
        if Path(row.path).suffix.lower() in PICTURES:
            groups.setdefault(row.output, []).append(row)
    ordered = sorted(groups.values(), key=lambda group: (len(group) > 1, group[0].output))
    share = max(1, MOST_SHOTS // max(1, len(ordered)))
    return [
        Wanted(out / row.path, row.path, _link(row.path), featured=len(group) == 1, plays=True)
        for group in ordered
        for row in sorted(group, key=_place)[:share]
    ][:MOST_SHOTS]


def _place(row: OutputRow) -> tuple[int, str]:
    return (row.item[1], row.path)


def _link(path: str) -> str:
    """A link from the report to an output file."""
    from urllib.parse import quote

    return "../" + quote(os.fsencode(path))


def _comparisons(told: Iterable[Mapping[str, str]], out: Path) -> list[Comparison]:
    """Pair outputs with their photos, where both have the same pixels."""
    chosen = [pair for pair in told if (out / pair["path"]).exists()]
    photos = {pair["photo"]: Path(pair["photo"]) for pair in chosen}
    shots = take_shots([Wanted(path, path.name) for path in photos.values()])
    before = dict(zip(photos, shots, strict=True))
    after = take_shots([Wanted(out / pair["path"], pair["path"]) for pair in chosen])
    found = [
        Comparison(f"{pair['path']} · {pair['label']}", first, second)
        for pair, second in zip(chosen, after, strict=True)
        if (first := before[pair["photo"]]) and second and first.full_px == second.full_px
    ]
    return found[:MOST_PAIRS]


def _refusals(rows: Sequence[ItemRow], run: RunRecord) -> list[Refusal]:
    """What is shown of quarantined items: once for a photo that several steps refuse alike."""
    alike: dict[tuple[str, ...], list[ItemRow]] = {}
    for row in rows:
        same = (row.label, row.reason or "op_error", row.message)
        alike.setdefault((*same, COVERED * run.covered(row)), []).append(row)
    found: list[Refusal] = []
    for (label, reason, message, covered), group in alike.items():
        first, steps = group[0], ", ".join(row.step for row in group) + covered
        whole = len(found) < MOST_TRACEBACKS
        trace, picture = (first.traceback, first.thumbnail) if whole else ("", b"")
        found.append(
            Refusal(steps, label, reason, message, trace, data_uri(picture), items=len(group))
        )
    return found


def _facts(told: Mapping[str, Any]) -> list[Fact]:
    return [Fact(name, str(value)) for name, value in told.items()]


def _elapsed(run: RunRecord) -> float:
    """Seconds from the start to the end, or to now."""
    end = run.finished or datetime.now().timestamp()
    return max(0.0, end - run.started)


def _when(seconds: float) -> str:
    """A date as people write it."""
    moment = datetime.fromtimestamp(seconds).astimezone()
    return f"{moment.day} {moment:%B %Y, %H:%M}"
