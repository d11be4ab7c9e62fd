"""Chunks that one slow batch holds up: the rest of them is given to somebody else.

A worker cannot be interrupted in an op, but it can be told what is no longer its own before it goes
on. Its journal grows with everything that it takes in hand or lets go; one that has not grown for
long is in the midst of something slow.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from engine.hands import journal_size
from engine.jobs import Chunk, ChunkResult

#: Seconds in the midst of one batch after which the rest of a chunk goes elsewhere.
SLOW_S = 10.0
#: Seconds between looks at the journals.
LOOK_EVERY_S = 0.5


class Stragglers:
    """Watches the journals of chunks under way."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._seen: dict[str, tuple[int, float]] = {}  # bytes of a journal, and since when
        self._looked = 0.0

    def among(self, chunks: Iterable[Chunk], now: float | None = None) -> Iterator[Chunk]:
        """Yield those that are held up, and have more to do than one home."""
        now = time.monotonic() if now is None else now
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        before, self._seen = self._seen, {}
        for chunk in chunks:
            if len(chunk.home) < 2:
                continue
            size = journal_size(self._run_dir, chunk.id)
            was, since = before.get(chunk.id, (-1, now))
            self._seen[chunk.id] = (size, since if size == was else now)
            if size and now - self._seen[chunk.id][1] > SLOW_S:
                self._seen[chunk.id] = (size, now)  # and again when it takes as long once more
                yield chunk


def own_part(result: ChunkResult, chunk: Chunk) -> ChunkResult:
    """What the result of a split chunk says of what was left to it, and of more that is done."""
    if not chunk.split:
        return result
    mine = {job.id for job in chunk.jobs}
    files = {export.path for export in chunk.exports}
    return replace(
        result,
        outcomes=tuple(o for o in result.outcomes if o.item in mine or o.status == "done"),
        written=tuple(one for one in result.written if one.path in files),
        failed_exports=tuple(one for one in result.failed_exports if one[0].path in files),
    )
