"""Provenance goes into a file and comes out again."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.export import encode_file
from engine.jobs import Export, FromItem
from engine.provenance import (
    JPEG_LIMIT,
    from_xmp_packet,
    read_provenance,
    with_metadata,
    xmp_packet,
)
from engine.values import Film, Image, Latent, Mask, Value

TEXT = json.dumps({"key": "ab<>&'\"", "name": "Zoë 東京"}, ensure_ascii=False)


def export(kind: str, text: str = TEXT, quality: int = 95) -> Export:
    item = ("s", 0)
    return Export(0, f"/x.{kind}", FromItem(item, "image"), item, "k", kind, quality, text)


def image() -> Image:
    import torch

    return Image(torch.linspace(-1, 1, 3 * 16 * 16).view(1, 3, 16, 16))


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "safetensors"])
def test_every_format_carries_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(encode_file(image(), export(kind)))
    assert read_provenance(path) == TEXT


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "safetensors"])
def test_none_means_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(encode_file(image(), export(kind, "")))
    assert read_provenance(path) == ""


@pytest.mark.parametrize(("kind", "told"), [("webp", TEXT), ("gif", "")])
def test_a_film_carries_it_as_webp_alone(kind: str, told: str, tmp_path: Path) -> None:
    import torch

    path = tmp_path / f"x.{kind}"
    frames = torch.stack([image().data, -image().data], dim=1)
    path.write_bytes(encode_file(Film(frames, 12.0), export(kind)))
    assert read_provenance(path) == told


def test_equal_values_give_equal_bytes() -> None:
    for kind in ("png", "jpg", "webp", "tiff", "safetensors"):
        assert encode_file(image(), export(kind)) == encode_file(image(), export(kind))


def test_a_jpeg_names_a_text_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encode_file(image(), export("jpg", "x" * (JPEG_LIMIT + 1))))
    assert json.loads(read_provenance(path)) == {"too_long": JPEG_LIMIT + 1}


def test_a_stamped_code_is_still_a_value() -> None:
    import torch

    from engine.codecs import decode, encode

    code = Latent(torch.randn(1, 4, 8), "w_plus", "family")
    back = decode(with_metadata(encode(code), TEXT))
    assert isinstance(back, Latent)
    assert torch.equal(back.data, code.data)
    assert (back.space, back.family) == ("w_plus", "family")


@given(st.text())
def test_any_text_survives_the_packet(text: str) -> None:
    assert from_xmp_packet(xmp_packet(text)) == text


def test_masks_and_pictures_have_the_right_pixels(tmp_path: Path) -> None:
    import torch
    from PIL import Image as Pillow

    given: list[tuple[Value, str]] = [
        (Image(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)), "RGB"),
        (Mask(torch.full((1, 1, 1, 1), 0.5)), "L"),
    ]
    for value, mode in given:
        path = tmp_path / f"{mode}.png"
        path.write_bytes(encode_file(value, export("png")))
        with Pillow.open(path) as picture:
            assert picture.mode == mode
            assert picture.getpixel((0, 0)) == ((0, 128, 255) if mode == "RGB" else 128)
