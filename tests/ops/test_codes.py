"""Codes: exact laws of drawing, mapping, truncating, blending and mixing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import OpError, ShapeError
from engine.values import Latent, Network, Scalar, split, take
from models import ModelError
from models.codes import slerp
from models.stylegan2 import Generator
from ops.codes import (
    average,
    interpolate,
    map_codes,
    mix_styles,
    sample_codes,
    to_style,
    transfer_expression,
    truncate,
)


def wide(latent: Latent, rows: int = 8) -> Latent:
    return Latent(latent.data[:, None].repeat(1, rows, 1), "w_plus", latent.family)


def test_sample_depends_on_its_index_and_seed_alone(model: Network) -> None:
    many = sample_codes(Scalar(tuple(range(6))), model, seed=3)
    alone = sample_codes(Scalar((4,)), model, seed=3)
    assert torch.allclose(many.data[4:5], alone.data, atol=1e-5)
    assert not torch.allclose(many.data[4], many.data[3])
    assert not torch.allclose(alone.data, sample_codes(Scalar((4,)), model, seed=4).data)


def test_sample_truncated_to_nothing_is_the_mean(model: Network, generator: Generator) -> None:
    code = sample_codes(Scalar((0, 1)), model, truncation=0.0).data
    assert torch.equal(code, generator.w_avg.expand(2, -1))


def test_sample_refuses_a_class_where_there_are_none(model: Network) -> None:
    with pytest.raises(OpError, match="label 2: the classes of 'tiny' are none"):
        sample_codes(Scalar((0,)), model, label=2)


def test_mapping_forgets_the_length_of_z(model: Network) -> None:
    z = torch.randn(3, 16)
    short, long = (map_codes(Latent(z * c, "z", model.family), model) for c in (0.5, 4.0))
    assert torch.allclose(short.data, long.data, atol=1e-5)
    with pytest.raises(OpError, match="a code in z is needed, this one is in w"):
        map_codes(short, model)


def test_codes_of_another_generator_are_refused(model: Network, w: Latent) -> None:
    with pytest.raises(OpError, match="belongs to the generator other, not to 'tiny'"):
        truncate(replace(w, family="other"), model)


def test_truncation_by_one_changes_no_bit_and_by_zero_gives_the_mean(
    model: Network, w: Latent, generator: Generator
) -> None:
    assert torch.equal(truncate(w, model, psi=1.0).data, w.data)
    assert torch.equal(truncate(w, model, psi=0.0).data, generator.w_avg.expand(5, -1))


def test_truncations_compose(model: Network, w: Latent) -> None:
    twice = truncate(truncate(w, model, psi=0.5), model, psi=0.6)
    assert torch.allclose(twice.data, truncate(w, model, psi=0.3).data, atol=1e-6)


def test_truncation_leaves_other_rows_alone(model: Network, w: Latent) -> None:
    done = truncate(w, model, psi=0.2, rows="coarse")
    assert done.space == "w_plus"
    assert torch.equal(done.data[:, 4:], wide(w).data[:, 4:])
    assert not torch.equal(done.data[:, :4], wide(w).data[:, :4])


def test_truncating_the_style_is_the_style_of_the_truncated(model: Network, w: Latent) -> None:
    a = truncate(to_style(w, model), model, psi=0.4).data
    assert torch.allclose(a, to_style(truncate(w, model, psi=0.4), model).data, atol=1e-5)


def test_interpolation_by_hand_and_at_its_ends(model: Network, w: Latent) -> None:
    a, b = take(w, 0, 1), take(w, 1, 2)
    assert torch.allclose(interpolate(a, b, t=0.25).data, 0.75 * a.data + 0.25 * b.data)
    for curve in ("linear", "spherical"):
        assert torch.equal(interpolate(a, b, t=0.0, curve=curve).data, a.data)  # type: ignore[arg-type]
        assert torch.equal(interpolate(a, b, t=1.0, curve=curve).data, b.data)  # type: ignore[arg-type]


def test_w_meets_w_plus_and_nothing_else(model: Network, w: Latent) -> None:
    assert interpolate(w, wide(w), t=0.5).space == "w_plus"
    with pytest.raises(ShapeError, match="different spaces: style, w"):
        interpolate(w, to_style(w, model))


@settings(max_examples=30)
@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_slerp_keeps_length_and_turns_evenly(t: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    a, b = torch.nn.functional.normalize(torch.randn(2, 1, 9, generator=random).double(), dim=-1)
    point = slerp(a, b, t)
    assert point.norm() == pytest.approx(1, abs=1e-9)
    whole, part = torch.acos((a * b).sum()), torch.acos((a * point).sum().clamp(-1, 1))
    assert part == pytest.approx(float(whole * t), abs=1e-6)


def test_slerp_of_equal_and_of_opposite_codes_is_finite() -> None:
    a = torch.randn(1, 8)
    assert torch.allclose(slerp(a, a, 0.3), a)
    assert torch.isfinite(slerp(a, -a, 0.3)).all()


def test_average_of_copies_is_the_code_and_order_does_not_matter(w: Latent) -> None:
    items = list(split(w))
    assert torch.equal(average([items[0]] * 3).data, items[0].data)
    assert torch.equal(average(items).data, average(items[::-1]).data)
    assert torch.allclose(average(items).data, w.data.mean(0, keepdim=True), atol=1e-6)


def test_average_refuses_two_families(w: Latent) -> None:
    with pytest.raises(OpError, match="different generators"):
        average([take(w, 0, 1), replace(take(w, 1, 2), family="other")])


def test_mixing_takes_exactly_the_rows_that_were_named(model: Network, w: Latent) -> None:
    a, b = take(w, 0, 2), take(w, 2, 4)
    mixed = mix_styles(a, b, model, rows="middle").data
    assert torch.equal(mixed[:, :4], wide(a).data[:, :4])
    assert torch.equal(mixed[:, 4:], wide(b).data[:, 4:])
    back = mix_styles(Latent(mixed, "w_plus", w.family), b, model, rows=[0, 1, 2, 3])
    assert torch.equal(back.data, wide(b).data)
    assert torch.equal(mix_styles(a, b, model, rows="all", strength=0.0).data, wide(a).data)


def test_mixing_rows_that_do_not_exist_is_refused(model: Network, w: Latent) -> None:
    with pytest.raises(ModelError, match=r"\[8\] do not exist; this generator has rows 0 to 7"):
        mix_styles(w, w, model, rows=[1, 8])
    with pytest.raises(ModelError, match="a generator of 32 px has no fine rows"):
        mix_styles(w, w, model, rows="fine")


def test_expression_transfer(w: Latent) -> None:
    face, calm, smiling = (take(w, i, i + 1) for i in range(3))
    assert torch.equal(transfer_expression(face, calm, smiling, strength=0.0).data, face.data)
    assert torch.equal(transfer_expression(face, calm, calm).data, face.data)
    own = transfer_expression(calm, calm, smiling).data
    assert torch.allclose(own, smiling.data, atol=1e-6)


def test_style_of_a_batch_equals_that_of_its_items(model: Network, w: Latent) -> None:
    together = to_style(w, model)
    apart = torch.cat([to_style(one, model).data for one in split(w)])
    assert torch.allclose(together.data, apart, atol=1e-5)
    assert torch.equal(to_style(together, model).data, together.data)
