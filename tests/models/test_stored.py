"""Tensors as they lie in a file."""

import struct

import pytest

from models.errors import ModelError
from models.stored import (
    Storage,
    StoredTensor,
    blur_taps,
    check_tensors,
    contiguous,
    reshaped,
)


def stored(*values: float) -> Storage:
    return Storage("float32", len(values), lambda: struct.pack(f"<{len(values)}f", *values))


def test_a_strided_view_is_read_in_row_major_order() -> None:
    assert StoredTensor(stored(0, 1, 2, 3, 4, 5), (3, 2), (1, 3)).values() == [0, 3, 1, 4, 2, 5]


def test_axes_of_length_one_come_and_go() -> None:
    tensor = contiguous(stored(*range(6)), (1, 2, 3))
    assert reshaped(tensor, (2, 1, 3, 1)).shape == (2, 1, 3, 1)
    assert reshaped(tensor, (2, 1, 3, 1)).values() == tensor.values()
    assert reshaped(tensor, (3, 2)) is tensor


def test_taps_of_a_filter_by_hand() -> None:
    taps = (1.0, 3.0, 3.0, 1.0)
    kernel = contiguous(stored(*(a * b / 16 for a in taps for b in taps)), (4, 4))
    assert blur_taps(kernel) == taps


def test_filters_that_are_no_product_of_taps_are_refused() -> None:
    with pytest.raises(ModelError, match="separable"):
        blur_taps(contiguous(stored(1, 0, 0, 1), (2, 2)))
    with pytest.raises(ModelError, match="square"):
        blur_taps(contiguous(stored(1, 2), (1, 2)))
    with pytest.raises(ModelError, match="zero"):
        blur_taps(contiguous(stored(0, 0, 0, 1), (2, 2)))


def test_tensors_must_fit_exactly() -> None:
    tensors = {"a": contiguous(stored(1, 2), (1, 2))}
    assert check_tensors(tensors, {"a": (2,)}, "a test")["a"].shape == (2,)
    with pytest.raises(ModelError, match="b are missing"):
        check_tensors(tensors, {"a": (2,), "b": (1,)}, "a test")
    with pytest.raises(ModelError, match="a have no place"):
        check_tensors(tensors, {}, "a test")
    with pytest.raises(ModelError, match=r"must be \(3,\)"):
        check_tensors(tensors, {"a": (3,)}, "a test")
