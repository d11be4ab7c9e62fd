"""engine/schema.py: editors accept what the checks accept, and refuse what they can see."""

import json

import jsonschema
import pytest

from engine.schema import workflow_schema
from engine.yaml_text import parse_yaml
from tests.engine.language import REGISTRY, load

SCHEMA = workflow_schema(REGISTRY)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

GOOD = """
version: 1
name: all-of-it
params: {photos: ./photos, n: {default: 3, type: integer, min: 1, help: how many}, s: [1, 2]}
models: {a: portraits-128, b: {file: other.pt}}
sources:
  photo: {glob: "${params.photos}/*.jpg"}
  row: {table: {file: t.csv, image: file}}
  z: {samples: {count: "${params.n}", model: a}}
  v: {values: [1, 2]}
steps:
  face: {op: align, in: {image: photo}, with: {size: 64}, on_error: fail, timeout: 10m}
  code: {op: invert, in: {image: face}, model: a, with: {steps: "${params.n}", seed: {shared: 7}}}
  smile: {op: edit, in: {latent: code}, with: {direction: [smile], strength: "${matrix.s}"},
          matrix: {s: "${params.s}", exclude: [{s: 1}]}, when: face.faces == 1}
  picture: {op: synthesize, in: {latent: smile}, batch: auto, device: cpu, cache: true}
  sheet: {op: sheet, in: {images: [face, picture]}, gather: {over: s},
          with: {caption: "{photo.stem} {s}"}}
  either: {op: coalesce, in: {values: [smile, code]}, retries: 0}
  both: {op: mix, in: {content: code, style: z}, pair: cross}
outputs:
  - {from: picture, to: "{photo.rel}_{s}.png", metadata: none}
  - {from: sheet, to: "{photo.rel}.jpg", quality: 90}
run: {retries: 1, timeout: 90, max_failures: 5%, cache: {max_size: 1GB}}
"""


def data(text: str):
    return parse_yaml(text, "flow.yaml").data


def test_the_schema_is_json_and_a_schema():
    assert json.loads(json.dumps(SCHEMA))["type"] == "object"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_good_workflow_passes_both():
    assert list(VALIDATOR.iter_errors(data(GOOD))) == []
    assert load(GOOD).steps["sheet"].axes == ("photo",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 1", "version: 2"),
        ("name: all-of-it", "title: x"),
        ("op: align", "op: aling"),
        ("{image: face}", "{img: face}"),
        ("in: {image: face}, ", ""),
        ("{direction: [smile], strength: ", "{strength: "),
        ("size: 64", "size: 8"),
        ("size: 64", "size: big"),
        ("size: 64", "sise: 64"),
        ("shared: 7", "common: 7"),
        ("on_error: fail", "on_error: stop"),
        ("timeout: 10m", "timeout: soon"),
        ("glob: ", "golb: "),
        ("pair: cross", "pair: both"),
        ("{over: s}", "{by: s}"),
        ("metadata: none", "metadata: all"),
        ("model: a}", "modle: a}"),
        ("type: integer", "type: whole"),
        ("values: [smile, code]", "value: [smile, code]"),
        ("quality: 90", "quality: 900"),
    ],
)
def test_a_bad_one_is_refused(before, after):
    assert before in GOOD

    assert not VALIDATOR.is_valid(data(GOOD.replace(before, after)))


def test_ops_and_settings_say_what_they_are():
    step = SCHEMA["properties"]["steps"]["additionalProperties"]
    chosen = {rule["if"]["properties"]["op"]["const"]: rule["then"] for rule in step["allOf"]}
    setting = chosen["invert"]["properties"]["with"]["properties"]["method"]

    assert {"const": "invert", "description": "Find the code of a picture."} in (
        step["properties"]["op"]["oneOf"]
    )
    assert setting["description"] == "'encoder', 'optimize' or 'hybrid'"
    assert setting["default"] == "hybrid"
    assert "scratch" not in chosen["tune"]["properties"]["with"]["properties"]
