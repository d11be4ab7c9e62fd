"""Codes: exact laws of drawing, mapping, truncating, blending and mixing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import OpError, ShapeError
from engine.values import Latent, Network, Scalar, split, take
from models import GeneratorConfig, ModelError, file_digest, save_generator
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
    walk_codes,
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


def test_cutoff_draws_the_rows_before_it(model: Network, w: Latent) -> None:
    by_cutoff = truncate(w, model, psi=0.2, cutoff=4).data
    assert torch.equal(by_cutoff, truncate(w, model, psi=0.2, rows="coarse").data)
    assert torch.equal(by_cutoff[:, 4:], wide(w).data[:, 4:])
    assert truncate(w, model, psi=0.2, cutoff=0) is w
    assert torch.equal(truncate(w, model, psi=0.2, cutoff=8).data, truncate(w, model, psi=0.2).data)
    with pytest.raises(OpError, match="cutoff 9: this generator has 8 rows"):
        truncate(w, model, cutoff=9)
    with pytest.raises(OpError, match="rows are chosen twice"):
        truncate(w, model, cutoff=2, rows="coarse")


def test_every_row_may_have_its_own_psi(model: Network, w: Latent, generator: Generator) -> None:
    done = truncate(w, model, psi=[0.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]).data
    assert torch.equal(done[:, 0], generator.w_avg.expand(5, -1))
    assert torch.equal(done[:, [1, *range(3, 8)]], wide(w).data[:, [1, *range(3, 8)]])
    assert torch.allclose(done[:, 2], truncate(w, model, psi=0.5).data)
    with pytest.raises(OpError, match="2 psi: one per row is needed, 8"):
        truncate(w, model, psi=[0.5, 0.5])


def test_truncation_towards_a_center_ends_there(model: Network, w: Latent) -> None:
    middle = average(list(split(w)))
    drawn = truncate(w, model, middle, psi=0.0)
    assert drawn.space == "w"
    assert torch.equal(drawn.data, middle.data.expand(5, -1))
    assert torch.equal(truncate(w, model, middle, psi=1.0).data, w.data)
    apart = truncate(w, model, wide(middle), psi=0.3)
    assert torch.allclose(apart.data, wide(truncate(w, model, middle, psi=0.3)).data, atol=1e-6)
    style = truncate(to_style(w, model), model, middle, psi=0.3).data
    assert torch.allclose(style, to_style(apart, model).data, atol=1e-5)
    with pytest.raises(OpError, match="center and label each name a mean code"):
        truncate(w, model, middle, label=0)


def test_truncation_towards_a_class_keeps_the_class(tmp_path: Path) -> None:
    config = GeneratorConfig(8, (8, 8), z_dim=8, w_dim=8, c_dim=3, mapping_layers=2)
    torch.manual_seed(1)
    save_generator(Generator(config), tmp_path / "classes.safetensors")
    digest = file_digest(tmp_path / "classes.safetensors")
    model = Network("classes", str(tmp_path / "classes.safetensors"), digest, digest, 8, 4)
    codes = [sample_codes(Scalar(tuple(range(400))), model, label=k).data for k in range(3)]
    [ends] = [truncate(Latent(codes[0][:2], "w", digest), model, psi=0.0, label=1).data]
    gaps = [float((ends[0] - own.mean(0)).norm()) for own in codes]
    assert gaps.index(min(gaps)) == 1
    assert gaps[1] < 0.3 * min(gaps[0], gaps[2])
    with pytest.raises(OpError, match="label 3: the classes of this generator are 0 to 2"):
        truncate(Latent(codes[0], "w", digest), model, label=3)


def test_z_maps_to_the_w_of_the_same_sample(model: Network) -> None:
    index = Scalar((0, 5))
    z = sample_codes(index, model, seed=2, space="z")
    assert z.space == "z"
    assert torch.equal(map_codes(z, model).data, sample_codes(index, model, seed=2).data)
    with pytest.raises(OpError, match="z has no mean"):
        sample_codes(index, model, space="z", truncation=0.5)


def test_truncating_the_style_is_the_style_of_the_truncated(model: Network, w: Latent) -> None:
    a = truncate(to_style(w, model), model, psi=0.4).data
    assert torch.allclose(a, to_style(truncate(w, model, psi=0.4), model).data, atol=1e-5)


def test_interpolation_by_hand_and_at_its_ends(model: Network, w: Latent) -> None:
    a, b = take(w, 0, 1), take(w, 1, 2)
    assert torch.allclose(interpolate(a, b, t=0.25).data, 0.75 * a.data + 0.25 * b.data)
    for curve in ("linear", "spherical"):
        assert torch.equal(interpolate(a, b, t=0.0, curve=curve).data, a.data)  # type: ignore[arg-type]
        assert torch.equal(interpolate(a, b, t=1.0, curve=curve).data, b.data)  # type: ignore[arg-type]


def test_the_way_between_styles_is_the_style_of_the_way_in_w_plus(
    model: Network, w: Latent
) -> None:
    a, b = wide(take(w, 0, 2)), wide(take(w, 2, 4))
    by_style = interpolate(to_style(a, model), to_style(b, model), t=0.3)
    assert by_style.space == "style"
    expected = to_style(interpolate(a, b, t=0.3), model)
    assert torch.allclose(by_style.data, expected.data, atol=1e-5)


def test_w_meets_w_plus_and_nothing_else(model: Network, w: Latent) -> None:
    assert interpolate(w, wide(w), t=0.5).space == "w_plus"
    with pytest.raises(ShapeError, match="different spaces: style, w"):
        interpolate(w, to_style(w, model))


def test_average_of_copies_is_the_code_and_order_does_not_matter(w: Latent) -> None:
    items = list(split(w))
    assert torch.equal(average([items[0]] * 3).data, items[0].data)
    assert torch.equal(average(items).data, average(items[::-1]).data)
    assert torch.allclose(average(items).data, w.data.mean(0, keepdim=True), atol=1e-6)


def test_weights_make_any_code_of_a_triangle(w: Latent) -> None:
    items = list(split(w))[:3]
    only = average(items, weights=[0.0, 2.0, 0.0])
    assert torch.equal(only.data, items[1].data)
    weighed = average(items, weights=[1.0, 1.0, 2.0])
    by_hand = (items[0].data + items[1].data + 2 * items[2].data) / 4
    assert torch.allclose(weighed.data, by_hand, atol=1e-6)
    by_wire = average(items[::-1], [Scalar((2,)), Scalar((1.0,)), Scalar((1.0,))])
    assert torch.allclose(by_wire.data, weighed.data, atol=1e-7)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_make_no_mean_are_refused(w: Latent, weights: list[float]) -> None:
    items = list(split(w))[:2]
    with pytest.raises(OpError, match="must be 2 finite numbers, one per code, with a sum above 0"):
        average(items, weights=weights)
    with pytest.raises(OpError, match="must be 2 finite numbers"):
        average(items, [Scalar(("much",)), Scalar((1,))])
    with pytest.raises(OpError, match="either the wire `shares` or the setting `weights`"):
        average(items, [Scalar((1,)), Scalar((1,))], weights=[1.0, 1.0])


def test_walk_meets_its_codes_and_closes(w: Latent) -> None:
    items = list(split(w))[:4]
    for k, item in enumerate(items):
        assert torch.equal(walk_codes(items, t=k / 3, curve="cubic").data, item.data)
        assert torch.equal(walk_codes(items, t=k / 4, closed=True).data, item.data)
    assert torch.equal(walk_codes(items, t=1.0, closed=True).data, items[0].data)
    half = walk_codes([items[0], wide(items[1])], t=0.5)
    assert half.space == "w_plus"
    assert torch.allclose(half.data, wide(interpolate(items[0], items[1])).data, atol=1e-6)


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


def test_crossover_parts_the_rows_in_two(model: Network, w: Latent) -> None:
    a, b = take(w, 0, 1), take(w, 1, 2)
    mixed = mix_styles(a, b, model, crossover=3).data
    assert torch.equal(mixed[:, :3], wide(a).data[:, :3])
    assert torch.equal(mixed[:, 3:], wide(b).data[:, 3:])
    assert torch.equal(mix_styles(a, b, model, crossover=0).data, wide(b).data)
    assert torch.equal(mix_styles(a, b, model, crossover=8).data, wide(a).data)
    with pytest.raises(OpError, match="crossover 9: this generator has 8 rows"):
        mix_styles(a, b, model, crossover=9)


def test_mixing_rows_that_do_not_exist_is_refused(model: Network, w: Latent) -> None:
    with pytest.raises(ModelError, match=r"\[8\] do not exist; this generator has rows 0 to 7"):
        mix_styles(w, w, model, rows=[1, 8])
    with pytest.raises(ModelError, match="a generator of 32 px has no fine rows"):
        mix_styles(w, w, model, rows="fine")


def test_expression_transfer(w: Latent) -> None:
    face, calm, smiling = (take(w, i, i + 1) for i in range(3))
    assert torch.equal(transfer_expression(face, calm, smiling, strength=0.0).data, face.data)
    assert torch.equal(transfer_expression(face, calm, calm).data, face.data)
    assert torch.allclose(
        transfer_expression(face, calm, smiling, strength=2.0).data,
        face.data + 2 * (smiling.data - calm.data),
    )
    own = transfer_expression(calm, calm, smiling).data
    assert torch.allclose(own, smiling.data, atol=1e-6)


def test_style_of_a_batch_equals_that_of_its_items(model: Network, w: Latent) -> None:
    together = to_style(w, model)
    apart = torch.cat([to_style(one, model).data for one in split(w)])
    assert torch.allclose(together.data, apart, atol=1e-5)
    assert torch.equal(to_style(together, model).data, together.data)
