"""A picture of an image with the objects that were found in it, and those that are known."""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from denet.detect.detections import Detections
from denet.report.drawing import INK, PAPER, SLATE, fitted, load_font, resized, short_name

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from denet.report.drawing import Font

SMALLEST, LARGEST = 900, 1200  # px: an image is shown with a longer side between these
SMOOTH = 200  # px: images with a longer side below are enlarged without smoothing
LEAST_SCORE = 0.25  # of the detections that people are told and shown
MANY = 40  # boxes from which lines are thin and only the scores that fit the box are written
COLOURS = (
    *("#e6194b", "#1f77e0", "#ffb000", "#12a150", "#b14fe0", "#00b5c8"),
    *("#ff7a1a", "#e85bb0", "#8fc31f", "#7a5230", "#3c3cc8", "#7f8c99"),
    *("#ffee33", "#005f5f", "#ffc9a8", "#800020", "#a8f0c0", "#6b6b00", "#e0b8ff", "#c8d400"),
)


@dataclass(frozen=True)
class Objects:
    """The known objects of one image, as columns."""

    class_index: np.ndarray  # (t,) int
    box: np.ndarray  # (t, 4) pixels
    note: Sequence[str] = ()  # of each, such as "difficult"; or none at all


class _Box(NamedTuple):
    """A box in pixels of the panel, its words, and fewer of them where there is less room."""

    class_index: int
    sides: tuple[float, float, float, float]
    words: str
    score: str = ""


