"""One store on a shared folder, used at once by what are two hosts to the programs on them."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPS = Path(__file__).with_name("toy_ops.py")
#: A name, process numbers and mounts of its own.
HOST = ["unshare", "-rm", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]

FLOW = """
version: 1
name: hosts
sources:
  x: {values: [VALUES]}
steps:
  wait: {op: tarry, in: {value: x}, with: {seconds: 0.02}}
  picture: {op: paint, in: {value: wait}, with: {size_px: 16}}
outputs:
  - {from: picture.image, to: "{x.value}.png"}
""".replace("VALUES", ", ".join(str(i / 100) for i in range(40)))


def host(name: str, folder: Path) -> "subprocess.Popen[str]":
    """Start the command on a host of that name; both have the store, each its own outputs."""
    run = [
        *(sys.executable, str(ROOT / "run_workflow.py"), str(folder / "flow.yaml")),
        *("--ops", str(OPS), "--workers", "1", "-q"),
        *("--cache", str(folder / "cache"), "-o", str(folder / name)),
    ]
    named = ["sh", "-c", f'hostname {name} && exec "$@"', "sh", *run]
    return subprocess.Popen(
        [*HOST, *named],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.timeout(600)
def test_two_hosts_share_a_store(tmp_path: Path) -> None:
    try:
        subprocess.run([*HOST, "hostname", "here"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to make namespaces")
    (tmp_path / "flow.yaml").write_text(FLOW)
    runs = [host(name, tmp_path) for name in ("one", "two")]
    ends = [(run.communicate()[1], run.returncode) for run in runs]
    assert ends == [("", 0), ("", 0)]
    one, two = (
        {p.name: sha256(p.read_bytes()).hexdigest() for p in (tmp_path / name).glob("*.png")}
        for name in ("one", "two")
    )
    assert len(one) == 40
    assert one == two
    left = [p for p in tmp_path.rglob("*") if "tmp" in p.name and p != tmp_path]
    assert left == []
