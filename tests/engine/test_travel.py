"""A cache travels whole, and what pretends to be one does no harm."""

import io
import tarfile
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.index import Index
from engine.records import Record
from engine.store import open_store, read_port, write_pack
from engine.upkeep import look_after
from run_workflow import main


def filled(root: Path) -> list[Record]:
    open_store(root)
    return write_pack(root, [(Record("a"), {"code": b"first"}), (Record("b"), {"code": b"second"})])


def packed(file: Path, **entries: bytes) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def test_there_and_back(tmp_path: Path) -> None:
    records = filled(tmp_path / "here")
    file = tmp_path / "cache.tar"
    assert look_after("export", tmp_path / "here", where=file).numbers == {"packs": 1}
    there = tmp_path / "there"
    for new in (1, 0):
        care = look_after("import", there, where=file)
        assert (care.numbers, care.sound) == ({"packs": new, "refused": 0}, True)
    with Index(there) as index:
        found = index.lookup(["a", "b"])
    for record in records:
        assert read_port(there, found[record.key], "code") == read_port(
            tmp_path / "here", record, "code"
        )


def test_the_command_line_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "here")
    file = str(tmp_path / "cache.tar")
    assert main(["cache", "export", file, "--cache", str(tmp_path / "here")]) == 0
    assert main(["cache", "import", file, "--cache", str(tmp_path / "there"), "--json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == '{"packs": 1, "refused": 0}'
    assert main(["cache", "export", file, "--cache", str(tmp_path / "here")]) == 2
    assert "is there already" in capsys.readouterr().err


def test_only_sound_packs_come_in(tmp_path: Path) -> None:
    (record, _) = filled(tmp_path / "here")
    content = (tmp_path / "here" / record.pack).read_bytes()
    entries = {
        "../outside.pack": content,
        "/absolute.pack": content,
        "packs/ab/short.pack": content,
        record.pack: content[:-20] + b"x" * 20,
        f"packs/00/{'0' * 40}.pack": content,
    }
    file = packed(tmp_path / "bad.tar", **entries)
    care = look_after("import", tmp_path / "there", where=file)
    assert (care.numbers, care.sound) == ({"packs": 0, "refused": len(entries)}, False)
    assert not list((tmp_path / "there").rglob("*.pack"))
    assert not (tmp_path / "outside.pack").exists()


def test_mistakes_are_said(tmp_path: Path) -> None:
    filled(tmp_path / "here")
    file = tmp_path / "no.tar"
    file.write_text("not a tar file")
    with pytest.raises(UsageError, match="is there already"):
        look_after("export", tmp_path / "here", where=file)
    with pytest.raises(UsageError, match="no exported cache"):
        look_after("import", tmp_path / "here", where=file)
    with pytest.raises(UsageError, match="needs a file or URL"):
        look_after("import", tmp_path / "here")
    with pytest.raises(UsageError, match="takes no file"):
        look_after("stats", tmp_path / "here", where=file)
