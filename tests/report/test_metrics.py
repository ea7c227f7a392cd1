"""metrics.csv: written whole, read back as columns."""

import math

import pytest

from denet.errors import DataError
from denet.report.metrics import read_metrics, write_metrics

ROWS = [
    {"epoch": 1, "cost": 2.3025851, "test_error": math.nan},
    {"epoch": 2, "cost": 0.5, "test_error": 12.5},
]
TEXT = b"epoch,cost,test_error\n1,2.302585,\n2,0.5,12.5\n"


def rows_of(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_written_rows_are_read_back(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, ROWS)
    assert path.read_bytes() == TEXT
    columns = read_metrics(path)
    assert columns["epoch"] == [1, 2]
    assert columns["cost"] == [2.302585, 0.5]
    assert math.isnan(columns["test_error"][0])
    write_metrics(path, rows_of(columns))  # what was read is written as it was
    assert path.read_bytes() == TEXT


NUMBERS = [
    (12345678.0, "12345678"),
    (-3.0, "-3"),
    (1e300, "1e+300"),
    (math.inf, "inf"),
    (123456.789, "123456.8"),
    (2.242e-08, "2.242e-08"),
]


@pytest.mark.parametrize("value, text", NUMBERS)
def test_whole_numbers_stay_whole(value, text, tmp_path):
    write_metrics(tmp_path / "m.csv", [{"value": value}])
    assert (tmp_path / "m.csv").read_text() == f"value\n{text}\n"


def test_rows_with_other_columns_share_a_table(tmp_path):
    write_metrics(tmp_path / "m.csv", [{"epoch": 1, "cost": 2}, {"epoch": 2, "megabytes": 300.5}])
    assert (tmp_path / "m.csv").read_text() == "epoch,cost,megabytes\n1,2,\n2,,300.5\n"


def test_a_row_cut_short_is_told(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,cost\n1,0.5\n2")
    with pytest.raises(DataError, match=r"m\.csv is not a table"):
        read_metrics(tmp_path / "m.csv")


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
        write_metrics(tmp_path / "none" / "m.csv", ROWS)


def test_who_reads_the_old_table_still_sees_it_whole(tmp_path):
    path = tmp_path / "metrics.csv"
    write_metrics(path, ROWS[:1])
    with path.open("rb") as old:
        write_metrics(path, ROWS)
        assert old.read() == TEXT[: TEXT.index(b"2,")]
    assert path.read_bytes() == TEXT
