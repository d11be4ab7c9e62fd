"""What another terminal sees of a run that goes on."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.folder import cancel, locked
from engine.jobs import ChunkResult, Outcome
from engine.ledger import Ledger
from engine.pulse import Meter, write_pulse
from engine.signals import CANCEL, InterruptedRunError, Interrupts
from engine.status import read_status

OUTLINE = {"outline": {"nodes": [], "edges": []}}


def test_rate_time_left_and_workers_while_it_goes_on(tmp_path: Path) -> None:
    run_dir = tmp_path / ".run"
    done = Outcome(("s", 0), "done", "k")
    meter = Meter()
    counts = {"s": {"items": 9, "done": 0, "to_run": 9}}
    write_pulse_before = meter.take(counts)
    with locked(tmp_path, run_dir):
        write_pulse(run_dir, write_pulse_before)
        with Ledger(run_dir) as ledger:
            ledger.begin(OUTLINE)
            assert "workers" not in read_status(tmp_path).as_json(), "that was another run's"
            took = {"seconds": 1.5, "computing": 1.2}
            meter.count(ChunkResult("1", (done, done), (), worker="host:7", **took))
            later = {"s": {"items": 9, "done": 6, "to_run": 3}}
            write_pulse(run_dir, meter.take(later, write_pulse_before.at + 3))
            ledger.record([(done, "s=0")])
            ledger.flush()
            found = read_status(tmp_path)
    told = found.as_json()
    assert told["rate"] == pytest.approx(2, rel=0.01)
    assert told["eta_s"] == pytest.approx(1.5, rel=0.01)
    assert told["workers"]["host:7"]["items"] == 2
    assert "2 items/s, about 1.5 s left" in found.as_text()
    assert "worker host:7: 1 chunk, 2 items in 1.5 s (80% in ops)" in found.as_text()
    assert "workers" not in read_status(tmp_path).as_json(), "it is over"


def test_only_a_run_that_goes_on_can_be_cancelled(tmp_path: Path) -> None:
    run_dir = tmp_path / ".run"
    with pytest.raises(UsageError, match="no run is going on"):
        cancel(run_dir)
    seen = Interrupts(run_dir / CANCEL)
    with locked(tmp_path, run_dir):
        assert not seen.draining
        cancel(run_dir)
        assert seen.draining
        with pytest.raises(InterruptedRunError) as error:
            seen.check()
        assert error.value.exit_code == 130
        cancel(run_dir, now=True)
        with pytest.raises(InterruptedRunError):
            _ = seen.draining
