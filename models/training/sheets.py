"""The pictures of the model card: what a generator draws, and what codes, noise and edits do to it.

Every sheet is drawn from fixed seeds and the weights given, so that new weights give the same
sheets of the same codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from models.codes import choose_rows, slerp, to_styles
from models.directions import StoredDirection
from models.encoder import Encoder, encode
from models.inversion import Recipe, descend
from models.mapping import truncate
from models.moves import move
from models.perceptual import FeatureNet, score_attributes
from models.stylegan2 import Generator
from models.training.domains import Domain
from models.training.features import draw as draw_renders

_PAPER, _INK, _TEXT_PX, _GAP_PX = (255, 255, 255), (60, 60, 65), 13, 4
_PSI = (-1.0, -0.7, -0.35, 0.0, 0.35, 0.7, 1.0)
_STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_DRAWS, _STRONGER = 32, 20


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures in rows, each [3, H, W] in -1..1 or None for a gap; labels for rows and columns."""

    caption: str
    rows: Sequence[Sequence[Tensor | None]]
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    side_px: int = 96


@dataclass(frozen=True, slots=True)
class Model:
    """What ships for one domain; None and nothing where it does not yet."""

    subject: Domain
    generator: Generator
    features: FeatureNet | None = None
    encoder: Encoder | None = None
    directions: Sequence[StoredDirection] = ()
    channels: Sequence[StoredDirection] = ()
    photos: Sequence[Tensor] = field(default=())

    def codes(self, items: int, seed: int) -> Tensor:
        """Some z [N, D] of a fixed seed."""
        random = torch.Generator().manual_seed(seed)
        return torch.randn(items, self.generator.config.z_dim, generator=random)

    def draw(self, w: Tensor) -> list[Tensor]:
        """The pictures of w or w_plus, one by one."""
        w_plus = w if w.dim() == 3 else self.generator.broadcast(w)
        return list(self.generator.synthesize(w_plus))


def sheets(model: Model) -> dict[str, Sheet]:
    """All sheets that can be drawn of what ships, by name."""
    makers: dict[str, Callable[[Model], Sheet]] = {
        "samples": samples,
        "truncation": truncation,
        "mixing": mixing,
        "interpolation": interpolation,
        "noise": noise,
    }
    if model.directions:
        makers["directions"] = directions
    if model.channels:
        makers["channels"] = channels
    if model.features is not None and model.encoder is not None:
        makers["inversion"] = inversion
    with torch.no_grad():
        return {name: make(model) for name, make in makers.items()}


def samples(model: Model) -> Sheet:
    """Random codes, and the same drawn towards the mean."""
    w = model.generator.mapping(model.codes(20, 11))
    calm = truncate(w, model.generator.w_avg, 0.7)
    whole, drawn = model.draw(w), model.draw(calm)
    rows = [whole[:10], whole[10:], drawn[:10], drawn[10:]]
    caption = "Random codes: as they are (psi 1), and the same drawn towards the mean (psi 0.7)."
    return Sheet(caption, rows, ("psi 1", "", "psi 0.7", ""))


def truncation(model: Model) -> Sheet:
    """The way of some codes through the mean code to their opposites."""
    w = model.generator.mapping(model.codes(4, 12))
    rows = [
        model.draw(torch.cat([truncate(one[None], model.generator.w_avg, psi) for psi in _PSI]))
        for one in w
    ]
    caption = "Truncation: psi 1 is the code itself, 0 the mean code, below it the opposite."
    return Sheet(caption, rows, column_labels=[f"psi {psi:g}" for psi in _PSI])


