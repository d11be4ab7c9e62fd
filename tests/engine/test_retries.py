"""Tries, pauses, and what a dead worker left done."""

from engine.dag import Step
from engine.hands import Grip
from engine.jobs import Chunk, ChunkResult, FromItem, FromScalar, Job, Outcome
from engine.op import op as mark
from engine.op import read_op
from engine.records import Record
from engine.retries import Tries, cause_of_death, is_passing, left_done, without
from engine.values import Scalar


@mark(version=1)
def same(value: Scalar) -> Scalar:
    """The value."""
    return value


def job(step: str, number: int, *, reads: str = "") -> Job:
    source = FromItem((reads, number), "value") if reads else FromScalar(1)
    return Job(step, number, f"{step}{number}", "", {"value": (source,)}, {})


CHUNK = Chunk(
    "c", "0:x", (job("a", 0), job("a", 1), job("b", 0, reads="a"), job("c", 0, reads="b")), ()
)


def test_an_item_has_as_many_tries_as_its_step_allows() -> None:
    tries = Tries({"a": Step("a", read_op(same), (), {}, {}, ("x",), retries=2)})
    assert [tries.use(("a", 0)) for _ in range(3)] == [True, True, False]
    assert tries.use(("a", 1))


def test_pauses_double_up_to_a_limit() -> None:
    tries = Tries({"a": Step("a", read_op(same), (), {}, {}, ("x",), retries=99)})
    pauses = []
    for _ in range(10):
        tries.use(("a", 0))
        pauses.append(tries.pause([("a", 0)]))
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == 60.0


def test_only_failures_that_may_pass_are_tried_again() -> None:
    outcome = Outcome(("a", 0), "quarantined", "k", reason="op_error")
    assert is_passing(outcome)
    assert not is_passing(Outcome(("a", 0), "quarantined", "k", reason="no_face"))
    assert not is_passing(Outcome(("a", 0), "skipped", "k"))


def test_what_depends_on_a_second_try_stays_open() -> None:
    outcomes = (
        Outcome(("a", 0), "quarantined", "a0", reason="op_error"),
        Outcome(("a", 1), "done", "a1"),
        Outcome(("b", 0), "skipped", "b0"),
        Outcome(("c", 0), "skipped", "c0"),
    )
    left = without(ChunkResult("c", outcomes, ()), CHUNK, [("a", 0)])
    assert [o.item for o in left.outcomes] == [("a", 1)]


def test_packs_tell_what_a_dead_worker_had_done() -> None:
    records = [
        Record("a0", scalars={"value": 1}, pack="p"),
        Record("a1", "failed", "no_face", "nobody", pack="p"),
        Record("of another run", pack="p"),
    ]
    found = {o.item: o for o in left_done(CHUNK, records).outcomes}
    assert {item: o.status for item, o in found.items()} == {
        ("a", 0): "done",
        ("a", 1): "quarantined",
    }
    assert found["a", 1].reason == "no_face"


def test_the_cause_of_death_is_told() -> None:
    def cause(trace: str) -> str:
        return cause_of_death(Grip(frozenset(), (), trace))

    assert "Segmentation fault" in cause("Fatal Python error: Segmentation fault\n\nThread")
    assert "timeout" in cause("Timeout (0:00:02)!\nThread")
    assert "killed" in cause("")
