"""A cache in an object store: copied there and back by whatever protocol, and never half."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

from engine.bucket import find_place
from engine.errors import StoreError, UsageError
from engine.index import Index
from engine.records import Record
from engine.store import list_packs, open_store, read_port, verify_pack, write_pack
from engine.upkeep import Care, look_after
from run_workflow import main

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toy_ops.py")


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place that appears whole (a folder), and one where files may be seen half written."""
    if request.param == "file":
        yield f"file://{tmp_path}/bucket/cache"
        return
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://bucket/cache"
    files.store.clear()


def fill(root: Path, *keys: str, size: int = 2000) -> list[str]:
    """Store values, a pack for each; give the names of the packs."""
    open_store(root)
    with Index(root) as index:
        for key in keys:
            content = key.encode() * (size // len(key))
            index.add(write_pack(root, [(Record(key, seconds=1.0), {"code": content})]))
    return [name for name, _, _ in list_packs(root)]


def values(root: Path, *keys: str) -> dict[str, bytes]:
    """What a store holds for keys, read and verified."""
    with Index(root) as index:
        found = index.lookup(keys)
    read = {key: read_port(root, record, "code") for key, record in found.items()}
    return {key: bytes(data) for key, data in read.items() if data is not None}


def copy(action: str, root: Path, url: str) -> Care:
    return look_after(action, root, where=url)


def counts(care: Care) -> tuple[float, float, float]:
    return care.numbers["packs"], care.numbers["before"], care.numbers["refused"]


def test_only_what_is_missing_is_copied_there_and_back(tmp_path: Path, url: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    fill(here, "a", "b", "c")
    first = copy("export", here, url)
    assert counts(first) == (3, 0, 0)
    assert first.numbers["bytes"] == sum(size for _, size, _ in list_packs(here))
    assert counts(copy("export", here, url)) == (0, 3, 0)
    fill(here, "d")
    assert counts(copy("export", here, url)) == (1, 3, 0)
    assert counts(copy("import", there, url)) == (4, 0, 0)
    assert values(there, *"abcd") == values(here, *"abcd")
    assert len(values(there, *"abcd")) == 4
    assert counts(copy("import", there, url)) == (0, 4, 0)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_packs_of_several_tables_and_pieces_arrive_to_the_byte(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.bucket.TAIL", 100)  # shorter than a table, and than a foot's place
    monkeypatch.setattr("engine.store.PIECE", 64)
    here, there = tmp_path / "here", tmp_path / "there"
    open_store(here)
    entries = [
        (Record(f"k{i}"), {"code": os.urandom(size), "more": b"x" * i})
        for i, size in enumerate((0, 1, 63, 64, 65, 500))
    ]
    written = write_pack(here, entries)
    [failed] = write_pack(here, [(Record("bad", "failed", "no_face", "nobody"), {})])
    copy("export", here, url)
    copy("import", there, url)
    for pack in (written[0].pack, failed.pack):
        assert (there / pack).read_bytes() == (here / pack).read_bytes()
    with Index(there) as index:
        assert index.lookup(["bad"])["bad"].reason == "no_face"


def test_a_long_copy_says_how_far_it_is(
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("engine.watching.TELL_EVERY_S", 0.0)
    fill(tmp_path / "here", "a", "b", "c")
    assert main(["cache", "export", url, "--cache", str(tmp_path / "here"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.splitlines() == [f"{n}% of the files" for n in (33, 67, 100)]
    assert json.loads(told.out)["packs"] == 3
    assert main(["cache", "import", url, "--cache", str(tmp_path / "there")]) == 0
    assert capsys.readouterr().err == "100% of the files\n"


def test_what_was_merged_here_is_not_fetched_again(tmp_path: Path, url: str) -> None:
    here = tmp_path / "here"
    fill(here, "a", "b", "c")
    copy("export", here, url)
    assert look_after("gc", here).numbers["merged"] == 2
    assert counts(copy("import", here, url)) == (0, 3, 0)
    assert counts(copy("export", here, url)) == (1, 0, 0)
    assert len(fill(here)) == 1
    assert counts(copy("import", tmp_path / "new", url)) == (4, 0, 0)
    assert look_after("stats", tmp_path / "new").numbers["records"] == 3


def test_what_was_evicted_comes_back(tmp_path: Path, url: str) -> None:
    here = tmp_path / "here"
    fill(here, "a", "b")
    before = values(here, "a", "b")
    copy("export", here, url)
    assert look_after("gc", here, "1B").numbers["freed_bytes"] > 0
    assert values(here, "a", "b") == {}
    copy("import", here, url)
    assert values(here, "a", "b") == before


def test_a_success_replaces_a_failure_and_not_the_other_way(tmp_path: Path, url: str) -> None:
    failed, done = tmp_path / "failed", tmp_path / "done"
    open_store(failed)
    with Index(failed) as index:
        index.add(write_pack(failed, [(Record("a", "failed", "timeout", "slow"), {})]))
    fill(done, "a")
    for root in (failed, done):
        copy("export", root, url)
    for root in (failed, done):
        copy("import", root, url)
        with Index(root) as index:
            assert index.lookup(["a"])["a"].status == "ok"


# -- cut short and damaged -----------------------------------------------------------------------


def test_a_pack_that_is_not_whole_there_is_sent_again(tmp_path: Path, url: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    names = fill(here, "a", "b", "c")
    copy("export", here, url)
    place = find_place(url)
    for name, length in zip(names, (0, 1000), strict=False):
        path = f"{place.path}/{name}"
        place.files.pipe_file(path, place.files.cat_file(path)[:length])
    care = copy("import", there, url)
    assert (counts(care), care.sound) == ((1, 0, 2), False)
    assert names[0] in care.text
    assert len(list(list_packs(there))) == 1
    assert counts(copy("export", here, url)) == (2, 1, 0)
    assert counts(copy("import", there, url)) == (2, 1, 0)
    assert values(there, *"abc") == values(here, *"abc")


@pytest.mark.parametrize("place_of_damage", [0, 30, -30, -4])
def test_no_altered_byte_comes_in(tmp_path: Path, url: str, place_of_damage: int) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    [name] = fill(here, "a")
    copy("export", here, url)
    place = find_place(url)
    path = f"{place.path}/{name}"
    raw = bytearray(place.files.cat_file(path))
    raw[place_of_damage] ^= 1
    place.files.pipe_file(path, bytes(raw))
    care = copy("import", there, url)
    if place_of_damage == 0:  # the mark in front is not read but written anew
        assert (there / name).read_bytes() == (here / name).read_bytes()
        return
    assert (counts(care), care.sound) == ((0, 0, 1), False)
    assert list(list_packs(there)) == []
    assert list((there / "staging").iterdir()) == []


def test_what_is_damaged_here_is_not_sent(tmp_path: Path, url: str) -> None:
    here = tmp_path / "here"
    damaged, sound = fill(here, "a", "b")
    raw = bytearray((here / damaged).read_bytes())
    raw[50] ^= 1
    (here / damaged).write_bytes(raw)
    care = copy("export", here, url)
    assert (counts(care), care.sound) == ((1, 0, 1), False)
    assert f"damaged here and not sent; `cache verify` forgets what is in them: {damaged}" in (
        care.text
    )
    place = find_place(url)
    assert place.files.exists(f"{place.path}/{sound}")
    assert not place.files.exists(f"{place.path}/{damaged}")


COPY = """
import sys; from pathlib import Path; from engine.upkeep import look_after
action, root, url = sys.argv[1:]
print(look_after(action, Path(root), where=url).sound)
"""


def copying(action: str, root: Path, url: str) -> "subprocess.Popen[str]":
    """Copy in a process of its own."""
    command = [sys.executable, "-c", COPY, action, str(root), url]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)


def kill_in_the_act(child: "subprocess.Popen[str]", store: Path) -> None:
    """Kill a process when some packs have come into a store and another is on its way."""
    staging = store / "staging"
    while True:
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        if staging.exists() and any(staging.iterdir()) and list(list_packs(store)):
            break
        child.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    child.kill()
    child.communicate()


@pytest.mark.parametrize("action", ["export", "import"])
def test_a_copy_that_was_killed_goes_on_where_it_was(tmp_path: Path, action: str) -> None:
    here, there, bucket = tmp_path / "here", tmp_path / "there", tmp_path / "bucket"
    keys = [f"k{i}" for i in range(120)]
    fill(here, *keys, size=1 << 20)
    url = f"file://{bucket}"
    if action == "import":
        copy("export", here, url)
    root, target = (here, bucket) if action == "export" else (there, there)
    kill_in_the_act(copying(action, root, url), target)
    arrived = [name for name, _, _ in list_packs(target)]
    assert 0 < len(arrived) < len(keys)
    for name in arrived:
        verify_pack(target, name)
    care = copy(action, root, url)
    assert counts(care) == (len(keys) - len(arrived), len(arrived), 0)
    copy("import", there, url)
    assert values(there, *keys) == values(here, *keys)
    look_after("gc", target)
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_full_disk_there_is_said_and_leaves_nothing_half(tmp_path: Path) -> None:
    import resource

    here, bucket = tmp_path / "here", tmp_path / "bucket"
    fill(here, "a", size=1 << 20)
    fill(here, "b")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with pytest.raises(StoreError, match=r"bucket cannot be written: File too large"):
            copy("export", here, f"file://{bucket}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list((bucket / "staging").iterdir()) == []
    copy("export", here, f"file://{bucket}")
    assert len(list(list_packs(bucket))) == 2


# -- several at once -----------------------------------------------------------------------------


def test_writers_of_several_machines_share_a_place(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    for i, root in enumerate(roots):
        fill(root, *(f"k{j}" for j in range(20 * i, 20 * i + 40)), size=50_000)
    url = f"file://{tmp_path}/bucket"
    for action in ("export", "import"):
        children = [copying(action, root, url) for root in roots]
        assert [child.communicate()[0].strip() for child in children] == ["True"] * 3
    keys = [f"k{j}" for j in range(80)]
    found = [values(root, *keys) for root in roots]
    assert len(found[0]) == 80
    assert found[1:] == [found[0]] * 2
    assert list(tmp_path.rglob("*.tmp")) == []


def test_threads_of_one_process_share_a_place(tmp_path: Path, url: str) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    for i, root in enumerate(roots):
        fill(root, "both", f"own{i}")
    with ThreadPoolExecutor(3) as pool:
        cares = list(pool.map(lambda root: copy("export", root, url), roots))
    assert all(care.sound for care in cares)
    care = copy("import", tmp_path / "all", url)
    assert counts(care) == (4, 0, 0)


FLOW = """
version: 1
name: travel
sources:
  x: {values: [VALUES]}
steps:
  wait: {op: tarry, in: {value: x}, with: {seconds: 0.02}}
  picture: {op: paint, in: {value: wait}, with: {size_px: 16}}
outputs:
  - {from: picture.image, to: "{x.value}.png"}
""".replace("VALUES", ", ".join(str(i / 100) for i in range(40)))


def test_a_cache_is_copied_while_a_run_fills_it_and_serves_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    url = f"file://{tmp_path}/bucket"

    def line(name: str) -> list[str]:
        places = ["--cache", str(tmp_path / name), "-o", str(tmp_path / f"out-{name}")]
        own = ["--ops", str(OPS), "--workers", "1", "--json", "-q"]
        return ["run", str(tmp_path / "flow.yaml"), *places, *own]

    def cache(action: str, name: str) -> int:
        return main(["cache", action, url, "--cache", str(tmp_path / name)])

    command = [sys.executable, str(ROOT / "run_workflow.py"), *line("here")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    copies = 0
    while process.poll() is None:
        assert cache("export", "here") == 0
        assert cache("import", "early") == 0
        copies += 1
    assert (process.wait(), copies > 0) == (0, True)
    process.communicate()
    assert cache("export", "here") == 0
    for name in ("early", "late"):
        assert cache("import", name) == 0
        capsys.readouterr()
        assert main(line(name)) == 0
        steps = json.loads(capsys.readouterr().out)["steps"]
        assert {step["done"] for step in steps.values()} == {0}
    pictures = [sorted(tmp_path.glob(f"out-{name}/*.png")) for name in ("here", "early", "late")]
    assert len(pictures[0]) == 40
    first, *others = ([path.read_bytes() for path in found] for found in pictures)
    assert others == [first, first]


# -- what cannot be ------------------------------------------------------------------------------


def test_a_protocol_that_nobody_knows_is_told_with_the_nearest(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    with pytest.raises(UsageError, match=r"^ss3:// is no protocol .*did you mean 's3'\?"):
        copy("export", tmp_path, "ss3://bucket/cache")


@pytest.mark.parametrize(
    ("url", "package"), [("s3://b/c", "s3fs"), ("gs://b/c", "gcsfs"), ("sftp://h/c", "paramiko")]
)
def test_a_missing_package_is_told_with_what_to_install(
    tmp_path: Path, url: str, package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec(package):
        pytest.skip("it is installed here")
    assert main(["cache", "import", url, "--cache", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"{url}: needs a package that is not installed here: " in told
    assert package in told
    assert ("(pip install " in told) == (package != "paramiko")


def test_a_place_that_does_not_answer_is_told_without_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path, "a")
    url = "ftp://me:secret@127.0.0.1:9/cache"
    assert main(["cache", "export", url, "--cache", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "ftp://127.0.0.1:9/cache cannot be reached: ConnectionRefusedError" in told
    assert "secret" not in told


def test_a_place_that_may_not_be_written_or_read_is_told(
    open_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    here, bucket = open_folder / "here", open_folder / "bucket"
    fill(here, "a")
    copy("export", here, f"file://{bucket}")
    there = open_folder / "there"
    there.mkdir()
    there.chmod(0o777)
    bucket.chmod(0o000)
    with unprivileged():
        with pytest.raises(StoreError, match=r"bucket cannot be read: PermissionError"):
            copy("import", there, f"file://{bucket}")
        with pytest.raises(StoreError, match="Permission denied"):
            copy("export", there, f"file://{open_folder}/new")
    bucket.chmod(0o755)


def test_where_no_cache_is_nothing_comes_from(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="there is no exported cache at"):
        copy("import", tmp_path / "here", url)


def test_a_cache_of_a_newer_version_is_left_alone(tmp_path: Path, url: str) -> None:
    here = tmp_path / "here"
    fill(here, "a")
    copy("export", here, url)
    place = find_place(url)
    place.files.pipe_file(f"{place.path}/format", b"2\n")
    before = place.files.find(place.path)
    fill(here, "b")
    for action in ("import", "export"):
        with pytest.raises(StoreError, match="has format '2', this version knows 1"):
            copy(action, here, url)
    assert place.files.find(place.path) == before


def test_foreign_files_there_are_not_looked_at(tmp_path: Path, url: str) -> None:
    here = tmp_path / "here"
    [name] = fill(here, "a")
    copy("export", here, url)
    place = find_place(url)
    for path in ("notes.txt", f"packs/zz/{'0' * 40}.pack", "packs/ab/short.pack"):
        folder = f"{place.path}/{path}".rpartition("/")[0]
        place.files.makedirs(folder, exist_ok=True)
        place.files.pipe_file(f"{place.path}/{path}", b"mine")
    assert counts(copy("import", tmp_path / "there", url)) == (1, 0, 0)
    assert [found for found, _, _ in list_packs(tmp_path / "there")] == [name]
