from pathlib import Path

from engine.doctor import examine, versions
from engine.profiles import ClusterSpec


def test_a_machine_that_runs_the_suite_is_fit(tmp_path: Path) -> None:
    found = {f.name: f for f in examine(tmp_path / "cache", ClusterSpec(workers=1))}
    assert found["python"].verdict == "ok"
    assert found["torch"].verdict == "ok"
    assert found["workers"].verdict == "ok"
    assert "GiB free" in found["cache"].text


def test_workers_that_cannot_be_had_are_a_finding(tmp_path: Path) -> None:
    spec = ClusterSpec(gpus="77")
    found = {f.name: f for f in examine(tmp_path, spec)}
    assert found["workers"].verdict == "bad"
    assert "--gpus 77" in found["workers"].text


def test_versions_name_what_matters() -> None:
    assert {"python", "torch", "dask"} <= versions().keys()
