"""The shipped feature network and encoder: what they read, and how far two pictures look apart."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from models.companions import load_encoder, load_features
from models.loading import load_generator
from models.perceptual import (
    FeatureNet,
    compare,
    find_landmarks,
    look,
    perceptual_distance,
    score_attributes,
    segment_parts,
)
from models.scenes.canvas import Scene
from models.scenes.portraits import FACTORS, PARTS, VISIBLE, render

NAME = "portraits-128"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> FeatureNet:
    return load_features(NAME)


@pytest.fixture(scope="module")
def people() -> Scene:
    """Twenty-four portraits of a seed that no training run draws from."""
    draw = torch.Generator().manual_seed(424242)
    factors = torch.rand(24, len(FACTORS), generator=draw)
    coarse = torch.randn(24, 1, 64, 64, generator=draw)
    return render(factors, coarse, torch.randn(24, 1, 128, 128, generator=draw), 128)


def changed(name: str, *values: float) -> Tensor:
    items = len(values)
    factors = torch.full((items, len(FACTORS)), 0.5)
    factors[:, FACTORS.index(name)] = torch.tensor(values)
    draw = torch.Generator().manual_seed(1)
    coarse = torch.randn(1, 1, 64, 64, generator=draw).expand(items, -1, -1, -1)
    fine = torch.randn(1, 1, 128, 128, generator=draw).expand(items, -1, -1, -1)
    return render(factors, coarse, fine, 128).image


def test_attributes_follow_the_truth(net: FeatureNet, people: Scene) -> None:
    scores = score_attributes(net, people.image)
    assert net.attributes == FACTORS
    for name in ("yaw", "smile", "hair_lightness", "hair_length", "skin_tone", "age"):
        low, high = VISIBLE.get(name, (0.0, 1.0))
        truth = ((people.factors[:, FACTORS.index(name)] - low) / (high - low)).clamp(0, 1)
        pair = torch.stack([scores[:, FACTORS.index(name)], truth])
        assert torch.corrcoef(pair)[0, 1] > 0.8, name


def test_landmarks_and_parts_are_found(net: FeatureNet, people: Scene) -> None:
    assert (find_landmarks(net, people.image) - people.landmarks).abs().mean() < 0.02
    parts = segment_parts(net, people.image)
    assert parts.shape == people.masks.shape
    torch.testing.assert_close(parts.sum(1), torch.ones(24, 128, 128))
    agree = (parts.argmax(1) == people.masks.argmax(1)).float().mean()
    assert agree > 0.9
    hair = PARTS.index("hair")
    assert (parts[:, hair] * people.masks[:, hair]).sum() > 0.8 * people.masks[:, hair].sum()


def test_distance_is_nought_for_the_same_and_about_one_for_strangers(
    net: FeatureNet, people: Scene
) -> None:
    same = perceptual_distance(net, people.image, people.image)
    assert same.abs().max() < 1e-6
    strangers = perceptual_distance(net, people.image, people.image.roll(1, 0))
    assert 0.7 < strangers.mean() < 1.4
    back = perceptual_distance(net, people.image.roll(1, 0), people.image)
    torch.testing.assert_close(strangers, back)
    alone = perceptual_distance(net, people.image[:1], people.image[-1:])
    torch.testing.assert_close(alone, strangers[:1], atol=1e-5, rtol=1e-4)


def test_a_shift_by_one_pixel_counts_less_than_a_change_of_the_person(net: FeatureNet) -> None:
    plain = changed("glasses", 0.0)
    shift = perceptual_distance(net, plain, plain.roll(1, 3)).item()
    for name in ("glasses", "smile", "yaw", "hair_lightness"):
        before, after = changed(name, 0.0, 1.0)
        assert perceptual_distance(net, before[None], after[None]).item() > shift, name


def test_a_look_is_the_reading_and_what_it_was_read_from(net: FeatureNet, people: Scene) -> None:
    with torch.no_grad():
        seen = look(net, people.image[:4])
        torch.testing.assert_close(seen.attributes, score_attributes(net, people.image[:4]))
        read = (0.5 + net.attribute_head(seen.summary)).clamp(0, 1)
        torch.testing.assert_close(read, seen.attributes)
        assert seen.means.shape == (4, sum(net.config.widths))
        torch.testing.assert_close(
            seen.means[:, -144:], net.backbone(people.image[:4])[-1].mean((2, 3))
        )


def test_a_comparison_is_the_difference_of_readings_and_the_distance(
    net: FeatureNet, people: Scene
) -> None:
    a, b = people.image[:3], people.image[3:6]
    with torch.no_grad():
        misread, apart = compare(net, a, b)
        torch.testing.assert_close(misread, net(a).attributes - net(b).attributes)
        torch.testing.assert_close(apart, perceptual_distance(net, a, b))


def test_gradients_reach_the_picture(net: FeatureNet, people: Scene) -> None:
    picture = people.image[:1].clone().requires_grad_()
    perceptual_distance(net, picture, people.image[1:2]).sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_codes_read_from_pictures_give_similar_pictures(people: Scene) -> None:
    encoder, generator = load_encoder(NAME), load_generator(NAME)
    with torch.no_grad():
        codes = encoder(people.image[:8])
        made = generator.synthesize(codes, "none")
        mean = generator.synthesize(generator.broadcast(generator.w_avg[None]), "none")
    assert codes.shape == (8, generator.num_rows, 512)
    error = (made - people.image[:8]).abs().mean()
    assert error < 0.6 * (mean - people.image[:8]).abs().mean()


def test_pictures_of_any_size_are_read(net: FeatureNet, people: Scene) -> None:
    large = torch.nn.functional.interpolate(people.image[:2], scale_factor=2.0, mode="bilinear")
    scores, again = score_attributes(net, people.image[:2]), score_attributes(net, large)
    torch.testing.assert_close(scores, again, atol=0.15, rtol=0)
    assert segment_parts(net, large).shape == (2, len(PARTS), 256, 256)
    assert load_encoder(NAME)(large).shape == (2, 12, 512)
