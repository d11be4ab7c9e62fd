"""Files that say which values they can hold, and appear whole or not at all."""

import io
from hashlib import sha256
from pathlib import Path

import pytest

from engine.errors import ItemError
from engine.export import encode_file, export_value
from engine.jobs import Export, FromItem
from engine.values import Film, Image, Mask, Scalar


def dot() -> Mask:
    import torch

    return Mask(torch.ones(1, 1, 1, 1))


def export(path: Path) -> Export:
    item = ("s", 3)
    kind = path.suffix[1:]
    return Export(1, str(path), FromItem(item, "value"), item, "key", kind, 95, "")


def test_a_format_that_cannot_hold_a_value_says_so(tmp_path: Path) -> None:
    with pytest.raises(ItemError, match="a Scalar cannot be written as"):
        encode_file(Scalar((1,)), export(tmp_path / "a.png"))
    with pytest.raises(ItemError, match="no such output format 'bmp'"):
        encode_file(Scalar((1,)), export(tmp_path / "a.bmp"))


def test_a_picture_too_long_for_a_format_is_told_which_take_it(tmp_path: Path) -> None:
    import torch

    for kind, longest in (("jpeg", 65_500), ("webp", 16_383)):
        long = Mask(torch.ones(1, 1, 1, longest + 1))
        with pytest.raises(ItemError, match=rf"at most {longest} a side\): write it as \.png or"):
            encode_file(long, export(tmp_path / f"a.{kind}"))


def film(frames: int = 7, fps: float = 12.0) -> Film:
    """A soft wave that moves on by some pixels from frame to frame, around."""
    import torch

    turns = (torch.arange(24) / 24)[None] + torch.arange(frames)[:, None] / frames
    waves = torch.sin(2 * torch.pi * (turns[:, None] + torch.arange(3)[:, None] / 3))
    return Film(waves[None, :, :, None].repeat(1, 1, 1, 16, 1), fps)


@pytest.mark.parametrize("fps", [0.3, 12.0, 30.0, 50.0])
@pytest.mark.parametrize(("kind", "tick"), [("webp", 1), ("gif", 10)])
def test_a_film_plays_its_frames_in_its_time_for_ever(kind: str, tick: int, fps: float) -> None:
    import torch
    from PIL import Image as Pillow

    given = film(fps=fps)
    content = encode_file(given, export(Path(f"a.{kind}")))
    with Pillow.open(io.BytesIO(content)) as found:
        assert (found.n_frames, found.size, found.info["loop"]) == (7, (24, 16), 0)  # type: ignore[attr-defined]
        shown = []
        for number, frame in enumerate(given.data[0]):
            found.seek(number)
            found.load()
            shown.append(found.info["duration"])
            raw = torch.frombuffer(bytearray(found.convert("RGB").tobytes()), dtype=torch.uint8)
            pixels = raw.view(16, 24, 3).permute(2, 0, 1) / 127.5 - 1
            near = [float((pixels - other).abs().mean()) for other in given.data[0]]
            assert near.index(min(near)) == number
            assert float((pixels - frame).abs().mean()) < 0.08
    assert abs(sum(shown) - 7000 / fps) <= tick / 2
    assert max(shown) - min(shown) <= tick
    assert content == encode_file(given, export(Path(f"a.{kind}")))


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_film_of_one_frame_is_a_picture(kind: str) -> None:
    from PIL import Image as Pillow

    content = encode_file(film(frames=1), export(Path(f"a.{kind}")))
    with Pillow.open(io.BytesIO(content)) as found:
        assert (found.n_frames, found.size) == (1, (24, 16))  # type: ignore[attr-defined]


def test_films_and_pictures_keep_to_their_formats() -> None:
    for kind in ("png", "jpg", "jpeg", "tiff"):
        with pytest.raises(ItemError, match=rf"a Film cannot be written as \.{kind}"):
            encode_file(film(), export(Path(f"a.{kind}")))
    with pytest.raises(ItemError, match=r"a Mask cannot be written as \.gif"):
        encode_file(dot(), export(Path("a.gif")))


def test_a_film_too_long_for_a_format_is_told_what_to_do() -> None:
    import torch

    for kind, longest in (("gif", 65_535), ("webp", 16_383)):
        long = Film(torch.ones(1, 2, 3, 1, longest + 1), 12.0)
        with pytest.raises(ItemError, match=rf"at most {longest} a side\): resize its frames"):
            encode_file(long, export(Path(f"a.{kind}")))


def test_a_film_that_stands_still_too_long_for_a_gif_is_told_what_to_do() -> None:
    import torch

    still = Film(torch.zeros(1, 66, 3, 4, 4), 0.1)
    with pytest.raises(ItemError, match=r"longer than 655 s, .* \.gif: write it as \.webp"):
        encode_file(still, export(Path("a.gif")))
    assert encode_file(still, export(Path("a.webp")))


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("size", [(3, 100_000), (70_000, 2), (40, 30)])
def test_long_pictures_are_written_band_by_band(
    tmp_path: Path, kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from PIL import Image as Pillow

    monkeypatch.setattr("engine.export._BAND_PX", 90_000)
    data = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    content = encode_file(Image(data), export(tmp_path / f"a.{kind}"))
    assert content.startswith(b"II+\0" if kind == "tiff" else b"\x89PNG")  # "+": a BigTIFF
    with Pillow.open(io.BytesIO(content)) as picture:
        found = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    expected = ((data[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    assert torch.equal(found, expected.flatten())


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_large_pictures_hold_the_same_pixels_and_are_told_alike(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from PIL import Image as Pillow

    value = Image(torch.rand(1, 3, 33, 57, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    usual = encode_file(value, export(tmp_path / f"a.{kind}"))
    monkeypatch.setattr("engine.export._STREAM_PX", 100)
    monkeypatch.setattr("engine.export._BAND_PX", 200)
    path = tmp_path / "new" / f"a.{kind}"
    written = export_value(value, export(path), str(tmp_path))
    content = path.read_bytes()
    assert content == encode_file(value, export(path))
    assert (written.size, written.digest) == (len(content), sha256(content).hexdigest())
    with Pillow.open(io.BytesIO(usual)) as a, Pillow.open(io.BytesIO(content)) as b:
        assert a.tobytes() == b.tobytes()


def test_what_was_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.png"
    written = export_value(dot(), export(path), str(tmp_path))
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert (written.path, written.item, written.key) == (str(path), ("s", 3), "key")
    assert (written.size, written.digest) == (len(content), sha256(content).hexdigest())
    assert written.mtime_ns == path.stat().st_mtime_ns
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.png"]


def test_an_existing_file_is_replaced_even_when_it_is_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    root = tmp_path / "out"
    root.mkdir()
    (root / "a.png").symlink_to(outside)
    export_value(dot(), export(root / "a.png"), str(root))
    assert outside.read_text() == "mine"
    assert not (root / "a.png").is_symlink()


def test_links_do_not_lead_out_of_the_output_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "out", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(ItemError, match="leaves the output folder"):
        export_value(dot(), export(root / "link" / "new" / "a.png"), str(root))
    assert list(outside.iterdir()) == []
