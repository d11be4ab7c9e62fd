"""A packed set answers as a set does."""

from hypothesis import given
from hypothesis import strategies as st

from engine.marks import Marks


@given(st.lists(st.text(max_size=3)), st.text(max_size=3))
def test_it_is_a_set(texts: list[str], other: str) -> None:
    marks, seen = Marks(), set[str]()
    for text in texts:
        assert marks.add(text) == (text not in seen)
        seen.add(text)
    assert len(marks) == len(seen)
    assert all(text in marks for text in seen)
    assert (other in marks) == (other in seen)


def test_it_grows() -> None:
    marks = Marks()
    assert all(marks.add(f"{i:x}") for i in range(10_000))
    assert not any(marks.add(f"{i:x}") for i in range(10_000))
    assert "none" not in marks
