"""What a dead worker leaves: its journal, and who was in its hands."""

import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.hands import ADVANCE_EVERY_S, BegunBeforeError, Hands, forget, read_grip, under_way


def in_another_process(work: Callable[[str], None], run_dir: Path) -> int | None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=(str(run_dir),))
    process.start()
    process.join(20)
    return process.exitcode


def die_holding(run_dir: str) -> None:
    hands = Hands(run_dir, "c1", guard=True)
    with hands.holding("a", [1, 2]):
        pass
    hands.packed("packs/ab/one.pack")
    with hands.holding("b", [2]):
        os.kill(os.getpid(), signal.SIGKILL)


def crash_holding(run_dir: str) -> None:
    with Hands(run_dir, "c1", guard=True).holding("a", [7]):
        ctypes.string_at(0)


def hang_holding(run_dir: str) -> None:
    hands = Hands(run_dir, "c1", guard=True)
    with hands.holding("a", [7]), hands.limited(0.3):
        ctypes.PyDLL(None).sleep(60)  # never lets the interpreter go


def test_what_another_worker_died_of_is_not_begun_again(tmp_path: Path) -> None:
    assert in_another_process(hang_holding, tmp_path) == 1
    with pytest.raises(BegunBeforeError):
        Hands(str(tmp_path), "c1", guard=True)
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.overdue
    assert grip.held == {("a", 7)}
    forget(str(tmp_path), "c1")
    Hands(str(tmp_path), "c1", guard=False).close()


def test_parts_of_items_are_told_while_they_are_held(tmp_path: Path) -> None:
    one, two = (Hands(str(tmp_path), name, guard=False) for name in ("c1", "c2"))
    with one.holding("strip", [0]), two.holding("strip", [1, 2]):
        assert under_way(tmp_path) == {}
        one.advance(0.5)
        two.advance(0.25)
        assert under_way(tmp_path) == {"strip": 1.0}
    assert under_way(tmp_path) == {}
    one.close()
    two.close()


def test_an_op_that_never_stops_talking_writes_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("engine.hands.time.monotonic", lambda: clock)
    hands = Hands(str(tmp_path), "c1", guard=False)
    seen = set()
    with hands.holding("strip", [0]):
        for tick in range(1001):
            clock = tick / 1000 * 4 * ADVANCE_EVERY_S
            hands.advance(tick / 1000)
            seen.add(under_way(tmp_path)["strip"])
    assert sorted(seen) == [0, 0.25, 0.5, 0.75, 1]
    hands.close()


def test_parts_of_a_dead_worker_are_forgotten_with_its_journal(tmp_path: Path) -> None:
    hands = Hands(str(tmp_path), "c1", guard=False)
    with hands.holding("strip", [0]):
        hands.advance(0.5)
        forget(str(tmp_path), "c1")
        assert under_way(tmp_path) == {}
    hands.close()


def test_half_a_word_is_no_word(tmp_path: Path) -> None:
    (tmp_path / "hands").mkdir()
    (tmp_path / "hands" / "c1.share").write_text('{"step": "st')
    assert under_way(tmp_path) == {}


def test_a_killed_worker_leaves_its_packs_and_the_guilty(tmp_path: Path) -> None:
    assert in_another_process(die_holding, tmp_path) == -signal.SIGKILL
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.held == {("b", 2)}
    assert grip.packs == ("packs/ab/one.pack",)
    assert not grip.overdue


def test_a_crash_leaves_its_traceback(tmp_path: Path) -> None:
    assert in_another_process(crash_holding, tmp_path) == -signal.SIGSEGV
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.held == {("a", 7)}
    assert "Segmentation fault" in grip.trace
    assert "crash_holding" in grip.trace


def test_a_call_that_never_returns_is_ended_and_told_apart(tmp_path: Path) -> None:
    assert in_another_process(hang_holding, tmp_path) == 1
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.overdue
    assert "hang_holding" in grip.trace


def test_hands_that_let_go_hold_nothing(tmp_path: Path) -> None:
    hands = Hands(str(tmp_path), "c1", guard=False)
    with hands.holding("a", [1]), hands.limited(0.01):
        time.sleep(0.05)  # without guard nothing is ended
    hands.close()
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.held == frozenset()
    forget(str(tmp_path), "c1")
    assert list((tmp_path / "hands").iterdir()) == []


def test_a_chunk_that_never_began_left_nothing(tmp_path: Path) -> None:
    assert read_grip(str(tmp_path), "c9") is None


def test_a_journal_cut_in_the_middle_of_a_line_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    hands = Hands(str(tmp_path), "c1", guard=False)
    with hands.holding("a", [1]):
        with (tmp_path / "hands" / "c1.jsonl").open("a") as file:
            file.write('{"step": "b", "numb')
        grip = read_grip(str(tmp_path), "c1")
    hands.close()
    assert grip is not None
    assert grip.held == {("a", 1)}


def test_what_several_threads_hold_is_held_together(tmp_path: Path) -> None:
    hands = Hands(str(tmp_path), "c1", guard=False)
    held = []
    with hands.holding("a", [1, 2]):
        with hands.holding("b", [3], beside=True):
            held.append(read_grip(str(tmp_path), "c1"))
            hands.advance(0.5)
            assert under_way(tmp_path) == {"a": 1.0}
        held.append(read_grip(str(tmp_path), "c1"))
        assert under_way(tmp_path) == {"a": 1.0}
    held.append(read_grip(str(tmp_path), "c1"))
    hands.close()
    assert [set(grip.held) for grip in held if grip] == [
        {("a", 1), ("a", 2), ("b", 3)},
        {("a", 1), ("a", 2)},
        set(),
    ]


def hang_beside(run_dir: str) -> None:
    hands = Hands(run_dir, "c1", guard=True)
    with hands.holding("a", [7]), hands.limited(0.5):
        with hands.holding("b", [8], beside=True), hands.limited(60):
            pass  # that this has ended does not end the watch on the other
        with hands.limited(None):
            ctypes.PyDLL(None).sleep(60)


def test_the_nearest_of_several_limits_counts(tmp_path: Path) -> None:
    assert in_another_process(hang_beside, tmp_path) == 1
    grip = read_grip(str(tmp_path), "c1")
    assert grip is not None
    assert grip.overdue
    assert grip.held == {("a", 7)}
