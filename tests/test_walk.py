"""The walk of one photo through the house is the one that docs/architecture.md describes."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from PIL import Image

from engine.glance import Terms
from engine.jobs import Program
from engine.plan import Board
from engine.session import open_session, questions
from engine.worker import run_chunk
from run_workflow import request, run

ROOT = Path(__file__).parent.parent
OURS = (str(ROOT / "engine"), str(ROOT / "run_workflow.py"))
WORKFLOW = """\
version: 1
name: walk
sources: {photo: {glob: "photos/*.png"}}
steps: {small: {op: resize, in: {image: photo}, with: {size: 8}, cache: true}}
outputs: [{from: small, to: "{photo.stem}.png"}]
"""


def described() -> list[str]:
    """The rooms of the walk, in the order of the document."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    walk = text.split("<!-- walk -->")[1].split("<!-- end of walk -->")[0]
    return re.findall(r"^\d+\. `([\w/.]+)`", walk, re.MULTILINE)


@contextmanager
def footsteps(found: dict[str, None]) -> Iterator[None]:
    """Note every file of ours that a function is called in, in the order of the first calls."""

    def step(frame: FrameType, event: str, _arg: Any) -> None:
        code = frame.f_code  # the bodies of modules and classes run at import: they do not count
        if event == "call" and code.co_flags & CO_OPTIMIZED and code.co_filename.startswith(OURS):
            found.setdefault(Path(code.co_filename).relative_to(ROOT).as_posix())

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(step)
    threading.setprofile(step)  # of threads that begin from now on
    try:
        yield
    finally:
        threading.setprofile(None)
        sys.setprofile(before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (20, 16), "teal").save(tmp_path / "photos" / "ann.png")
    return tmp_path


def walked_on_a_worker(place: Path) -> list[str]:
    """The rooms that one chunk passes on a worker."""
    found: dict[str, None] = {}
    asked = request(WORKFLOW, out=place / "here", cache=place / "cache")
    with open_session(asked) as session:
        session.run_dir.mkdir(parents=True)
        board = Board(session.items, questions(session), Terms(out_root=str(session.out)))
        board.digests((s, i, digest_of(item.path)) for s, i, item in board.next_unread(9))
        chunk = board.next_chunk()
        assert chunk is not None
        steps = session.items.graph.steps
        where = (str(session.store), str(session.run_dir), str(session.out))
        with footsteps(found):
            result = run_chunk(Program(steps, *where), chunk)
    assert result.written
    return list(found)


def digest_of(path: str) -> str:
    from engine.inputs import content_digest

    return content_digest(path)


def test_a_photo_walks_as_described(place: Path) -> None:
    for heavy in ("torch", "distributed"):  # watching these being imported takes long
        import_module(heavy)
    on_a_worker = walked_on_a_worker(place)
    driver: dict[str, None] = {}
    with footsteps(driver):
        result = run(WORKFLOW, out=place / "out", cache=place / "cache2", workers=1)
    assert result.exit_code == 0
    rooms = described()
    first = rooms.index("engine/worker.py")
    last = max(i for i, room in enumerate(rooms) if room in on_a_worker)
    inside = rooms[first : last + 1]
    assert [room for room in on_a_worker if room in inside] == inside
    outside = [*rooms[:first], *rooms[last + 1 :]]
    assert [room for room in driver if room in outside] == outside
