"""Parents, children, and how far they may drift."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.breeding import cross, distances, vary, within
from models.codes import choose_rows
from models.config import GeneratorConfig
from models.errors import ModelError
from models.priors import sample_w
from models.stylegan2 import Generator


@pytest.fixture
def parents(tiny: Generator) -> tuple[torch.Tensor, torch.Tensor]:
    w = sample_w(tiny, 8)[:, None].expand(-1, 8, -1)
    return w[:4], w[4:]


def test_sliders_at_their_ends_give_the_parents_rows(
    tiny: Generator, parents: tuple[torch.Tensor, torch.Tensor]
) -> None:
    a, b = parents
    assert torch.equal(cross(tiny, parents, 0, 0, 4), a)
    assert torch.equal(cross(tiny, parents, 1, 1, 4), b)
    child = cross(tiny, parents, 0, 1, 3)
    assert torch.equal(child[:, :3], a[:, :3])
    assert torch.equal(child[:, 3:], b[:, 3:])
    assert torch.equal(cross(tiny, parents, 0.3, 0.9, 8), cross(tiny, parents, 0.3, 0.3, 0))
    with pytest.raises(ModelError, match="crossover 9: this generator has 8 rows"):
        cross(tiny, parents, 0, 0, 9)


def test_the_parts_meet_at_the_first_fine_row_or_in_the_middle(tiny: Generator) -> None:
    generator = Generator(GeneratorConfig(64, (8,) * 5, z_dim=8, w_dim=8, mapping_layers=1))
    ends = torch.zeros(1, generator.num_rows, 8), torch.ones(1, generator.num_rows, 8)
    styled = cross(generator, ends, 0, 1)[0].sum(1) > 0
    assert tuple(styled.nonzero()[:, 0].tolist()) == choose_rows(generator.config, "fine")
    assert (
        cross(tiny, (ends[0][:, :8], ends[1][:, :8]), 0, 1)[0, :, 0].tolist() == [0] * 4 + [1] * 4
    )


@given(content=st.floats(0, 1), style=st.floats(0, 1))
def test_exchanged_parents_with_turned_sliders_are_one_child(content: float, style: float) -> None:
    generator = Generator(GeneratorConfig(32, (4,) * 4, z_dim=4, w_dim=4, mapping_layers=1))
    random = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 2, 8, 4, generator=random)
    one = cross(generator, (a, b), content, style, 5)
    torch.testing.assert_close(one, cross(generator, (b, a), 1 - content, 1 - style, 5))


def test_children_vary_by_their_seed_and_as_far_as_asked(
    tiny: Generator, parents: tuple[torch.Tensor, torch.Tensor]
) -> None:
    a, _ = parents
    assert torch.equal(vary(tiny, a, [1, 2, 3, 4], 0.0), a)
    twins = vary(tiny, a[:1].expand(2, -1, -1), [7, 7], 0.3)
    assert torch.equal(twins[0], twins[1])
    near, far = (vary(tiny, a, [1, 2, 3, 4], amount) - a for amount in (0.1, 0.2))
    torch.testing.assert_close(far, 2 * near)
    assert float(near.norm()) > 0


def test_drift_over_twenty_steps_is_bounded_by_the_cap(
    tiny: Generator, parents: tuple[torch.Tensor, torch.Tensor]
) -> None:
    step = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(3)) * 0.3 * tiny.w_avg.std()
    free = capped = parents[0]
    for _ in range(20):
        free, capped = free + step, within(tiny, capped + step, 1.2)
        assert float(distances(tiny, capped).max()) <= 1.2 + 1e-4
    assert float(distances(tiny, free).min()) > 1.5
    assert torch.equal(within(tiny, capped, 1.3), capped)


def test_a_distance_of_one_is_usual(tiny: Generator) -> None:
    w = sample_w(tiny, 500, seed=4)[:, None].expand(-1, 8, -1)
    assert float(distances(tiny, w).mean()) == pytest.approx(1, abs=0.05)
