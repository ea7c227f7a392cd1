"""curves.png: the columns of metrics.csv over the epochs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from denet.errors import DataError, UsageError
from denet.report.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "curves: matplotlib is not installed: pip install 'denet[plots]'"

# panel title: {column: label of its line}
PANELS: dict[str, dict[str, str]] = {
    "Training cost": {"cost": "cost"},
    "Test error (%)": {"test_error": "top-1", "test_top5_error": "top-5"},
    "Learn rate": {"learn_rate": "learn rate"},
}


def can_draw() -> bool:
    """Say whether matplotlib is installed, without importing it."""
    return find_spec("matplotlib") is not None


def draw_curves(metrics: str | os.PathLike[str], picture: str | os.PathLike[str]) -> None:
    """Draw the metrics file as a PNG: cost, test errors and learn rate over the epochs.

    Raises UsageError where matplotlib is missing, DataError for a file that is no metrics table.
    """
    columns = read_metrics(metrics)
    if "epoch" not in columns:
        raise DataError(f"metrics: {metrics} has no column 'epoch': give the metrics.csv of a run")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise UsageError(f"{MISSING} ({error})") from error
    panels = {title: lines for title, lines in PANELS.items() if _has_values(columns, lines)}
    figure = Figure(figsize=(4.8 * max(1, len(panels)), 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for number, (title, lines) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), number)
        for column, label in lines.items():
            _draw_line(axes, columns["epoch"], columns.get(column, []), label)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(lines) > 1:
            axes.legend(frameon=False)
        if title != "Training cost":
            axes.set_ylim(bottom=0)
    figure.savefig(picture, format="png")


def _has_values(columns: Mapping[str, Sequence[float]], lines: Mapping[str, str]) -> bool:
    return any(math.isfinite(value) for name in lines for value in columns.get(name, []))


def _draw_line(axes: Axes, epochs: Sequence[float], values: Sequence[float], label: str) -> None:
    """Join the epochs that have a value; epochs without a test are left out."""
    points = [
        (epoch, value) for epoch, value in zip(epochs, values, strict=False) if math.isfinite(value)
    ]
    if points:
        marker = "o" if len(points) <= 40 else ""
        line = zip(*points, strict=True)
        axes.plot(*line, marker=marker, markersize=3.5, label=label, clip_on=False)
