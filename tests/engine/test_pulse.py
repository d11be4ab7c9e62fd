"""The pulse of a run: its rate, the time left, and the same for Prometheus."""

import re
from pathlib import Path

from engine.jobs import ChunkResult, Outcome
from engine.pulse import WINDOW_S, Meter, metrics, read_pulse, write_pulse


def counts(done: int, left: int) -> dict[str, dict[str, int]]:
    fates = {"done": done, "cached": 1, "quarantined": 0, "skipped": 0}
    return {'s"\\': {"items": done + left + 1, **fates, "to_run": left}}


def test_the_rate_is_that_of_the_last_minute() -> None:
    meter = Meter()
    start = meter.take(counts(0, 900)).at
    assert meter.take(counts(0, 900), start + 1).eta_s is None
    slow = meter.take(counts(10, 890), start + 10)
    assert 0.9 < slow.rate <= 1.01
    for second in range(20, 200, 10):
        fast = meter.take(counts(10 * second, 500), start + second)
    assert abs(fast.rate - 10) < 0.5, f"what was before {WINDOW_S} s ago does not count"
    assert fast.eta_s is not None
    assert abs(fast.eta_s - 50) < 3


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    meter = Meter()
    outcomes = (Outcome(("s", 0), "done", "k"), Outcome(("s", 1), "skipped", "k"))
    for worker in ("host:1", "host:1", "host:2"):
        meter.count(ChunkResult("1", outcomes, (), worker=worker, seconds=2.5, computing=2.0))
    pulse = meter.take(counts(3, 4))
    assert read_pulse(tmp_path) is None
    write_pulse(tmp_path, pulse)
    assert read_pulse(tmp_path) == pulse
    assert (pulse.workers["host:1"].chunks, pulse.workers["host:1"].items) == (2, 2)
    assert (pulse.workers["host:1"].seconds, pulse.workers["host:1"].computing) == (5, 4)
    (tmp_path / "pulse.json").write_text("{cut")
    assert read_pulse(tmp_path) is None


def test_every_line_is_a_comment_or_a_sample() -> None:
    meter = Meter()
    meter.count(ChunkResult("1", (), (), worker="a\nb", seconds=1.0, computing=0.75))
    text = metrics(meter.take(counts(3, 4)))
    sample = re.compile(
        r'[a-z_]+(\{[a-z]+="([^"\\\n]|\\[\\"n])*"(,[a-z]+="([^"\\\n]|\\[\\"n])*")*\})? [-+.e\d]+'
    )
    kind = re.compile(r"# TYPE [a-z_]+ (gauge|counter)")
    assert text.endswith("\n")
    for line in text.splitlines():
        assert sample.fullmatch(line) or kind.fullmatch(line), line
    assert 'latentloom_items{step="s\\"\\\\",state="to_run"} 4' in text
    assert 'latentloom_worker_computing_seconds_total{worker="a\\nb"} 0.75' in text
