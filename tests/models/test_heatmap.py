"""Tables of numbers as pictures."""

import numpy as np
import pytest

from models.heatmap import draw_lines, draw_matrix, shade, stack_pages


def test_shades_grow_with_the_number_and_keep_its_sign() -> None:
    assert shade(0.0) == (255, 255, 255)
    assert shade(1.0) == shade(7.0) != shade(0.5)
    red, _, blue = shade(0.5)
    assert red > blue
    red, _, blue = shade(-0.5)
    assert blue > red
    assert len(set(shade(float("nan")))) == 1


@pytest.mark.parametrize("count", [1, 4])
def test_every_cell_is_drawn_in_its_shade(count: int) -> None:
    names = [f"name{i}" for i in range(count)]
    values = [[(i - j) / 4 for j in range(count)] for i in range(count)]
    page = np.array(draw_matrix("title", names, names, values))
    for value in (v for row in values for v in row):
        assert (page == shade(value)).all(2).sum() > 500


def test_pages_stand_one_above_the_other() -> None:
    a, b = draw_lines(["short"]), draw_lines(["a longer line", "and another"])
    both = stack_pages([a, b])
    assert both.size == (max(a.width, b.width), a.height + b.height)
    assert np.array_equal(np.array(both)[a.height :, : b.width], np.array(b))
