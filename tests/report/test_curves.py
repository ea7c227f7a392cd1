"""curves.png from metrics.csv."""

import math
import sys

import numpy as np
import pytest

from denet.errors import DataError, UsageError
from denet.report.curves import curves_figure, draw_curves, spikes

# a table and how many panels it fills
TABLES = [
    ("epoch,cost,test_error,test_top5_error,learn_rate\n1,2.3,50,10,0.1\n2,1.1,,,0.01\n", 3),
    ("epoch,cost,test_error,learn_rate\n1,2.3,,0.1\n", 2),
    ("epoch,cost\n", 1),
    ("epoch,cost\n1,0\n", 1),
    ("epoch,cost,learn_rate\n" + "".join(f"{n},{9 / n},0.1\n" for n in range(1, 3000)), 2),
]


@pytest.mark.parametrize("table, panels", TABLES)
def test_picture_is_drawn(table, panels, tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    (tmp_path / "metrics.csv").write_text(table)
    draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        # 4.8 inches of 120 dots; releases of matplotlib round differently
        assert abs(picture.width - panels * 576) <= 2


def panels_of(**columns):
    """Return the axes by title, the value in it left out."""
    pytest.importorskip("matplotlib")
    count = len(next(iter(columns.values())))
    figure = curves_figure({"epoch": list(range(1, count + 1)), **columns})
    return {axes.get_title().split(":")[0]: axes for axes in figure.axes}


def test_a_spike_is_pointed_at_and_the_rest_stays_readable():
    cost = [2 / number for number in range(1, 21)]
    cost[7] = 1e6
    axes = panels_of(cost=cost)["Training cost"]
    assert axes.get_yscale() == "linear"
    assert 2 < axes.get_ylim()[1] < 2.5
    _, marks = axes.get_lines()
    assert list(marks.get_xdata()) == [8] and marks.get_label() == "above: up to 1e+06"


SPIKES = [
    ([], []),
    ([2.3], []),
    ([9e4, 2.3, 2.0], [0]),
    ([2.3, 9e4], [1]),
    ([2.3, 2.0, 9e4, 8e4, 1.5, 1.4, 1.3], [2, 3]),
    ([2.3, 2.0, 1.0, 25.0, 0.8, 0.6], [3]),
    ([2.3, 0.6, 0.15, 0.04, 0.01], []),  # fast, but steady
    ([2.3, 2.0, 1e4, 2e4, 3e4, 4e4, 5e4, 6e4], []),  # no spike: it never came back
    ([0.0, 0.0, 1.0], []),
]


@pytest.mark.parametrize("values, places", SPIKES)
def test_spikes(values, places):
    assert spikes(values) == places


STAGES = [
    ([0.1] * 3 + [0.01] * 3 + [0.001] * 3, "log"),
    ([0.1, 0.1, 0.05], "linear"),
    ([0.1, 0.05, 2e-8], "linear"),  # the end of a cosine
    ([0.1, 0.05, 0.0], "linear"),
    ([0.1], "linear"),
]


@pytest.mark.parametrize("rates, scale", STAGES)
def test_stages_of_the_learn_rate_are_told_apart(rates, scale):
    axes = panels_of(learn_rate=rates)["Learn rate"]
    low, high = axes.get_ylim()
    assert axes.get_yscale() == scale and low < min(rates) and max(rates) < high


def test_epochs_without_a_test_are_joined_and_all_panels_show_the_same_epochs():
    errors = [math.nan if number % 5 else 90.0 - number for number in range(1, 21)]
    axes = panels_of(test_error=errors, test_top5_error=errors, cost=[1.0] * 20)
    line, _ = axes["Test error (%)"].get_lines()
    assert list(line.get_xdata()) == [5, 10, 15, 20] and line.get_label() == "top-1 70.00"
    assert axes["Test error (%)"].get_xlim() == axes["Training cost"].get_xlim()
    assert axes["Test error (%)"].get_ylim()[0] == 0


def test_a_detector_has_the_parts_of_its_cost_and_what_is_found_of_its_objects():
    """Not the sum of the parts; 100 % is what error and precision add up to."""
    nan = math.nan
    parts = {"cost_corner": [0.5, 0.25], "cost_class": [1.0, 0.75], "cost_box": [0.0, 0.0]}
    tested = {"test_error": [nan, 40.0], "test_top5_error": [nan, nan], "train_error": [nan, 25.0]}
    panels = panels_of(cost=[1.5, 1.0], sample_coverage=[20.0, 90.0], **parts, **tested)
    assert list(panels) == ["Parts of the training cost", "Objects found (%)"]
    cost, found = (
        {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
        for axes in panels.values()
    )
    assert cost == {"corner 0.2500": [0.5, 0.25], "class 0.7500": [1.0, 0.75]}
    assert found == {
        "samples hit 90.00": [20.0, 90.0],
        "AP, training photos 75.00": [75.0],
        "AP, test 60.00": [60.0],
    }


def colours(axes):
    """Return the colours of lines, and how many dots of the drawn panel have about each."""
    from matplotlib.colors import to_hex, to_rgb

    axes.get_legend().remove()
    canvas = axes.figure.canvas
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    found = {to_hex(line.get_color()): to_rgb(line.get_color()) for line in axes.get_lines()}
    return {
        name: int((np.abs(picture - rgb) < 0.25).all(axis=-1).sum()) for name, rgb in found.items()
    }


@pytest.mark.parametrize("epochs", [1, 5, 60])
@pytest.mark.parametrize("error", [100.0, 0.0])
def test_precisions_are_seen_where_they_are_none_and_lie_on_each_other(epochs, error):
    columns = {f"{name}_error": [error] * epochs for name in ("train", "test")}
    axes = panels_of(sample_coverage=[100 - error] * epochs, **columns)["Objects found (%)"]
    seen = colours(axes)
    assert len(seen) == 3 and min(seen.values()) >= 5


def test_top5_errors_of_few_classes_are_not_drawn():
    axes = panels_of(test_error=[0.0, 0.0], test_top5_error=[0.0, 0.0])["Test error (%)"]
    assert len(axes.get_lines()) == 1 and axes.get_title() == "Test error (%): 0"


def test_several_costs_are_drawn_with_their_sum():
    parts = {"cost_corner": [0.5, 0.25], "cost_class": [1.0, 0.75], "cost_box": [0.0, 0.0]}
    axes = panels_of(cost=[1.5, 1.0], **parts)
    lines = {line.get_label(): list(line.get_ydata()) for line in axes["Training cost"].get_lines()}
    assert lines == {
        "sum 1.000": [1.5, 1.0],
        "corner 0.2500": [0.5, 0.25],
        "class 0.7500": [1.0, 0.75],
    }
    (alone,) = panels_of(cost=[1.5, 1.0]).values()
    assert alone.get_title() == "Training cost: 1" and alone.get_legend() is None


def test_a_single_error_is_named_by_the_title():
    axes = panels_of(test_error=[30.0, 20.0], cost=[1.0] * 2)["Test error (%)"]
    assert axes.get_title() == "Test error (%): 20" and axes.get_legend() is None


def test_missing_matplotlib_is_told_with_its_remedy(tmp_path, monkeypatch):
    (tmp_path / "metrics.csv").write_text(TABLES[0][0])
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    with pytest.raises(UsageError, match="pip install matplotlib"):
        draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")


def test_a_table_without_epochs_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text("cost\n1\n")
    with pytest.raises(DataError, match="epoch"):
        draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
