"""The command line as a user meets it: short flags, messages, exit codes."""

import json
from pathlib import Path

import pytest
import torch

import run_workflow
from engine.errors import UsageError
from engine.provenance import with_metadata
from models.directions import StoredDirection, save_direction
from run_workflow import main

GOOD = """\
version: 1
name: shrink
params: {px: 32, photos: ./photos}
sources: {photo: {glob: "${params.photos}/*.png"}}
steps:
  small: {op: resize, in: {image: photo}, with: {size: "${params.px}"}}
outputs: [{from: small, to: "{photo.stem}.png"}]
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "shrink.yaml"
    path.write_text(GOOD)
    return path


def test_a_valid_file_is_said_to_be(workflow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(workflow)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("shrink.yaml: valid (1 step, 1 output)\n")


def test_every_mistake_is_told_with_its_place(
    workflow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow.write_text(
        GOOD.replace("op: resize", "op: resise").replace("from: small", "from: smal")
    )
    assert main(["validate", str(workflow)]) == 2
    err = capsys.readouterr().err
    assert "shrink.yaml:6:15: unknown op 'resise', did you mean 'resize'?" in err
    assert "shrink.yaml:7:18: " in err
    assert "did you mean 'small'?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vaildate", "x"], "Did you mean 'validate'?"),
        (["run"], "Missing argument 'WORKFLOW'"),
        (["run", "absent.yaml"], "does not exist"),
        (["absent.yaml"], "does not exist"),
        (["ops", "make_gird"], "did you mean 'make_grid'?"),
        (["plan", "--limt", "3"], "Did you mean '--limit'?"),
    ],
)
def test_a_wrong_command_line_exits_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("px", "must be NAME=VALUE"),
        ("pxx=3", "did you mean 'px'?"),
        ("px=wide", "must be a number"),
        ("px=[1", "-p"),
    ],
)
def test_params_are_checked(
    workflow: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(workflow), "-p", given]) == 2
    assert message in capsys.readouterr().err


def test_a_params_file_comes_before_p(workflow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = workflow.with_name("params.yaml")
    params.write_text("px: wide\n")
    arguments = ["validate", str(workflow), "--params-file", str(params)]
    assert main(arguments) == 2
    assert main([*arguments, "-p", "px=16"]) == 0
    capsys.readouterr()


def test_own_ops_join_the_others(workflow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = workflow.with_name("mine.py")
    own.write_text(
        "from engine.op import op\nfrom engine.values import Image\n"
        "@op(version=1)\ndef flip(image: Image) -> Image:\n"
        '    "Turn a picture upside down."\n    return Image(image.data.flip(2))\n'
    )
    assert main(["ops", "--ops", str(own), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flip"] == "Turn a picture upside down."
    assert "resize" in found


def test_own_ops_that_do_not_load_are_a_clear_error(
    workflow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = workflow.with_name("mine.py")
    own.write_text("import nothing_of_that_name\n")
    assert main(["validate", str(workflow), "--ops", str(own)]) == 2
    assert "nothing_of_that_name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "start"), [("svg", "<svg"), ("mermaid", "flowchart"), ("dot", "digraph")]
)
def test_a_workflow_can_be_drawn(
    workflow: Path, form: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", str(workflow), "--format", form]) == 0
    out = capsys.readouterr().out
    assert out.startswith(start)
    assert "resize" in out


def test_the_schema_names_every_op(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    text = capsys.readouterr().out
    json.loads(text)
    for name in run_workflow.build_ops():
        assert f'"{name}"' in text


def test_unknown_flags_from_python_are_refused(workflow: Path) -> None:
    from engine.errors import UsageError

    with pytest.raises(UsageError, match="did you mean 'limit'"):
        run_workflow.plan(workflow, limt=3)


def test_an_asset_is_found_beside_its_model(tmp_path: Path) -> None:
    from engine.dag import ModelInfo

    library = tmp_path / "model" / "directions"
    library.mkdir(parents=True)
    made = StoredDirection(torch.eye(64)[0], 1.0, 0.0, "smile", "w", "d")
    save_direction(made, library / "smile.safetensors")
    save_direction(made, tmp_path / "own.safetensors")
    weights = str(tmp_path / "model" / "generator.safetensors")
    model = ModelInfo("m", weights, "d", "d", 32, 8, 64, 64)
    found, digest = run_workflow.find_asset("directions", "smile", str(tmp_path), model)
    assert found == str(library / "smile.safetensors")
    assert len(digest) == 64
    found, _ = run_workflow.find_asset("directions", "own.safetensors", str(tmp_path), model)
    assert found == str(tmp_path / "own.safetensors")
    with pytest.raises(Exception, match=r"did you mean 'smile'.*there are smile"):
        run_workflow.find_asset("directions", "smlie", str(tmp_path), model)


def test_a_file_that_is_no_direction_of_the_model_is_told_before_a_run(tmp_path: Path) -> None:
    from engine.dag import ModelInfo

    model = ModelInfo("m", str(tmp_path / "generator.safetensors"), "d", "d", 32, 8, 64, 64)
    made = StoredDirection(torch.eye(4)[0], 1.0, 0.0, "smile", "w", "e" * 64)
    save_direction(made, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes()[:99])
    (tmp_path / "a.npy").write_bytes(b"anything")
    for name, message in (
        ("other.safetensors", r"made for the generator eeeeeeeeeeee, not for 'm' \(d\): import"),
        ("cut.safetensors", r"cut\.safetensors: not a direction file: truncated"),
        ("a.npy", r"a\.npy: not a direction file: .*`run_workflow\.py directions import`"),
    ):
        with pytest.raises(UsageError, match=message):
            run_workflow.find_asset("directions", name, str(tmp_path), model)


def test_the_lineage_of_a_file_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"op": "average", "step": "mean", "inputs": {"codes": [{"value": 3}]}}
    header = json.dumps({"__metadata__": {"latentloom": "{}"}}).encode()
    text = json.dumps({"made": made})
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_metadata(len(header).to_bytes(8, "little") + header, text))
    assert main(["lineage", str(path)]) == 0
    assert capsys.readouterr().out == "x.safetensors\n└─ mean (average) codes 3\n"
    assert main(["lineage", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "x.safetensors"
    photo = Path(__file__).parents[1] / "workflows" / "photos" / "grace_hopper.jpg"
    assert main(["lineage", str(photo)]) == 2
    assert "carries no provenance" in capsys.readouterr().err
