"""The curves of one run or several, one above the other, as SVG for a page of HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from denet.report.curves import Panel, drawn_lines, limits, panels_of, points, precisions, spikes
from denet.report.html import Markup, element

WIDTH, HEIGHT = 480, 300  # of the picture, in pixels of its own
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 40  # around the axes
COLOURS = 8  # that the style of a page has
DASHES = (None, "6 4", "2 4", "10 3 2 3")
MARKED = 60  # points at most that are dots with their value
MOST = 600  # points of a line: of more every n-th is drawn
LARGEST = 1e30  # values beyond are left out: nothing can be seen beside them
SMALLEST = 1e-300  # between ticks
MOST_LINES = 64  # of a panel
TICKS = 5  # about, on an axis

Columns = Mapping[str, Sequence[float]]


class Line(NamedTuple):
    """A line of a panel: its name, its points, and its look."""

    name: str
    epochs: Sequence[float]
    values: Sequence[float]
    colour: str
    dash: str | None
    high: Sequence[int]  # places that stand above all others, which the axis leaves out


class Scale(NamedTuple):
    """From the values of an axis to a part of its length."""

    low: float
    high: float
    logarithmic: bool = False

    def part(self, value: float) -> float:
        """Return 0 for the lower end, 1 for the upper one, which is where larger values are."""
        low, high, value = (self._of(each) for each in (self.low, self.high, value))
        return min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return round values within the axis."""
        if self.logarithmic:
            exponents = range(
                math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1
            )
            steps = (1,) if len(exponents) > 4 else (1, 2, 5)
            found = [step * 10.0**exponent for exponent in exponents for step in steps]
            return [value for value in found if self.low <= value <= self.high]
        rough = (self.high - self.low) / TICKS
        if rough < SMALLEST:
            return []
        size = 10.0 ** math.floor(math.log10(rough))
        step = next((k * size for k in (1, 2, 5) if k * size >= rough), 10 * size)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [step * number for number in range(first, last + 1)]

    def _of(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.logarithmic else value


def curves(runs: Mapping[str, Columns]) -> list[Markup]:
    """Return a figure for each panel that has a value: costs, what is found or errors, learn rate.

    ``runs`` are the columns of tables of metrics by the name of the run.
    """
    whole = {name: {**columns, **precisions(columns)} for name, columns in runs.items()}
    panels: dict[str, Panel] = {}
    for columns in whole.values():
        for panel in panels_of(columns):
            earlier = panels.get(panel.title, panel)
            panels[panel.title] = replace(panel, lines={**earlier.lines, **panel.lines})
    figures = []
    for panel in panels.values():
        if lines := _lines(panel, whole):
            figures.append(_figure(panel, lines))
    return figures


def _lines(panel: Panel, runs: Mapping[str, Columns]) -> list[Line]:
    """Return the lines of a panel: of one run in colours, of several each run in its own."""
    lines: list[Line] = []
    for number, (run, columns) in enumerate(runs.items()):
        if panel.title not in {each.title for each in panels_of(columns)}:
            continue  # a run of the other kind
        found = {name: _seen(*points(columns, name)) for name in panel.lines}
        for place, column in enumerate(drawn_lines(panel, found)):
            epochs, values = found[column]
            names = [run] if len(runs) > 1 else []
            names += [panel.lines[column]] if panel.lines[column] else []
            colour, dash = (number, place) if len(runs) > 1 else (place, 0)
            look = f"var(--c{colour % COLOURS})", DASHES[dash % len(DASHES)]
            high = spikes(values) if panel.spikes else []
            lines.append(Line(": ".join(names), epochs, values, *look, high))
    return lines[:MOST_LINES]


def _seen(
    epochs: Sequence[float], values: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the points that can be drawn."""
    pairs = zip(epochs, values, strict=True)
    kept = [pair for pair in pairs if max(map(abs, pair)) < LARGEST]
    return [epoch for epoch, _ in kept], [value for _, value in kept]


def _figure(panel: Panel, lines: Sequence[Line]) -> Markup:
    """Return axes with these lines, and below them their names and last values."""
    shown = [
        value for line in lines for place, value in enumerate(line.values) if place not in line.high
    ]
    y = Scale(*limits(panel, shown))
    epochs = [epoch for line in lines for epoch in line.epochs]
    first, last = min(epochs), max(epochs)
    x = Scale(first, last) if last > first else Scale(first - 1, first + 1)
    words = "; ".join(f"{line.name or panel.title} {_number(line.values[-1])}" for line in lines)
    drawing = element(
        "svg",
        *_axes(x, y),
        *(part for line in lines for part in _drawn(line, x, y)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{panel.title}, last values: {words}",
    )
    legend = [
        element(
            "li",
            element(
                "span",
                class_=f"key{' dashed' if line.dash else ''}",
                style=f"border-color: {line.colour}",
            ),
            f"{line.name} {_number(line.values[-1])}".strip(),
            f" (up to {_number(max(line.values))})" if line.high else "",
        )
        for line in lines
    ]
    return element(
        "figure", element("h3", panel.title), drawing, element("ul", *legend, class_="legend")
    )


def _axes(x: Scale, y: Scale) -> list[Markup]:
    parts = []
    right, low = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, text in zip(y.ticks(), _distinct(y.ticks()), strict=True):
        at = _y(y, value)
        parts.append(element("line", x1=LEFT, x2=right, y1=at, y2=at, class_="axis"))
        parts.append(element("text", text, x=LEFT - 6, y=at + 4, text_anchor="end"))
    for value in x.ticks():
        if value == round(value):
            at = _x(x, value)
            parts.append(element("line", x1=at, x2=at, y1=low, y2=low + 4, class_="axis"))
            label = element("text", f"{value:.0f}", x=at, y=low + 17, text_anchor="middle")
            parts.append(label)
    middle = (LEFT + right) / 2
    return [*parts, element("text", "epoch", x=middle, y=HEIGHT - 6, text_anchor="middle")]


def _drawn(line: Line, x: Scale, y: Scale) -> list[Markup]:
    """Return the line, and its points where they are few, which tell their values."""
    pairs = list(zip(line.epochs, line.values, strict=True))
    if len(pairs) > MOST:
        pairs = [*pairs[:: -(-len(pairs) // MOST)], pairs[-1]]
    places = [(_x(x, epoch), _y(y, value)) for epoch, value in pairs]
    path = " ".join(f"{left},{top}" for left, top in places)
    parts = [
        element(
            "polyline",
            points=path,
            class_="curve",
            style=f"stroke: {line.colour}",
            stroke_dasharray=line.dash,
        )
    ]
    if len(pairs) <= MARKED:
        for (left, top), (epoch, value) in zip(places, pairs, strict=True):
            told = element("title", f"{line.name} epoch {epoch:g}: {_number(value)}".strip())
            dot = element("circle", told, cx=left, cy=top, r=3, style=f"fill: {line.colour}")
            parts.append(dot)
    return parts


def _x(scale: Scale, value: float) -> float:
    return round(LEFT + scale.part(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(scale: Scale, value: float) -> float:
    return round(HEIGHT - BOTTOM - scale.part(value) * (HEIGHT - TOP - BOTTOM), 1)


def _distinct(values: Sequence[float]) -> list[str]:
    """Return numbers in as many digits as it takes to tell them apart."""
    every = ([f"{value:.{digits}g}" for value in values] for digits in range(3, 18))
    return next(texts for texts in every if len(set(texts)) == len(values))


def _number(value: float) -> str:
    return f"{value:.4g}"
