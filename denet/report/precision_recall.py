"""precision_recall.png and .csv: what each class costs in wrong detections to find its objects."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from denet.evaluate.voc import ClassCurve, VocResult
from denet.report.drawing import INK, PALE, PAPER, SLATE, short_name
from denet.report.plotting import font_family, new_figure, require_matplotlib, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_COLUMNS = ("class", "score", "recall", "precision")
CLASS_COLUMNS = (
    *("class", "objects", "detections", "right", "ap_11_points", "ap_area"),
    *("best_f1", "score_of_best_f1", "precision_there", "recall_there"),
)

RECALL = np.linspace(0, 1, 101)  # where the mean over the classes is taken
SIDE, LIST = 4.8, 2.9  # inches: of the curves, of a column of the list beside them
FONT = 9.0  # points
ROWS, COLUMNS = 27, 3  # of the list: classes in a column, most columns
BAR = (0.52, 0.86)  # from and to, as shares of the width of the list
FEW = 10  # classes that have a colour of their own; more are shaded by their place
COLOURS = (
    *("#3b78d8", "#d1443c", "#2e9e55", "#8e5bc0", "#e08a1e"),
    *("#17a2b0", "#c2458f", "#7a6a3a", "#5b6b7b", "#a3b51f"),
)


def write_curves(file: TextIO, result: VocResult, class_labels: Sequence[str]) -> None:
    """Write a CSV row of CURVE_COLUMNS for each detection that is right, the best of a class first.

    Recall and precision are those of the detections that have at least this score.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CURVE_COLUMNS)
    for name, curve in zip(class_labels, result.curves, strict=True):
        columns = (each[curve.right] for each in (curve.score, curve.recall, curve.precision))
        writer.writerows([name, *(f"{x:.6g}" for x in row)] for row in zip(*columns, strict=True))


def write_class_ap(file: TextIO, result: VocResult, class_labels: Sequence[str]) -> None:
    """Write a CSV row of CLASS_COLUMNS per class; what one without objects has not stays empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CLASS_COLUMNS)
    for name, curve in zip(class_labels, result.curves, strict=True):
        score, *shares = curve.best_f1() or [math.nan] * 4
        values = (curve.ap_11, curve.ap_area, shares[2], score, *shares[:2])
        cells = ("" if value != value else f"{value:.6f}" for value in values)
        writer.writerow([name, curve.object_num, len(curve.right), int(curve.right.sum()), *cells])


def draw_precision_recall(
    result: VocResult,
    class_labels: Sequence[str],
    picture: str | os.PathLike[str],
    pr_threshold: float,
    font_file: str | None = None,
) -> None:
    """Draw a PNG: the envelope of each class and their mean, and the classes by their AP.

    ``pr_threshold`` is the least probability of the detections, as told in the title. ``font_file``
    is a TrueType font for names that DejaVu Sans has no letters for. Raises UsageError where
    matplotlib is missing.
    """
    require_matplotlib("precision_recall.png")
    from matplotlib import rc_context

    order = sorted(
        (k for k, curve in enumerate(result.curves) if curve.object_num),
        key=lambda k: -result.curves[k].ap_area,
    )
    colours = _colours(order)
    style: Any = {
        "font.family": font_family(font_file),
        "font.size": FONT,
        "text.parse_math": False,
        "text.color": INK,
        "axes.labelcolor": INK,
    }
    with rc_context(style):
        rows = _list(result, order, [short_name(name) for name in class_labels], colours)
        columns = max(1, -(-len(rows) // ROWS))
        figure = new_figure(SIDE + columns * LIST, SIDE, dpi=200, layout="constrained")
        widths = [SIDE, *[LIST] * columns]
        curves, *lists = figure.subplots(1, 1 + columns, width_ratios=widths)
        _draw_curves(curves, result, order, colours)
        curves.set_title(
            f"IoU \u2265 {result.match_iou:g}, probability \u2265 {pr_threshold:g}",
            color=SLATE,
            fontsize=FONT,
        )
        for place, axes in enumerate(lists):
            _draw_list(axes, rows[place * ROWS : (place + 1) * ROWS])
        lists[0].set_title("average precision (area), %", loc="left", color=SLATE, fontsize=FONT)
        save_figure(figure, picture)


class _Row(NamedTuple):
    """A line of the list: a class or the mean, or in grey words only where it has no colour."""

    name: str
    ap: float = 0.0
    colour: str | None = None


def mean_envelope(curves: Sequence[ClassCurve]) -> np.ndarray:
    """Return the mean over classes of the envelope at the recalls RECALL, 0 where not reached."""
    total = np.zeros(len(RECALL))
    for curve in curves:
        reached = curve.recall[curve.right]
        heights = np.append(curve.envelope[curve.right], 0)
        total += heights[np.searchsorted(reached, RECALL - 1e-9)]
    return total / max(len(curves), 1)


def _colours(order: Sequence[int]) -> dict[int, str]:
    """Return a colour for each class: its own of few, of many from dark (best) to light."""
    if len(order) <= FEW:
        return {k: COLOURS[k % FEW] for k in order}
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = colormaps["plasma"](np.linspace(0, 0.88, len(order)))
    return dict(zip(order, map(to_hex, shades), strict=True))


def _draw_curves(
    axes: Axes, result: VocResult, order: Sequence[int], colours: dict[int, str]
) -> None:
    """Draw the envelope of each class and, where there are several, their mean."""
    width = 1.6 if len(order) <= FEW else 0.8
    for k in reversed(order):  # the best above
        curve = result.curves[k]
        recall, height = curve.recall[curve.right], curve.envelope[curve.right]
        if len(recall):
            x, y = np.insert(recall, 0, 0), np.insert(height, 0, height[0])
            axes.plot(x, y, drawstyle="steps-pre", color=colours[k], linewidth=width)
    if len(order) > 1:
        mean = mean_envelope([result.curves[k] for k in order])
        axes.plot(RECALL, mean, color=PAPER, linewidth=4)
        axes.plot(RECALL, mean, color=INK, linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _list(
    result: VocResult, order: Sequence[int], names: Sequence[str], colours: dict[int, str]
) -> list[_Row]:
    """Return the mean, then the classes from the best down, the middle of very many left out."""
    classes = [_Row(names[k], result.curves[k].ap_area, colours[k]) for k in order]
    rows = [_Row("mean", result.mean_ap_area, INK), *classes] if len(order) > 1 else classes
    most = COLUMNS * ROWS
    if len(rows) > most:
        cut = most // 2
        rows = [*rows[:cut], _Row(f"({len(rows) - most + 1} more)"), *rows[cut + 1 - most :]]
    return rows


def _draw_list(axes: Axes, rows: Sequence[_Row]) -> None:
    """Draw the name, bar and per cent of each row."""
    low, high = BAR
    for y, (name, value, colour) in enumerate(rows):
        weight = "bold" if colour == INK else "normal"
        axes.text(0, y, name, va="center", weight=weight)
        if colour is not None:
            axes.text(1, y, f"{100 * value:.1f}", va="center", ha="right", weight=weight)
            axes.barh(y, high - low, 0.55, low, color=PALE)
            axes.barh(y, value * (high - low), 0.55, low, color=colour)
    axes.set_xlim(0, 1.05)
    axes.set_ylim(ROWS - 0.5, -0.5)
    axes.axis("off")
