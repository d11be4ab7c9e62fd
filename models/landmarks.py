"""Faces in a photograph: four points each, from a detector or from a file of landmarks.

A face is reduced to what an aligned crop needs: left eye, right eye, left and right mouth corner as
seen in the picture. Source: Kazemi & Sullivan 2014 (landmarks); Dalal & Triggs 2005 (HOG detector).
"""

import csv
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.errors import ModelError

if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor

Predictor = Literal["dlib5", "dlib68"]

#: Longest side in pixels that the detector looks at; larger photos are found in a smaller copy.
DETECTION_SIDE = 1024
#: The detector's window is 80 px wide; a face in a smaller picture than this is never found.
SMALLEST_FACE = 40
#: The detector's own score below which a find is not a face (badges and folds reach 0.1).
MIN_SCORE = 0.2

_FILES: dict[Predictor, str] = {
    "dlib5": "shape_predictor_5_face_landmarks.dat",
    "dlib68": "shape_predictor_68_face_landmarks.dat",
}


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face.

    Shapes: points float64 [4, 2]: left eye, right eye, left and right mouth corner, as (x, y).
    Units: pixels of the photo, with the top left pixel's centre at (0.5, 0.5).
    """

    points: "Tensor"
    score: float = 1.0

    @property
    def size(self) -> float:
        """The distance between the eyes, in pixels."""
        return float((self.points[1] - self.points[0]).norm())


def find_faces(photo: "ndarray[Any, Any]", predictor: Predictor = "dlib5") -> list[Face]:
    """The faces in a photo, largest first.

    Shapes: photo uint8 [H, W, 3].
    Raises: ModelError if the detector or its landmark model is not installed.
    """
    import numpy as np
    import torch
    from PIL import Image

    height, width = photo.shape[:2]
    if min(height, width) < SMALLEST_FACE:
        return []
    shrink = max(1.0, max(height, width) / DETECTION_SIDE)
    if shrink > 1:
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    detect, predict = _detector(), _predictor(predictor)
    boxes, scores, _ = detect.run(np.ascontiguousarray(photo), 0, 0.0)
    scale = torch.tensor([width / photo.shape[1], height / photo.shape[0]], dtype=torch.float64)
    faces = []
    for box, score in zip(boxes, scores, strict=True):
        if score < MIN_SCORE:
            continue
        shape = predict(photo, box)
        marks = torch.tensor([(p.x, p.y) for p in shape.parts()], dtype=torch.float64)
        faces.append(Face((four_points(marks) + 0.5) * scale, float(score)))
    return sorted(faces, key=lambda face: -face.size)


def four_points(marks: "Tensor") -> "Tensor":
    """Eyes and mouth corners [4, 2] of 4, 5 (dlib) or 68 (iBUG) landmarks [K, 2].

    The five-point model has no mouth: its place is one eye distance below the eyes, which is where
    it is in an average face.  Raises: ModelError for any other number of landmarks.
    """
    import torch

    if len(marks) == 4:
        return marks
    if len(marks) == 68:
        eyes = [marks[36:42].mean(0), marks[42:48].mean(0)]
        return torch.stack([*eyes, marks[48], marks[54]])
    if len(marks) == 5:
        left, right = marks[2:4].mean(0), marks[0:2].mean(0)
        across = right - left
        mouth = (left + right) / 2 + torch.stack([-across[1], across[0]])
        return torch.stack([left, right, mouth, mouth])
    raise ModelError(f"{len(marks)} landmarks: must be 4, 5 or 68 points")


def read_landmarks(path: str) -> dict[str, list[Face]]:
    """The faces of each photo named in a landmark file.

    JSON: {"a.jpg": [[x, y], ...]}, 4 or 68 points, or a list of such lists for several faces.
    CSV: a row per face, the file name and then x1, y1, x2, y2, ... (a header line is skipped).
    Units: pixel indices as annotation tools give them, the top left pixel's centre at (0, 0).
    Raises: ModelError if the file cannot be read that way.
    """
    return dict(_read_landmarks(path, Path(path).stat().st_mtime_ns))


@lru_cache(maxsize=8)
def _read_landmarks(path: str, _modified: int) -> dict[str, list[Face]]:
    import torch

    try:
        rows = _json_rows(path) if path.lower().endswith(".json") else _csv_rows(path)
        found: dict[str, list[Face]] = {}
        for name, points in rows:
            marks = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
            found.setdefault(name, []).append(Face(four_points(marks) + 0.5))
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError, ModelError) as error:
        raise ModelError(f"{path}: not a landmark file: {error}") from error
    return {name: sorted(faces, key=lambda face: -face.size) for name, faces in found.items()}


def _json_rows(path: str) -> list[tuple[str, Any]]:
    """(file name, points) per face of a JSON file."""
    rows = []
    for name, value in json.loads(Path(path).read_text("utf-8")).items():
        several = bool(value) and isinstance(value[0][0], list)
        rows += [(name, points) for points in (value if several else [value])]
    return rows


def _csv_rows(path: str) -> list[tuple[str, Any]]:
    """(file name, numbers) per face of a CSV file; a first line without numbers is a header."""
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not rows[0][1].strip().lstrip("-").replace(".", "", 1).isdigit():
        rows = rows[1:]
    return [(row[0], [float(x) for x in row[1:]]) for row in rows]


@lru_cache(maxsize=1)
def _detector() -> Any:
    """The frontal face detector that is compiled into dlib."""
    if find_spec("dlib") is None:
        raise ModelError(
            "finding faces needs dlib, which is not installed: pip install 'latentloom[faces]'"
        )
    import dlib

    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=2)
def _predictor(name: Predictor) -> Any:
    """dlib's landmark model, loaded once per process.

    The package that carries it is located and never imported: its own code does not run on
    current Python installations.
    """
    spec = find_spec("face_recognition_models")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0], "models", _FILES[name]) if folders else None
    if path is None or not path.is_file():
        raise ModelError(
            f"finding faces needs the package face_recognition_models ({_FILES[name]}), "
            "which is not installed: pip install 'latentloom[faces]'"
        )
    import dlib

    return dlib.shape_predictor(str(path))
