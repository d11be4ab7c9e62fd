"""Large pictures row by row: any reader finds the same pixels, and bands leave no trace."""

import io
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from engine import streams
from engine.provenance import KEYWORD, XMP_TAG, from_xmp_packet

Rows = NDArray[np.uint8]
Make = Callable[[Iterator[Rows], int, int, int, str], Iterator[bytes]]
MAKERS: dict[str, Make] = {"PNG": streams.png, "TIFF": streams.big_tiff}


def written(kind: str, picture: Rows, band: int, text: str = "") -> bytes:
    rows = (picture[top : top + band] for top in range(0, len(picture), band))
    return b"".join(MAKERS[kind](rows, *picture.shape, text))


def noise(height: int, width: int, channels: int, seed: int = 0, smooth: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    if not smooth:
        return random.integers(0, 256, (height, width, channels), dtype=np.uint8)
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * [1, 2, 3][:channels]
    return (ramp % 256).astype(np.uint8)


def read(content: bytes, kind: str) -> Rows:
    with Pillow.open(io.BytesIO(content)) as picture:
        assert picture.format == kind
        found = np.asarray(picture)
    return found if found.ndim == 3 else found[..., None]


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
    st.integers(1, 13),
    st.integers(0, 99),
    st.booleans(),
)
def test_any_picture_is_read_back(
    kind: str, height: int, width: int, channels: int, band: int, seed: int, smooth: bool
) -> None:
    picture = noise(height, width, channels, seed, smooth)
    content = written(kind, picture, band)
    assert np.array_equal(read(content, kind), picture)
    assert content == written(kind, picture, height)


def test_smooth_pictures_are_packed_as_well_as_by_pillow() -> None:
    y, x = np.mgrid[0:200, 0:300]
    waves = [127 + 120 * np.sin(x / (20 + k) + y / 17) for k in range(3)]
    picture = np.stack(waves, 2).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, "PNG", compress_level=streams.LEVEL)
    assert len(written("PNG", picture, 7)) < 1.05 * file.tell()


def test_provenance_travels_with_both() -> None:
    picture, text = noise(2, 3, 3), '{"op": "weave & <co>", "ä": 1}'
    with Pillow.open(io.BytesIO(written("PNG", picture, 1, text))) as found:
        found.load()
        assert found.text[KEYWORD] == text  # type: ignore[attr-defined]
    with Pillow.open(io.BytesIO(written("TIFF", picture, 1, text))) as found:
        assert from_xmp_packet(found.tag_v2[XMP_TAG]) == text  # type: ignore[attr-defined]


def test_a_tiff_in_many_strips_is_a_big_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STRIP_BYTES", 100)
    picture = noise(31, 11, 3)
    content = written("TIFF", picture, 4)
    assert struct.unpack("<2sH", content[:4]) == (b"II", 43)
    assert np.array_equal(read(content, "TIFF"), picture)
    with Pillow.open(io.BytesIO(content)) as found:
        assert len(found.tag_v2[273]) == 11  # type: ignore[attr-defined]


def test_rows_are_asked_for_as_they_are_needed() -> None:
    asked = []

    def rows() -> Iterator[Rows]:
        for number in range(64):
            asked.append(number)
            yield noise(1, 4096, 3, number)

    parts = streams.big_tiff(rows(), 64, 4096, 3, "")
    next(parts)
    assert asked == []
    next(parts)
    assert asked == [0]
    parts = streams.png(rows(), 64, 4096, 3, "")
    asked.clear()
    while next(parts)[4:8] != b"IDAT":
        pass
    assert len(asked) < 64
