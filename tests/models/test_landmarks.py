"""Four points of a face, from 5 or 68 landmarks, JSON or CSV."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import ModelError
from models.landmarks import find_faces, four_points, read_landmarks

SQUARE = [[10.0, 10.0], [30.0, 10.0], [12.0, 32.0], [28.0, 32.0]]


def test_five_points_put_the_mouth_one_eye_distance_below() -> None:
    marks = torch.tensor([[34.0, 10], [26, 10], [6, 10], [14, 10], [20, 20]], dtype=torch.float64)
    assert four_points(marks).tolist() == [[10, 10], [30, 10], [20, 30], [20, 30]]


def test_sixty_eight_points_give_eye_means_and_mouth_corners() -> None:
    marks = torch.arange(136, dtype=torch.float64).reshape(68, 2)
    points = four_points(marks)
    assert points[:, 0].tolist() == [77.0, 89.0, 96.0, 108.0]


def test_other_numbers_of_points_are_refused() -> None:
    with pytest.raises(ModelError, match="7 landmarks: must be 4, 5 or 68"):
        four_points(torch.zeros(7, 2))


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    as_json, as_csv = tmp_path / "a.json", tmp_path / "a.csv"
    as_json.write_text(json.dumps({"a.jpg": SQUARE, "b.jpg": [SQUARE, SQUARE]}), "utf-8")
    numbers = ",".join(str(x) for point in SQUARE for x in point)
    as_csv.write_text(f"file,x,y\na.jpg,{numbers}\nb.jpg,{numbers}\nb.jpg,{numbers}\n", "utf-8")
    for file in (as_json, as_csv):
        faces = read_landmarks(str(file))
        assert [len(faces[name]) for name in ("a.jpg", "b.jpg")] == [1, 2]
        assert faces["a.jpg"][0].points[0].tolist() == [10.5, 10.5]
        assert faces["a.jpg"][0].size == 20


@pytest.mark.parametrize("text", ["[1, 2", '{"a.jpg": [[1, 2], [3, 4]]}', '{"a.jpg": "x"}', "[]"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text, "utf-8")
    with pytest.raises(ModelError, match=r"bad\.json: not a landmark file"):
        read_landmarks(str(file))


def test_noise_has_no_face() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    assert find_faces(noise) == []
