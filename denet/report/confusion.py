"""confusion.png: which classes were taken for which, as a matrix and as a list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from denet.evaluate.confusion import mixups
from denet.evaluate.topk import TopErrors
from denet.report.drawing import BLUE, GREY, INK, PAPER, RED, short_name, text_width
from denet.report.plotting import font_family, new_figure, require_matplotlib, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

LEAST, MOST = 2.6, 9.0  # inches of the matrix
LIST, ROW = 4.4, 0.34  # inches: width of the list, height of a row of it
FONT, SMALLEST_FONT = 9.0, 5.0  # points
SMALLEST_DOT = 1.5  # points
SHADES = {"right": ("#dbe7fa", BLUE), "mistaken": ("#fde3e0", RED)}  # of no share, of the whole
DOT_SHADES = {**SHADES, "mistaken": ("#f5b5ae", RED)}  # dots must be seen too


def draw_confusion(
    errors: TopErrors,
    class_labels: Sequence[str],
    picture: str | os.PathLike[str],
    font_file: str | None = None,
    answers: Sequence[str] | None = None,
) -> None:
    """Draw a PNG: the matrix, coloured by share of the true class, and the commonest mistakes.

    ``font_file`` is a TrueType font for names that DejaVu Sans has no letters for; ``answers`` are
    the names of the columns where they are others than those of the rows. Raises UsageError where
    matplotlib is missing.
    """
    require_matplotlib("confusion.png")
    from matplotlib import rc_context

    names = [short_name(name) for name in class_labels]
    columns = [short_name(name) for name in answers] if answers else names
    side = min(max(0.5 * len(names), LEAST), MOST)
    style: Any = {
        "font.family": font_family(font_file),
        "font.size": FONT,
        "text.parse_math": False,
    }
    with rc_context(style):
        figure = new_figure(side + 0.5 + LIST, side, dpi=200)
        shades = _draw_matrix(_axes(figure, 0, 0, side, side), errors, names, columns, 72 * side)
        left = side + 0.5
        for place, (label, image) in enumerate(shades.items()):
            width = (LIST - 0.4) / 2
            axes = _axes(figure, left + place * (width + 0.4), 0.12, width, 0.1)
            _draw_shade(axes, image, label)
        listed = _axes(figure, left, 0.7, LIST, side - 0.7)
        _draw_list(listed, errors, names, columns, side - 0.7)
        save_figure(figure, picture, bbox_inches="tight", pad_inches=0.15)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return new axes at this place in inches."""
    x, y = figure.get_size_inches()
    return figure.add_axes((left / x, bottom / y, width / x, height / y))


def _draw_matrix(
    axes: Axes, errors: TopErrors, names: Sequence[str], columns: Sequence[str], side: float
) -> dict[str, PathCollection]:
    """Draw a square for each pair of classes that came; return the shades of each kind.

    ``side`` is the size of the whole in points. Squares of very many classes overlap: those
    of mistakes lie above, large shares above small ones.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    cell = side / len(names)
    count = errors.count
    cells = np.array([(*pair, n) for pair, n in errors.pairs.items() if pair[1] >= 0]).reshape(
        -1, 3
    )
    true, answer, number = cells[np.argsort(cells[:, 2], kind="stable")].T
    share = number / count[true]
    shades = {}
    colours = SHADES if cell > 2 * SMALLEST_DOT else DOT_SHADES
    for label, mask in (("right", true == answer), ("mistaken", true != answer)):
        shades[label] = axes.scatter(
            answer[mask],
            true[mask],
            s=max(cell - min(1, 0.04 * cell), SMALLEST_DOT) ** 2,
            c=share[mask],
            cmap=LinearSegmentedColormap.from_list(label, colours[label]),
            norm=PowerNorm(0.5, 0, 1),
            marker="s",
            linewidths=0,
        )
    _write_numbers(axes, true, answer, number, share, cell)
    _name_cells(axes, names, columns, cell)
    wrong, total = int(errors.wrong.sum()), errors.pairs.total()
    axes.set_title(f"{wrong:,} of {total:,} mistaken ({errors.top1_error:.2f}%)", color=INK)
    return shades


def _write_numbers(
    axes: Axes,
    true: np.ndarray,
    answer: np.ndarray,
    number: np.ndarray,
    share: np.ndarray,
    cell: float,
) -> None:
    """Write the counts into cells of ``cell`` points, where the largest fits."""
    size = min(FONT, 0.9 * cell / (0.65 * len(str(number.max()))))
    if size < SMALLEST_FONT:
        return
    for y, x, n, part in zip(true, answer, number, share, strict=True):
        colour = PAPER if part > 0.4 else INK
        axes.text(x, y, str(n), ha="center", va="center", color=colour, fontsize=size)


def _name_cells(axes: Axes, names: Sequence[str], columns: Sequence[str], cell: float) -> None:
    """Name rows and columns of ``cell`` points, every n-th where they are too narrow."""
    size = min(FONT, max(SMALLEST_FONT, 0.8 * cell))
    shown = range(0, len(names), int(np.ceil(1.2 * size / cell)))
    below, beside = ([each[index] for index in shown] for each in (columns, names))
    across = max(map(text_width, columns)) * 0.65 * size > 0.95 * cell
    style: dict[str, Any] = {"fontsize": size, "color": INK}
    axes.set_xticks(shown, below, rotation=90 if across else 0, **style)
    axes.set_yticks(shown, beside, **style)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("answer", color=INK)
    axes.set_ylabel("true class", color=INK)
    axes.tick_params(length=2 if len(shown) < len(names) else 0, color=GREY)
    axes.spines[:].set_color(GREY)


def _draw_shade(axes: Axes, image: PathCollection, label: str) -> None:
    """Explain the colours of one kind of cells."""
    bar = axes.figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.set_ticks([0.01, 0.1, 0.25, 0.5, 1], labels=["1", "10", "25", "50", "100"])
    outline: Any = bar.outline
    outline.set_visible(False)
    axes.tick_params(length=2, color=GREY, labelcolor=INK, labelsize=7)
    axes.set_title(f"{label}, % of the true class", fontsize=8, color=INK)


def _draw_list(
    axes: Axes, errors: TopErrors, names: Sequence[str], columns: Sequence[str], height: float
) -> None:
    """List the commonest mistakes with their number and share of the true class."""
    found = mixups(errors)
    count = errors.count
    rows = height / ROW
    for place, (number, true, answer) in enumerate(found[: int(rows)]):
        text = f"{names[true]} \u2192 {columns[answer]}"
        told = f"{number:,} ({number / count[true]:.0%})"
        axes.text(0, place + 0.6, text, va="baseline", color=INK)
        axes.text(1, place + 0.6, told, va="baseline", ha="right", color=INK)
        axes.barh(place + 0.8, number / found[0].times, 0.16, color=RED)
    title = "Most frequent mistakes: true class \u2192 answer" if found else "No mistakes"
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(rows, 0)
    axes.axis("off")
