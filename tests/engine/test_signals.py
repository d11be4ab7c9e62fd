"""Ctrl-C once, Ctrl-C twice."""

import os
import signal
from pathlib import Path

import pytest

from engine.signals import InterruptedRunError, interrupts
from tests.engine.test_runner import SLOW, Command, contents


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with interrupts() as seen:
        seen.check()
        assert not seen.draining
        os.kill(os.getpid(), number)
        assert seen.draining
        with pytest.raises(InterruptedRunError) as error:
            os.kill(os.getpid(), number)
    assert error.value.exit_code == code
    assert number.name in str(error.value)
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait_for_what_workers_are_doing(tmp_path: Path) -> None:
    command = Command(tmp_path)
    (tmp_path / "flow.yaml").write_text(SLOW.replace("0.04", "0.4"))  # chunks take some seconds
    process = command.start()
    command.some(process)
    before = contents(command.out)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=250)
    assert process.returncode in (130, 143)
    told = [line for line in errors.splitlines() if not line.startswith("finishing ")]
    assert len(told) == 1
    assert contents(command.out) == before
