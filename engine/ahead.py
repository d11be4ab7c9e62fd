"""Photos decoded by a thread while ops work on earlier ones, so that nobody waits for a JPEG."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from engine.blame import is_out_of_memory
from engine.calling import least_side
from engine.dag import Step
from engine.errors import OpError
from engine.hands import Hands
from engine.jobs import FromPhoto, Job
from engine.supply import Supply
from engine.values import Image

#: Decoded photos that may wait for an op: bytes, and how many.
AHEAD_BYTES = 512 << 20
MOST = 64


@dataclass(frozen=True, slots=True)
class _Need:
    """A photo that a job reads, and the least side it must have."""

    step: Step
    job: Job
    source: FromPhoto
    least_px: int

    @property
    def name(self) -> tuple[str, int]:
        """What tells it from others."""
        return (self.source.digest, self.least_px)


class Ahead:
    """The photos that the jobs of one chunk read, in order. Use as a context.

    With `beside` false nothing is decoded before it is asked for: where a suspect is on its own,
    nobody else may be in hand.
    """

    def __init__(
        self, supply: Supply, hands: Hands, reads: Iterable[tuple[Step, Job]], *, beside: bool
    ) -> None:
        self._supply = supply
        self._hands = hands
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decode") if beside else None
        self._coming: dict[tuple[str, int], Future[Image]] = {}
        self._largest = 0  # bytes of a decoded one
        # A step with a condition may want none of its photos.
        plain = ((step, job) for step, job in reads if beside and step.when is None)
        self._next = deque(need for step, job in plain for need in _needs(step, job))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def along(self, step: Step, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield the jobs of a step one by one, in the order of the chunk."""
        for job in jobs:
            self._reach()
            yield job
            while self._next and self._next[0].job is job:
                self._next.popleft()
            for need in _needs(step, job):  # it may have gone without them
                self._coming.pop(need.name, None)

    def photo(self, step: Step, job: Job, source: FromPhoto) -> Image:
        """The photo that a job reads.

        Raises: ItemError when it cannot be decoded.
        """
        need = _Need(step, job, source, least_side(step.op, job.settings))
        known = self._supply.photo(source, need.least_px)
        if known is not None:
            return known
        coming = self._coming.pop(need.name, None)
        photo = self._arrived(coming) if coming is not None else None
        if photo is None:
            photo = self._decode(need, beside=False)
        self._supply.keep_photo(source, photo, need.least_px)
        self._largest = max(self._largest, photo.data.nbytes)
        self._reach()
        return photo

    def give_up(self) -> bool:
        """Let go of what was decoded ahead, for good; tell whether that freed any memory."""
        if self._pool is None:
            return False
        had = bool(self._coming)
        self._pool.shutdown(cancel_futures=True)
        self._pool = None
        self._coming.clear()
        return had

    def _arrived(self, coming: "Future[Image]") -> Image | None:
        """A photo that was decoded ahead; None when there was no room for it beside an op."""
        try:
            return coming.result()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.give_up()
            return None

    def _reach(self) -> None:
        """Have the next photos decoded, as far as there is room for them."""
        while self._pool is not None and self._next and self._has_room():
            need = self._next.popleft()
            known = self._supply.photo(need.source, need.least_px)
            if known is not None or need.name in self._coming:
                continue
            import torch  # noqa: F401  (seconds of loading are no item's time)

            self._coming[need.name] = self._pool.submit(self._decode, need, beside=True)

    def _has_room(self) -> bool:
        if not self._largest:  # nobody knows yet how large they are
            return len(self._coming) < 2
        return len(self._coming) < min(MOST, AHEAD_BYTES // self._largest)

    def _decode(self, need: _Need, *, beside: bool) -> Image:
        """Decode a photo: C code on foreign bytes, so its item is held in hand."""
        import torch  # noqa: F401  (seconds of loading are no item's time)

        from engine.photos import read_photo

        with (
            self._hands.holding(need.step.name, [need.job.number], beside=beside),
            self._hands.limited(need.step.timeout_s),
        ):
            return read_photo(need.source.path, need.source.digest, need.least_px)


def _needs(step: Step, job: Job) -> Iterator[_Need]:
    """The photos that a job reads."""
    sources = [source for source in job.inputs() if isinstance(source, FromPhoto)]
    try:
        least_px = least_side(step.op, job.settings) if sources else 0
    except OpError:  # who loads the job will be told
        return iter(())
    return (_Need(step, job, source, least_px) for source in sources)
