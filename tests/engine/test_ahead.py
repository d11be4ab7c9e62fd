"""Photos decoded before they are asked for: as far as there is room, at nobody's cost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from engine import ahead as module
from engine.ahead import Ahead
from engine.dag import Ref, Step, Wire
from engine.errors import ItemError
from engine.hands import Hands
from engine.jobs import Chunk, FromPhoto, Job, Program
from engine.own_ops import read_own_ops
from engine.photos import read_photo
from engine.supply import Supply

OPS = {spec.name: spec for spec in read_own_ops(Path(__file__).with_name("toy_ops.py"))}
STEP = Step("a", OPS["look_after"], (Wire("image", (Ref("x"),)),), {}, {}, ("x",))


def jobs_of(folder: Path, count: int) -> list[Job]:
    from PIL import Image as Pillow

    jobs = []
    for number in range(count):
        path = folder / f"{number}.png"
        Pillow.new("RGB", (30 - number, 6 + number), "teal").save(path)
        source = FromPhoto(str(path), sha256(path.read_bytes()).hexdigest())
        jobs.append(Job("a", number, f"k{number}", "", {"image": (source,)}, {}))
    return jobs


def source_of(job: Job) -> FromPhoto:
    [source] = job.inputs()
    assert isinstance(source, FromPhoto)
    return source


@contextmanager
def opened(
    folder: Path, jobs: Sequence[Job], *, step: Step = STEP, beside: bool = True
) -> Iterator[Ahead]:
    program = Program({"a": STEP}, str(folder), str(folder), str(folder))
    hands = Hands(str(folder), "c1", guard=False)
    supply = Supply(program, Chunk("c1", "", (), ()))
    with Ahead(supply, hands, ((step, job) for job in jobs), beside=beside) as ahead:
        yield ahead
    hands.close()


def test_every_photo_arrives_as_it_is(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 5)
    with opened(tmp_path, jobs) as ahead:
        for job in ahead.along(STEP, jobs):
            source = source_of(job)
            assert torch.equal(ahead.photo(STEP, job, source).data, read_photo(source.path).data)


def test_what_is_coming_needs_its_file_no_more(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 3)
    with opened(tmp_path, jobs) as ahead:
        for job in ahead.along(STEP, jobs):
            assert ahead.photo(STEP, job, source_of(job)).data.shape[2] == 6 + job.number
            for coming in ahead._coming.values():
                coming.result()
            if job.number < 2:
                Path(source_of(jobs[job.number + 1]).path).unlink()


@pytest.mark.parametrize(("photos", "most"), [(100, 5), (2, 2), (1, 1), (0.5, 0)])
def test_no_more_are_coming_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: float, most: int
) -> None:
    largest = 3 * 25 * 11 * 4  # bytes of the last of six
    monkeypatch.setattr(module, "AHEAD_BYTES", int(photos * largest))
    jobs = jobs_of(tmp_path, 6)[::-1]
    with opened(tmp_path, jobs) as ahead:
        for job in ahead.along(STEP, jobs):
            ahead.photo(STEP, job, source_of(job))
            unseen = job.number == 5  # how large they are was not known yet
            assert len(ahead._coming) == (max(most, 1) if unseen else min(most, job.number))


def test_a_bad_photo_is_refused_when_its_turn_comes(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 3)
    Path(source_of(jobs[1]).path).write_bytes(b"altered")
    arrived = []
    with opened(tmp_path, jobs) as ahead:
        for job in ahead.along(STEP, jobs):
            if job.number == 1:
                with pytest.raises(ItemError, match="changed while the run was on"):
                    ahead.photo(STEP, job, source_of(job))
            else:
                ahead.photo(STEP, job, source_of(job))
                arrived.append(job.number)
    assert arrived == [0, 2]


def test_nothing_is_read_ahead_for_a_suspect_or_after_memory_ran_out(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 2)
    with opened(tmp_path, jobs, beside=False) as ahead:
        for job in ahead.along(STEP, jobs):
            ahead.photo(STEP, job, source_of(job))
            assert not ahead._coming
        assert not ahead.give_up()
    (tmp_path / "again").mkdir()
    with opened(tmp_path / "again", jobs) as ahead:
        for job in ahead.along(STEP, jobs):
            ahead.photo(STEP, job, source_of(job))
            assert ahead.give_up() is (job.number == 0), "the next one was let go"
            assert not ahead._coming


def test_a_step_with_a_condition_reads_no_photo_it_may_not_want(tmp_path: Path) -> None:
    from engine import when
    from engine.dag import When

    gated = replace(STEP, when=When("x > 1", when.parse("x > 1"), (Ref("x"),)))
    jobs = jobs_of(tmp_path, 3)
    with opened(tmp_path, jobs, step=gated) as ahead:
        for _ in ahead.along(gated, jobs):
            assert not ahead._coming
