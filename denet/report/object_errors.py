"""The errors of a detector as tables, and drawn into the pictures where they are."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from denet.evaluate.object_errors import NOTHING, SIDES, ObjectErrors
from denet.report.drawing import BLUE, GREY, INK, RED, resized
from denet.report.plotting import new_figure, require_matplotlib, save_figure

if TYPE_CHECKING:
    import os

    from PIL.Image import Image

MISSED, FALSE_ALARM = "missed", "false alarm"  # the column and the row behind the classes
SIZE_COLUMNS = ("side_from", "side_to", "objects", "found", "found_percent")
# what a box in a picture is: its colour, the same on dark and light ground
KINDS = {
    "found": "#2e9e55",
    "taken for another class": "#a05be0",
    FALSE_ALARM: "#ff8c1a",
    MISSED: "#e6194b",
}


class MarkedBox(NamedTuple):
    """A box of a picture, what it is (of KINDS), and in words class and score."""

    kind: str
    sides: tuple[float, float, float, float]  # pixels of the image
    words: str


def marked_boxes(errors: ObjectErrors, image: int, class_labels: Sequence[str]) -> list[MarkedBox]:
    """Return the boxes that tell what is right and wrong in an image, errors behind the others."""
    found, truth, kinds = errors.found, errors.truth, list(KINDS)
    boxes = []
    for row in np.flatnonzero(found.image == image):
        index = int(errors.of[row])
        words = f"{class_labels[found.class_index[row]]} {found.score[row]:.2f}"
        kind = "found" if index != NOTHING else FALSE_ALARM
        if index != NOTHING and truth.box_class[index] != found.class_index[row]:
            kind, words = kinds[1], f"{words} for {class_labels[truth.box_class[index]]}"
        boxes.append(MarkedBox(kind, tuple(found.box[row].tolist()), words))
    own = truth.of(image)
    for index in range(own.start, own.stop):
        if errors.scored[index] and errors.by[index] == NOTHING:
            words = class_labels[truth.box_class[index]]
            boxes.append(MarkedBox(MISSED, tuple(truth.boxes_px[index].tolist()), words))
    return sorted(boxes, key=lambda box: kinds.index(box.kind))


def draw_marked(image: Image, boxes: Sequence[MarkedBox], side: int) -> Image:
    """Return the picture with its boxes, its longer side ``side`` pixels or somewhat less."""
    from PIL import ImageDraw

    picture = resized(image.convert("RGB"), side * 3 // 4, side)
    factor = np.array(picture.size * 2) / np.array(image.size * 2)
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        x0, y0, x1, y1 = (round(each) for each in (np.array(box.sides) * factor).tolist())
        sides = x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)
        draw.rectangle(sides, outline=KINDS[box.kind], width=1 + (box.kind != "found"))
    return picture


def write_sizes(file: TextIO, sizes: Sequence[tuple[int, int, int]]) -> None:
    """Write a CSV row of SIZE_COLUMNS for each group of sizes, see ``ObjectErrors.sizes``."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(SIZE_COLUMNS)
    for side, count, found in sizes:
        share = f"{100 * found / count:.1f}" if count else ""
        writer.writerow([side, next_side(side) or "", count, found, share])


def next_side(side: int) -> int | None:
    """Return where a group of SIDES ends, None where it has no end."""
    return next((each for each in SIDES if each > side), None)


def side_text(side: int) -> str:
    """Return a group of SIDES in words."""
    end = next_side(side)
    return f"{side}-{end}" if end else f"{side} or more"


def draw_sizes(sizes: Sequence[tuple[int, int, int]], picture: str | os.PathLike[str]) -> None:
    """Draw a PNG: how many objects of each size there are, and how many of them are found.

    Raises UsageError where matplotlib is missing.
    """
    require_matplotlib("sizes.png")
    figure = new_figure(6.4, 3.2, dpi=150, layout="constrained")
    axes = figure.subplots()
    names = [side_text(side) for side, _, _ in sizes]
    places = range(len(sizes))
    bars: Any = {"width": 0.8, "linewidth": 0}
    axes.bar(places, [count for _, count, _ in sizes], color=GREY, label="all objects", **bars)
    axes.bar(places, [found for _, _, found in sizes], color=BLUE, label="found", **bars)
    for place, (_, count, found) in enumerate(sizes):
        if count:
            share = f"{found / count:.0%}"
            axes.text(place, count, share, ha="center", va="bottom", color=INK, fontsize=9)
    axes.set_xticks(places, names)
    axes.set_xlabel("side of the object, pixels of the image")
    axes.set_ylabel("objects")
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    if sizes:
        axes.legend(edgecolor="none")
    else:
        axes.set_title("no objects", color=RED)
    save_figure(figure, picture)
