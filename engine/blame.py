"""What an exception says about an item: the reason it is quarantined with, and the words for it."""

import sys
import traceback

from engine.errors import ItemError, Reason


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: Python's, or torch's by name or message."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(
        error
    )


def free_gpu_memory() -> None:
    """Give cached blocks back before a smaller batch is tried."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def reason_of(error: BaseException) -> tuple[Reason, str, str]:
    """Translate what an op or a decoder raised into a reason, a message and a traceback."""
    if isinstance(error, ItemError):
        return error.reason, str(error), ""
    if is_out_of_memory(error):
        return "out_of_memory", f"not enough memory for one item: {error}", ""
    trace = "".join(traceback.format_exception(error))
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"ModelError", "OpError"}:
        return "op_error", str(error), trace
    return "op_error", f"{type(error).__name__}: {error}", trace
