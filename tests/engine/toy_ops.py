"""Small ops that behave well or badly on purpose, given to the engine as a user's file."""

import ctypes
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ItemError, SkipItem
from engine.hands import recall, under_way
from engine.op import SILENT, Caption, Members, Progress, Scratch, Seed, op
from engine.values import Image, Scalar


@op(version=1)
def double(value: Scalar) -> Scalar:
    """Twice the value."""
    return Scalar(tuple(2 * float(x) for x in value.data))


@op(version=1, batch=4)
def count_company(value: Scalar) -> Scalar:
    """How many items the call was given."""
    return Scalar((len(value.data),) * len(value.data))


@op(version=1, batch=4, fixed=True)
def fixed_company(value: Scalar, *, extra: int = 0) -> Scalar:
    """How many items the call was given, always the same."""
    return Scalar((len(value.data) + extra,) * len(value.data))


@op(version=1, batch=4)
def picky(value: Scalar, *, hate: float = 3.0) -> Scalar:
    """The value; refuses one of them by name, skips negative ones, breaks on 13 and on 99."""
    for i, x in enumerate(value.data):
        if x == hate:
            raise ItemError("bad_input", f"{x} is not liked", item=i)
        if float(x) < 0:
            raise SkipItem("below zero", item=i)
    if 99 in value.data:
        raise ItemError("too_small", "somebody is 99")
    if 13 in value.data:
        raise ValueError("13 brings bad luck")
    return value


@op(version=1, batch=8)
def hungry(value: Scalar) -> Scalar:
    """How many items the call was given; more than two do not fit into memory."""
    if len(value.data) > 2 or "huge" in value.data:
        raise MemoryError("too much")
    return Scalar((len(value.data),) * len(value.data))


@op(version=1)
def divide(value: Scalar) -> Scalar:
    """One over the value; zero gives infinity."""
    return Scalar(tuple(1 / float(x) if x else float("inf") for x in value.data))


@dataclass(frozen=True, slots=True)
class Parts:
    """Two ports."""

    image: Image
    brightness: Scalar


@op(version=1, batch=2)
def paint(value: Scalar, *, size_px: int = 8) -> Parts:
    """A plain picture per value, which is its brightness from -1 to 1."""
    import torch

    level = torch.tensor([float(x) for x in value.data])
    return Parts(Image(level.view(-1, 1, 1, 1).expand(-1, 3, size_px, size_px).clone()), value)


@op(version=1, batch=2)
def paint_alone(value: Scalar, *, run_dir: str, size_px: int = 8) -> Image:
    """A plain picture per value; meanwhile all but the first item go to somebody else."""
    recall(run_dir, "c1", [("p", 0)])
    return paint(value, size_px=size_px).image


@op(version=1)
def brightness(image: Image) -> Scalar:
    """The mean of a picture, to three digits."""
    return Scalar(tuple(round(float(picture.mean()), 3) for picture in image.data))


@op(version=1)
def refuse_image(image: Image) -> Image:
    """Never likes a picture."""
    raise ItemError("no_face", "nobody here")


@op(version=1)
def total(values: Sequence[Scalar], *, names: Caption = (), members: Members) -> Scalar:
    """Captions and values of all members, written down."""
    text = "+".join(f"{n}{v.data[0]:g}" for n, v in zip(names, values, strict=True))
    return Scalar((f"{text}@{members.shape}",))


@op(version=1, batch=4)
def draw(value: Scalar, *, seed: Seed = None) -> Scalar:
    """The seeds as given."""
    return Scalar(seed)


@op(version=1)
def slow_training(value: Scalar, *, scratch: Scratch, fail: bool = False) -> Scalar:
    """Counts its attempts in a folder that survives them."""
    mark = Path(scratch) / "attempts"
    tries = int(mark.read_text()) + 1 if mark.exists() else 1
    mark.write_text(str(tries))
    if fail and tries < 2:
        raise RuntimeError("interrupted")
    return Scalar((tries,))


@op(version=1, batch=4)
def telling(value: Scalar, *, run_dir: str = "", progress: Progress = SILENT) -> Scalar:
    """What the driver can see of this call when a quarter of it is done."""
    progress(1, 4)
    return Scalar((under_way(Path(run_dir)).get("t", 0.0),) * len(value.data))


