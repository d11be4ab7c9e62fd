"""Messages between the processes of a run that do not hang on the wall clock.

Tornado's loops go by it. When it is set back while a message of Dask waits for its batch, for two
thousandths of a second, the message is sent once the clock is there again: hours later, perhaps.
"""

import time
from typing import Any


def steady() -> None:
    """Let all loops of this process, and Dask's batches, go by the clock that never jumps.

    To be called before there is a loop: what one has scheduled by the other clock would never come.
    """
    from distributed import batched
    from tornado.ioloop import IOLoop

    batched.time = time.monotonic  # type: ignore[attr-defined]
    IOLoop.time = lambda _self: time.monotonic()  # type: ignore[method-assign, assignment]


def dask_setup(_worker: Any) -> None:
    """Do so in a worker that starts (Dask calls it when the module is preloaded)."""
    steady()
