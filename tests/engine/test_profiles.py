"""Profiles of workers: what they may say, and what is said of mistakes in them."""

from pathlib import Path

import pytest

from engine.errors import SpecError, UsageError
from engine.profiles import ClusterSpec, Hire, cluster_of, read_profile


def profile(folder: Path, text: str) -> ClusterSpec:
    path = folder / "cluster.yaml"
    path.write_text(f"cluster: {text}\n")
    return read_profile(path)


def test_local_workers_and_gpus(tmp_path: Path) -> None:
    found = profile(tmp_path, "{kind: local, workers: 3, memory: 6GB}")
    assert found == ClusterSpec(3, memory_bytes=6_000_000_000)
    assert profile(tmp_path, '{kind: gpu, gpus: "0,1"}') == ClusterSpec(gpus="0,1")
    assert profile(tmp_path, "{kind: gpu}") == ClusterSpec(gpus="all")


def test_a_scheduler_with_certificates_beside_the_profile(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    tls = "{ca: ca.pem, cert: cert.pem, key: key.pem}"
    found = profile(tmp_path, f"{{kind: scheduler, address: 'tls://10.0.0.5:8786', tls: {tls}}}")
    assert found.scheduler == "tls://10.0.0.5:8786"
    assert found.tls_key == str(tmp_path / "key.pem")
    assert found.elsewhere
    found = profile(tmp_path, "{kind: scheduler, address: scheduler.json}")
    assert found.scheduler == str(tmp_path / "scheduler.json")


def test_jobs_of_a_queue_and_hosts(tmp_path: Path) -> None:
    text = "{kind: slurm, workers: 8, memory: 16GB, cpus: 4, gpus: 1, walltime: '02:00:00'}"
    found = profile(tmp_path, text)
    hire = Hire("slurm", 8, memory_bytes=16 * 10**9, cpus=4, gpus=1, walltime="02:00:00")
    assert found == ClusterSpec(gpus="all", hire=hire)
    found = profile(tmp_path, "{kind: ssh, hosts: [a, b], workers: 2}")
    assert found.hire == Hire("ssh", 2, hosts=("a", "b"))
    (tmp_path / "id").touch()
    text = "{kind: ssh, hosts: [a], username: me, port: 2222, key: id, known_hosts: id, cpus: 2}"
    mine = str(tmp_path / "id")
    hire = Hire(
        "ssh", 1, hosts=("a",), cpus=2, username="me", port=2222, key=mine, known_hosts=mine
    )
    assert profile(tmp_path, text).hire == hire


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{kind: slrum, workers: 2}", "did you mean 'slurm'?"),
        ("{kind: slurm}", "'workers' is missing"),
        ("{kind: ssh, hosts: [a], wrokers: 2}", "unknown key 'wrokers', did you mean 'workers'?"),
        ("{kind: local, gpus: all}", "unknown key 'gpus'"),
        ("{kind: local, workers: none}", "must be a whole number of at least 1"),
        ("{kind: scheduler}", "'address' is missing"),
        ("{kind: scheduler, address: a, tls: {ca: x, cert: y, key: z}}", "there is no file 'x'"),
        ("{kind: ssh, hosts: [a], key: none}", "there is no file 'none'"),
        ("{kind: ssh, hosts: [a], port: 70000}", "must be a whole number"),
        ("{kind: ssh, hosts: [a], queue: x}", "unknown key 'queue'"),
        ("[]", "must be a mapping"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        profile(tmp_path, text)
    assert told in str(caught.value)
    assert "cluster.yaml:1:" in str(caught.value)


def test_flags_stand_above_the_profile(tmp_path: Path) -> None:
    profile(tmp_path, "{kind: local, workers: 3, memory: 6GB}")
    found = cluster_of({"cluster": tmp_path / "cluster.yaml", "workers": 1, "gpus": None, "x": 1})
    assert found == ClusterSpec(1, memory_bytes=6_000_000_000)
    with pytest.raises(UsageError, match="No such file"):
        cluster_of({"cluster": tmp_path / "none.yaml"})
