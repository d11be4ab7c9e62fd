"""Packs: what goes in comes out, and damage, death and full disks never make an answer."""

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import store
from engine.errors import StoreError
from engine.store import Record

DATA = bytes(range(256)) * 40


def written(root: Path, key: str = "k1", data: bytes = DATA) -> Record:
    return store.write_pack(root, [(Record(key, seconds=0.5), {"image": data})])[0]


def read(root: Path, record: Record, port: str = "image") -> bytes | None:
    view = store.read_port(root, record, port)
    return None if view is None else bytes(view)


@given(
    st.dictionaries(
        st.text("0123456789abcdef", min_size=1, max_size=8),
        st.dictionaries(st.sampled_from(["image", "mask", "latent"]), st.binary(max_size=64)),
        max_size=5,
    )
)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, content: dict) -> None:
    root = tmp_path_factory.mktemp("store")
    entries = [(Record(k, scalars={"n": 1.5}), parts) for k, parts in content.items()]
    records = store.write_pack(root, entries)
    assert {r.key: {p: read(root, r, p) for p in r.ports} for r in records} == content
    assert store.read_table(root, records[0].pack) == records if records else not records


def test_a_failure_is_remembered_with_its_reason(tmp_path: Path) -> None:
    failed = Record("k", "failed", "no_face", "no face in 'Zoë.jpg'", 0.1)
    (record,) = store.write_pack(tmp_path, [(failed, {})])
    assert store.read_table(tmp_path, record.pack) == [record]
    assert (record.status, record.reason, record.message) == ("failed", "no_face", failed.message)
    assert record.readable


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "delete", "folder"])
def test_damage_is_a_miss_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    record = written(tmp_path)
    path = tmp_path / record.pack
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    if harm in ("delete", "folder"):
        path.unlink()
    if harm == "folder":
        path.mkdir()
    if harm in ("flip", "cut", "empty"):
        path.write_bytes({"flip": bytes(raw), "cut": raw[:200], "empty": b""}[harm])
    with caplog.at_level(logging.WARNING):
        assert store.read_port(tmp_path, record, "image") is None
    assert "computed again" in caplog.text


def test_a_payload_that_was_dropped_is_a_silent_miss(tmp_path: Path) -> None:
    record = replace(written(tmp_path), pack="")
    assert store.read_port(tmp_path, record, "image") is None
    assert not record.readable


@given(st.data())
def test_a_damaged_table_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("store")
    record = written(root, data=b"payload")
    path = root / record.pack
    raw = bytearray(path.read_bytes())
    start = len(b"LOOMPCK1") + len(b"payload")
    if data.draw(st.booleans()):
        raw[data.draw(st.integers(start, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    path.write_bytes(raw)
    with pytest.raises(StoreError):
        store.read_table(root, record.pack)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with _largest_file(4096), pytest.raises(StoreError, match=r"cannot be written.*--cache"):
        written(tmp_path)
    assert list((tmp_path / "staging").iterdir()) == []
    assert list(store.list_packs(tmp_path)) == []
    assert read(tmp_path, written(tmp_path)) == DATA


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_read_only_store_can_be_read(
    open_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    record = written(store.open_store(open_folder))
    for folder in (open_folder, *(p for p in open_folder.rglob("*") if p.is_dir())):
        folder.chmod(0o555)
    with unprivileged():
        assert store.open_store(open_folder) == open_folder
        assert read(open_folder, record) == DATA
        with pytest.raises(StoreError, match="Permission denied"):
            written(open_folder, "k2")
    for folder in (open_folder, *(p for p in open_folder.rglob("*") if p.is_dir())):
        folder.chmod(0o755)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store.open_store(tmp_path)
    store.open_store(tmp_path)
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(StoreError, match="format '2'"):
        store.open_store(tmp_path)


def test_a_store_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        store.open_store(tmp_path / "file" / "store")


def test_the_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LATENTLOOM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert store.default_root() == Path("/x/latentloom")
    monkeypatch.setenv("LATENTLOOM_CACHE", "/y")
    assert store.default_root() == Path("/y")


WRITER = """
import sys; from pathlib import Path; from engine.store import Record, write_pack
root, name, count, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for i in range(count):
    record = Record(f"{name if i % 2 else 'both'}{i}", seconds=1.0)
    write_pack(root, [(record, {"image": bytes([i % 256]) * size})])
"""


def writer(root: Path, name: str, count: int, size: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), name, str(count), str(size)])


def test_a_writer_killed_in_the_act_leaves_only_a_file_to_sweep(tmp_path: Path) -> None:
    child = writer(tmp_path, "a", 100_000, 8 << 20)
    staging = tmp_path / "staging"
    while not (_stopped(child) and staging.exists() and any(staging.iterdir())):
        child.send_signal(signal.SIGCONT)
        time.sleep(0.003)
    assert store.sweep(tmp_path) == 0, "a living writer's file must stay"
    child.kill()
    child.wait()
    assert store.sweep(tmp_path) == 1
    assert list(staging.iterdir()) == []
    for pack, _, _ in store.list_packs(tmp_path):
        for record in store.read_table(tmp_path, pack):
            assert read(tmp_path, record) is not None


def _stopped(child: subprocess.Popen[bytes]) -> bool:
    child.send_signal(signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)
    return True


def test_two_writers_share_a_store(tmp_path: Path) -> None:
    children = [writer(tmp_path, name, 40, 1000) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    packs = [pack for pack, _, _ in store.list_packs(tmp_path)]
    records = [record for pack in packs for record in store.read_table(tmp_path, pack)]
    assert len(records) == 60, "equal packs of both writers are one file"
    assert all(read(tmp_path, record) is not None for record in records)
    assert list((tmp_path / "staging").iterdir()) == []
