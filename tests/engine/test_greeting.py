"""A worker says in what it falls short of its driver."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.graph import load_graph
from engine.greeting import Terms, code_digest, complaints, files_needed, terms
from engine.jobs import Chunk, Program
from engine.task import pack, run_packed
from run_workflow import build_ops, surroundings

ROOT = Path(__file__).parents[2]


def wanted(*marks: Path, files: tuple[Path, ...] = ()) -> Terms:
    for mark in marks:
        mark.touch()
    return terms(marks, files, gpu=False)


def test_this_process_is_fit_to_work_for_itself(tmp_path: Path) -> None:
    asked = wanted(tmp_path / "probe-1", files=(Path(__file__),))
    assert complaints(asked) == []
    assert [p.name for p in tmp_path.iterdir()] == ["probe-1"]


def test_other_versions_and_other_code_are_named(tmp_path: Path) -> None:
    asked = wanted(tmp_path / "probe-1")
    other = replace(asked, code="0" * 64, versions={**asked.versions, "torch": "1.0"})
    version, code = complaints(other)
    assert version.startswith("has torch ")
    assert version.endswith(", the driver 1.0")
    assert code.startswith(f"runs other code ({code_digest()[:8]}, the driver 00000000)")


def test_folders_that_are_not_shared_and_files_that_differ_are_named(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"1234")
    asked = wanted(tmp_path / "probe-1", files=(tmp_path / "w.pt",))
    (tmp_path / "w.pt").write_bytes(b"123")
    (tmp_path / "probe-1").unlink()
    folder, file = complaints(asked)
    assert folder.startswith(f"does not see {tmp_path};")
    assert file == f"has another {tmp_path / 'w.pt'} (3 bytes, the driver 4)"


def test_a_folder_that_may_not_be_written_is_named(
    open_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    asked = wanted(open_folder / "probe-1")
    with unprivileged():
        assert complaints(asked) == [f"cannot write to {open_folder}: Permission denied"]


def test_a_folder_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = wanted(tmp_path / "probe-1")
    monkeypatch.setattr("engine.greeting.FEW_BYTES", 1 << 62)
    assert complaints(asked) == [f"has no space left in {tmp_path}"]


def test_a_gpu_that_is_not_there_is_missed() -> None:
    import torch

    found = complaints(terms([], [], gpu=True))
    assert bool(found) == (not torch.cuda.is_available())
    assert all("no GPU" in line for line in found)


def test_who_joins_later_with_other_code_is_refused(tmp_path: Path) -> None:
    program = pack(Program({}, str(tmp_path), str(tmp_path / "run"), str(tmp_path)))
    chunk = pack(Chunk("c1", "s", (), ()))
    run_packed(program, chunk, False, code_digest())
    with pytest.raises(RunError, match="joined with other code"):
        run_packed(program, chunk, False, "0" * 64)


def test_who_joins_later_and_lacks_something_is_refused(tmp_path: Path) -> None:
    program = pack(Program({}, str(tmp_path), str(tmp_path / "run"), str(tmp_path)))
    chunk, code = pack(Chunk("c1", "s", (), ())), code_digest()
    asked = wanted(files=(Path(__file__),))
    run_packed(program, chunk, False, code, pack(asked))
    other = replace(asked, versions={**asked.versions, "torch": "1.0"})
    with pytest.raises(RunError, match=r"joined and has torch .*, the driver 1\.0"):
        run_packed(program, chunk, False, code, pack(other))
    weights = str(tmp_path / "w.pt")
    with pytest.raises(RunError, match=f"joined and cannot read {weights}: No such file"):
        run_packed(program, chunk, False, code, pack(replace(asked, files={weights: 4})))


def test_the_weights_and_a_photo_are_needed_by_workers() -> None:
    graph = load_graph(ROOT / "workflows" / "quickstart.yaml", surroundings(build_ops()))
    weights, photo = files_needed(graph, [str(ROOT / "zzz.jpg"), ""])
    assert weights.is_file()
    assert weights.is_relative_to(ROOT / "models")
    assert photo == ROOT / "zzz.jpg"
