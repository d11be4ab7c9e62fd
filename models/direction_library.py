"""The direction library of a model: a folder beside its weights, with what is known of each.

What goes in belongs to this model: directions of another one are refused, unless they are measured
anew on the pictures of this one.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import companions
from models.calibration import recalibrated
from models.codes import Space, choose_rows, spread
from models.describe import ModelInfo, describe, file_digest
from models.directions import StoredDirection, load_direction, save_direction
from models.errors import ModelError
from models.imported import SUFFIXES, read_foreign
from models.library import library_names
from models.pool import network
from models.readings import draw_codes
from models.stylegan2 import Generator

FOLDER = "directions"
#: Codes drawn to see how far codes spread along a direction.
_CODES = 2000
#: How many times as far as codes lie from the mean code strength 1 may lead.
_FARTHEST = 100


@dataclass(frozen=True, slots=True)
class Library:
    """The directions of one model, and where they lie."""

    model: ModelInfo
    folder: Path

    @property
    def features(self) -> Path:
        """Where the model's feature network would be."""
        return Path(self.model.path).with_name("features.safetensors")

    @property
    def names(self) -> tuple[str, ...]:
        """What is in it, by name."""
        return library_names(self.model.path, FOLDER)

    def path(self, name: str) -> Path:
        """The file of a direction, there or not. Raises: ModelError for what is no plain name."""
        if not name or Path(name).name != name or name.startswith("."):
            raise ModelError(f"'{name}': a direction's name must be a plain file name")
        return self.folder / f"{name}.safetensors"

    def get(self, name: str) -> StoredDirection:
        """A direction by name. Raises: ModelError if there is none."""
        if name not in self.names:
            known = ", ".join(self.names) or "none"
            near = difflib.get_close_matches(name, self.names, 1)
            guess = f", did you mean '{near[0]}'?" if near else ""
            raise ModelError(
                f"'{name}' is not in the library of '{self.model.name}'{guess} ({known})"
            )
        return load_direction(self.path(name))


@dataclass(frozen=True, slots=True)
class Wish:
    """How a direction is to be taken in.

    name: what it is called here (the file's name). calibrate: the attribute by which its unit is
    measured on pictures. recalibrate: take it although it was made for another model, if pictures
    follow it. component: which, of a file that holds many. rows: those it is to move.
    """

    name: str = ""
    calibrate: str = ""
    recalibrate: bool = False
    component: int = 0
    rows: tuple[int, ...] = ()
    licence: str = ""
    overwrite: bool = False


def open_library(model: str) -> Library:
    """The library beside a weight file or built-in model. Raises: ModelError."""
    info = describe(model)
    return Library(info, Path(info.path).parent / FOLDER)


def take_in(library: Library, file: Path, wish: Wish) -> StoredDirection:
    """Add a direction: a file of this project, or one that `read_foreign` understands.

    Raises: ModelError if it is of another model, does not fit, leads nowhere near its codes, the
    name is taken, or the library cannot be written to.
    """
    own = file.suffix.lower() == ".safetensors"
    if not own and file.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{file}: must be .safetensors or one of {', '.join(SUFFIXES)}")
    name = wish.name or file.stem
    target = library.path(name)
    if target.exists() and not wish.overwrite:
        raise ModelError(f"'{name}' is in the library already: give --name, or --overwrite")
    generator = network(library.model.path)
    found = _own(library, file, wish) if own else _foreign(generator, file, wish)
    _check_fits(generator, found, file)
    if wish.rows:
        found = replace(found, rows=choose_rows(generator.config, wish.rows))
    found = replace(found, name=name, family=library.model.digest)
    if wish.calibrate or found_elsewhere(found):
        net = companions.features(library.features)
        found = recalibrated(generator, net, found, wish.calibrate or name)
    _check_reach(generator, found, file)
    partial = target.with_name(f".{target.name}.tmp")
    try:
        library.folder.mkdir(exist_ok=True)
        save_direction(found, partial)
        partial.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: cannot be written: {error.strerror}") from error
    return found


def found_elsewhere(direction: StoredDirection) -> bool:
    """Whether a direction's card says that it was made for another model."""
    return bool(json.loads(direction.card).get("made_for"))


def _own(library: Library, file: Path, wish: Wish) -> StoredDirection:
    found = load_direction(file)
    card: dict[str, Any] = json.loads(found.card)
    if found.family == library.model.digest:
        return _with_card(found, card, wish)
    if not wish.recalibrate:
        raise ModelError(
            f"{file}: made for the generator {found.family[:12]}, not for '{library.model.name}' "
            f"({library.model.digest[:12]}): with --recalibrate it is measured anew"
        )
    return _with_card(found, card | {"made_for": found.family}, wish)


