"""metrics.csv: one row per epoch, on the disk as soon as the epoch is over."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path

from denet.errors import DataError


def append_metrics(path: str | os.PathLike[str], row: Mapping[str, float]) -> None:
    """Add a row; the first one writes the header. A value that is not a number stays empty.

    Every row of a file has the same columns. Raises DataError with path and reason.
    """
    try:
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                writer.writerow(row)
            writer.writerow([_text(value) for value in row.values()])
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"cannot write: {path}: {error.strerror or error}") from error


def read_metrics(path: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Return the columns by name, nan where a cell is empty; a last row cut short is left out.

    Raises DataError if the file cannot be read or holds anything but numbers.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
        header, *rows = csv.reader(line for line in lines if line.endswith("\n"))
        cells = [[_number(cell) for cell in row] for row in rows]
        columns = zip(*cells, strict=True) if cells else [()] * len(header)
        return {name: list(column) for name, column in zip(header, columns, strict=True)}
    except OSError as error:
        raise DataError(f"metrics: cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"metrics: {path} is not a table of numbers ({error})") from error


def _text(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.7g}"


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
