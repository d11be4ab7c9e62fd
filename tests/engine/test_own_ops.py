"""A user's file of ops, by the driver and on a worker."""

import sys
from pathlib import Path

import pytest

from engine.errors import OpError, UsageError
from engine.own_ops import own_module, read_own_ops

TEXT = '''
from engine.op import op
from engine.values import Scalar

@op(version=1)
def negate(value: Scalar) -> Scalar:
    """The value with its sign turned."""
    return Scalar(tuple(-x for x in value.data))
'''


def test_specs_know_their_file_and_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TEXT)
    (spec,) = read_own_ops(path)
    assert (spec.name, spec.source_path) == ("negate", str(path))
    assert len(spec.source_digest) == 64
    path.write_text(TEXT + "# another content\n")
    (other,) = read_own_ops(path)
    assert other.source_digest != spec.source_digest
    assert other.module != spec.module


def test_a_worker_executes_the_file_once_and_only_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(TEXT)
    (spec,) = read_own_ops(path)
    del sys.modules[spec.module]  # as in another process
    module = own_module(spec)
    assert own_module(spec) is module
    del sys.modules[spec.module]
    path.write_text("raise SystemExit")
    with pytest.raises(OpError, match="changed while the run was on"):
        own_module(spec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "SyntaxError"),
        ("import nothing_like_this", "ModuleNotFoundError"),
        ("x = 1", "no function in it is marked"),
        (TEXT.replace("@op(version=1)", "@op"), "write @op\\(version=1\\)"),
        (TEXT.replace("value: Scalar", "value"), "parameter 'value' has no type"),
    ],
)
def test_a_bad_file_is_told_by_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        read_own_ops(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FileNotFoundError"):
        read_own_ops(tmp_path / "none.py")
