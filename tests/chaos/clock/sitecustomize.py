"""Read by every Python process of a disturbed run: its wall clock is wrong by what a file says."""

import mmap
import os
import struct
import time
from pathlib import Path

_path = os.environ.get("CHAOS_CLOCK")
if _path:
    with Path(_path).open("rb") as _file:
        _offset = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    _now, _now_ns = time.time, time.time_ns

    def _time() -> float:
        return float(_now() + struct.unpack("d", _offset[:8])[0])

    def _time_ns() -> int:
        return _now_ns() + int(struct.unpack("d", _offset[:8])[0] * 1e9)

    time.time, time.time_ns = _time, _time_ns
