"""Files that a model's library holds, directions and scorers, judged without torch."""

import json
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from models.describe import file_digest
from models.errors import ModelError
from models.library import library_file, library_names
from models.native import VALUE_KEY, VALUE_VERSION, network_kind, read_header, read_native

#: Deviations of an attribute, no more than which one step along a direction can have moved: what
#: calibration gives for one that the model's pictures never vary in is below this.
_FARTHEST_MOVE = 1e6
#: By how much the length of a direction in a file may differ from 1.
_UNIT = 1e-3


class Owner(Protocol):
    """What must be known of the generator that an entry is for."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def num_rows(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def style_width(self) -> int: ...


def check_direction(path: Path, owner: Owner | None) -> None:
    """Raise ModelError for a file that holds no sound direction, or one that is not the owner's."""
    head = read_direction_head(path)
    if owner is None:
        return
    remedy = "import or learn it for this one"
    if head.family != owner.family:
        raise ModelError(
            f"direction '{path.name}' was made for the generator {head.family[:12]}, not for "
            f"'{owner.name}' ({owner.family[:12]}): {remedy}"
        )
    rows, width = owner.num_rows, owner.w_dim
    sizes = {"w": (width,), "w_plus": (rows, width), "style": (owner.style_width,)}
    if head.shape != sizes.get(head.space):
        have = " x ".join(map(str, head.shape))
        want = " x ".join(map(str, sizes.get(head.space, ()))) or "no directions"
        raise ModelError(
            f"direction '{path.name}' is {have} numbers in {head.space}, where '{owner.name}' has "
            f"{want}: {remedy}"
        )


def survey_directions(owner: Owner) -> tuple[list[str], list[str]]:
    """The names of a model's directions whose files are sound, and what is wrong with the rest."""
    sound, faults = [], []
    for name in library_names(owner.path, "directions"):
        try:
            check_direction(library_file(owner.path, "directions", name), owner)
            sound.append(name)
        except ModelError as error:
            faults.append(str(error))
    return sound, faults


def check_scorer(path: Path, owner: Owner | None) -> None:
    """Raise ModelError for a file that holds no scorer, or one that sees with other eyes."""
    eyes = read_native(path, "scorer")[0].get("eyes", "")
    beside = Path(owner.path).with_name("features.safetensors") if owner else None
    if owner and beside and beside.is_file() and file_digest(beside) != eyes:
        raise ModelError(
            f"scorer '{path.name}' was trained with another feature network than that of "
            f"'{owner.name}': train it again with this one"
        )


#: What is asked of the files of a kind.
CHECKS = {"directions": check_direction, "scorers": check_scorer}


@dataclass(frozen=True, slots=True)
class DirectionHead:
    """A direction as the header of its file tells it: whose it is, in which space and size."""

    family: str
    space: str
    shape: tuple[int, ...]


def read_direction_head(path: Path) -> DirectionHead:
    """What the header of a direction's file says, its numbers looked at.

    Raises: ModelError if the file is damaged, holds something else, points nowhere, or its card
    cannot be meant.
    """
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise ModelError(f"{path}: not a direction file: {error}") from error
    return _read_direction_head(path, modified)


@lru_cache(maxsize=256)
def _read_direction_head(path: Path, _modified: int) -> DirectionHead:
    try:
        header, start = read_header(path)
        metadata = header["__metadata__"]
        network = f"network of kind {metadata['kind']}" if "kind" in metadata else ""
        told = {} if network else json.loads(metadata[VALUE_KEY])
        if not network and (told["type"], told["version"]) == ("Direction", VALUE_VERSION):
            fields, shape = told["fields"], header["data"]["shape"][1:]
            read_card(fields["card"], path)
            data, sigma, offset = (
                _floats(path, header[name], start) for name in ("data", "sigma", "offset")
            )
            check_numbers(path, math.sqrt(math.fsum(x * x for x in data)), sigma[0], offset[0])
            return DirectionHead(str(fields["family"]), str(fields["space"]), tuple(shape))
        error: Exception = ValueError(f"it holds a {network or told['type']}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as caught:
        error = caught
    other = path.suffix.lower() != ".safetensors"
    hint = "; other formats come in by `run_workflow.py directions import`" if other else ""
    raise ModelError(f"{path}: not a direction file: {error}{hint}") from error


def check_numbers(path: Path, length: float, sigma: float, offset: float) -> None:
    """Raise ModelError if a direction points nowhere: of another length than 1, or without unit."""
    if not abs(length - 1) < _UNIT:
        raise ModelError(f"{path}: the direction has length {length:g}, must be 1: learn it again")
    if not 0 < sigma < math.inf or not math.isfinite(offset):
        raise ModelError(
            f"{path}: the direction has sigma {sigma:g} and offset {offset:g}: must be finite, "
            "sigma above 0; calibrate it, or learn it again"
        )


def _floats(path: Path, entry: Mapping[str, Any], start: int) -> "array[float]":
    """The numbers of one tensor in a file. Raises: ValueError if missing, or no float32."""
    begin, end = entry["data_offsets"]
    if entry["dtype"] != "F32":
        raise ValueError(f"its numbers are {entry['dtype']}, must be F32")
    if not 0 <= begin <= end <= path.stat().st_size - start:
        raise ValueError("truncated: some of its numbers are missing")
    with path.open("rb") as file:
        file.seek(start + begin)
        numbers = array("f", file.read(end - begin))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def read_card(text: str, path: Path) -> dict[str, Any]:
    """What the card of a direction in a file says.

    Raises: ValueError or TypeError if it is no JSON object, ModelError for what was not measured.
    """
    card = json.loads(text)
    if not isinstance(card, dict):
        raise TypeError("its card is no JSON object")
    if fault := _fault_of_card(card):
        raise ModelError(f"{path}: the direction's card has {fault}: calibrate it again")
    return card


def _fault_of_card(card: Mapping[str, Any]) -> str:
    """What is wrong with what a card says was measured, or ""."""
    if not isinstance(card.get("calibrated_by", ""), str):
        return f"calibrated_by {card['calibrated_by']!r}, must be the name of an attribute"
    moves = card.get("moves", {})
    if not isinstance(moves, dict):
        return f"moves {moves!r}, must be a number for each attribute"
    for name, far in moves.items():
        number = isinstance(far, int | float) and not isinstance(far, bool)
        if not number or not abs(far) <= _FARTHEST_MOVE:
            return f"moves of {far!r} for '{name}', must be a number of at most {_FARTHEST_MOVE:g}"
    return ""


def attributes_known(path: Path) -> tuple[str, ...]:
    """What a flow, scorer or sampler in a file knows, or else what is read beside a generator.

    () where that is nothing. Raises: ModelError for a damaged file.
    """
    kind = network_kind(path)
    if kind == "scorer":
        return (str(read_native(path, kind)[0].get("name", "")),)
    place = {"flow": "flow", "sampler": "category"}.get(kind)
    if place is None:
        path, kind, place = path.with_name("features.safetensors"), "features", ""
        if not path.is_file():
            return ()
    config: Any = read_native(path, kind)[0]
    told = (config.get(place, {}) if place else config).get("attributes", ())
    return tuple(map(str, told))
