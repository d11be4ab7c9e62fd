"""What travels through Dask, and what a worker process does to itself."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.jobs import Chunk, ChunkResult, Program
from engine.task import limit_memory, pack, run_packed, unpack


def test_a_chunk_comes_back_as_a_result(tmp_path: Path) -> None:
    program = Program({}, str(tmp_path / "store"), str(tmp_path / "run"), str(tmp_path))
    answer = run_packed(pack(program), pack(Chunk("c7", "s", (), ())), False)
    result = unpack(answer)
    assert isinstance(result, ChunkResult)
    assert (result.chunk, result.outcomes) == ("c7", ())


def test_no_limit_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LATENTLOOM_MEMORY_BYTES", raising=False)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_limited_process_gets_a_memory_error() -> None:
    code = (
        "from engine.task import limit_memory\n"
        "limit_memory()\n"
        "try:\n    bytearray(600 << 20)\nexcept MemoryError:\n    print('typed')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"LATENTLOOM_MEMORY_BYTES": str(400 << 20), "PATH": "/usr/bin"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "typed\n", found.stderr
