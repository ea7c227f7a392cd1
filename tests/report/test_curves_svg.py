"""Curves as SVG: points where they belong, whatever the numbers are."""

import math
import random
import xml.etree.ElementTree as ElementTree

import pytest

from denet.report.curves_svg import BOTTOM, HEIGHT, LEFT, MOST, RIGHT, TOP, WIDTH, Scale, curves

SVG = "svg"


def parsed(runs):
    return [ElementTree.fromstring(figure) for figure in curves(runs)]


def lines(figure):
    """Return the points of each line."""
    return [
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in figure.iter("polyline")
    ]


def test_points_are_where_their_numbers_say():
    cost, error, rate = parsed(
        {"a": {"epoch": [1, 2, 3], "cost": [3, 2, 1], "test_error": [100, math.nan, 50]}}
        | {"b": {"epoch": [1, 5], "cost": [2, 2], "learn_rate": [0.1, 0.1]}}
    )
    assert [each.find("h3").text for each in (cost, error, rate)] == [
        *("Training cost", "Test error (%)", "Learn rate")
    ]
    first, second = lines(cost)
    # epochs 1 to 5 over the width; the middle of the costs is in the middle of the height
    assert [x for x, _ in first] == [LEFT, LEFT + 103.5, LEFT + 207]
    assert [x for x, _ in second] == [LEFT, WIDTH - RIGHT]
    assert second[0][1] == (TOP + HEIGHT - BOTTOM) / 2 and first[0][1] < first[2][1]
    # the axis of errors begins at 0 and ends at 105
    height = HEIGHT - TOP - BOTTOM
    assert lines(error) == [
        [
            (LEFT, pytest.approx(TOP + height * 5 / 105, abs=0.06)),
            (WIDTH - RIGHT, pytest.approx(TOP + height * 55 / 105, abs=0.06)),
        ]
    ]
    names = ["".join(item.itertext()) for item in cost.iter("li")]
    assert names == ["a: sum 1", "b: sum 2"]
    assert cost.find(SVG).get("aria-label").endswith("a: sum 1; b: sum 2")


def test_ticks_are_round():
    assert Scale(0, 105).ticks() == [0, 50, 100]
    assert Scale(0.013, 0.049).ticks() == pytest.approx([0.02, 0.03, 0.04])
    assert Scale(0.004, 0.3, True).ticks() == pytest.approx([0.005, 0.01, 0.02, 0.05, 0.1, 0.2])


def test_ticks_differ():
    (figure,) = parsed({"a": {"epoch": [1, 2], "cost": [4.79104, 4.79101]}})
    texts = [each.text for each in figure.iter("text") if each.get("text-anchor") == "end"]
    assert len(texts) > 2 and texts == [f"4.7910{k}" for k in range(1, 5)][-len(texts) :]


def test_a_detector_and_a_classifier_share_no_errors():
    detector = {"epoch": [1], "cost_corner": [1], "sample_coverage": [50], "test_error": [60]}
    classifier = {"epoch": [1], "cost": [1], "test_error": [20]}
    figures = {each.find("h3").text: each for each in parsed({"d": detector, "c": classifier})}
    texts = {name: "".join(each.find("ul").itertext()) for name, each in figures.items()}
    assert texts["Test error (%)"] == "c: top-1 20"
    assert texts["Objects found (%)"] == "d: samples hit 50d: AP, test 40"


def test_names_are_text():
    figures = curves({"<script>a": {"epoch": [1], "cost": [1]}, "b": {"epoch": [1], "cost": [1]}})
    assert "<script" not in figures[0] and "&lt;script&gt;a" in figures[0]


def test_long_runs_are_thinned():
    count = 100_000
    (figure,) = parsed({"a": {"epoch": list(range(count)), "cost": [1.0] * count}})
    (line,) = lines(figure)
    assert len(line) <= MOST + 2 and line[-1][0] == WIDTH - RIGHT


@pytest.mark.parametrize("seed", range(30))
def test_any_numbers(seed):
    """Every point lies in the picture, of wild numbers too."""
    source = random.Random(seed)
    wild = [0.0, -0.0, 1.0, 5e-324, 1e-323, -1e-300, 1e29, -1e29, 1e308, math.inf, math.nan, 1e16]

    def some():
        return [source.choice([*wild, source.uniform(-9, 9)]) for _ in range(6)]

    names = ["epoch", "cost", "test_error", "learn_rate", "cost_a", "sample_coverage"]
    runs = {name: {each: some() for each in source.sample(names, 4)} for name in "ab"}
    runs = {name: {"epoch": list(range(6)), **columns} for name, columns in runs.items()}
    for figure in parsed(runs):
        for x, y in (point for line in lines(figure) for point in line):
            assert LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM
