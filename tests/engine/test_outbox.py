"""What a chunk writes: in order, bounded, and whole before the chunk is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engine import outbox as module
from engine.codecs import decode
from engine.errors import StoreError
from engine.hands import Hands
from engine.jobs import Export, FromItem, Outcome, Program
from engine.outbox import Outbox
from engine.records import Record
from engine.store import open_store, read_port
from engine.values import Image


@contextmanager
def opened(folder: Path, *, beside: bool) -> Iterator[Outbox]:
    root = open_store(folder / "store")
    program = Program({}, str(root), str(folder / "out" / ".run"), str(folder / "out"))
    hands = Hands(program.run_dir, "c1", guard=False)
    try:
        with Outbox(program, hands, beside=beside) as outbox:
            yield outbox
    finally:
        hands.close()


def picture(number: int) -> Image:
    return Image(torch.full((1, 3, 4, 4), number / 127.5 - 1))


def fill(outbox: Outbox, folder: Path, count: int) -> None:
    for number in range(count):
        item = ("p", number)
        outbox.store(
            Outcome(item, "done", f"k{number}"), Record(f"k{number}"), {"image": picture(number)}
        )
        path = str(folder / "out" / f"{number}.png")
        outbox.export(
            Export(0, path, FromItem(item, "image"), item, "key", "png", 95, ""), picture(number)
        )
        outbox.flush(due=True)


@pytest.mark.parametrize("beside", [True, False])
def test_everything_is_there_when_it_closes(tmp_path: Path, beside: bool) -> None:
    with opened(tmp_path, beside=beside) as outbox:
        fill(outbox, tmp_path, 4)
        outbox.flush()
    assert [outcome.item[1] for outcome in outbox.outcomes] == [0, 1, 2, 3]
    assert [Path(written.path).stem for written in outbox.written] == ["0", "1", "2", "3"]
    for outcome in outbox.outcomes:
        assert outcome.record is not None
        payload = read_port(tmp_path / "store", outcome.record, "image")
        assert payload is not None
        value = decode(payload)
        assert isinstance(value, Image)
        assert torch.allclose(value.data, picture(outcome.item[1]).data)


def test_no_more_waits_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 3 * picture(0).data.nbytes)
    with opened(tmp_path, beside=True) as outbox:
        for number in range(20):
            fill(outbox, tmp_path, 1)
            assert outbox._queued <= module.WAITING_BYTES, number
        outbox.flush()
    assert len(outbox.written) == 20


def write_two(folder: Path, *, beside: bool) -> None:
    with opened(folder, beside=beside) as outbox:
        fill(outbox, folder, 2)
        outbox.flush()


@pytest.mark.parametrize("beside", [True, False])
def test_a_disk_that_refuses_a_pack_stops_the_chunk(tmp_path: Path, beside: bool) -> None:
    open_store(tmp_path / "store")
    (tmp_path / "store" / "packs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        write_two(tmp_path, beside=beside)


def test_each_step_has_packs_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path, beside=True) as outbox:
        for number in range(6):
            item = ("dear" if number % 2 else "cheap", number)
            record = Record(f"k{number}")
            outbox.store(Outcome(item, "done", record.key), record, {"image": picture(number)})
        outbox.flush()
    packs = {}
    for outcome in outbox.outcomes:
        assert outcome.record is not None
        packs.setdefault(outcome.record.pack, set()).add(outcome.item)
    assert list(packs.values()) == [
        {("cheap", 0), ("cheap", 2), ("cheap", 4)},
        {("dear", 1), ("dear", 3), ("dear", 5)},
    ]
