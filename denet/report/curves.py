"""The columns of a run's table of metrics, drawn over the epochs."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from denet.errors import DataError
from denet.report.metrics import cost_parts, read_metrics
from denet.report.plotting import new_figure, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LOG_RATIO = (50, 1e5)  # of the largest value to the least: the axis is logarithmic
SPIKE_RATIO = 20  # of a value to those around it: the axis leaves it out
AROUND = 3  # epochs on each side
MARKED = 40  # points at most that have a marker each
DENSE = 500  # points from which the line is thin
WIDER = (2.5, 1)  # points of the picture that markers and lines are wider than those above them


@dataclass(frozen=True)
class Panel:
    """One pair of axes: which columns it shows, and how."""

    title: str
    lines: dict[str, str]  # {column: name in the legend}; the title names a single one
    from_zero: bool = False  # else logarithmic where the values ask for it
    spikes: bool = False  # may have values far above all others
    named: bool = False  # each line is drawn and named in the legend, also alone or of zeros


CLASSIFIER_LINES = {"test_error": "top-1", "test_top5_error": "top-5"}
# The sum of a detector's costs is no guide: more samples that hit raise the cost of their boxes.
# What samples miss cannot be found, and what is not learned cannot be known of other photos: the
# first gap between these curves is what to mend.
DETECTOR_LINES = {
    "sample_coverage": "samples hit",
    "train_precision": "AP, training photos",
    "test_precision": "AP, test",
}


def draw_curves(metrics: str | os.PathLike[str], picture: str | os.PathLike[str]) -> None:
    """Draw the metrics file as a PNG: costs, what is found or the errors, learn rate, by epoch.

    Raises UsageError where matplotlib is missing, DataError for a file that is no metrics table.
    """
    columns = read_metrics(metrics)
    if "epoch" not in columns:
        raise DataError(
            f"metrics: {metrics} has no column 'epoch': give the PREFIX_metrics.csv of a run"
        )
    curves_figure(columns).savefig(picture, format="png")


def curves_figure(columns: Mapping[str, Sequence[float]]) -> Figure:
    """Return the picture of these columns, a pair of axes for each panel that has a value."""
    require_matplotlib("curves")
    from matplotlib.ticker import MaxNLocator

    columns = {**columns, **precisions(columns)}
    panels = panels_of(columns)
    panels = [panel for panel in panels if any(points(columns, name)[1] for name in panel.lines)]
    count = max(1, len(panels))
    figure = new_figure(4.8 * count, 3.6, dpi=120, layout="constrained")
    row = figure.subplots(1, count, sharex=True, squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=False):
        _draw_panel(axes, panel, columns)
    for axes in row:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def panels_of(columns: Collection[str]) -> list[Panel]:
    """Return the panels of the run that these columns are of: a detector, or a classifier."""
    parts = cost_parts(columns)
    if "sample_coverage" in columns:
        cost = Panel("Parts of the training cost", parts, spikes=True)
        quality = Panel("Objects found (%)", DETECTOR_LINES, from_zero=True, named=True)
    else:
        cost = Panel("Training cost", {"cost": "sum"} | parts, spikes=True)
        quality = Panel("Test error (%)", CLASSIFIER_LINES, from_zero=True)
    return [cost, quality, Panel("Learn rate", {"learn_rate": ""})]


def precisions(columns: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Return the average precisions (%) that the errors of a detector lack to 100 %."""
    return {
        f"{name}_precision": [100 - error for error in columns[f"{name}_error"]]
        for name in ("train", "test")
        if f"{name}_error" in columns
    }


def points(
    columns: Mapping[str, Sequence[float]], name: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the epochs that have a value in a column, and the values."""
    pairs = zip(columns["epoch"], columns.get(name, []), strict=False)
    found = [(epoch, value) for epoch, value in pairs if math.isfinite(value)]
    return [epoch for epoch, _ in found], [value for _, value in found]


def drawn_lines(
    panel: Panel, found: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> list[str]:
    """Return the columns of a panel that are drawn, of those with the ``points`` found.

    Costs that do not count and top-5 errors of up to 5 classes are 0: these lines are left out.
    """
    drawn = [name for name in panel.lines if found[name][1]]
    if panel.named:
        return drawn
    return [name for name in drawn if any(found[name][1])] or drawn[:1]


def limits(panel: Panel, shown: Sequence[float]) -> tuple[float, float, bool]:
    """Return both ends of the axis of these values, and whether it is logarithmic."""
    low, top = min(shown), max(shown)
    if panel.from_zero:
        return 0, max(1.05 * top, 1), False
    if low > 0 and LOG_RATIO[0] <= top / low <= LOG_RATIO[1]:
        return low / 1.2, top * 1.2, True
    margin = 0.05 * (top - low) or 0.5 * abs(top) or 1
    return low - margin, top + margin, False


def spikes(values: Sequence[float]) -> list[int]:
    """Return the places of values that stand far above the epochs around them."""
    return [
        place
        for place, value in enumerate(values)
        if (near := [*values[max(place - AROUND, 0) : place], *values[place + 1 :][:AROUND]])
        and value > SPIKE_RATIO * median(near) > 0
    ]


def _draw_panel(axes: Axes, panel: Panel, columns: Mapping[str, Sequence[float]]) -> None:
    title = panel.title
    shown: list[float] = []  # the values that the axis has to hold
    found = {name: points(columns, name) for name in panel.lines}
    drawn = drawn_lines(panel, found)
    for number, name in enumerate(drawn, 1):
        epochs, values = found[name]
        label = panel.lines[name] if panel.named or len(drawn) > 1 else ""
        above = (len(drawn) - number) * panel.from_zero  # lines that may lie on this, wider one
        high = spikes(values) if panel.spikes else []
        shown += [value for place, value in enumerate(values) if place not in high]
        axes.plot(
            epochs,
            values,
            marker="o" if len(values) <= MARKED else "",
            markersize=3.5 + WIDER[0] * above,
            linewidth=(1.5 if len(values) < DENSE else 0.8) + WIDER[1] * above,
            zorder=3,  # in front of the axis, where zeros are
            clip_on=bool(high),
            label=f"{label} {values[-1]:#.4g}" if label else "",
        )
        title += "" if label else f": {values[-1]:.4g}"
        if high:
            most = max(values[place] for place in high)
            _mark_spikes(axes, [epochs[place] for place in high], most)
    low, top, logarithmic = limits(panel, shown)
    if logarithmic:
        axes.set_yscale("log")
    axes.set_ylim(low, top)
    axes.set_title(title, fontsize=11)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", edgecolor="none")


def _mark_spikes(axes: Axes, epochs: Sequence[float], most: float) -> None:
    """Point at what lies above the axis."""
    above = axes.get_xaxis_transform()  # 1 is the upper end of the axis
    ones, label = [0.98] * len(epochs), f"above: up to {most:.3g}"
    axes.plot(epochs, ones, "^", color="tab:red", transform=above, label=label)
