"""engine/coalesce.py: the first input that is there, be it a step's or a source's."""

from pathlib import Path

from PIL import Image

from engine.history import load_items
from tests.engine.test_runner import Flow, contents, flow  # noqa: F401  (a fixture)

TEXT = """
version: 1
name: fallback
sources: {photo: {glob: "photos/*.png"}, x: {values: [3, 4, -1]}}
steps:
  none: {op: refuse_image, in: {image: photo}}
  some: {op: coalesce, in: {values: [none, photo]}}
  mean: {op: brightness, in: {image: some}}
  shade: {op: picky, in: {value: x}, with: {hate: 3}}
  number: {op: coalesce, in: {values: [shade, x]}}
  again: {op: coalesce, in: {values: [shade, number]}}
  twice: {op: tarry, in: {value: again}}
outputs:
  - {from: some, to: "{photo.stem}.png"}
  - {from: mean, to: means.csv}
  - {from: number, to: numbers.csv}
  - {from: twice, to: twice.csv}
run: {retries: 0}
"""


def test_a_source_stands_in_and_a_bad_photo_harms_only_itself(flow: Flow, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.new("RGB", (9, 7), (90 * i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "bad.png").write_text("not a picture")
    result = flow(TEXT)
    assert result.exit_code == 3, result.message
    out = tmp_path / "out"
    assert sorted(p.name for p in out.glob("*.png")) == ["0.png", "1.png", "2.png"]
    with Image.open(out / "2.png") as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((9, 7), (180, 0, 0))
    assert (out / "numbers.csv").read_text().splitlines()[1:] == ["3,3", "4,4", "-1,-1"]
    assert (out / "twice.csv").read_text() == (out / "numbers.csv").read_text()
    bad = [
        (r.step, r.reason)
        for r in load_items(result.run_dir, status="quarantined")
        if r.label == "photo=bad"
    ]
    assert sorted(bad) == [("mean", "decode"), ("none", "decode"), ("some", "decode")]
    assert len((out / "means.csv").read_text().splitlines()) == 4
    made = contents(out)
    again = flow(TEXT)
    assert again.exit_code == 3
    assert {name: step["done"] for name, step in again.steps.items()} == dict.fromkeys(
        again.steps, 0
    )
    assert contents(out) == made
