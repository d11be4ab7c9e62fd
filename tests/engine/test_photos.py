"""Every photo is decoded as a person would see it, or refused with a reason."""

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from engine.codecs import rounded
from engine.errors import ItemError
from engine.inputs import content_digest
from engine.photos import MOST_PIXELS, read_photo

RED = (200, 30, 40)


def saved(path: Path, picture: PIL.Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    """What was read, as bytes [H, W, 3]."""
    image = read_photo(path)
    assert torch.equal(rounded(image).data, image.data), "a photo is exact in 8 bits"
    return image.data[0].permute(1, 2, 0).add(1).mul(127.5).round().numpy().astype(int)


def refused(path: Path, digest: str = "") -> ItemError:
    with pytest.raises(ItemError) as caught:
        read_photo(path, digest)
    assert path.name in str(caught.value)
    assert "Traceback" not in str(caught.value)
    return caught.value


def test_a_plain_picture_is_exact(tmp_path: Path) -> None:
    data = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 13
    assert (pixels(saved(tmp_path / "a.png", PIL.Image.fromarray(data))) == data).all()


@pytest.mark.parametrize("mode", ["P", "RGBA", "RGB", "CMYK", "YCbCr"])
def test_colour_modes(tmp_path: Path, mode: str) -> None:
    kind = "tif" if mode in ("CMYK", "YCbCr") else "png"
    red = PIL.Image.new("RGB", (4, 3), RED)
    path = saved(tmp_path / f"a.{kind}", red.quantize(4) if mode == "P" else red.convert(mode))
    assert pixels(path).shape == (3, 4, 3)
    assert np.abs(pixels(path) - RED).max() <= 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_modes(tmp_path: Path, mode: str) -> None:
    grey = PIL.Image.fromarray(np.full((2, 2), 51 * 257, np.uint16))
    picture = grey if mode == "I;16" else PIL.Image.new("L", (2, 2), 51).convert(mode)
    found = pixels(saved(tmp_path / "a.png", picture))
    assert set(found.flatten()) == ({0} if mode == "1" else {51})


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">3H", *(v * 257 for v in RED)) * 2 for _ in range(2))
    (tmp_path / "a.png").write_bytes(png(2, 2, 16, rows))
    assert (pixels(tmp_path / "a.png") == RED).all()


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """A PNG written by hand: Pillow writes no 16-bit colour, and no lies."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_transparent_parts_show_white(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGBA", (3, 1), (*RED, 0))
    picture.putpixel((1, 0), (*RED, 255))
    picture.putpixel((2, 0), (0, 0, 0, 128))
    found = pixels(saved(tmp_path / "a.png", picture))[0]
    assert (found[0] == 255).all()
    assert (found[1] == RED).all()
    assert np.abs(found[2] - 127).max() <= 1


def test_a_palette_with_transparency_shows_white(tmp_path: Path) -> None:
    picture = PIL.Image.new("P", (2, 1), 0)
    picture.putpalette([*RED, 0, 0, 0])
    picture.putpixel((1, 0), 1)
    path = saved(tmp_path / "a.png", picture, transparency=bytes([255, 0]))
    assert pixels(path).tolist() == [[list(RED), [255, 255, 255]]]


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (40, 16), "black")
    picture.paste("white", (0, 0, 8, 16))  # a white left edge
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it 90 degrees clockwise
    found = pixels(saved(tmp_path / "a.jpg", picture, exif=exif))
    assert found.shape == (40, 16, 3)
    assert found[:6].mean() > 240, "the left edge is now on top"
    assert found[12:].mean() < 15


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (pixels(path) == (255, 0, 0)).all()


def test_colours_of_another_profile_become_srgb(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = PIL.Image.new("RGB", (2, 2), RED)
    assert (pixels(saved(tmp_path / "a.png", picture, icc_profile=srgb)) == RED).all()
    assert (pixels(saved(tmp_path / "b.png", picture, icc_profile=b"rubbish")) == RED).all()
    wrong = ImageCms.ImageCmsProfile(lab).tobytes()
    assert (pixels(saved(tmp_path / "c.png", picture, icc_profile=wrong)) == RED).all()


def test_a_single_pixel_is_a_picture(tmp_path: Path) -> None:
    assert pixels(saved(tmp_path / "a.png", PIL.Image.new("RGB", (1, 1), RED))).shape == (1, 1, 3)


def test_odd_names_are_no_obstacle(tmp_path: Path) -> None:
    path = saved(tmp_path / "Zoë 写真 'x'.png", PIL.Image.new("RGB", (1, 1), RED))
    assert (pixels(path) == RED).all()


@cache
def jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (jpeg()[:2000], "cannot be decoded"),
        (b"", "is empty"),
        (b"Dear diary,\n" * 20, "not a picture"),
        (b"GIF89a" + b"\xff" * 50, "not a picture"),
        (png(8, 8, 8, b"\0" * 9), "cannot be decoded"),
    ],
    ids=["truncated", "empty", "text", "broken gif", "short png"],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    error = refused(tmp_path / "a.jpg")
    assert error.reason == "decode"
    assert message in str(error)


@given(st.data())
def test_damage_gives_a_picture_or_a_typed_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(jpeg())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("photos") / "a.jpg"
    path.write_bytes(raw)
    try:
        found: object = read_photo(path).data.shape[:2]
    except ItemError as error:
        found = error.reason
    assert found in ((1, 3), "decode", "bad_input")


@pytest.mark.parametrize("side", [int(MOST_PIXELS**0.5) + 1, 30_000])
def test_a_decompression_bomb_is_refused_unopened(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png(side, side, 8, b"\0" * 100))
    error = refused(tmp_path / "bomb.png")
    assert error.reason == "bad_input"
    assert "million pixels" in str(error)


def test_a_file_too_long_to_be_a_photo_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(3 * 10**9)  # holes, no bytes
    assert refused(tmp_path / "film.jpg").reason == "bad_input"


def test_values_of_unknown_scale_are_refused(tmp_path: Path) -> None:
    good = PIL.Image.fromarray(np.full((2, 2), 0.2, np.float32))
    assert set(pixels(saved(tmp_path / "a.tif", good)).flatten()) == {51}
    bad = PIL.Image.fromarray(np.full((2, 2), 7.5, np.float32))
    assert refused(saved(tmp_path / "b.tif", bad)).reason == "bad_input"


def test_a_link_to_nowhere_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "none")
    assert "broken link" in str(refused(tmp_path / "a.jpg"))
    (tmp_path / "b.jpg").mkdir()
    assert refused(tmp_path / "b.jpg").reason == "decode"


def test_a_photo_without_permission_is_refused(
    open_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    path = saved(open_folder / "a.png", PIL.Image.new("RGB", (1, 1), RED))
    path.chmod(0)
    with unprivileged():
        error = refused(path)
    assert (error.reason, "Permission denied" in str(error)) == ("decode", True)


def test_no_verdict_is_remembered_on_a_photo_that_changed_or_went(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", PIL.Image.new("RGB", (1, 1), RED))
    digest = content_digest(path)
    assert read_photo(path, digest).data.shape == (1, 3, 1, 1)
    path.write_bytes(path.read_bytes() + b"x")
    assert refused(path, digest).reason == "op_error"
    path.unlink()
    assert refused(path, digest).reason == "op_error"


def test_a_heic_picture_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 100)
    error = refused(tmp_path / "a.heic")
    assert (error.reason, "latentloom[heic]" in str(error)) == ("op_error", True)
