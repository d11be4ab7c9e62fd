"""What the pages show: every workflow in them is valid, and the op that is written there runs."""

import re
from pathlib import Path

import pytest
from PIL import Image

from engine.graph import load_graph
from run_workflow import build_ops, run, surroundings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


EXAMPLES = [
    pytest.param(text, id=f"{page.stem}-{i}")
    for page in PAGES
    for i, text in enumerate(blocks(page, "yaml"))
]


@pytest.fixture(scope="module")
def own_op(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ops") / "my_ops.py"
    path.write_text(blocks(ROOT / "docs" / "own-ops.md", "python")[0])
    return path


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_workflow_in_the_pages_is_valid(text: str, own_op: Path) -> None:
    assert load_graph(text, surroundings(build_ops([own_op]))).outputs


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) > 3


def test_the_op_in_the_pages_runs(own_op: Path, tmp_path: Path) -> None:
    [workflow] = blocks(ROOT / "docs" / "own-ops.md", "yaml")
    (tmp_path / "bright.yaml").write_text(workflow)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 10), (100, 100, 100)).save(tmp_path / "photos" / "grey.jpg")
    flags = {"ops": [own_op], "out": tmp_path / "out", "cache": tmp_path / "cache", "workers": 1}
    result = run(tmp_path / "bright.yaml", **flags)
    assert result.exit_code == 0
    assert [path.name for path in result.files] == ["grey_1.2.png", "grey_1.6.png"]
    levels = [Image.open(path).getpixel((5, 5)) for path in result.files]
    assert levels == [(120, 120, 120), (160, 160, 160)]
