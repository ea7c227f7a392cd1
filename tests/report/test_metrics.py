"""metrics.csv: written row by row, read back as columns."""

import math
import os

import pytest

from denet.errors import DataError
from denet.report.metrics import append_metrics, read_metrics

ROWS = [
    {"epoch": 1, "cost": 2.3025851, "test_error": math.nan},
    {"epoch": 2, "cost": 0.5, "test_error": 12.5},
]


def test_written_rows_are_read_back(tmp_path):
    path = tmp_path / "metrics.csv"
    for row in ROWS:
        append_metrics(path, row)
    assert path.read_bytes() == b"epoch,cost,test_error\n1,2.302585,\n2,0.5,12.5\n"
    columns = read_metrics(path)
    assert columns["epoch"] == [1, 2]
    assert columns["cost"] == [2.302585, 0.5]
    assert math.isnan(columns["test_error"][0])


def test_a_row_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.csv"
    append_metrics(path, ROWS[0])
    with path.open("a") as file:
        file.write("2,0.")
    assert read_metrics(path)["epoch"] == [1]


def test_a_header_alone_has_empty_columns(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,cost\n")
    assert read_metrics(tmp_path / "m.csv") == {"epoch": [], "cost": []}


@pytest.mark.parametrize("text", ["", "epoch,cost\n1\n", "epoch\nword\n", "\n1\n"])
def test_what_is_no_table_is_told(text, tmp_path):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=r"m\.csv"):
        read_metrics(tmp_path / "m.csv")


def test_missing_file_and_directory_are_told(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_metrics(tmp_path / "m.csv")
    with pytest.raises(DataError, match="No such file"):
        append_metrics(tmp_path / "none" / "m.csv", ROWS[0])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full of Linux")
def test_a_full_disk_is_told():
    with pytest.raises(DataError, match="/dev/full: No space left"):
        append_metrics("/dev/full", ROWS[0])