def mixing(model: Model) -> Sheet:
    """Source A with some rows of source B, as in figure 3 of Karras et al. 2019."""
    generator = model.generator
    base = generator.broadcast(generator.mapping(model.codes(2, 13)))
    style = generator.broadcast(generator.mapping(model.codes(6, 14)))
    rows: list[list[Tensor | None]] = [[None, *model.draw(style)]]
    labels = ["B"]
    for name in ("coarse", "middle", "fine"):
        taken = list(choose_rows(generator.config, name))
        for one in base:
            mixed = one.expand_as(style).clone()
            mixed[:, taken] = style[:, taken]
            rows.append([*model.draw(one[None]), *model.draw(mixed)])
            labels.append(f"A + {name}")
    names = {name: choose_rows(generator.config, name) for name in ("coarse", "middle", "fine")}
    told = ", ".join(f"{name} {rows[0]} to {rows[-1]}" for name, rows in names.items())
    caption = f"Style mixing: A (left) with some rows of B (top). Rows of w_plus: {told}."
    return Sheet(caption, rows, labels)


def interpolation(model: Model) -> Sheet:
    """From one code to the next, on the sphere of z and straight in w."""
    z = model.codes(4, 15)
    w = model.generator.mapping(z)
    steps = torch.linspace(0, 1, 9).tolist()
    rows = []
    for k in (0, 2):
        arc = torch.cat([slerp(z[k : k + 1], z[k + 1 : k + 2], t) for t in steps])
        line = torch.stack([torch.lerp(w[k], w[k + 1], t) for t in steps])
        rows += [model.draw(model.generator.mapping(arc)), model.draw(line)]
    caption = "From one code to another: along the sphere of z, and straight in W."
    return Sheet(caption, rows, ("Z", "W", "Z", "W"))


def noise(model: Model) -> Sheet:
    """What other noise inputs do to the picture of one code.

    Where coarse noise lays a picture out, only the finer noise is drawn anew for the spread; two
    more columns show other layouts.
    """
    generator, layout = model.generator, model.subject.sides[:-2]
    random = torch.Generator().manual_seed(16)
    sides = [layer.resolution for layer in generator.layers if layer.noise is not None]
    rows = []
    for w in generator.mapping(model.codes(4, 17)):
        kept = [torch.randn(1, 1, side, side, generator=random) for side in sides]
        fresh = [
            old.expand(_DRAWS, -1, -1, -1)
            if side in layout
            else torch.randn(_DRAWS, 1, side, side, generator=random)
            for side, old in zip(sides, kept, strict=True)
        ]
        codes = generator.broadcast(w.expand(_DRAWS, -1))
        drawn = generator.synthesize(codes, fresh)
        spread = drawn.std(0).mean(0, keepdim=True).expand(3, -1, -1)
        row = [drawn[0], drawn[1], _STRONGER * spread - 1]
        if layout:
            anew = [torch.randn(2, 1, side, side, generator=random) for side in sides]
            row += list(generator.synthesize(codes[:2], anew))
        rows.append(row)
    labels = ["one draw", "another", f"spread x {_STRONGER}"] + ["new layout"] * (2 * bool(layout))
    caption = (
        "One code per row with other noise inputs, and by how much each pixel varies over "
        f"{_DRAWS} draws ({_STRONGER} times the standard deviation; black: not at all)."
    )
    return Sheet(caption, rows, column_labels=labels)


def directions(model: Model) -> Sheet:
    """One code moved along every direction of w."""
    caption = "Every direction that ships, from -2 to 2 standard deviations of its attribute."
    return strips_of(model, model.directions, caption)


def channels(model: Model) -> Sheet:
    """The same code moved along every direction of style channels."""
    caption = "The same picture moved along a few style channels for each attribute."
    return strips_of(model, model.channels, caption)