def class_colour(class_index: int) -> str:
    """Return the colour of a class, the same in every picture: "#rrggbb"."""
    if class_index < len(COLOURS):
        return COLOURS[class_index]
    hue = class_index * 0.618034 % 1  # steps of the golden ratio keep neighbours apart
    lightness, saturation = (0.45, 0.6)[class_index % 2], (0.9, 0.65)[class_index // 2 % 2]
    red, green, blue = (round(255 * x) for x in colorsys.hls_to_rgb(hue, lightness, saturation))
    return f"#{red:02x}{green:02x}{blue:02x}"


def draw_detections(
    image: Image,
    found: Detections,
    class_labels: Sequence[str],
    known: Objects | None = None,
    least_score: float = LEAST_SCORE,
    font_file: str | None = None,
) -> Image:
    """Return a new RGB picture: the image with boxes, beside it those known, the classes below.

    ``found`` are the detections of this image, in its pixels; those with a score of at least
    ``least_score`` are shown, each with class and score where there is room. The counts below are
    of what is shown. ``font_file`` is a TrueType font for the names; see ``load_font``. Raises
    UsageError if it cannot be read.
    """
    from PIL import Image, ImageDraw

    shown = _shown(image.convert("RGB"))
    factor = np.array(shown.size * 2) / np.array(image.size * 2)
    names = [short_name(name) for name in class_labels]
    boxes = _found_boxes(found, factor, names, least_score)
    panels = {f"found: {len(boxes):,} (score {least_score:g} or more)": boxes}
    if known is not None:
        panels[f"known: {len(known.box):,}"] = _known_boxes(known, factor, names)
    counts = [Counter(box.class_index for box in boxes) for boxes in panels.values()]
    classes = sorted(set().union(*counts))

    size = max(14, max(shown.size) // 55)
    row, column = round(1.6 * size), max(shown.width, 20 * size) + size
    letters = "".join(names[k] for k in classes)
    font = load_font(size, letters, font_file)
    small = load_font(max(11, size * 3 // 4), letters, font_file)
    legend = {k: f"{names[k]}  {_counted([count[k] for count in counts])}" for k in classes}
    width = len(panels) * column - size
    entry = max((round(font.getlength(text)) for text in legend.values()), default=0) + 3 * size
    per_row = max(1, (width + size) // entry)
    gap = round(0.6 * size)
    legend_top = gap + row + shown.height + gap
    height = legend_top + -(-len(legend) // per_row) * row + gap
    picture = Image.new("RGB", (width + 2 * size, height), PAPER)
    draw = ImageDraw.Draw(picture)
    for place, (title, boxes) in enumerate(panels.items()):
        panel = shown.copy()
        _draw_boxes(panel, boxes, font if len(boxes) < MANY else small)
        left = size + place * column
        draw.text((left, gap), fitted(draw, title, column, font), INK, font)
        picture.paste(panel, (left, gap + row))
    for place, (k, text) in enumerate(legend.items()):
        left, top = size + place % per_row * entry, legend_top + place // per_row * row
        draw.rectangle((left, top + 2, left + size, top + 2 + size), class_colour(k))
        text = fitted(draw, text, width - 2 * size, font)
        draw.text((left + round(1.5 * size), top), text, SLATE, font)
    return picture


def _found_boxes(
    found: Detections, factor: np.ndarray, names: Sequence[str], least_score: float
) -> list[_Box]:
    """Return what is shown of the detections, the best first."""
    found = found.take(found.score >= least_score).best_first()
    return [
        _Box(k, tuple(np.array(box) * factor), f"{names[k]} {score:.2f}", f"{score:.2f}")
        for _, k, score, box in found.rows()
    ]


def _known_boxes(known: Objects, factor: np.ndarray, names: Sequence[str]) -> list[_Box]:
    notes = known.note or [""] * len(known.box)
    return [
        _Box(int(k), tuple(box * factor), f"{names[k]} {note}".rstrip())
        for k, box, note in zip(known.class_index, known.box, notes, strict=True)
    ]


def _shown(image: Image) -> Image:
    """Return the image in the size that it has in the picture."""
    from PIL import Image

    longer = max(image.size)
    if SMOOTH <= longer < SMALLEST:
        width, height = (max(1, round(side * SMALLEST / longer)) for side in image.size)
        return image.resize((width, height), Image.Resampling.BICUBIC)
    return resized(image, SMALLEST, LARGEST)


def _counted(counts: Sequence[int]) -> str:
    """Say how many objects of a class are found, and known where that is given."""
    if len(counts) == 1:
        return f"{counts[0]:,}"
    return f"{counts[0]:,} found, {counts[1]:,} known"


def _draw_boxes(panel: Image, boxes: Sequence[_Box], font: Font) -> None:
    """Draw the boxes, small ones above large ones, and their words where nothing is in the way."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(panel)
    many = len(boxes) >= MANY
    line = max(1, round(max(panel.size) / (900 if many else 350)))
    for box in sorted(boxes, key=lambda each: -_area(each.sides)):
        x0, y0, x1, y1 = (round(side) for side in box.sides)
        right, low = max(x1 - 1, x0), max(y1 - 1, y0)
        draw.rectangle((x0, y0, right, low), outline=class_colour(box.class_index), width=line)
    taken: np.ndarray = np.empty((0, 4))
    for box in boxes:
        for words in (box.score,) if many else (box.words, box.score):
            place = _free_place(draw, panel.size, box.sides, words, taken, font)
            if place is None or not words:
                continue
            if not many or place[2] - place[0] <= box.sides[2] - box.sides[0]:
                _draw_tag(draw, place, words, class_colour(box.class_index), font)
                taken = np.vstack([taken, place])
                break


def _free_place(
    draw: ImageDraw,
    size: tuple[int, int],
    sides: tuple[float, float, float, float],
    words: str,
    taken: np.ndarray,
    font: Font,
) -> tuple[int, int, int, int] | None:
    """Return the first place at the box that is in the panel and not taken; None if there is none.

    The places are above and below its upper and its lower side, at the left and the right end.
    """
    _, top, _, bottom = font.getbbox(f"Ag{words}")
    width, height = round(draw.textlength(words, font)) + 6, round(bottom - top) + 5
    x0, y0, x1, y1 = (round(side) for side in sides)
    for y in (y0 - height, y0, y1, y1 - height):
        for x in (x0, x1 - width):
            place = (x, y, x + width, y + height)
            inside = x >= 0 and y >= 0 and place[2] <= size[0] and place[3] <= size[1]
            if inside and not _meets(place, taken).any():
                return place
    return None


def _meets(place: tuple[int, int, int, int], taken: np.ndarray) -> np.ndarray:
    """Say of each rectangle (n, 4) whether it overlaps the place."""
    meets: np.ndarray = (
        (taken[:, 0] < place[2])
        & (taken[:, 2] > place[0])
        & (taken[:, 1] < place[3])
        & (taken[:, 3] > place[1])
    )
    return meets


def _draw_tag(
    draw: ImageDraw, place: tuple[int, int, int, int], words: str, colour: str, font: Font
) -> None:
    """Write words on a ground of this colour, dark or light as can be read better."""
    from PIL import ImageColor

    red, green, blue = ImageColor.getrgb(colour)[:3]
    x0, y0, x1, y1 = place
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), colour)
    top = font.getbbox(f"Ag{words}")[1]
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 150
    draw.text((x0 + 3, y0 + 2 - top), words, INK if light else PAPER, font)


def _area(sides: tuple[float, float, float, float]) -> float:
    return (sides[2] - sides[0]) * (sides[3] - sides[1])
