"""What a grid allows, for every resolution."""

import pytest

from models import ModelError
from models.grid import cell_px, move, padding, scaling


@pytest.mark.parametrize("resolution", [32, 256, 1024])
def test_every_resolution_has_its_cells(resolution: int) -> None:
    at = 4
    while at <= resolution:
        cell = cell_px(resolution, at)
        assert cell * at == resolution
        assert scaling(resolution, at, None, 3 * cell) == (at, 3)
        assert move(resolution, at, (-2 * cell, cell)) == (-2, 1)
        around = {"left": cell, "right": 0}
        assert padding(resolution, at, around, "px", "reflect") == {"left": 1, "right": 0}
        if cell > 1:
            with pytest.raises(ModelError, match=f"multiple of {cell} px, such as {cell}$"):
                scaling(resolution, at, cell - 1, None)
            with pytest.raises(ModelError, match=f"such as {7 * cell} or {8 * cell}$"):
                padding(resolution, at, {"top": 7 * cell + 1}, "px", "replicate")
        at *= 2
    with pytest.raises(ModelError, match="this generator has 4, 8, 16"):
        cell_px(resolution, 2)