def strips_of(model: Model, moves: Sequence[StoredDirection], caption: str) -> Sheet:
    """One code moved along directions, in two columns of strips."""
    generator = model.generator
    w = plainest(model, truncate(generator.mapping(model.codes(32, 18)), generator.w_avg, 0.7))
    strips = []
    for direction in moves:
        moved = [move(generator, w, "w", [(direction, strength)]) for strength in _STRENGTHS]
        styles = torch.cat([to_styles(generator, data, space) for data, space in moved])
        strips.append((direction.name, list(generator.synthesize_styles(styles))))
    half = -(-len(strips) // 2)
    rows: list[list[Tensor | None]] = []
    for k in range(half):
        right = strips[half + k][1] if half + k < len(strips) else [None] * len(_STRENGTHS)
        rows.append([*strips[k][1], None, None, *right])
    names = [name for name, _ in strips] + [""] * (2 * half - len(strips))
    labels = [f"{names[k]}\n{names[half + k]}" for k in range(half)]
    columns = [f"{s:+g}" if s else "0" for s in _STRENGTHS]
    return Sheet(caption, rows, labels, [*columns, "", "", *columns], 72)


def plainest(model: Model, w: Tensor) -> Tensor:
    """The code [1, D] whose picture shows least of what some pictures do not show at all."""
    hidden = [name for name, (low, _) in model.subject.visible.items() if low > 0]
    if model.features is None or not hidden:
        return w[:1]
    columns = [model.features.attributes.index(name) for name in hidden]
    shown = score_attributes(model.features, torch.stack(model.draw(w)))[:, columns].sum(1)
    return w[int(shown.argmin())][None]


def inversion(model: Model) -> Sheet:
    """Held-out renders, and photographs where there are some, beside what is made of them."""
    assert model.encoder is not None
    random = torch.Generator().manual_seed(19)
    count = 10 - len(model.photos)
    scene = draw_renders(model.subject, count, random, torch.device("cpu"), model.subject.render)
    target = torch.cat([scene.image, *(photo[None] for photo in model.photos)])
    start = encode(model.encoder, target)
    found = descend(model.generator, model.features, target, start, Recipe())
    rows = [list(target), model.draw(start), list(found.picture)]
    caption = "Held-out renders"
    if model.photos:
        caption += f", and the sample photographs in the last {len(model.photos)} columns"
    caption += ": the picture, what the encoder reads of it, and after 200 steps of descent."
    return Sheet(caption, rows, ("picture", "encoder", "descent"))


# --- from pictures to one picture ------------------------------------------------------------


def paste(sheet: Sheet) -> Image.Image:
    """A sheet as one picture, labels left and above."""
    side, gap = sheet.side_px, _GAP_PX
    font = ImageFont.load_default(_TEXT_PX)
    lines = [line for label in sheet.row_labels for line in label.split("\n")]
    left = round(max((font.getlength(line) for line in lines), default=0)) + (8 if lines else 0)
    top = _TEXT_PX + 6 if any(sheet.column_labels) else 0
    columns = max(len(row) for row in sheet.rows)
    size = (left + columns * (side + gap) - gap, top + len(sheet.rows) * (side + gap) - gap)
    page = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(page)
    for c, label in enumerate(sheet.column_labels):
        place = (left + c * (side + gap) + side / 2, top / 2 - 1)
        pen.text(place, label, fill=_INK, font=font, anchor="mm")
    for r, row in enumerate(sheet.rows):
        y = top + r * (side + gap)
        _name_row(pen, sheet, r, (left, y))
        for c, tile in enumerate(row):
            if tile is not None:
                page.paste(_tile(tile, side), (left + c * (side + gap), y))
    return page


def _name_row(pen: ImageDraw.ImageDraw, sheet: Sheet, row: int, corner: tuple[int, int]) -> None:
    """The label of a row; a second line belongs to the strip behind the gap of two columns."""
    if row >= len(sheet.row_labels):
        return
    side, gap, (left, y) = sheet.side_px, _GAP_PX, corner
    font = ImageFont.load_default(_TEXT_PX)
    first, _, second = sheet.row_labels[row].partition("\n")
    pen.text((left - 6, y + side / 2), first, fill=_INK, font=font, anchor="rm")
    if second:
        empty = max(
            k for k, tile in enumerate(sheet.rows[row][: len(_STRENGTHS) + 2]) if tile is None
        )
        x = left + (empty + 1) * (side + gap) - 6
        pen.text((x, y + side / 2), second, fill=_INK, font=font, anchor="rm")


def _tile(picture: Tensor, side: int) -> Image.Image:
    small = F.interpolate(picture[None], (side, side), mode="bicubic", antialias=True)[0]
    pixels = small.clamp(-1, 1).add(1).mul(127.5).round().byte().permute(1, 2, 0).cpu()
    return Image.fromarray(cast("object", pixels.numpy()))  # type: ignore[arg-type]
