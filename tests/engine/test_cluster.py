"""Finding workers: our own, somebody's, none."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from distributed.security import Security

from engine.cluster import open_workers, planned_slots
from engine.errors import RunError, UsageError
from engine.greeting import complaints, terms
from engine.local import cpu_count
from engine.profiles import ClusterSpec


def test_the_number_of_workers_is_known_before_they_start() -> None:
    assert planned_slots(ClusterSpec()) == cpu_count()
    assert planned_slots(ClusterSpec(workers=3)) == 3
    assert planned_slots(ClusterSpec(workers=0)) == 1


def test_a_scheduler_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    spec = ClusterSpec(scheduler=str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="there is no such file"), open_workers(spec, tmp_path):
        pytest.fail("there is no scheduler")


def test_a_scheduler_that_does_not_answer_stops_the_run(tmp_path: Path) -> None:
    spec = ClusterSpec(scheduler="tls://127.0.0.1:1")  # tls without certificates fails at once
    with pytest.raises(RunError, match="no answer"), open_workers(spec, tmp_path):
        pytest.fail("there is no scheduler")


ROOT = Path(__file__).parents[2]

SERVER = """
import sys
from distributed import LocalCluster
from distributed.security import Security
def main(threads, folder, tls):
    security = None
    if tls:
        security = Security.temporary()
        for name, text in (("ca", security.tls_ca_file), ("cert", security.tls_client_cert),
                           ("key", security.tls_client_key)):
            open(f"{folder}/{name}.pem", "w").write(text)
    with LocalCluster(n_workers=1, threads_per_worker=threads, dashboard_address="127.0.0.1:0",
                      worker_dashboard_address="127.0.0.1:0", security=security,
                      local_directory=folder, silence_logs=50) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], len(sys.argv) > 3)
"""
LACKING = """
import sys
sys.modules["engine"] = None
"""


class Server:
    """Somebody's cluster, in another process."""

    def __init__(
        self,
        folder: Path,
        threads: int = 1,
        *,
        tls: bool = False,
        program: bool = True,
        home: Path = ROOT,
    ) -> None:
        script = folder / "server.py"
        # Read by every process of the cluster, wherever the program is installed.
        script.write_text(SERVER if program else LACKING + SERVER)
        command = [sys.executable, str(script), str(threads), str(folder)] + ["tls"] * tls
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(home)},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("")


def test_a_scheduler_file_names_a_running_cluster(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        path = tmp_path / "scheduler.json"
        path.write_text(json.dumps({"address": server.address}))
        with open_workers(ClusterSpec(scheduler=str(path)), tmp_path) as workers:
            assert workers.slots() == 1
            assert workers.submit(divmod, 7, 2).result(30) == (3, 1)


def test_workers_with_several_threads_are_refused(tmp_path: Path) -> None:
    with Server(tmp_path, threads=2) as server:
        spec = ClusterSpec(scheduler=server.address)
        with pytest.raises(RunError, match="--nthreads 1"), open_workers(spec, tmp_path):
            pytest.fail("two chunks would share a process")


def test_workers_that_see_other_disks_or_lack_the_program_are_refused(tmp_path: Path) -> None:
    shared = [tmp_path / "cache"]
    shared[0].mkdir()
    with Server(tmp_path) as server:
        spec = ClusterSpec(scheduler=server.address)
        with open_workers(spec, tmp_path, shared) as workers:
            assert workers.slots() == 1
    assert list(shared[0].iterdir()) == []
    with Server(tmp_path, program=False) as server:
        spec = ClusterSpec(scheduler=server.address)
        with pytest.raises(RunError, match="lacks this program"), open_workers(spec, tmp_path):
            pytest.fail("it cannot run a chunk")


def test_tls_clusters_are_reached_with_certificates(tmp_path: Path) -> None:
    with Server(tmp_path, tls=True) as server:
        assert server.address.startswith("tls://")
        spec = ClusterSpec(
            scheduler=server.address,
            tls_ca=str(tmp_path / "ca.pem"),
            tls_cert=str(tmp_path / "cert.pem"),
            tls_key=str(tmp_path / "key.pem"),
        )
        with open_workers(spec, tmp_path) as workers:
            assert workers.submit(divmod, 7, 2).result(30) == (3, 1)


def test_workers_with_other_code_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "older"
    shutil.copytree(ROOT / "engine", home / "engine", ignore=shutil.ignore_patterns("*.pyc"))
    with (home / "engine" / "keys.py").open("a") as file:
        file.write("# as it was last week\n")
    with Server(tmp_path, home=home) as server:
        spec = ClusterSpec(scheduler=server.address)
        with (
            pytest.raises(RunError, match=r"runs other code .*install the same version"),
            open_workers(spec, tmp_path),
        ):
            pytest.fail("its results would be other results")


def test_workers_without_the_weights_or_a_gpu_are_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"1234")
    with Server(tmp_path) as server:
        spec = ClusterSpec(scheduler=server.address)
        with open_workers(spec, tmp_path, [tmp_path], [weights]) as workers:
            assert workers.code
            hidden = workers.submit(os.rename, weights, tmp_path / "elsewhere")
            hidden.result(30)
            wanted = terms([], [tmp_path / "elsewhere"], gpu=False)
            wanted = replace(wanted, files={str(weights): 4})
            told = workers.submit(complaints, wanted).result(30)
            assert told == [
                f"cannot read {weights}: No such file or directory; "
                "it must be there for all machines"
            ]


def test_certificates_of_another_authority_are_refused(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    security = Security.temporary()
    texts = (security.tls_ca_file, security.tls_client_cert, security.tls_client_key)
    for name, text in zip(("ca", "cert", "key"), texts, strict=True):
        (ours / f"{name}.pem").write_text(text)
    files = {f"tls_{name}": str(ours / f"{name}.pem") for name in ("ca", "cert", "key")}
    with Server(theirs, tls=True) as server:
        spec = ClusterSpec(scheduler=server.address, **files)  # type: ignore[arg-type]
        with pytest.raises(RunError, match="--tls-ca"), open_workers(spec, tmp_path):
            pytest.fail("anybody could have made these")
    spec = ClusterSpec(scheduler="tls://127.0.0.1:1", tls_ca=str(ours / "none.pem"))
    with pytest.raises(UsageError, match="there is no such file"), open_workers(spec, tmp_path):
        pytest.fail("there is no such authority")
