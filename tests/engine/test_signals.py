"""Ctrl-C once, Ctrl-C twice."""

import os
import signal

import pytest

from engine.signals import InterruptedRunError, interrupts


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