@op(version=1, batch=4)
def crash(value: Scalar, *, at: float = 3.0) -> Scalar:
    """The value; one of them makes the process fall over."""
    if at in value.data:
        ctypes.string_at(0)
    return value


@op(version=1, batch=4)
def hang(value: Scalar, *, at: float = 3.0, folder: str = "") -> Scalar:
    """The value; one of them takes for ever, without ever letting the interpreter go."""
    if at in value.data:
        ctypes.PyDLL(None).sleep(1000)
    return value


@op(version=1)
def tarry(value: Scalar, *, seconds: float = 0.01) -> Scalar:
    """The value, after a while."""
    time.sleep(seconds)
    return value


@op(version=1)
def die_once(value: Scalar, *, mark: str = "") -> Scalar:
    """The value; the first call ever kills its process."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return value
    os.kill(os.getpid(), 9)
    return value


def wait_for(path: Path, pattern: str = "") -> None:
    """Come back once a file is there and has such words in it; give up after a minute."""
    until = time.monotonic() + 60
    while not (path.exists() and re.search(pattern, path.read_text(errors="replace"))):
        if time.monotonic() > until:
            raise RuntimeError(f"{path} never came")
        time.sleep(0.005)


@op(version=1)
def paint_after(value: Scalar, *, path: str = "") -> Image:
    """A grey picture; all values but 0 wait for a file to be there."""
    import torch

    if value.data[0]:
        wait_for(Path(path))
    return Image(torch.zeros(1, 3, 4, 4))


@op(version=1)
def look_after(image: Image, *, path: str = "", words: str = "") -> Scalar:
    """The height of a picture; those of one row wait for words in a file."""
    if image.data.shape[2] == 1:
        wait_for(Path(path), words)
    return Scalar((image.data.shape[2],))


def _least(settings: Mapping[str, Any]) -> int:
    """Ten times the size wanted."""
    return 10 * int(settings["size"])


@op(version=1, draft=_least)
def extent(image: Image, *, size: int = 4) -> Scalar:
    """The height of a picture as it came."""
    return Scalar((image.data.shape[2],) * len(image.data))


@op(version=1)
def fall(image: Image) -> Scalar:
    """The height of a picture; those of three rows make the process fall over."""
    if image.data.shape[2] == 3:
        ctypes.string_at(0)
    return Scalar((image.data.shape[2],))


@op(version=1)
def wait_for_others(value: Scalar, *, folder: str = "", others: int = 0) -> Scalar:
    """The value, and a mark of it in a folder; zero waits until all others have left theirs."""
    if not value.data[0]:
        for number in range(1, others + 1):
            wait_for(Path(folder) / str(number))
    (Path(folder) / str(value.data[0])).touch()
    return value


@op(version=1, batch=8)
def count_calls(value: Scalar, *, mark: str = "") -> Scalar:
    """How many items the call was given, noted in a file; more than two do not fit into memory."""
    with Path(mark).open("a") as file:
        file.write(f"{len(value.data)} ")
    if len(value.data) > 2:
        raise MemoryError("too much")
    return Scalar((len(value.data),) * len(value.data))


@op(version=1)
def meet_others(value: Scalar, *, folder: str = "", others: int = 1) -> Scalar:
    """The value; it does not end before so many other processes are at it too."""
    (Path(folder) / str(os.getpid())).touch()
    until = time.monotonic() + 100
    while len(list(Path(folder).iterdir())) <= others:
        if time.monotonic() > until:
            raise RuntimeError("nobody else came")
        time.sleep(0.01)
    return value


@op(version=1)
def note(value: Scalar, *, log: str = "") -> Scalar:
    """The value, after a moment; it is noted in a file."""
    time.sleep(0.005)
    with Path(log).open("a") as file:
        file.write("one\n")
    return value


@op(version=1)
def note_all(values: Sequence[Scalar], *, log: str = "") -> Scalar:
    """How many values there are; it is noted in a file."""
    with Path(log).open("a") as file:
        file.write("all\n")
    return Scalar((len(values),))
