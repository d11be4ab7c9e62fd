"""A user's file of ops: read by the driver, found again by the workers, bound to its content."""

import hashlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from engine.errors import OpError, UsageError
from engine.op import OpSpec
from engine.registry import marked


def read_own_ops(path: Path) -> tuple[OpSpec, ...]:
    """Make the specs of all ops in a file; its digest becomes part of their keys.

    Raises: UsageError when the file cannot be executed or has no ops.
    """
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        module = _execute(path, digest)
        found = tuple(marked(module))
    except Exception as error:
        raise UsageError(f"--ops {path}: {type(error).__name__}: {error}") from error
    if not found:
        raise UsageError(f"--ops {path}: no function in it is marked with @op")
    where = str(path.resolve())
    return tuple(replace(spec, source_digest=digest, source_path=where) for spec in found)


def own_module(op: OpSpec) -> ModuleType:
    """Find the module of a user's op in this process, executing its file when it is new here.

    Raises: OpError when the file is no longer what it was when the run was planned.
    """
    if op.module in sys.modules:
        return sys.modules[op.module]
    path = Path(op.source_path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != op.source_digest:
        raise OpError(f"{path} changed while the run was on; start the run again")
    return _execute(path, op.source_digest)


def _execute(path: Path, digest: str) -> ModuleType:
    """Run a file as a module named by its content, so that a changed file is another module."""
    name = f"own_ops_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise OpError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # the types of a dataclass are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
