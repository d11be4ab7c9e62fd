"""A value survives the trip to bytes; damage never does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.codecs import decode, encode, rounded
from engine.errors import ShapeError, StoreError
from engine.values import (
    VALUE_TYPES,
    Alignment,
    Direction,
    FeatureMap,
    Film,
    Image,
    Latent,
    Mask,
    Network,
    Scalar,
    Scores,
    Value,
    finite,
    shared_fields,
    signature,
    split,
    tensor_fields,
)

sizes = st.integers(1, 4)
items = st.integers(1, 3)
texts = st.text(max_size=8)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@st.composite
def values(draw: st.DrawFn) -> Value:
    n, h, w, d = draw(items), draw(sizes), draw(sizes), draw(sizes)
    makers = [
        lambda: Image(noise(n, 3, h, w)),
        lambda: Film(noise(n, d, 3, h, w), draw(st.floats(0.1, 50))),
        lambda: Mask(noise(n, 1, h, w)),
        lambda: Latent(noise(n, h, d), "w_plus", draw(texts)),
        lambda: Latent(noise(n, d, dtype=torch.bfloat16), "z", draw(texts)),
        lambda: FeatureMap(noise(n, d, h, w), noise(n, 3, h, w), draw(texts), draw(texts)),
        lambda: Alignment(
            noise(n, 4, 2, dtype=torch.float64), torch.full((n, 2), 2**40), draw(sizes)
        ),
        lambda: Direction(
            noise(n, d), noise(n), noise(n), draw(texts), "w", draw(texts), (0, 3), '{"a": 1}'
        ),
        lambda: Scores(noise(n, 2), ("smile", draw(texts))),
        lambda: Scalar(tuple(draw(st.lists(scalars, min_size=n, max_size=n)))),
        lambda: Network(draw(texts), "/models/ä.pkl", "aa", "bb", 64, 10),
    ]
    return draw(st.sampled_from(makers))()


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts


def same(a: Value, b: Value) -> bool:
    shared = all(getattr(a, n) == getattr(b, n) for n in shared_fields(type(a)))
    tensors = all(
        getattr(a, n).dtype == getattr(b, n).dtype and torch.equal(getattr(a, n), getattr(b, n))
        for n in tensor_fields(type(a))
    )
    data = not isinstance(a, Scalar) or repr(a.data) == repr(b.data)
    return type(a) is type(b) and shared and tensors and data


@settings(suppress_health_check=[HealthCheck.too_slow])  # torch starts up in the first draw
@given(values())
def test_decoding_gives_what_rounding_in_memory_gives(value: Value) -> None:
    assert same(decode(encode(value)), rounded(value))


@given(values())
def test_rounding_twice_changes_nothing_more(value: Value) -> None:
    once = rounded(value)
    assert same(rounded(once), once)


@given(values())
def test_a_batch_is_rounded_as_its_items_are(value: Value) -> None:
    together = split(rounded(value))
    alone = (rounded(item) for item in split(value))
    assert all(same(a, b) for a, b in zip(together, alone, strict=True))


def test_every_wire_type_has_a_codec() -> None:
    kinds = {kind.__name__ for kind in VALUE_TYPES}
    assert kinds == {kind.__name__ for kind in _one_of_each()}


def _one_of_each() -> set[type]:
    made = [
        Image(noise(1, 3, 1, 1)),
        Film(noise(1, 2, 3, 1, 1), 12.0),
        Mask(noise(1, 1, 1, 1)),
        Latent(noise(1, 4), "z", "f"),
        FeatureMap(noise(1, 1, 1, 1), noise(1, 3, 1, 1), "8x8", "f"),
        Alignment(noise(1, 4, 2), torch.ones(1, 2), 128),
        Direction(noise(1, 4), noise(1), noise(1), "smile", "w", "f"),
        Scores(noise(1, 1), ("smile",)),
        Scalar((1,)),
        Network("n", "p", "d", "f", 64, 10),
    ]
    return {type(decode(encode(value))) for value in made}


def test_all_256_levels_of_a_picture_are_exact() -> None:
    levels = torch.arange(256).float().div(127.5).sub(1).reshape(1, 1, 16, 16).repeat(1, 3, 1, 1)
    assert torch.equal(rounded(Image(levels)).data, levels)


def test_frames_are_kept_as_pictures_are() -> None:
    film = Film(noise(2, 3, 3, 4, 5), 12.0)
    for kept, frame in zip(rounded(film).data.unbind(1), film.data.unbind(1), strict=True):
        assert torch.equal(kept, rounded(Image(frame)).data)
    assert len(encode(film)) < 2 * 3 * 3 * 4 * 5 + 400  # a byte per number, and the header


@pytest.mark.parametrize(
    ("shape", "fps", "message"),
    [
        ((1, 3, 4, 4), 12.0, r"Film.data is \[1, 3, 4, 4\]"),
        ((1, 2, 1, 4, 4), 12.0, r"expected \[\*, \*, 3, \*, \*\]"),
        ((1, 0, 3, 4, 4), 12.0, "has no frames"),
        ((1, 2, 3, 4, 4), 0.0, "Film.fps is 0.0"),
    ],
)
def test_what_is_no_film_is_refused(shape: tuple[int, ...], fps: float, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Film(torch.zeros(shape), fps)


def test_colours_outside_the_range_saturate() -> None:
    data = torch.tensor([-3.0, 0.0, 9.0]).reshape(1, 3, 1, 1)
    assert rounded(Image(data)).data.flatten().tolist() == pytest.approx([-1, 1 / 255, 1], abs=1e-6)


def test_an_extreme_activation_saturates_and_its_neighbours_keep_their_bits() -> None:
    data = torch.tensor([1e9, -1e9, 0.5]).reshape(1, 3, 1, 1)
    features = rounded(FeatureMap(data, noise(1, 3, 1, 1), "8x8", "f"))
    assert features.data.flatten().tolist() == [65504, -65504, 0.5]
    assert torch.isfinite(features.data).all()


def test_a_truth_value_stays_one_and_an_odd_file_name_survives() -> None:
    data = (True, 1, 1.0, "caf\udce9", None, float("inf"))
    back = decode(encode(Scalar(data)))
    assert isinstance(back, Scalar)
    assert repr(back.data) == repr(data)


@given(st.data())
def test_damage_raises_or_leaves_a_value_of_the_same_kind(data: st.DataObject) -> None:
    # The store's checksum finds flipped payload bits; the codec must only never crash or run on.
    raw = bytearray(encode(Latent(noise(2, 3, 4), "w_plus", "family")))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        back = decode(raw)
    except StoreError:
        return
    assert signature(back)[0] is Latent


@given(st.integers(0, 300))
def test_cut_bytes_are_refused(length: int) -> None:
    raw = encode(Latent(noise(2, 3, 4), "w_plus", "family"))
    with pytest.raises(StoreError, match="damaged"):
        decode(raw[: min(length, len(raw) - 1)])


def test_an_unknown_type_and_a_newer_version_are_refused() -> None:
    raw = encode(Scalar((1,)))
    with pytest.raises(StoreError):
        decode(raw.replace(b"Scalar", b"Molder"))
    with pytest.raises(StoreError, match="format 2"):
        decode(raw.replace(rb"\"version\": 1", rb"\"version\": 2"))


def test_tensors_of_different_lengths_are_refused() -> None:
    direction = Direction(noise(2, 4), noise(3), noise(2), "smile", "w", "f")
    with pytest.raises(StoreError, match="different numbers"):
        decode(encode(direction))


def test_a_scalar_needs_no_torch() -> None:
    code = (
        "import sys; from engine.codecs import decode, encode; from engine.values import Scalar;"
        "assert decode(encode(Scalar((1,)))).data == (1,); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [Image, Mask, FeatureMap])
def test_parts_leave_no_trace(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noise(2, 1 if kind is Mask else 3, 5, 7)
    made: Value = FeatureMap(data, data, "l", "f") if kind is FeatureMap else kind(data)
    whole, content = rounded(made), encode(made)
    monkeypatch.setattr("engine.codecs._PART", 13)
    assert encode(made) == content
    assert torch.equal(rounded(made).data, whole.data)  # type: ignore[union-attr]
    assert torch.equal(made.data, data)  # type: ignore[union-attr]


@pytest.mark.parametrize("named", [True, False])
def test_only_a_nameless_file_is_rounded_where_it_is(tmp_path: Path, *, named: bool) -> None:
    path = tmp_path / "canvas"
    data = torch.from_file(str(path), shared=True, size=3 * 5 * 7).view(1, 3, 5, 7)
    data.copy_(noise(1, 3, 5, 7))
    before = data.clone()
    if not named:
        path.unlink()
    found = rounded(Image(data))
    assert torch.equal(found.data, rounded(Image(before)).data)
    assert (found.data.data_ptr() == data.data_ptr()) == (not named)
    assert torch.equal(data, before) == named


@pytest.mark.parametrize("at", [0, 12, 13, 104])
def test_a_number_that_is_not_finite_is_found_in_any_part(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.values._PART", 13)
    data = noise(2, 3, 5, 7)
    data[1].view(-1)[at] = float("nan")
    assert finite(Image(data)) == [True, False]
