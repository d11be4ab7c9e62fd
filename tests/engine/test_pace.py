"""Time left: told once every unfinished step has begun."""

from engine.pace import parts_done, time_left_s


def step(done: int, to_run: int) -> dict[str, int]:
    return {"items": done + to_run, "done": done, "to_run": to_run}


def test_what_is_left_at_the_rate() -> None:
    assert time_left_s({"a": step(6, 3), "b": step(1, 8)}, 2.0) == 5.5
    assert time_left_s({"a": step(9, 0), "b": step(0, 0)}, 2.0) == 0.0


def test_unknown_without_a_rate_or_before_a_step_has_begun() -> None:
    assert time_left_s({"a": step(0, 3)}, 0.0) is None
    assert time_left_s({"a": step(6, 3), "b": step(0, 9)}, 2.0) is None


def test_parts_count_as_begun_and_are_no_more_than_is_left() -> None:
    counts = {"a": step(6, 3), "b": step(0, 1)}
    assert parts_done(counts, {"b": 4.0, "gone": 1.0}) == {"a": 0.0, "b": 1.0}
    assert time_left_s(counts, 1.0, {"b": 0.25}) == 3.75
