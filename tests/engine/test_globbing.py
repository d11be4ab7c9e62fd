"""Globs mean what people expect."""

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.globbing import find_files

TREE = [
    "img10.jpg",
    "img2.JPG",
    "Img1.jpeg",
    "notes.txt",
    ".hidden.jpg",
    "a/b/deep.png",
    "a/x.jpg",
    "a-b/y.jpg",
    ".secret/z.jpg",
    "out/result.jpg",
    "we[ird] {name}.jpg",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in TREE:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["img2.JPG", "img10.jpg", "we[ird] {name}.jpg"]),
        ("*.{jpg,jpeg}", ["Img1.jpeg", "img2.JPG", "img10.jpg", "we[ird] {name}.jpg"]),
        ("img[0-9]*.jpg", ["img2.JPG", "img10.jpg"]),
        ("img[!2]*.jpg", ["img10.jpg"]),
        ("img?.jpg", ["img2.JPG"]),
        ("a/*.jpg", ["x.jpg"]),
        ("a*/*.jpg", ["a/x.jpg", "a-b/y.jpg"]),
        ("a/**/*.{png,jpg}", ["b/deep.png", "x.jpg"]),
        ("{a/b,a-b}/*", ["a-b/y.jpg", "a/b/deep.png"]),
        ("a/**", ["b/deep.png", "x.jpg"]),
        (".secret/*.jpg", ["z.jpg"]),
        ("*/.secret/*.jpg", []),
        ("img10.jpg", ["img10.jpg"]),
        ("IMG10.jpg", []),
        ("**/**/deep.png", ["a/b/deep.png"]),
    ],
)
def test_patterns(photos: Path, pattern: str, names: list[str]) -> None:
    _, found = find_files(photos, pattern, photos / "out")
    assert sorted(file.name for file in found) == sorted(names)


def test_the_fixed_part(photos: Path) -> None:
    base, found = find_files(photos.parent, "photos/**/*.{jpg,png,jpeg}", photos / "out")
    assert base == photos
    files = list(found)
    assert len(files) == 7
    assert all(Path(file.path) == photos / file.name for file in files)


def test_the_avoided_folder_is_read_when_the_pattern_starts_in_it(photos: Path) -> None:
    _, found = find_files(photos, "out/*.jpg", photos / "out")
    assert [file.name for file in found] == ["result.jpg"]


def test_linked_folders_are_followed_once_around(photos: Path) -> None:
    (photos / "a" / "loop").symlink_to(photos)
    (photos / "link").symlink_to(photos / "a-b")
    _, found = find_files(photos, "**/y.jpg")
    assert sorted(file.name for file in found) == ["a-b/y.jpg", "link/y.jpg"]


def test_links_to_nowhere_are_found_and_pipes_are_not(photos: Path) -> None:
    import os

    (photos / "broken.jpg").symlink_to(photos / "none")
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    os.mkfifo(photos / "pipe.jpg")
    _, found = find_files(photos, "[bsp]*.jpg")
    stats = {file.name: file.stat for file in found}
    assert stats == {"broken.jpg": None, "self.jpg": None}


def test_what_cannot_be_searched_is_said(photos: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        find_files(photos, "none/*.jpg")
    with pytest.raises(UsageError, match="more than 1000 patterns"):
        find_files(photos, "{a,b,c,d}" * 6)
