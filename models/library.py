"""The networks that come with the project, found by name."""

import difflib
from pathlib import Path

from models.errors import ModelError

BUILTIN = Path(__file__).parent / "builtin"
#: What files of weights are called.
WEIGHTS = (".pt", ".pkl", ".pth", ".safetensors")


def builtin_names() -> tuple[str, ...]:
    """The names of the models that ship, such as "portraits-128"."""
    if not BUILTIN.is_dir():
        return ()
    return tuple(sorted(p.name for p in BUILTIN.iterdir() if any(p.glob("*.safetensors"))))


def library_names(weights: str | Path, kind: str) -> tuple[str, ...]:
    """What lies in a folder such as "directions" beside a weight file, by name."""
    folder = Path(weights).parent / kind
    return tuple(sorted(p.stem for p in folder.glob("*.safetensors")))


def library_file(weights: str | Path, kind: str, name: str) -> Path:
    """Where an entry of such a folder lies, or would lie."""
    return Path(weights).parent / kind / f"{name}.safetensors"


def locate(source: str | Path, kind: str) -> Path:
    """The weight file that `source` means: a file, or a built-in model's file for `kind`.

    `kind` is "generator", "encoder", "features" and so on; a built-in model keeps
    `<kind>.safetensors`.  Raises: ModelError if there is neither, with the nearest name.
    """
    path = Path(source)
    if path.is_file():
        return path
    names = builtin_names()
    if str(source) in names:
        built_in = BUILTIN / str(source) / f"{kind}.safetensors"
        if built_in.is_file():
            return built_in
        kinds = ", ".join(sorted(p.stem for p in built_in.parent.glob("*.safetensors")))
        raise ModelError(f"built-in model {source!r} has no {kind}; it has {kinds}")
    if path.is_dir():
        raise ModelError(f"{path}: a folder; must be a weight file or a built-in model's name")
    if path.suffix in WEIGHTS or path.parent != Path():
        raise ModelError(f"{path}: there is no such weight file")
    near = difflib.get_close_matches(str(source), names, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(names) or "none"
    raise ModelError(f"model {source!r} is neither a file nor built in ({known}){guess}")
