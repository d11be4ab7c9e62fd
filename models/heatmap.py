"""Tables of numbers as pictures: a named matrix in shades of red and blue."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_CELL, _GAP, _SIZE = 46, 10, 13
_BLUE, _WHITE, _RED = (66, 110, 200), (255, 255, 255), (214, 72, 60)
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def draw_matrix(
    title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]
) -> Image.Image:
    """A matrix with its names and numbers: white is 0, red 1 or more, blue -1 or less.

    Shapes: values [len(rows)][len(columns)].
    """
    font = ImageFont.load_default(_SIZE)
    left = _GAP * 2 + max((_width(font, name) for name in rows), default=0)
    top = _GAP * 4 + _SIZE + max((_width(font, name) for name in columns), default=0)
    size = (left + _CELL * len(columns) + _GAP, top + _CELL * len(rows) + _GAP)
    page = Image.new("RGB", (max(size[0], 2 * _GAP + _width(font, title)), size[1]), _PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((_GAP, _GAP), title, _INK, font)
    for j, name in enumerate(columns):
        page.paste(_upright(name, font), (left + j * _CELL + (_CELL - 18) // 2, _GAP * 3 + _SIZE))
    for i, name in enumerate(rows):
        y = top + i * _CELL
        pen.text((_GAP, y + (_CELL - _SIZE) // 2), name, _INK, font)
        for j, value in enumerate(values[i]):
            x = left + j * _CELL
            pen.rectangle((x, y, x + _CELL - 2, y + _CELL - 2), shade(value))
            text = f"{value:.2f}"
            pen.text(
                (x + (_CELL - _width(font, text)) // 2, y + (_CELL - _SIZE) // 2), text, _INK, font
            )
    return page


def stack_pages(pages: Sequence[Image.Image]) -> Image.Image:
    """Pages one above the other on white."""
    sheet = Image.new("RGB", (max(p.width for p in pages), sum(p.height for p in pages)), _PAPER)
    top = 0
    for page in pages:
        sheet.paste(page, (0, top))
        top += page.height
    return sheet


def draw_lines(lines: Sequence[str]) -> Image.Image:
    """Lines of text on white."""
    font = ImageFont.load_default(_SIZE)
    width = 2 * _GAP + max((_width(font, line) for line in lines), default=0)
    page = Image.new("RGB", (width, 2 * _GAP + (_SIZE + 6) * len(lines)), _PAPER)
    pen = ImageDraw.Draw(page)
    for k, line in enumerate(lines):
        pen.text((_GAP, _GAP + k * (_SIZE + 6)), line, _INK, font)
    return page


def shade(value: float) -> tuple[int, int, int]:
    """The colour of a number: white at 0, full at 1 and -1, grey if it is none."""
    if value != value:  # noqa: PLR0124 (NaN)
        return (200, 200, 200)
    share, end = min(1.0, abs(value)), _RED if value > 0 else _BLUE
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_WHITE, end, strict=True))
    return red, green, blue


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _upright(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    label = Image.new("RGB", (_width(font, text), 18), _PAPER)
    ImageDraw.Draw(label).text((0, 1), text, _INK, font)
    return label.rotate(90, expand=True)
