"""The model card: sheets of a tiny generator, figures that hold for their weights only."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.config import GeneratorConfig
from models.stylegan2 import Generator
from models.training.card import replace_between, write_sheets
from models.training.domains import LANDSCAPES, PORTRAITS
from models.training.measured import (
    FILE,
    NEEDS,
    files_of,
    load_figures,
    missing,
    save_figures,
    stamp,
)
from models.training.sheets import Model, Sheet, interpolation, noise, paste, sheets, truncation
from models.training.tables import NOT_MEASURED, quality, table

CONFIG = GeneratorConfig(
    resolution=64, channels=(8,) * 5, z_dim=32, w_dim=32, mapping_layers=2, mapping_lr=1.0
)
SMALL = replace(PORTRAITS, generator=CONFIG)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    made = Generator(CONFIG).requires_grad_(requires_grad=False)
    for name, strength in made.named_parameters():
        if name.endswith("noise_strength"):
            strength.fill_(0.5)
    made.w_avg = made.mapping(torch.randn(256, 32)).mean(0)
    return made


def test_a_model_without_companions_has_no_sheets_of_them(generator: Generator) -> None:
    drawn = sheets(Model(SMALL, generator))
    assert list(drawn) == ["samples", "truncation", "mixing", "interpolation", "noise"]


def test_rows_of_a_sheet_begin_and_end_where_they_say(generator: Generator) -> None:
    model = Model(SMALL, generator)
    with torch.no_grad():
        mean = generator.synthesize(generator.broadcast(generator.w_avg[None]))[0]
        way, strips = truncation(model), interpolation(model)
    middle = way.column_labels.index("psi 0")
    for row in way.rows:
        torch.testing.assert_close(row[middle], mean, atol=1e-4, rtol=0)
    for sphere, straight in (strips.rows[:2], strips.rows[2:]):
        for end in (0, -1):
            torch.testing.assert_close(sphere[end], straight[end], atol=1e-3, rtol=1e-3)
        assert not torch.allclose(sphere[4], straight[4], atol=1e-3)  # type: ignore[arg-type]


def test_layouts_are_kept_where_noise_lays_pictures_out(generator: Generator) -> None:
    plain = noise(Model(SMALL, generator))
    laid_out = noise(Model(replace(LANDSCAPES, generator=CONFIG), generator))
    assert [len(row) for row in (plain.rows[0], laid_out.rows[0])] == [3, 5]
    spreads = [torch.stack([row[2] for row in sheet.rows]).mean() for sheet in (plain, laid_out)]  # type: ignore[misc]
    assert spreads[0] > spreads[1] > -1


def test_all_sheets_are_written_and_old_ones_go(tmp_path: Path, generator: Generator) -> None:
    (tmp_path / "tiny-gone.webp").touch()
    text = write_sheets(Model(SMALL, generator), "tiny", tmp_path)
    assert "images/tiny-mixing.webp" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        f"tiny-{kind}.webp"
        for kind in ("samples", "truncation", "mixing", "interpolation", "noise")
    )


def test_tiles_lie_where_rows_and_columns_say() -> None:
    white, black = torch.ones(3, 8, 8), -torch.ones(3, 8, 8)
    page = paste(Sheet("", [[black, None], [white, black]], side_px=8))
    assert page.size == (20, 20)
    assert [page.getpixel(at) for at in ((4, 4), (16, 4), (4, 16), (16, 16))] == [
        (0, 0, 0),
        (255, 255, 255),
        (255, 255, 255),
        (0, 0, 0),
    ]
    labelled = paste(Sheet("", [[black, black]], ("psi 1",), ("a", "b"), 8))
    assert labelled.width > 20
    assert labelled.height > 8


def weights(folder: Path, kind: str, content: str) -> None:
    (folder / f"{kind}.safetensors").write_text(content)


def test_figures_hold_for_the_weights_they_were_measured_on(tmp_path: Path) -> None:
    weights(tmp_path, "generator", "one")
    weights(tmp_path, "features", "two")
    assert missing(tmp_path, "inversion") == ("encoder",)
    assert missing(tmp_path, "samples") == ()
    for section in ("noise", "speed", "reading", "samples"):
        save_figures(tmp_path, section, {"figure": section})
    assert list(load_figures(tmp_path)) == [
        name for name in NEEDS if name in ("noise", "speed", "reading", "samples")
    ]
    before = stamp(tmp_path, "reading")
    weights(tmp_path, "generator", "another")
    assert list(load_figures(tmp_path)) == ["reading"]
    assert stamp(tmp_path, "reading") == before
    save_figures(tmp_path, "noise", {"figure": 3})
    assert list(json.loads((tmp_path / FILE).read_text())) == ["reading", "noise"]


def test_directions_of_channels_are_measured_and_told_apart(tmp_path: Path) -> None:
    (tmp_path / "directions").mkdir()
    for kind in ("generator", "features"):
        weights(tmp_path, kind, kind)
    weights(tmp_path / "directions", "smile", "w")
    assert missing(tmp_path, "channels") == ("channels",)
    save_figures(tmp_path, "directions", {"figure": 1})
    weights(tmp_path / "directions", "smile_channels", "style")
    assert [path.stem for path in files_of(tmp_path, "directions")] == ["smile"]
    assert [path.stem for path in files_of(tmp_path, "channels")] == ["smile_channels"]
    assert list(load_figures(tmp_path)) == ["directions"]


def test_figures_that_are_no_numbers_are_refused_and_the_old_ones_stay(tmp_path: Path) -> None:
    weights(tmp_path, "generator", "one")
    save_figures(tmp_path, "noise", {"spread": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        save_figures(tmp_path, "noise", {"spread": float("nan")})
    assert load_figures(tmp_path)["noise"]["spread"] == 1.5


def test_the_page_tells_the_sections_that_were_measured() -> None:
    machine = {"threads": 2, "cpu": "x86_64", "torch": "2", "load": 1.0}
    spread = {"generated": 1.25, "renders": 2.5}
    found = {"encoder_db": 20.0, "encoder_s": 0.002, "hybrid_db": 25.0, "hybrid_s": 9.0}
    measured = {
        "noise": {
            "in_textures": 1.5,
            "in_textures_renders": 2.0,
            "on_outlines": 0.1,
            "on_outlines_renders": 0.0,
            "parts": {"hair": spread},
            "machine": machine,
        },
        "inversion": {
            "steps": 200,
            "renders": found,
            "layout": {"pictures": 8, "tuned_db": 31.26, "tuned_s": 20.0},
            "generated": found,
            "machine": machine,
        },
    }
    page = quality(measured)
    assert "| the first 8 of them, then 200 steps on noise maps | 31.3 dB in 20.0 s |" in page
    assert "| hair | 1.25 | 2.50 |" in page
    assert "1.50 (renders 2.00)" in page
    assert "Frechet" not in page
    assert quality({}) == NOT_MEASURED
    assert table(("a", "b"), [(1, 2)]).split("\n")[1] == "| --- | --- |"


def test_marked_parts_are_replaced_and_missing_marks_told() -> None:
    page = "x\n<!-- m: begin -->\nold\n<!-- m: end -->\ny"
    assert replace_between(page, "m", "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="no part"):
        replace_between(page, "other", "new")
