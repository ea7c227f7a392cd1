"""A picture of an image beside a bar chart of its likeliest classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from denet.errors import UsageError
from denet.files import is_device
from denet.printable import printable

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    Font = FreeTypeFont | ImageFont

log = logging.getLogger(__name__)

PAPER, INK, PALE = "#ffffff", "#24292f", "#eceef1"
BLUE, GREEN, RED, GREY, SLATE = "#3b78d8", "#2e9e55", "#d1443c", "#a9b1ba", "#6a737d"
LONGEST = 22  # letters of a class name in a list of many
SMALLEST, LARGEST = 320, 900  # px: the image is shown with a longer side between these


def draw_classes(
    image: Image,
    classes: Sequence[tuple[str, float]],
    label: str | None = None,
    font_file: str | None = None,
) -> Image:
    """Return a new RGB picture: the image, and a bar for each (class, probability), best first.

    The best class is blue. Where the true class ``label`` is given, that one is green wherever it
    stands, and a wrong best class is red. ``font_file`` is a TrueType font for the names; see
    ``load_font``. Raises UsageError if it cannot be read.
    """
    from PIL import Image, ImageDraw

    shown = resized(image.convert("RGB"), SMALLEST, LARGEST)
    size = max(15, max(shown.size) // 26)
    names = [name for name, _ in classes] + ([label] if label is not None else [])
    font = load_font(size, "".join(names), font_file)
    row, chart_width = round(2.5 * size), max(18 * size, shown.width * 2 // 3)
    title = _title(classes, label)
    chart_height = len(classes) * row + (round(1.8 * size) if title else 0)
    height = max(shown.height, chart_height) + 2 * size
    picture = Image.new("RGB", (shown.width + chart_width + 3 * size, height), PAPER)
    picture.paste(shown, (size, (height - shown.height) // 2))
    chart = _Chart(ImageDraw.Draw(picture), font, size, shown.width + 2 * size, chart_width)
    top = (height - chart_height) // 2
    if title:
        chart.text(top, *title)
        top += round(1.8 * size)
    for place, (name, probability) in enumerate(classes):
        chart.bar(top + place * row, name, probability, _colour(place, name, label))
    return picture


def _title(classes: Sequence[tuple[str, float]], label: str | None) -> tuple[str, str] | None:
    """Return text and colour of the line over the bars."""
    if label is None:
        return None
    right = bool(classes) and classes[0][0] == label
    return f"true class: {label}", GREEN if right else RED


def _colour(place: int, name: str, label: str | None) -> str:
    if name == label:
        return GREEN
    if place == 0:
        return BLUE if label is None else RED
    return GREY


class _Chart:
    """Bars of one column: ``left`` and ``width`` in px, text of ``size`` px."""

    def __init__(self, draw: ImageDraw, font: Font, size: int, left: int, width: int):
        self._draw, self._font, self._size, self._left, self._width = draw, font, size, left, width

    def text(self, top: int, text: str, colour: str) -> None:
        """Write one line."""
        text = fitted(self._draw, text, self._width, self._font)
        self._draw.text((self._left, top), text, colour, self._font)

    def bar(self, top: int, name: str, probability: float, colour: str) -> None:
        """Draw the name, the per cent at the right end, and the bar under them."""
        size, left, right = self._size, self._left, self._left + self._width
        share = f"{100 * probability:.1f}%"
        share_width = self._draw.textlength(share, self._font)
        self._draw.text((right - share_width, top), share, INK, self._font)
        name = fitted(self._draw, name, self._width - share_width - size, self._font)
        self._draw.text((left, top), name, INK, self._font)
        low, high = top + round(1.45 * size), top + round(1.9 * size)
        radius = (high - low) // 2
        self._draw.rounded_rectangle((left, low, right, high), radius, PALE)
        filled = left + round(probability * self._width)
        if filled > left:
            self._draw.rounded_rectangle((left, low, max(filled, left + 2), high), radius, colour)


def fitted(draw: ImageDraw, text: str, width: float, font: Font) -> str:
    """Return the text on one line, shortened by dots where it is wider than ``width`` px."""
    text = printable(text)
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def short_name(name: str) -> str:
    """Return the name with at most LONGEST letters, those of East Asia counting twice."""
    name = short = printable(name)
    while text_width(short) > LONGEST:
        short = short[:-1]
    return name if short == name else short[:-1].rstrip() + "\u2026"


def text_width(text: str) -> int:
    """Return the number of letters, those of East Asia counting twice."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def resized(image: Image, smallest: int, largest: int) -> Image:
    """Return the image with its longer side between ``smallest`` and ``largest`` px.

    Small images grow by a whole factor without smoothing, so that every pixel can be seen.
    """
    from PIL import Image

    longer = max(image.size)
    if longer < smallest:
        factor = -(-smallest // longer)
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    longer = max(image.size)
    if longer > largest:
        width, height = (max(1, round(side * largest / longer)) for side in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)
    return image


def load_font(size: int, text: str, font_file: str | None = None) -> Font:
    """Return a font of ``size`` px for ``text``: the file, or Pillow's own, which knows ASCII.

    For other letters DejaVu Sans is taken where it is installed (it comes with matplotlib; Latin,
    Greek, Cyrillic). Letters that the font lacks are told in the log, once.
    """
    from PIL import ImageFont

    if font_file is None and text.isascii():
        return ImageFont.load_default(size)
    font: Font
    try:
        if font_file is not None and is_device(font_file):
            raise OSError("a device or pipe")
        font = ImageFont.truetype(font_file or _dejavu(), size)
    except OSError as error:
        if font_file is not None:
            raise UsageError(f"--font: {font_file}: {error}: give a TrueType file") from error
        font = ImageFont.load_default(size)
    missing = _missing(font, text)
    if missing:
        _warn("".join(missing[:10]))
    return font


def _dejavu() -> str:
    matplotlib = find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        bundled = Path(matplotlib.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if bundled.is_file():
            return str(bundled)
    return "DejaVuSans.ttf"  # Pillow looks in the directories of the system


def _missing(font: Font, text: str) -> list[str]:
    """Return the letters that the font shows as its sign for unknown ones."""
    unknown = bytes(font.getmask("\U0010ffff"))
    return [
        letter
        for letter in sorted(set(text))
        if not letter.isspace() and bytes(font.getmask(letter)) == unknown
    ]


@cache
def _warn(letters: str) -> None:
    log.warning("font: it has no letters for %s: give one that has with --font FILE.ttf", letters)
