"""Networks that ops read beside a model are part of their keys: each op says which it reads."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ops
from engine.op import OpSpec
from engine.values import Network
from models import save_network
from models.perceptual import FeatureNet, FeatureNetConfig
from run_workflow import build_ops, plan, run

FOLDER = Path(ops.__file__).parent


def functions(name: str) -> dict[str, ast.FunctionDef]:
    """The functions of an op file, by name."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def companions_of(function: ast.FunctionDef) -> Iterator[str]:
    """What a function loads by the module `companions`."""
    for node in ast.walk(function):
        loads = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if loads and node.value.id == "companions":  # type: ignore[attr-defined]
            yield node.attr  # type: ignore[attr-defined]


def reads(spec: OpSpec) -> set[str]:
    """The networks that an op's code can come to, by the functions it calls."""
    there = functions("given") | functions(spec.module.removeprefix("ops."))
    seen, left = {spec.function}, [spec.function]
    while left:
        used = {node.id for node in ast.walk(there[left.pop()]) if isinstance(node, ast.Name)}
        left += sorted(used & there.keys() - seen)
        seen |= used & there.keys()
    return {kind for name in seen for kind in companions_of(there[name])}


@pytest.mark.parametrize("spec", build_ops().values(), ids=lambda spec: spec.name)
def test_every_op_says_what_it_reads_beside_a_model(spec: OpSpec) -> None:
    assert reads(spec) == {told.partition(":")[0] for told in spec.options.beside}


WORKFLOW = """version: 1
models: {{m: {{file: {model}}}}}
sources: {{code: {{samples: {{count: 2, seed: 1}}}}}}
steps:
  picture: {{op: synthesize, in: {{latent: code}}}}
  scores: {{op: score_attributes, in: {{image: picture}}}}
outputs: [{{from: scores, to: scores.csv}}, {{from: picture, to: "{{code.index}}.png"}}]
"""


def test_another_feature_network_makes_what_it_reads_anew_and_nothing_else(
    companions: Network, tmp_path: Path
) -> None:
    folder = Path(companions.path).parent
    for name in ("generator", "features"):
        (tmp_path / f"{name}.safetensors").write_bytes(
            (folder / f"{name}.safetensors").read_bytes()
        )
    recipe = tmp_path / "w.yaml"
    recipe.write_text(WORKFLOW.format(model=tmp_path / "generator.safetensors"))
    flags = {"out": tmp_path / "out", "cache": tmp_path / "cache"}
    run(recipe, workers=1, **flags)
    assert not any(step.to_run for step in plan(recipe, **flags).steps.values())
    net = FeatureNet(FeatureNetConfig(("smile", "age"), ("face",), ("nose",), (8, 8, 8, 8, 8)))
    save_network(net, tmp_path / "features.safetensors", "features", net.config.to_json())
    left = {name: step.to_run for name, step in plan(recipe, **flags).steps.items()}
    assert left["scores"] == 2
    assert left["picture"] == 0
