"""The entry point of Dask tasks: bytes in, bytes out, on a worker process of ours."""

import os
import pickle
import socket
import zlib
from functools import lru_cache
from typing import Any

from engine.errors import RunError
from engine.greeting import code_digest, complaints
from engine.jobs import Program
from engine.worker import run_chunk

#: How a worker process learns the most bytes it may allocate.
MEMORY_VARIABLE = "LATENTLOOM_MEMORY_BYTES"


def run_packed(
    program: bytes, chunk: bytes, guard: bool, code: str = "", fit: bytes = b""
) -> bytes:
    """Run a packed chunk on a worker; programs are unpacked once per process.

    Raises: RunError when this process runs other code than the driver's, whose digest is `code`, or
    lacks something else that is asked of it: whoever joins late was not greeted.
    """
    if code and code != code_digest():
        raise RunError(
            f"{_newcomer()} with other code ({code_digest()[:8]}, the driver {code[:8]}): "
            "install the same version of this program on all machines"
        )
    if fit and (lacking := _lacking(fit)):
        raise RunError(f"{_newcomer()} and {'; '.join(lacking)}")
    if guard:
        limit_memory()
    return pack(run_chunk(_program(program), unpack(chunk), guard=guard))


def pack(data: object) -> bytes:
    """Make compact bytes of what travels, so that Dask neither measures nor copies it."""
    return zlib.compress(pickle.dumps(data, pickle.HIGHEST_PROTOCOL), 1)


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote; only ever bytes of our own driver or worker."""
    return pickle.loads(zlib.decompress(data))  # noqa: S301


def _newcomer() -> str:
    return f"a worker on {socket.gethostname()} joined"


@lru_cache(maxsize=4)
def _lacking(fit: bytes) -> tuple[str, ...]:
    """In what this process falls short of packed terms; looked at once."""
    return tuple(complaints(unpack(fit)))


@lru_cache(maxsize=4)
def _program(packed: bytes) -> Program:
    program: Program = unpack(packed)
    return program


def limit_memory() -> None:
    """Turn running out of memory into a MemoryError of the op instead of a killed process."""
    limit = int(os.environ.get(MEMORY_VARIABLE, "0"))
    if not limit:
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
