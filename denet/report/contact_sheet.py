"""Many small pictures on one sheet, with a few words under each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from denet.report.drawing import PALE, PAPER, fitted, resized

if TYPE_CHECKING:
    from PIL.Image import Image

    from denet.report.drawing import Font

Line = tuple[str, str]  # text and colour

COLUMNS = 8
SIDE = 192  # px: largest side of a picture, a multiple of the 32 of small ones
FONT_SIZE = 15  # px
GAP = 20  # px around pictures


def contact_sheet(
    title: Sequence[Line],
    tiles: Iterable[tuple[Image, Sequence[Line]]],
    font: Font,
    side: int = SIDE,
    most_columns: int = COLUMNS,
) -> Image:
    """Return an RGB picture: the words of the title, then each image over its lines of text.

    Images have sides of ``side`` pixels at most. Small images are enlarged without smoothing,
    large ones reduced. ``font`` has FONT_SIZE.
    """
    from PIL import Image, ImageDraw

    row = round(1.35 * FONT_SIZE)
    shown = [(resized(image.convert("RGB"), side - 24, side), lines) for image, lines in tiles]
    columns = min(most_columns, max(1, len(shown)))
    title_width = sum(round(font.getlength(text)) for text, _ in title)
    width = GAP + max(columns * (side + GAP), title_width + GAP)
    top = 2 * GAP + row
    line_num = max((len(lines) for _, lines in shown), default=0)
    height = side + round(0.5 * row) + line_num * row + GAP
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (width, top + rows * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    left: float = GAP
    for text, colour in title:
        draw.text((left, GAP), text, colour, font)
        left += font.getlength(text)
    for place, (image, lines) in enumerate(shown):
        x = GAP + place % columns * (side + GAP)
        y = top + place // columns * height
        draw.rectangle((x, y, x + side - 1, y + side - 1), PALE)
        sheet.paste(image, (x + (side - image.width) // 2, y + (side - image.height) // 2))
        for number, (text, colour) in enumerate(lines):
            y_text = y + side + round(0.4 * row) + number * row
            draw.text((x, y_text), fitted(draw, text, side, font), colour, font)
    return sheet
