"""Messages whose batch is due while the wall clock is set back."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import time
wall, offset = time.time, [0.0]
time.time = lambda: wall() + offset[0]
from engine.steady import steady
if {steady}:
    steady()
import asyncio
from distributed.batched import BatchedSend

class Comm:
    sent = []
    def closed(self):
        return False
    async def write(self, messages, **_):
        self.sent += messages
        return 0

async def main():
    stream = BatchedSend(interval="50ms")
    stream.start(Comm())
    stream.send("one")
    await asyncio.sleep(0.01)
    stream.send("two")  # waits for its batch
    offset[0] = -1e6
    for _ in range(20):
        await asyncio.sleep(0.05)
    print(*Comm.sent)

asyncio.run(main())
"""


def sent(*, steady: bool) -> str:
    line = [sys.executable, "-c", SCRIPT.format(steady=steady)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_clock_set_back_holds_no_message() -> None:
    assert sent(steady=True) == "one two"
    assert sent(steady=False) == "one", "Dask goes by a steady clock now: engine/steady.py can go"