def _foreign(generator: Generator, file: Path, wish: Wish) -> StoredDirection:
    """A direction of another project, its unit that of the file or the spread of codes."""
    found = read_foreign(file, wish.component)
    space: Space = "w" if found.data.dim() == 1 else "w_plus"
    length = found.data.norm()
    unit = found.data / length
    blank = StoredDirection(unit, 1.0, 0.0, file.stem, space, "", found.rows)
    _check_fits(generator, blank, file)
    w = draw_codes(generator, _CODES, 0)
    codes = w if space == "w" else spread(w, generator.num_rows)
    place = codes.flatten(1).double().cpu() @ unit.flatten().double()
    sigma = float(place.std()) if found.sigma is None else found.sigma * float(length)
    card = {
        "method": "imported",
        "file": file.name,
        "data": file_digest(file),
        "norm": round(float(length), 6),
        **found.told,
    }
    return _with_card(replace(blank, sigma=sigma, offset=float(place.mean())), card, wish)


def _with_card(found: StoredDirection, card: dict[str, Any], wish: Wish) -> StoredDirection:
    if wish.licence:
        card["licence"] = wish.licence
    return replace(found, card=json.dumps(card, sort_keys=True))


def _check_fits(generator: Generator, found: StoredDirection, file: Path) -> None:
    """Raise ModelError unless the generator has codes of the direction's shape, and its rows."""
    config = generator.config
    shapes = {
        "w": (config.w_dim,),
        "w_plus": (generator.num_rows, config.w_dim),
        "style": (generator.layers[-1].style.stop,),
    }
    if found.space not in shapes or tuple(found.data.shape) != shapes[found.space]:
        needed = " or ".join(str(list(shape)) for shape in shapes.values())
        raise ModelError(
            f"{file}: a direction of shape {list(found.data.shape)} in {found.space} does not fit "
            f"this model, whose codes are {needed}"
        )
    if found.rows:
        choose_rows(config, found.rows)


def _check_reach(generator: Generator, found: StoredDirection, file: Path) -> None:
    """Raise ModelError if a step of strength 1 leads nowhere near the generator's codes."""
    if found.space == "style":
        return
    w = draw_codes(generator, _CODES // 10, 0)
    usual = float((w - generator.w_avg.to(w)).norm(dim=1).mean())
    if found.sigma > _FARTHEST * usual:
        raise ModelError(
            f"{file}: strength 1 is a step of {found.sigma:.3g}, where codes lie {usual:.3g} from "
            "the mean code: its unit is not this model's; calibrate it, or learn it again"
        )


def write_out(library: Library, name: str, target: Path) -> None:
    """Write a direction of the library as a file: .safetensors, .npy or .pt.

    The array formats hold sigma * direction, so that adding it once is an edit of strength 1: a row
    for each row of w_plus, zeros in those it does not move. The card goes beside it as .json.
    Raises: ModelError for another suffix, a direction in style, or where nothing can be written.
    """
    if not target.parent.is_dir():
        raise ModelError(f"{target}: there is no folder {target.parent}")
    try:
        _write_out(library, library.get(name), target)
    except (OSError, RuntimeError) as error:  # the latter by torch.save
        raise ModelError(f"{target}: cannot be written: {error}") from error


def _write_out(library: Library, found: StoredDirection, target: Path) -> None:
    kind = target.suffix.lower()
    if kind == ".safetensors":
        save_direction(found, target)
        return
    if kind not in (".npy", ".pt"):
        raise ModelError(f"{target}: must be .safetensors, .npy or .pt")
    if found.space == "style":
        raise ModelError(
            f"'{found.name}' is in style, which other formats do not know: use .safetensors"
        )
    rows = library.model.num_rows
    step = spread(found.data[None], rows)[0] if found.space == "w" else found.data
    moved = torch.zeros(step.shape)
    chosen: Sequence[int] = found.rows or range(rows)
    moved[list(chosen)] = found.sigma * step[list(chosen)]
    if kind == ".npy":
        np.save(target, moved.numpy())
    else:
        torch.save(moved, target)
    told = {"name": found.name, "family": found.family, "sigma": found.sigma, "rows": found.rows}
    text = json.dumps({**json.loads(found.card), **told}, indent=2, sort_keys=True)
    target.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def as_line(direction: StoredDirection) -> dict[str, Any]:
    """What a list says of a direction."""
    card = json.loads(direction.card)
    known = ("method", "accuracy", "effect", "leak", "licence")
    return {
        "name": direction.name,
        "space": direction.space,
        "rows": list(direction.rows),
        "sigma": round(direction.sigma, 4),
        **{key: card[key] for key in known if card.get(key) not in (None, "")},
    }
