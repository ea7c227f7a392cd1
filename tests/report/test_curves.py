"""curves.png from metrics.csv."""

import sys

import pytest

from denet.errors import DataError, UsageError
from denet.report import curves
from denet.report.curves import draw_curves

TABLES = [
    "epoch,cost,test_error,test_top5_error,learn_rate\n1,2.3,50,10,0.1\n2,1.1,,,0.01\n",
    "epoch,cost,test_error,learn_rate\n1,2.3,,0.1\n",
    "epoch,cost\n",
]


@pytest.mark.parametrize("table", TABLES)
def test_picture_is_drawn(table, tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    (tmp_path / "metrics.csv").write_text(table)
    draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        panels = sum(title.split("(")[0] != "" for title in shown_panels(table))
        # 4.8 inches of 120 dots; releases of matplotlib round differently
        assert abs(picture.width - max(1, panels) * 576) <= 2


def shown_panels(table):
    header, *rows = (line.split(",") for line in table.splitlines())
    columns = {name for row in rows for name, cell in zip(header, row, strict=True) if cell}
    return [title for title, lines in curves.PANELS.items() if columns & set(lines)]


def test_missing_matplotlib_is_told_with_the_extra(tmp_path, monkeypatch):
    (tmp_path / "metrics.csv").write_text(TABLES[0])
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    with pytest.raises(UsageError, match=r"pip install 'denet\[plots\]'"):
        draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")


def test_a_table_without_epochs_is_told(tmp_path):
    (tmp_path / "metrics.csv").write_text("cost\n1\n")
    with pytest.raises(DataError, match="epoch"):
        draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
