"""precision_recall.png and the tables beside it."""

import csv
import io
import sys

import numpy as np
import pytest
from evaluate.boxed import detections, known, random_case
from PIL import Image

from denet.errors import UsageError
from denet.evaluate.voc import ClassCurve, VocResult, evaluate_voc
from denet.report.precision_recall import (
    CLASS_COLUMNS,
    COLUMNS,
    CURVE_COLUMNS,
    RECALL,
    ROWS,
    draw_precision_recall,
    mean_envelope,
    write_class_ap,
    write_curves,
)


def curve(object_num, *right):
    """Return a curve whose scores fall from 0.9 in tenths."""
    return ClassCurve(object_num, 0.9 - np.arange(len(right)) / 10, np.array(right, bool))


def result(*curves):
    return VocResult(list(curves), 0.5, 0.5)


def read(write, *arguments):
    file = io.StringIO()
    write(file, *arguments)
    return list(csv.reader(io.StringIO(file.getvalue())))


def test_curves_as_a_table():
    # right, wrong, right of four objects: recall 1/4 and 2/4, precision 1 and 2/3
    rows = read(write_curves, result(curve(4, 1, 0, 1), curve(1, 0)), ["cat", "a,b"])
    assert rows == [
        list(CURVE_COLUMNS),
        ["cat", "0.9", "0.25", "1"],
        ["cat", "0.7", "0.5", "0.666667"],
    ]


def test_classes_as_a_table():
    table, half = result(curve(4, 1, 0, 1), curve(0, 0), curve(2)), "0.500000"
    assert read(write_class_ap, table, ["cat", "a,b", "owl"]) == [
        list(CLASS_COLUMNS),
        # 11 points: 0 .1 .2 of 1, .3 .4 .5 of 2/3: 5/11; area: 1/4 + 2/3/4
        # at the third: 2 of 3 are right, 2 of 4 objects found: 2 * (2/3 * 1/2) / (7/6)
        ["cat", "4", "3", "2", "0.454545", "0.416667", "0.571429", "0.700000", "0.666667", half],
        ["a,b", "0", "1", "0", *[""] * 6],
        ["owl", "2", "0", "0", "0.000000", "0.000000", *[""] * 4],
    ]


def test_the_mean_curve():
    # 1 up to a recall of 1/2; 1/2 up to 1
    mean = mean_envelope([curve(2, 1), curve(1, 0, 1)])
    np.testing.assert_allclose(mean, np.where(RECALL <= 0.5, 0.75, 0.25))
    # under it lies about the mean average precision
    objects, found = random_case(0, image_num=200)
    evaluated = evaluate_voc(detections(found), known(200, objects), 5)
    assert mean_envelope(evaluated.curves).mean() == pytest.approx(evaluated.mean_ap_area, abs=0.01)


def drawn(path, class_num, labels=None, **options):
    rng = np.random.default_rng(class_num)
    curves = [curve(12, *(rng.random(20) < rng.uniform(0.2, 0.6))) for _ in range(class_num)]
    labels = labels or [f"class {k}" for k in range(class_num)]
    draw_precision_recall(result(*curves), labels, path, 0.01, **options)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("class_num, columns", [(1, 1), (3, 1), (20, 1), (80, 3), (300, 3)])
def test_any_number_of_classes(class_num, columns, tmp_path):
    pytest.importorskip("matplotlib")
    height, width, _ = drawn(tmp_path / "a.png", class_num).shape
    assert height == 960 and width == pytest.approx(960 + columns * 580, abs=2)
    assert columns <= COLUMNS and min(class_num + 1, ROWS * COLUMNS) <= columns * ROWS


def test_each_of_few_classes_has_the_colour_of_its_curve(tmp_path):
    pytest.importorskip("matplotlib")
    pixels = drawn(tmp_path / "a.png", 3).astype(int)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    for half in (pixels[:, :900][spread[:, :900] > 90], pixels[:, 1000:][spread[:, 1000:] > 90]):
        channels = {int(each) for each in np.unique(half.argmax(axis=1))}
        assert channels == {0, 1, 2}  # red, green and blue, as lines and as bars


def test_nothing_to_draw(tmp_path):
    pytest.importorskip("matplotlib")
    draw_precision_recall(result(curve(0, 0), curve(0)), ["a", "b"], tmp_path / "a.png", 0.01)
    draw_precision_recall(result(curve(3), curve(2, 0)), ["a", "b"], tmp_path / "b.png", 0.01)
    assert len(list(tmp_path.iterdir())) == 2


def test_names_of_any_kind(tmp_path, recwarn):
    pytest.importorskip("matplotlib")
    labels = ["$x_1$", "$", "a\nb", "\udcff", "\u732b" * 30, "w" * 300, "\u03b1\u0436\u00f1", ""]
    drawn(tmp_path / "a.png", 8, labels)
    font = sys.modules["matplotlib"].get_data_path() + "/fonts/ttf/DejaVuSerif.ttf"
    drawn(tmp_path / "b.png", 8, labels, font_file=font)
    assert not recwarn


def test_missing_matplotlib_is_told_with_its_remedy(tmp_path, monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    with pytest.raises(UsageError, match="pip install matplotlib"):
        drawn(tmp_path / "a.png", 2)
