import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from engine.shots import FILM_BYTES, SIZE_PX, WIDE_PX, Wanted, data_uri, take_shot, take_shots


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def test_a_picture_is_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500), "teal").save(tmp_path / "a.png")
    shot = take_shot(Wanted(tmp_path / "a.png", "a", "../a.png"))
    assert shot is not None
    assert (shot.width, shot.height, shot.href) == (SIZE_PX, SIZE_PX // 2, "../a.png")
    assert shot.full_px == (1000, 500)
    assert decoded(shot.thumbnail).size == (shot.width, shot.height)


def test_the_size_of_a_turned_picture_is_that_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1000, 500)).save(tmp_path / "a.jpg", exif=exif)
    shot = take_shot(Wanted(tmp_path / "a.jpg", "a"))
    assert shot is not None
    assert shot.full_px == (500, 1000)


def test_a_featured_picture_stays_large(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1000)).save(tmp_path / "sheet.png")
    shot = take_shot(Wanted(tmp_path / "sheet.png", "sheet", featured=True))
    assert shot is not None
    assert shot.width == WIDE_PX


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    shot = take_shot(Wanted(tmp_path / "clear.png", "clear"))
    assert shot is not None
    assert min(decoded(shot.thumbnail).convert("RGB").getpixel((4, 4))) > 250


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "good.png")
    paths = [Wanted(tmp_path / f"{name}.png", name) for name in ("bad", "good", "absent")]
    assert [shot is not None for shot in take_shots(paths)] == [False, True, False]


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_film_plays_where_it_is_asked_to_and_small(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    frames = [Image.new("RGB", (1000, 500), color) for color in ("teal", "coral")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80)
    for plays, shown in ((True, 2), (False, 1)):
        shot = take_shot(Wanted(path, "a", plays=plays))
        assert shot is not None
        assert (shot.width, shot.height, shot.full_px) == (SIZE_PX, SIZE_PX // 2, (1000, 500))
        assert decoded(shot.thumbnail).n_frames == shown  # type: ignore[attr-defined]
    with path.open("ab") as file:
        file.write(bytes(FILM_BYTES))
    shot = take_shot(Wanted(path, "a", plays=True))
    assert shot is not None
    assert decoded(shot.thumbnail).n_frames == 1  # type: ignore[attr-defined]


def test_no_bytes_make_no_uri() -> None:
    assert data_uri(b"") == ""
    assert data_uri(b"x").startswith("data:image/jpeg;base64,")
