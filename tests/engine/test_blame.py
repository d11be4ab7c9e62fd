"""What an exception says about an item."""

import pytest

from engine.blame import is_out_of_memory, reason_of
from engine.errors import ItemError, OpError


class ModelError(Exception):
    """Named like the one of the networks' package, which the engine never imports."""


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (ItemError("no_face", "nobody"), "no_face", "nobody"),
        (MemoryError("big"), "out_of_memory", "not enough memory for one item: big"),
        (OutOfMemoryError("cuda"), "out_of_memory", "not enough memory for one item: cuda"),
        (ModelError("x.pkl: no generator"), "op_error", "x.pkl: no generator"),
        (OpError("port 'a' is wrong"), "op_error", "port 'a' is wrong"),
        (KeyError("b"), "op_error", "KeyError: 'b'"),
    ],
)
def test_every_exception_has_a_reason_and_words(
    error: Exception, reason: str, message: str
) -> None:
    assert reason_of(error)[:2] == (reason, message)


def test_memory_of_the_processor_runs_out_in_words() -> None:
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 byte"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_only_surprises_bring_a_traceback() -> None:
    assert reason_of(ItemError("no_face", "nobody"))[2] == ""
    assert "KeyError" in reason_of(KeyError("b"))[2]
